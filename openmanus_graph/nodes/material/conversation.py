"""Conversation: the coordinator's messages; what is said, its calls and what came of them, each put behind the last.

Messages in it never change, so that a provider's prompt cache takes them again, until they have to be compacted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage

from openmanus_graph.models.context import KEPT, exchanges, fit
from openmanus_graph.nodes.material.pictures import noting, pictures_named
from openmanus_graph.nodes.material.prompt_context import attachments_text, instructions_text, result_texts
from openmanus_graph.nodes.material.untrusted_text import fenced
from openmanus_graph.nodes.planning.coordinator_calls import ASK, PLAN
from openmanus_graph.nodes.planning.proposal import SUBMIT
from openmanus_graph.nodes.reply import open_calls
from openmanus_graph.state import ManusState, NotedPicture

MEMORY = "memory"
"""Name of the message that says what is remembered."""
INSTRUCTIONS = "instructions"
"""Name of the message that says what the workspace's own instructions say."""
NOT_MADE = "Not made: the plan was changed before it was carried out. See the results beside this one."
CHANGED = "The plan was changed before it was carried out. This was done in place of it:"
MESSAGE_TOKENS = 16
"""More than what a message, or a call, takes beside its text."""
NOTE = "note"
"""Name of a message that is not of the person: what came of the work where no call is there to answer."""


def note(text: str) -> HumanMessage:
    """A message of the graph's own."""
    return HumanMessage(text, name=NOTE)


def heard(state: ManusState) -> list[AnyMessage]:
    """What was said since the coordinator last looked: earlier answers of others, and the request with its files."""
    new: list[AnyMessage] = list((state.get("messages") or [])[state.get("heard") or 0 :])
    if not new or not isinstance(new[-1], HumanMessage):
        return new
    return [*new[:-1], *_instructions(state), *_memory(state), _with_files(new[-1], state)]


def _instructions(state: ManusState) -> list[AnyMessage]:
    """What the workspace's own instructions say, unless the conversation has it already."""
    told = instructions_text(state)
    return _once(HumanMessage(told, name=INSTRUCTIONS), state) if told else []


def _memory(state: ManusState) -> list[AnyMessage]:
    """What is remembered, unless the conversation has it already."""
    knowledge = state.get("knowledge")
    if not knowledge:
        return []
    return _once(HumanMessage(f"# From memory, of other threads\n{fenced(knowledge)}", name=MEMORY), state)


def _once(message: HumanMessage, state: ManusState) -> list[AnyMessage]:
    """A message, unless the conversation has the same one."""
    dialogue = state.get("dialogue") or []
    return [] if any((one.name, one.content) == (message.name, message.content) for one in dialogue) else [message]


def _with_files(request: HumanMessage, state: ManusState) -> HumanMessage:
    """A request with the files that came with it."""
    attached = attachments_text(state)
    if not attached:
        return request
    content: Any = f"{request.content}\n\n{attached}"
    if not isinstance(request.content, str):
        content = [*request.content, {"type": "text", "text": attached}]
    kept = {**request.additional_kwargs, **noting(pictures_named(state.get("attachments") or []))}
    return request.model_copy(update={"content": content, "additional_kwargs": kept})


def clarified(state: ManusState) -> list[AnyMessage]:
    """The person's answer, as the result of the call that asked for it; other calls beside it were not made."""
    if not open_calls(state.get("dialogue") or []):
        return heard(state)
    answer = (state.get("clarifications") or [{}])[-1].get("answer", "")
    return _answered(state, {ASK: f"The person answered: {answer}"}, "Not made: the person was asked first.", answer)


def refused(state: ManusState) -> list[AnyMessage]:
    """Why the calls of the last reply were not made."""
    why = "\n".join(f"- {problem}" for problem in state.get("problems") or [])
    text = f"Nothing of this reply was carried out:\n{why}\nCorrect that."
    return _answered(state, {}, text, text)


def _answered(state: ManusState, by_name: Mapping[str, str], text: str, without_call: str) -> list[AnyMessage]:
    """A result for each open call, by the name of its tool, or a message of its own where there is none."""
    calls = open_calls(state.get("dialogue") or [])
    if not calls:
        return [note(without_call)]
    return [
        ToolMessage(
            by_name.get(call["name"], text),
            tool_call_id=call["id"],
            name=call["name"],
            status="success" if call["name"] in by_name else "error",
        )
        for call in calls
    ]


