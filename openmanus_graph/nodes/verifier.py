"""Verifier: the node that checks a subtask's outcome, first by what can be seen, then by a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import VERIFIER
from openmanus_graph.call_site import CallSite
from openmanus_graph.errors import BudgetError, ModelError, ModelRefusedError
from openmanus_graph.events import Event, Usage
from openmanus_graph.models.gateway import usage_of
from openmanus_graph.nodes.brief import clipped, workspace_files
from openmanus_graph.nodes.checks import named_files, problems
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.outcome import ended, failed_or_again
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.nodes.untrusted_text import fenced
from openmanus_graph.plan import Subtask
from openmanus_graph.plans.references import as_text
from openmanus_graph.state import Draft, SubtaskState
from openmanus_graph.tools.spec import spec_of
from openmanus_graph.usage import add_usage

EVIDENCE_CHARACTERS = 24_000
RESULT_CHARACTERS = 2_000
FILE_CHARACTERS = 4_000
"""How much of the calls, of each result and of each file the model gets to see."""
FILE_BYTES = 2**20
"""How much of a file is read at all."""

VERDICT = {
    "type": "object",
    "properties": {
        "verified": {"type": "boolean", "description": "Whether what done looks like is met in full."},
        "why": {"type": "string", "description": "What shows it, or what exactly is missing."},
    },
    "required": ["verified", "why"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Verdict:
    """What a check said."""

    verified: bool | None
    """`None` when there was nothing to check by."""
    why: str
    usage: Usage | None = None


def evidence(messages: Sequence[BaseMessage], draft: Draft, subtask: Subtask, run: SubtaskScope) -> str:
    """What a model judges by: the calls and their results, the files that matter, and the result."""
    done: list[str] = []
    for message in messages:
        if isinstance(message, AIMessage):
            done += [
                f"call {made['name']} {json.dumps(made['args'], ensure_ascii=False)}" for made in message.tool_calls
            ]
        elif isinstance(message, ToolMessage):
            shown = clipped(str(message.text), RESULT_CHARACTERS)
            done.append(f"result of {message.name} ({message.status}): {shown}")
    parts = ["# Calls and results\n" + fenced(clipped("\n".join(done) or "none", EVIDENCE_CHARACTERS))]
    files = workspace_files(run.context.workspace)
    parts.append("# Files in the workspace\n" + ("\n".join(files) or "none"))
    for name in named_files(subtask.done_when or ""):
        path = (run.context.workspace / name).resolve()
        if path.is_file() and path.is_relative_to(run.context.workspace.resolve()):  # a link may lead out of it
            with path.open("rb") as file:
                text = file.read(FILE_BYTES).decode("utf-8", errors="replace")
            parts.append(f"# The file {name}\n{fenced(clipped(text, FILE_CHARACTERS))}")
    result = as_text(draft["output"]) if draft["output_file"] is None else str(draft["output"])
    parts.append(f"# The result that is given\n{fenced(clipped(result, FILE_CHARACTERS))}")
    return "\n\n".join(parts)


async def check(roles: Roles, state: SubtaskState, draft: Draft, subtask: Subtask, run: SubtaskScope) -> Verdict:
    """Check an outcome against `done_when`.

    Raises:
        BudgetError: If there is no budget left for the model.
        ModelError: If the model cannot be asked.
    """
    if not subtask.done_when:
        return Verdict(None, "Nothing says what done looks like.")
    messages = state.get("messages") or []
    commands = {name for name, tool in roles.tools.items() if spec_of(tool).runs_commands}
    missing = problems(subtask.done_when, run.context.workspace, messages, commands)
    if missing:
        return Verdict(False, " ".join(missing))
    asked = f"# Goal of the subtask\n{subtask.goal}\n\n# It is done when\n{subtask.done_when}\n\n" + evidence(
        messages, draft, subtask, run
    )
    usage: Usage | None = None
    problem = ""
    for turn in (1, 2):
        place = CallSite(VERIFIER, subtask.id, 2 * (state.get("checks") or 0) + turn, state.get("round") or 1)
        found = await roles.models.structured(
            place,
            [roles.prompt(VERIFIER), HumanMessage(asked)],
            scope=run,
            emit=run.emit,
            schema=VERDICT,
            name="verdict",
            description="Whether the subtask is done.",
        )
        usage = add_usage(usage, usage_of(found.message))
        value = cast("dict[str, Any]", found.value or {})
        if isinstance(value.get("verified"), bool):
            return Verdict(value["verified"], str(value.get("why") or ""), usage)
        problem = found.problem or "it has no 'verified'"
    return Verdict(False, f"The model that checks gave no verdict: {problem}.", usage)


def verifier_node(roles: Roles) -> Node[SubtaskState]:
    """The gated node that ends a subtask, or sends it back to its executor with the reason."""

    async def verifier(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskScope]) -> dict[str, Any]:
        run = runtime.context
        subtask = Subtask.model_validate(state.get("subtask"))
        draft = cast("Draft", state.get("draft"))
        if draft["error"] is not None:
            return failed_or_again(state, run, draft["error"])
        try:
            verdict = await check(roles, state, draft, subtask, run)
        except ModelRefusedError:
            raise
        except (BudgetError, ModelError) as error:
            why = f"It could not be checked: {error.message}"
            return failed_or_again(state, run, why, again=False, verified=None, why=why)
        return _judged(roles, state, draft, subtask, run, verdict)

    return gated(verifier, VERIFIER)


def _judged(
    roles: Roles, state: SubtaskState, draft: Draft, subtask: Subtask, run: SubtaskScope, verdict: Verdict
) -> dict[str, Any]:
    checks = (state.get("checks") or 0) + 1
    used: dict[str, Any] = {"checks": checks}
    if verdict.usage is not None:
        used["usage"] = verdict.usage
    state = cast("SubtaskState", {**state, "usage": add_usage(state.get("usage"), verdict.usage)})
    if verdict.verified is not None:
        run.emit(
            Event(
                type="subtask_verified",
                id=f"{subtask.id}/verified/{checks}",
                subtask=subtask.id,
                verified=verdict.verified,
                text=verdict.why,
            )
        )
    if verdict.verified is not False:
        return {**used, "draft": None, "result": ended(state, draft, verified=verdict.verified, why=verdict.why)}
    if subtask.agent == "executor" and checks < roles.settings.max_verifications:
        back = HumanMessage(f"Your result was checked, and it is not done yet: {verdict.why}\nCorrect that.")
        return {**used, "draft": None, "messages": [back]}
    error = f"It ended, but it is not done: {verdict.why}"
    return {**used, **failed_or_again(state, run, error, again=False, verified=False, why=verdict.why)}
