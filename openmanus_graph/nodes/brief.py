"""Brief: the node that tells an agent what its subtask is, with the outputs that it builds on."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from openmanus_graph.agent_nodes import BRIEF, KNOWLEDGE
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.events import now
from openmanus_graph.memory.memory import Memory
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.material.memory_text import recalled
from openmanus_graph.nodes.material.untrusted_text import fenced, in_one_line, set_apart
from openmanus_graph.nodes.offered_tools import offered_tools
from openmanus_graph.nodes.outcome import failed_or_again, subtask_event
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.plan import Subtask
from openmanus_graph.plans.references import (
    Reference,
    SubtaskId,
    as_text,
    references_in,
    split,
)
from openmanus_graph.state import SubtaskState
from openmanus_graph.tools.surroundings import surroundings_line

INPUT_CHARACTERS = 8_000
"""Characters of one prerequisite's output that an agent is told; where there is more, it is told where."""
GOAL_CHARACTERS = 200
"""Characters of a prerequisite's goal that stand above its output."""
LISTED_FILES = 50
ATTACHED = "# Files that came with the task"
"""The heading in the background of a request under which the person's files stand, a path a line."""
TOLD = "(this part stands above)"
"""What stands in an output for a part that the prompt has already."""


def clipped(text: str, limit: int, where: str = "") -> str:
    """The text, or its beginning and end with a note of how much is missing, and where it is whole."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit * 3 // 4], text[len(text) - limit // 4 :]
    whole = f"; whole in the file {where}" if where else ""
    return f"{head}\n[... {len(text) - len(head) - len(tail)} characters left out{whole} ...]\n{tail}"


def workspace_files(workspace: Path, limit: int = LISTED_FILES, without: Collection[str] = ()) -> list[str]:
    """Files of a workspace, hidden ones left out, as `path (size)`; at most `limit`, then how many more.

    Args:
        workspace: The folder.
        limit: How many are listed.
        without: Paths that are told of elsewhere.
    """
    found: list[str] = []
    more = 0
    for folder, folders, files in os.walk(workspace):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder) / name
            relative = str(path.relative_to(workspace))
            if name.startswith(".") or relative in without:
                continue
            if len(found) < limit:
                shown = relative if relative.isprintable() else json.dumps(relative)
                found.append(f"{shown} ({path.lstat().st_size:,} bytes)")
            else:
                more += 1
    return [*found, f"... and {more} more"] if more else found


def files_text(run: SubtaskScope) -> str:
    """The workspace's files as a section of a prompt; those that came with the task are told of before."""
    listed = run.background.rpartition(ATTACHED)[2] if ATTACHED in run.background else ""
    given = {line.removeprefix("- ") for line in listed.partition("\n\n")[0].splitlines()} - {""}
    files = workspace_files(run.context.workspace, without=given)
    if files:
        return "# Files in the workspace\n" + fenced("\n".join(files))
    return "# Files in the workspace\n" + ("none but those that came with the task" if given else "none")


def goal_of(subtask: Subtask, run: SubtaskScope) -> str:
    """The goal with references filled in, each value set apart.

    Raises:
        ToolArgumentsError: If an output has no such part.
    """
    parts: list[str] = []
    for part in split(subtask.goal):
        if isinstance(part, str):
            parts.append(part)
            continue
        file = run.result_of(part.subtask_id).get("output_file") or ""
        value = as_text(part.find_in(run.lookup(part.subtask_id)))
        parts.append(set_apart(clipped(value, INPUT_CHARACTERS, file)))
    return "".join(parts)


def request_sections(subtask: Subtask, run: SubtaskScope, heading: str = "Your subtask") -> list[str]:
    """What is to be done, and what done looks like, as sections of a prompt.

    Args:
        subtask: The subtask.
        run: Its run.
        heading: What the subtask is called.

    Raises:
        ToolArgumentsError: If the goal refers to a part that an output does not have.
    """
    sections = [f"# {heading} ({subtask.id})\n{goal_of(subtask, run)}"]
    if subtask.done_when:
        sections.append(f"# It is done when\n{subtask.done_when}")
    return sections


