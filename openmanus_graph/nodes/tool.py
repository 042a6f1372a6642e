"""Tool: the node of one tool, for direct calls of a plan and for the calls that an agent makes."""

from __future__ import annotations

import json
import time
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime

from openmanus_graph.checkpoints.workspace.file_change_recorder import step_of
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import OpenManusGraphError
from openmanus_graph.events import Event, now
from openmanus_graph.nodes.call import Outcome
from openmanus_graph.nodes.consent import Consent
from openmanus_graph.nodes.effect import EffectCall, repeatable
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.outcome import draft_of, ended, retry_delay, subtask_event
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.outputs import stored
from openmanus_graph.plan import Subtask
from openmanus_graph.plans.references import resolve
from openmanus_graph.policy import Policy
from openmanus_graph.state import Draft, SubtaskState
from openmanus_graph.tools.spec import ToolSpec, spec_of

HEAD_CHARACTERS = 12_000
TAIL_CHARACTERS = 4_000
"""How much of a large result a model gets to see; all of it is in a file."""
PREVIEW_CHARACTERS = 160
FACTS = "openmanus_graph"
"""Where a tool message keeps what no provider is sent: whether the call failed, and how long it took."""


def tool_node(tool: BaseTool, policy: Policy | None = None, *, checked: bool = False) -> Node[SubtaskState]:
    """The gated node of the subtask graph that makes calls of `tool`.

    Args:
        tool: The tool.
        policy: What decides about its calls; `None` allows all.
        checked: Whether a verifier follows, so that a direct call with `done_when` ends as a draft.
    """
    spec = spec_of(tool)

    async def node(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskScope]) -> dict[str, Any]:
        run = runtime.context
        made = cast("dict[str, Any]", state).get("call")
        async with recording(spec, config, run, tool.name, None if made is None else str(made["id"])):
            if made is not None:
                return await _agent_call(tool, spec, policy, cast("dict[str, Any]", state), config, run)
            return await _direct_call(tool, spec, policy, state, config, run, checked=checked)

    return gated(node, tool.name)


def recording(
    spec: ToolSpec, config: RunnableConfig, run: SubtaskScope, tool: str, call: str | None
) -> AbstractAsyncContextManager[None]:
    """Notes which files a call changes; not for a tool that only reads."""
    if spec.effect == "read":
        return nullcontext()
    step = step_of(config, subtask=run.context.subtask_id, tool=tool, call=call)
    return run.recorder(run.context.workspace).around(config, step)


def may_retry(outcome: Outcome, subtask: Subtask, again: bool, attempt: int) -> bool:
    """Whether a failed call is made again: one that cannot be repeated is not, once it is unknown what it did."""
    if outcome.error is None or not outcome.again or attempt > subtask.retries:
        return False
    return outcome.known or again


def _limit(run: SubtaskScope, stated: float | None) -> float | None:
    """Seconds a call may take: what is stated, but no longer than the request's budget of time lasts."""
    left = run.spending.seconds_left
    if left is None:
        return stated
    return max(min(left, stated) if stated is not None else left, 0.001)


async def _direct_call(
    tool: BaseTool,
    spec: ToolSpec,
    policy: Policy | None,
    state: SubtaskState,
    config: RunnableConfig,
    run: SubtaskScope,
    *,
    checked: bool,
) -> dict[str, Any]:
    subtask = Subtask.model_validate(state.get("subtask"))
    attempt = state.get("attempts", 0) + 1
    started = state.get("started_at") or now()
    context = replace(run.context, attempt=attempt)
    try:
        arguments = resolve(dict(subtask.args), run.lookup)
    except OpenManusGraphError as error:
        outcome, consent = Outcome(error=str(error), again=False), Consent(dict(subtask.args))
    else:
        effect = EffectCall(tool, context, config, run)
        consent = _given_consent(state, arguments) or await effect.consent(arguments, policy)
        if consent.args is None:
            run.emit(subtask_event("subtask_started", subtask.id, attempt))
            return {"result": _not_made(consent, state, context, attempt, started)}
        run.emit(subtask_event("subtask_started", subtask.id, attempt))
        limit = _limit(run, subtask.timeout_s if subtask.timeout_s is not None else spec.timeout_s)
        outcome = await effect.make(consent.args, limit)
    again = repeatable(tool, consent.args or {})
    if may_retry(outcome, subtask, again, attempt):
        delay = retry_delay(attempt)
        run.emit(subtask_event("subtask_retrying", subtask.id, attempt, delay_s=delay, error=outcome.error))
        approved = consent.args if consent.asked else state.get("approved")
        return {"attempts": attempt, "started_at": started, "retry_at": time.time() + delay, "approved": approved}
    error = outcome.error
    if error is not None and not outcome.known and not again:
        error += " What the call did is unknown, so it is not repeated."
    draft = draft_of(outcome.output, error, context)
    update: dict[str, Any] = {"attempts": attempt, "started_at": started, "retry_at": None}
    if checked and subtask.done_when and draft["error"] is None:
        return {**update, "draft": draft}
    return {**update, "result": ended(state, draft, attempt=attempt, started=started)}


