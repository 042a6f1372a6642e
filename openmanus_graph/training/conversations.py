"""Conversations: what a model did well, as lines of `messages` for supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.training.chat_form import Form, agent_tools, called_in, chat_messages, coordinator_tools
from openmanus_graph.training.left_out import REQUEST, SUBTASK, LeftOut
from openmanus_graph.training.scrubber import Scrubber
from openmanus_graph.training.stored_work import AgentWork, StoredRequest, StoredWork

BAD = "rated bad"


def conversations(thread: Thread, work: StoredWork, scrubber: Scrubber, left_out: LeftOut) -> Iterator[Form]:
    """The lines of one thread.

    Requests that follow each other are one conversation: a later one may mean what an earlier one said.

    Args:
        thread: The thread.
        work: What it has.
        scrubber: Takes secrets out.
        left_out: Counts what is no line.
    """
    for dialogue in _dialogues(work.requests, left_out):
        yield line_of(dialogue, coordinator_tools(called_in(dialogue), thread.graph), scrubber)
    for agent in work.agents:
        why = why_not(agent)
        if why:
            left_out.add(SUBTASK, why)
            continue
        yield line_of(agent.messages, tools_of(agent, thread), scrubber)


def _dialogues(requests: Sequence[StoredRequest], left_out: LeftOut) -> Iterator[list[BaseMessage]]:
    """The messages of requests that count, those of neighbours together."""
    dialogue: list[BaseMessage] = []
    for request in requests:
        why = _why_not(request)
        if why:
            left_out.add(REQUEST, why)
            if dialogue:
                yield dialogue
            dialogue = []
        else:
            dialogue = [*dialogue, *request.messages]
    if dialogue:
        yield dialogue


def _why_not(request: StoredRequest) -> str:
    """Why a request is no line; empty if it is one."""
    if request.status != "completed":
        return "that did not complete"
    if request.rating is not None and not request.rating.good:
        return BAD
    if not any(isinstance(message, AIMessage) for message in request.messages):
        return "without a conversation that is kept"
    return ""


def why_not(agent: AgentWork) -> str:
    """Why the work of an agent is not to be learned from; empty if it is."""
    if agent.result is None or agent.result["status"] != "completed":
        return "that did not complete"
    if agent.result.get("verified") is False:
        return "whose check failed"
    if agent.rating is not None and not agent.rating.good:
        return "of a request rated bad"
    if not any(isinstance(message, AIMessage) for message in agent.messages):
        return "without a conversation that is kept"
    return ""


def tools_of(agent: AgentWork, thread: Thread) -> list[Form] | None:
    """The schemas of the tools that an agent was given, else of those that it called, where they are known."""
    named: list[str] = agent.subtask.get("tools") or []
    return agent_tools(list(dict.fromkeys([*named, *called_in(agent.messages)])), thread.graph)


def line_of(messages: Sequence[BaseMessage], tools: list[Form] | None, scrubber: Scrubber) -> dict[str, Any]:
    """A conversation as a line, with its tools where they are known."""
    line: dict[str, Any] = {"messages": chat_messages(messages, scrubber)}
    return line if tools is None else {**line, "tools": tools}