def told_results(state: ManusState, characters: int) -> tuple[list[AnyMessage], list[str]]:
    """What came of a dispatch, as results of the calls that led to it.

    Args:
        state: The state after the dispatch.
        characters: About how much all outputs may have together.

    Returns:
        The messages, and the completed subtasks that have been told by now.
    """
    told = set(state.get("told") or [])
    waiting = open_calls(state.get("dialogue") or [])
    calls = {call["id"]: key for call in waiting if (key := (state.get("calls") or {}).get(call["id"])) is not None}
    texts = result_texts(state, characters, without=told, known=calls.values())
    messages: list[AnyMessage] = []
    of_plan = {key: text for key, text in texts.items() if key not in calls.values()}
    for call in waiting:
        key = calls.get(call["id"])
        text = _of_plan(call, of_plan) if key is None else texts.get(key, NOT_MADE)
        kept = noting(_pictures(state, of_plan if key is None else [key]))
        of_plan = {} if key is None else of_plan
        messages.append(ToolMessage(text, tool_call_id=call["id"], name=call["name"], additional_kwargs=kept))
    if of_plan:
        told_plan = note("# What came of the plan\n" + "\n\n".join(of_plan.values()))
        told_plan.additional_kwargs |= noting(_pictures(state, of_plan))
        messages.append(told_plan)
    results = state.get("results") or {}
    return messages, sorted(told | {key for key in texts if key in results and results[key]["status"] == "completed"})


def _pictures(state: ManusState, keys: Iterable[str]) -> list[NotedPicture]:
    """The pictures of some results."""
    results = state.get("results") or {}
    return [picture for key in keys if key in results for picture in results[key].get("pictures") or []]


def _of_plan(call: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """What a call is answered that is no subtask itself: what came of the plan, once."""
    if not texts:
        return NOT_MADE
    before = "" if call["name"] in (PLAN, SUBMIT) else f"{CHANGED}\n\n"
    return before + "\n\n".join(texts.values())


def compacted(
    messages: Sequence[BaseMessage], *, limit_tokens: int, count: Callable[[Sequence[BaseMessage]], int]
) -> list[BaseMessage]:
    """A conversation that fits: first without the calls of earlier requests, then shortened as `fit` does it.

    Args:
        messages: The conversation.
        limit_tokens: Tokens that it may have.
        count: How many tokens messages have.

    Returns:
        Messages in which every call stands before its result; those that fit unchanged.
    """
    whole = exchanges(messages)
    flat = [message for item in whole for message in item.messages]
    if tokens_at_most(flat) <= limit_tokens or count(flat) <= limit_tokens:
        return flat
    begun = max((number for number, item in enumerate(whole) if _asks(item.messages[0])), default=0)
    shorter = [
        _marked(message, stays=number == begun)
        for number, item in enumerate(whole)
        if number >= begun or len(item.messages) == 1
        for message in item.messages
    ]
    return fit(shorter, limit_tokens=limit_tokens, count=count)


def tokens_at_most(messages: Sequence[BaseMessage]) -> int:
    """A bound for the tokens of messages that costs next to nothing: none is less than a byte of text."""
    return sum(
        MESSAGE_TOKENS + len(str(message.content).encode("utf-8", "replace")) + _bytes_of_calls(message)
        for message in messages
    )


def _bytes_of_calls(message: BaseMessage) -> int:
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return sum(MESSAGE_TOKENS + len(json.dumps(call, default=str)) for call in calls)


def _marked(message: BaseMessage, *, stays: bool) -> BaseMessage:
    """A message that trimming may take away, or, as the request that is worked on, may not."""
    if not isinstance(message, HumanMessage) or bool(message.additional_kwargs.get(KEPT)) == stays:
        return message
    rest = {key: value for key, value in message.additional_kwargs.items() if key != KEPT}
    return message.model_copy(update={"additional_kwargs": {**rest, KEPT: True} if stays else rest})


def _asks(message: BaseMessage) -> bool:
    """Whether it is a person's request, and not a note between two calls."""
    return isinstance(message, HumanMessage) and message.name is None