def _given_consent(state: SubtaskState, arguments: dict[str, Any]) -> Consent | None:
    """What a person has already said to this call, or `None`."""
    approved = state.get("approved")
    if approved is True:
        return Consent(arguments)
    return Consent(approved) if isinstance(approved, dict) else None


def _not_made(consent: Consent, state: SubtaskState, context: ToolContext, attempt: int, started: str) -> Any:
    """The result of a call that was not made: a person's value in its place, or why not."""
    if consent.answered:
        return ended(state, draft_of(consent.value, None, context), attempt=attempt, started=started)
    nothing = Draft(output=None, error=consent.refusal, output_file=None)
    return ended(state, nothing, status="skipped" if consent.asked else "failed", attempt=0)


async def _agent_call(
    tool: BaseTool,
    spec: ToolSpec,
    policy: Policy | None,
    state: dict[str, Any],
    config: RunnableConfig,
    run: SubtaskScope,
) -> dict[str, Any]:
    made = state["call"]
    key = str(made["id"])
    subtask_id = run.context.subtask_id
    context = replace(run.context, call_id=_call_id(run.context, config, key))
    effect = EffectCall(tool, context, config, run)
    consent = await effect.consent(dict(made["args"]), policy)
    if consent.args is None:
        text = _shown(consent.value, context) if consent.answered else str(consent.refusal)
        return {"messages": [_message(tool, key, text, failed=not consent.answered, elapsed_s=0.0)]}
    name = f"{subtask_id}/call/{key}"
    run.emit(Event(type="tool_called", id=name, subtask=subtask_id, tool=tool.name, call=key, args=consent.args))
    began = time.monotonic()
    outcome = await effect.make(consent.args, _limit(run, spec.timeout_s))
    elapsed = round(time.monotonic() - began, 3)
    shown = _told(outcome, context)
    if consent.edited:
        shown = f"A person changed the arguments to {json.dumps(consent.args, ensure_ascii=False)}.\n{shown}"
    run.emit(
        Event(
            type="tool_returned",
            id=f"{name}/returned",
            subtask=subtask_id,
            tool=tool.name,
            call=key,
            error=outcome.error,
            elapsed_s=elapsed,
            preview=shown[:PREVIEW_CHARACTERS],
        )
    )
    return {"messages": [_message(tool, key, shown, failed=outcome.error is not None, elapsed_s=elapsed)]}


def _call_id(context: ToolContext, config: RunnableConfig, key: str) -> str:
    """Names an agent's call: models may count their ids anew in each reply, so step and place in it are part of it."""
    facts = config.get("metadata") or {}
    path: Any = facts.get("langgraph_path") or ()
    place = next((part for part in path if isinstance(part, int) and not isinstance(part, bool)), 0)
    return f"{context.call_id}-{facts.get('langgraph_step', 0)}.{place}-{key}"


def _message(tool: BaseTool, call_id: str, text: str, *, failed: bool, elapsed_s: float) -> ToolMessage:
    return ToolMessage(
        content=text,
        tool_call_id=call_id,
        name=tool.name,
        status="error" if failed else "success",
        additional_kwargs={FACTS: {"failed": failed, "elapsed_s": elapsed_s}},
    )


def _told(outcome: Outcome, context: ToolContext) -> str:
    """What the model is told: the output, and the error where the output does not say it."""
    if outcome.error is None:
        return _shown(outcome.output, context)
    if outcome.output is None:
        return f"Error: {outcome.error}"
    return f"{_shown(outcome.output, context)}\nError: {outcome.error}"


def _shown(output: Any, context: ToolContext) -> str:
    """An output as a model reads it; a large one is kept as a file, and its beginning and end are shown."""
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    if len(text) <= context.settings.inline_output:
        return text
    limit = context.settings.inline_output
    try:
        _, file = stored(output, workspace=context.workspace, subtask_id=context.subtask_id, limit=limit)
    except (OSError, ValueError) as problem:
        file = f"(not kept: {problem})"
    head, tail = text[: min(HEAD_CHARACTERS, limit)], text[-min(TAIL_CHARACTERS, limit) :]
    left_out = len(text) - len(head) - len(tail)
    return f"{head}\n[... {left_out} characters left out; all {len(text)} are in the file {file} ...]\n{tail}"
