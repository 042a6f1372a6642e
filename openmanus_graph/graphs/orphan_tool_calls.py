"""Dangling: calls of tools that a conversation makes and never answers, which no model's provider takes.

A run that was cancelled or killed between a model's turn and the results of its calls leaves them. As long as the
thread goes on from there they are only pending: the node that makes them is next, or waits for a person. A new input
drops that node; then each gets a result which says that it was interrupted, in front of what is new.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage, convert_to_messages
from langgraph.channels import BinaryOperatorAggregate, DeltaChannel
from langgraph.pregel import Pregel
from langgraph.types import Overwrite, StateSnapshot

from openmanus_graph.graphs.compatibility.value_type import of_annotation
from openmanus_graph.loading.input_schema import input_fields
from openmanus_graph.models.context import repaired


async def with_results(
    graph: Pregel[Any, Any, Any, Any], read_state: Callable[[], Awaitable[StateSnapshot]], given: Any
) -> tuple[Any, list[str]]:
    """A new input that also answers the calls which its thread has left without a result.

    Args:
        graph: The graph.
        read_state: Reads the state of its thread, which the caller holds; called only where it is needed.
        given: The input; what is no mapping stays as it is.

    Returns:
        The input, and the tools whose calls were answered.
    """
    merging = {
        name: channel
        for name, channel in graph.channels.items()
        if isinstance(channel, (BinaryOperatorAggregate, DeltaChannel)) and _is_list(channel)
    }
    if not isinstance(given, Mapping) or not merging:
        return given, []
    values: Any = (await read_state()).values
    if not isinstance(values, Mapping):
        return given, []
    fields = dict(cast("Mapping[str, Any]", given))
    takes = merging.keys() & {*input_fields(graph)[0]}
    tools: list[str] = []
    for name in sorted(takes):
        held = cast("Any", values.get(name))
        if isinstance(held, list) and any(isinstance(message, AIMessage) for message in held):
            fields[name], answered = _answered(merging[name], cast("list[Any]", held), fields.get(name))
            tools += answered
            if not answered and name not in given:
                del fields[name]
    return (fields, tools) if tools else (given, [])


def _is_list(channel: Any) -> bool:
    holds = of_annotation(channel.typ, 2)
    return isinstance(holds, dict) and "list" in holds


def _answered(channel: Any, held: list[Any], new: Any) -> tuple[Any, list[str]]:
    """What a list of messages is to be given so that every call in it has a result, and the tools of those without.

    Args:
        channel: The list's channel.
        held: The messages there are.
        new: What the input gives it, or `None`.
    """
    before = [message for message in held if isinstance(message, BaseMessage)]
    coming = {message.tool_call_id for message in _messages(new) if isinstance(message, ToolMessage)}
    there = {id(message) for message in before}
    added = [
        message
        for message in repaired(before)
        if isinstance(message, ToolMessage) and id(message) not in there and message.tool_call_id not in coming
    ]
    names = [str(message.name) for message in added]
    if not added:
        return new, []
    news: list[Any] = [] if new is None else [*new] if isinstance(new, list) else [new]
    if _belong_to_last_turn(before, added):
        return [*added, *news], names
    # They belong further up; only the whole list, merged as the channel does it, has them there.
    mended = [message for message in repaired(before) if id(message) in there or message in added]
    if isinstance(channel, DeltaChannel):
        return Overwrite(channel.reducer(mended, [news] if news else [])), names
    return Overwrite(channel.operator(mended, news) if news else mended), names


def _messages(new: Any) -> list[BaseMessage]:
    if new is None:
        return []
    try:
        return convert_to_messages(new if isinstance(new, list) else [new])
    except (ValueError, TypeError, NotImplementedError):  # no messages, which the graph itself will say
        return []


def _belong_to_last_turn(before: Sequence[BaseMessage], added: Sequence[ToolMessage]) -> bool:
    """Whether all of the calls are those of the last message that is no result."""
    last = next((message for message in reversed(before) if not isinstance(message, ToolMessage)), None)
    calls = {call["id"] for call in last.tool_calls} if isinstance(last, AIMessage) else set[str | None]()
    return all(message.tool_call_id in calls for message in added)