def inputs(subtask: Subtask, run: SubtaskScope, told: Sequence[Reference]) -> dict[str, str]:
    """Outputs of prerequisites by the heading of their section, each value told once.

    Args:
        subtask: The subtask.
        run: Its run.
        told: References whose values stand elsewhere in the prompt; an output that stands there whole is left out, and
            of others the part that does.
    """
    found: dict[str, str] = {}
    for name in subtask.prerequisites():
        paths = [reference.path for reference in told if reference.subtask_id == name]
        if () in paths:
            continue
        file = run.result_of(name).get("output_file") or ""
        goal = in_one_line(run.goals.get(name, ""), GOAL_CHARACTERS)
        output = _without(run.lookup(name), paths)
        found[f"# Output of {name}{': ' + goal if goal else ''}"] = clipped(as_text(output), INPUT_CHARACTERS, file)
    return found


def _without(output: Any, paths: Sequence[tuple[str, ...]]) -> Any:
    """An output with a note in the place of each long part that is told elsewhere."""
    parts = {path for path in paths if len(as_text(Reference(SubtaskId(""), path).find_in(output))) > len(TOLD)}
    outermost = [path for path in parts if not any(path[:length] in parts for length in range(1, len(path)))]
    if not outermost:
        return output
    shown = copy.deepcopy(output)
    for path in outermost:
        inside = Reference(SubtaskId(""), path[:-1]).find_in(shown)
        inside[int(path[-1]) if isinstance(inside, list) else path[-1]] = TOLD
    return shown


def brief_text(subtask: Subtask, run: SubtaskScope) -> str:
    """The prompt of an agent's subtask.

    Raises:
        ToolArgumentsError: If the goal refers to a part that an output does not have.
    """
    parts = request_sections(subtask, run)
    told = references_in(subtask.goal)
    parts += [f"{heading}\n{fenced(text)}" for heading, text in inputs(subtask, run, told).items()]
    if run.background:
        parts.append(run.background)
    parts.append(files_text(run))
    return "\n\n".join(parts)


def brief_node(roles: Roles, memory: Memory | None = None) -> Node[SubtaskState]:
    """The gated node that begins an attempt of an agent's subtask; the agent `knowledge` is told what memory has."""

    async def brief(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskScope]) -> dict[str, Any]:
        run = runtime.context
        subtask = Subtask.model_validate(state.get("subtask"))
        attempt = state.get("attempts", 0) + 1
        begun: dict[str, Any] = {"attempts": attempt, "started_at": state.get("started_at") or now()}
        run.emit(subtask_event("subtask_started", subtask.id, attempt))
        try:
            sandbox = run.context.sandbox
            usable = offered_tools(subtask, roles, ()).callable_names
            surroundings = surroundings_line(usable, sandbox, settings=run.settings)
            text = f"{brief_text(subtask, run)}\n\n# Surroundings\n{surroundings}"
            question = goal_of(subtask, run)
        except ToolArgumentsError as error:
            changed: SubtaskState = {**state, **begun}  # pyright: ignore[reportAssignmentType] - the same keys
            return {**begun, **failed_or_again(changed, run, str(error), again=False)}
        # Nothing is taken over from what the same subtask left behind when its thread was begun anew.
        fresh: dict[str, Any] = {"steps": 0, "active_s": 0.0, "draft": None, "retry_at": None}
        kept: dict[str, Any] = {}
        if subtask.agent == KNOWLEDGE:
            section, kept = await recalled(question, run, memory)
            text = "\n\n".join(part for part in (text, section) if part)
        told = HumanMessage(text, additional_kwargs=kept)
        return {**begun, **fresh, "messages": Overwrite([roles.prompt(str(subtask.agent)), told])}

    return gated(brief, BRIEF)
