"""Tool: the node of one tool, for direct calls of a plan and for the calls that an agent makes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime

from openmanus_graph.checkpoints.ledger import hash_of, kept_args
from openmanus_graph.checkpoints.reuse.searches import ThreadSearches
from openmanus_graph.checkpoints.workspace.file_change_recorder import step_of
from openmanus_graph.context import FollowsChanges, ToolContext
from openmanus_graph.errors import OpenManusGraphError
from openmanus_graph.events import Event, now
from openmanus_graph.nodes.call import CallOutcome
from openmanus_graph.nodes.consent import Consent
from openmanus_graph.nodes.effect import EffectCall, repeatable
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.material.model_sample import model_sample
from openmanus_graph.nodes.material.pictures import noting
from openmanus_graph.nodes.material.text_question import step_place, text_question
from openmanus_graph.nodes.material.vision import CallVision, pictures_of
from openmanus_graph.nodes.outcome import draft_of, ended, retry_delay, subtask_event
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.outputs import artifact_in, content_of, stored
from openmanus_graph.plan import Subtask
from openmanus_graph.plans.references import resolve
from openmanus_graph.policy import Policy
from openmanus_graph.state import Draft, NotedPicture, Ran, SubtaskState
from openmanus_graph.tools.spec import ToolSpec, sources_of, spec_of
from openmanus_graph.usage import add_usage

HEAD_CHARACTERS = 12_000
TAIL_CHARACTERS = 4_000
"""How much of a large result a model gets to see; all of it is in a file."""
PREVIEW_CHARACTERS = 160
A_PERSON = "a person"
"""Who changes the arguments of a direct call."""
FACTS = "openmanus_graph"
"""Where a tool message keeps what no provider is sent: whether the call failed, how long it took, and the name of
what it has kept beside the checkpoints."""


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
        now = await tool.as_of_now(run.context) or tool if isinstance(tool, FollowsChanges) else tool
        async with recording(spec, config, run, tool.name, None if made is None else str(made["id"])):
            if made is not None:
                return await _agent_call(now, spec, policy, cast("dict[str, Any]", state), config, run)
            return await _direct_call(now, spec, policy, state, config, run, checked=checked)

    return gated(node, tool.name)


def recording(
    spec: ToolSpec, config: RunnableConfig, run: SubtaskScope, tool: str, call: str | None
) -> AbstractAsyncContextManager[None]:
    """Notes which files a call changes; not for a tool that only reads."""
    if spec.effect == "read":
        return nullcontext()
    step = step_of(config, subtask=run.context.subtask_id, tool=tool, call=call)
    return run.recorder(run.context.workspace).around(config, step)


def may_retry(outcome: CallOutcome, subtask: Subtask, again: bool, attempt: int) -> bool:
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
    vision = None if spec.shows is None else CallVision(run, state, attempt=attempt, of_agent=False)
    context = replace(run.context, attempt=attempt, direct=True, **_models_of(run, config))
    context = context if vision is None else vision.handed(context)
    arguments = dict(subtask.args)
    try:
        arguments = resolve(arguments, run.lookup)
    except OpenManusGraphError as error:
        outcome, consent = CallOutcome(error=str(error), again=False), Consent(arguments)
    else:
        effect = EffectCall(tool, context, config, run, context.call_id or subtask.id)
        consent = _given_consent(state, tool, arguments, policy, context) or await effect.consent(arguments, policy)
        if consent.args is None:
            run.emit(subtask_event("subtask_started", subtask.id, attempt))
            return {"result": _not_made(consent, state, context, attempt, started)}
        run.emit(subtask_event("subtask_started", subtask.id, attempt))
        limit = _limit(run, subtask.timeout_s if subtask.timeout_s is not None else spec.timeout_s)
        outcome = await effect.make(consent, limit)
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
    noted = {**_noted(tool, arguments, consent.args, outcome), **await _seen(vision, spec, outcome, context)}
    update: dict[str, Any] = {"attempts": attempt, "started_at": started, "retry_at": None, **noted}
    if checked and subtask.done_when and draft["error"] is None:
        return {**update, "draft": draft}
    known = cast("SubtaskState", {**state, **noted, "usage": add_usage(state.get("usage"), noted.get("usage"))})
    return {**update, "result": ended(known, draft, attempt=attempt, started=started)}


def _models_of(run: SubtaskScope, config: RunnableConfig) -> dict[str, Any]:
    """How a call asks the run's model, and what was searched for before."""
    searches = ThreadSearches.of(run.saver, config)
    return {"ask": text_question(run, config), "sample": model_sample(run, config), "searches": searches}


async def _seen(
    vision: CallVision | None, spec: ToolSpec, outcome: CallOutcome, context: ToolContext
) -> dict[str, Any]:
    """What a call that shows pictures adds to the state: those that it named, and what a model that saw them used."""
    if vision is None:
        return {}
    output = None if outcome.error is not None else content_of(outcome.output)
    pictures = await asyncio.to_thread(pictures_of, spec, output, context)
    used = {} if vision.usage is None else {"usage": vision.usage}
    return {**used, **({"pictures": pictures} if pictures else {})}


