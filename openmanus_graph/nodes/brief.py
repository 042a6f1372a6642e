"""Brief: the node that tells an agent what its subtask is, with the outputs that it builds on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from openmanus_graph.agent_nodes import BRIEF
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.events import now
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.outcome import failed_or_again, subtask_event
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.nodes.untrusted_text import fenced
from openmanus_graph.plan import Subtask
from openmanus_graph.plans.references import as_text, split
from openmanus_graph.state import SubtaskState

INPUT_CHARACTERS = 8_000
"""Characters of one prerequisite's output that an agent is told; where there is more, it is told where."""
LISTED_FILES = 50


def clipped(text: str, limit: int, where: str = "") -> str:
    """The text, or its beginning and end with a note of how much is missing, and where it is whole."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit * 3 // 4], text[-(limit // 4) :]
    whole = f"; whole in the file {where}" if where else ""
    return f"{head}\n[... {len(text) - len(head) - len(tail)} characters left out{whole} ...]\n{tail}"


def workspace_files(workspace: Path, limit: int = LISTED_FILES) -> list[str]:
    """Files of a workspace, hidden ones left out, as `path (size)`; at most `limit`, then how many more."""
    found: list[str] = []
    more = 0
    for folder, folders, files in os.walk(workspace):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            path = Path(folder) / name
            if len(found) < limit:
                found.append(f"{path.relative_to(workspace)} ({path.lstat().st_size:,} bytes)")
            else:
                more += 1
    return [*found, f"... and {more} more"] if more else found


def goal_of(subtask: Subtask, run: SubtaskScope) -> str:
    """The goal with references filled in.

    Raises:
        ToolArgumentsError: If an output has no such part.
    """
    parts: list[str] = []
    for part in split(subtask.goal):
        if isinstance(part, str):
            parts.append(part)
            continue
        file = run.result_of(part.subtask_id).get("output_file") or ""
        text = clipped(as_text(part.find_in(run.lookup(part.subtask_id))), INPUT_CHARACTERS, file)
        parts.append(f"\n{fenced(text)}\n" if "\n" in text else text)
    return "".join(parts)


def brief_text(subtask: Subtask, run: SubtaskScope) -> str:
    """What an agent is told of its subtask.

    Raises:
        ToolArgumentsError: If the goal refers to a part that an output does not have.
    """
    parts = [f"# Your subtask ({subtask.id})\n{goal_of(subtask, run)}"]
    if subtask.done_when:
        parts.append(f"# It is done when\n{subtask.done_when}")
    for name in subtask.prerequisites():
        file = run.result_of(name).get("output_file") or ""
        goal = run.goals.get(name, "")
        text = clipped(as_text(run.lookup(name)), INPUT_CHARACTERS, file)
        parts.append(f"# Output of {name}{': ' + goal if goal else ''}\n{fenced(text)}")
    if run.background:
        parts.append(run.background)
    files = workspace_files(run.context.workspace)
    if files:
        parts.append("# Files in the workspace\n" + "\n".join(files))
    return "\n\n".join(parts)


def brief_node(roles: Roles) -> Node[SubtaskState]:
    """The gated node that begins an attempt of an agent's subtask."""

    async def brief(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskScope]) -> dict[str, Any]:
        run = runtime.context
        subtask = Subtask.model_validate(state.get("subtask"))
        attempt = state.get("attempts", 0) + 1
        begun: dict[str, Any] = {"attempts": attempt, "started_at": state.get("started_at") or now()}
        run.emit(subtask_event("subtask_started", subtask.id, attempt))
        try:
            text = brief_text(subtask, run)
        except ToolArgumentsError as error:
            changed: SubtaskState = {**state, **begun}  # pyright: ignore[reportAssignmentType] - the same keys
            return {**begun, **failed_or_again(changed, run, str(error), again=False)}
        # Nothing is taken over from what the same subtask left behind when its thread was begun anew.
        fresh: dict[str, Any] = {"steps": 0, "active_s": 0.0, "draft": None, "retry_at": None}
        return {**begun, **fresh, "messages": Overwrite([roles.prompt("executor"), HumanMessage(text)])}

    return gated(brief, BRIEF)
