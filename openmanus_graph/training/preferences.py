"""Preferences: pairs of answers of which one is better, as lines for direct preference optimization."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.nodes.material.evidence import REFUSAL
from openmanus_graph.training.chat_form import Form, chat_messages
from openmanus_graph.training.conversations import tools_of, why_not
from openmanus_graph.training.left_out import REQUEST, SUBTASK, LeftOut
from openmanus_graph.training.scrubber import Scrubber
from openmanus_graph.training.stored_work import AgentWork, StoredRequest, StoredWork


def refused_answers(thread: Thread, work: StoredWork, scrubber: Scrubber, left_out: LeftOut) -> Iterator[Form]:
    """A line for each answer that a check refused: the one that it accepted in the end is better.

    Args:
        thread: The thread.
        work: What it has.
        scrubber: Takes secrets out.
        left_out: Counts the subtasks that have none.
    """
    for agent in work.agents:
        pairs = [] if (why := why_not(agent)) else list(_pairs_in(agent))
        if not pairs:
            left_out.add(SUBTASK, why or "without an answer that a check refused")
        tools = tools_of(agent, thread)
        for prompt, chosen, rejected in pairs:
            yield _line(
                chat_messages(prompt, scrubber),
                chat_messages([chosen], scrubber),
                chat_messages([rejected], scrubber),
                tools,
            )


def _pairs_in(agent: AgentWork) -> Iterator[tuple[list[BaseMessage], AIMessage, AIMessage]]:
    """What came before each refused answer, the answer accepted in the end, and the refused one."""
    answers = [place for place, message in enumerate(agent.messages) if isinstance(message, AIMessage)]
    chosen = agent.messages[answers[-1]]
    for place, message in enumerate(agent.messages):
        if not isinstance(message, HumanMessage) or message.name != REFUSAL:
            continue
        before = [answer for answer in answers if answer < place]
        if not before:  # a summary took it away
            continue
        rejected = agent.messages[before[-1]]
        if isinstance(chosen, AIMessage) and isinstance(rejected, AIMessage) and _said(chosen) != _said(rejected):
            yield agent.messages[: before[-1]], chosen, rejected


def _said(message: AIMessage) -> tuple[str, list[tuple[str, Any]]]:
    """What an answer says, whatever the ids of its calls."""
    return str(message.text), [(call["name"], call["args"]) for call in message.tool_calls]


def _line(prompt: list[Form], chosen: list[Form], rejected: list[Form], tools: list[Form] | None) -> Form:
    line: Form = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return line if tools is None else {**line, "tools": tools}


@dataclass
class _Answers:
    prompt: list[Form] = field(default_factory=list[Form])
    good: list[str] = field(default_factory=list[str])
    bad: list[str] = field(default_factory=list[str])


class RatedAnswers:
    """Answers of first requests with the same words, of all threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._answers: dict[str, _Answers] = defaultdict(_Answers)

    def add(self, request: StoredRequest, scrubber: Scrubber, left_out: LeftOut) -> None:
        """Take in a request, if a person rated it.

        Args:
            request: The request.
            scrubber: Takes secrets out.
            left_out: Counts it, if it is not rated, has no answer, or is not the first of its thread.
        """
        if request.rating is None or not request.answer:
            left_out.add(REQUEST, "that nobody rated" if request.rating is None else "without an answer")
            return
        if request.number > 1:  # its words mean something else in each conversation
            left_out.add(REQUEST, "in the middle of a conversation")
            return
        of_task = self._answers[" ".join(request.task.split())]
        of_task.prompt = of_task.prompt or [{"role": "user", "content": scrubber.text(request.task)}]
        (of_task.good if request.rating.good else of_task.bad).append(scrubber.text(request.answer))

    def lines(self, left_out: LeftOut) -> Iterator[Form]:
        """The pairs, so few that each answer is in one: one rated good is better than one rated bad.

        Args:
            left_out: Counts the requests that have no opposite.
        """
        for answers in self._answers.values():
            good, bad = answers.good, answers.bad
            if not good or not bad:
                for _ in (*good, *bad):
                    left_out.add(REQUEST, "whose words nobody rated the other way")
                continue
            for number in range(max(len(good), len(bad))):
                chosen, rejected = good[number % len(good)], bad[number % len(bad)]
                if chosen != rejected:
                    yield _line(answers.prompt, _answer(chosen), _answer(rejected), None)


def _answer(text: str) -> list[Form]:
    return [{"role": "assistant", "content": text}]