def _noted(
    tool: BaseTool, planned: Mapping[str, Any], args: Mapping[str, Any] | None, outcome: CallOutcome
) -> dict[str, Any]:
    """What the result is to say of a call: its arguments where they are not the planned ones, and what it has read."""
    if args is None:
        return {}
    ran = _ran(planned, args, outcome)
    read = [] if outcome.error is not None else sources_of(tool, args, content_of(outcome.output))
    return {**({} if ran is None else {"ran": ran}), **({"sources": read} if read else {})}


def _ran(planned: Mapping[str, Any], args: Mapping[str, Any], outcome: CallOutcome) -> Ran | None:
    """The arguments of a call where they are not the planned ones; only a person's word changes them.

    Args:
        planned: The arguments of the plan or the model.
        args: Those that were consented to.
        outcome: The outcome, which may be that of an earlier process's call, with others.
    """
    made = outcome.recorded
    if made is None or made.args_hash == hash_of(args):
        return None if args == planned else Ran(args=kept_args(args), args_by=A_PERSON)
    return None if made.args_hash == hash_of(planned) else Ran(args=kept_args(made), args_by=A_PERSON)


def _given_consent(
    state: SubtaskState, tool: BaseTool, arguments: dict[str, Any], policy: Policy | None, context: ToolContext
) -> Consent | None:
    """The decision that a person has already made about this call, or `None`; not where the policy refuses it."""
    approved = state.get("approved")
    args = arguments if approved is True else approved if isinstance(approved, dict) else None
    if args is None or policy is None:
        return None if args is None else Consent(args)
    decision = policy.decide(tool, args, workspace=context.workspace)
    return Consent(None, refusal=decision.refusal(tool.name)) if decision.verdict == "deny" else Consent(args)


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
    call_id = _call_id(run.context, config, key)
    kept = hash_of({"thread": run.context.thread_id, "call": call_id}) if spec.keeps else ""
    before = tuple(map(str, state.get("kept") or ()))
    told = replace(run.context, call_id=call_id, **_models_of(run, config))
    context = replace(told, kept_as=kept, kept_before=before)
    vision = None if spec.shows is None else CallVision(run, state, attempt=context.attempt, of_agent=True)
    context = context if vision is None else vision.handed(context)
    effect = EffectCall(tool, context, config, run, key)
    consent = await effect.consent(dict(made["args"]), policy)
    if consent.args is None:
        text = _output_text(consent.value, context) if consent.answered else str(consent.refusal)
        return {"messages": [_message(tool, key, text, {"failed": not consent.answered, "elapsed_s": 0.0})]}
    name = f"{subtask_id}/call/{key}"
    told = consent.args if consent.recorded is None else kept_args(consent.recorded)
    run.emit(Event(type="tool_called", id=name, subtask=subtask_id, tool=tool.name, call=key, args=told))
    began = time.monotonic()
    outcome = await effect.make(consent, _limit(run, spec.timeout_s))
    elapsed = round(time.monotonic() - began, 3)
    shown = _result_text(outcome, context)
    if (ran := _ran(made["args"], consent.args, outcome)) is not None:
        args = consent.args if outcome.recorded is None else ran["args"]
        shown = f"A person changed the arguments to {json.dumps(args, ensure_ascii=False)}.\n{shown}"
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
    seen = await _seen(vision, spec, outcome, context)
    pictures = seen.pop("pictures", [])
    facts = {"failed": outcome.error is not None, "elapsed_s": elapsed, **({"kept": kept} if kept else {})}
    message = _message(tool, key, shown, facts, pictures)
    read = [] if outcome.error is not None else sources_of(tool, consent.args, content_of(outcome.output))
    return {"messages": [message], **({"sources": read} if read else {}), **seen}


def _call_id(context: ToolContext, config: RunnableConfig, key: str) -> str:
    """Names an agent's call: models may count their ids anew in each reply, so step and place in it are part of it."""
    step, place = step_place(config)
    return f"{context.call_id}-{step}.{place}-{key}"


def _message(
    tool: BaseTool, call_id: str, text: str, facts: Mapping[str, Any], pictures: Sequence[NotedPicture] = ()
) -> ToolMessage:
    return ToolMessage(
        content=text,
        tool_call_id=call_id,
        name=tool.name,
        status="error" if facts["failed"] else "success",
        additional_kwargs={
            FACTS: dict(facts),
            **noting(pictures),
        },
    )


def _result_text(outcome: CallOutcome, context: ToolContext) -> str:
    """The result for the model: the output, and the error where the output does not state it."""
    if outcome.error is None:
        return _output_text(outcome.output, context)
    if outcome.output is None:
        return f"Error: {outcome.error}"
    return f"{_output_text(outcome.output, context)}\nError: {outcome.error}"


def _output_text(output: Any, context: ToolContext) -> str:
    """An output as a model reads it; a large one is kept as a file, and its beginning and end are shown."""
    found = artifact_in(output)
    if found is not None:
        content, artifact = found
        place = f"in the file {artifact['file']}" if "file" in artifact else f"not kept: {artifact['not_kept']}"
        return f"{_output_text(content, context)}\n[The call also gave an artifact, {place}.]"
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
