"""Tool questions: what several tools ask that one node calls at the same time, each answer for the tool that asked.

LangGraph counts the questions of a task in the order in which they come, and gives answers in that order when the task
runs again. Tools that run at the same time may come in another order then, and one would get an approval that was meant
for the other. So each call of a `ToolNode` counts for itself here, and its place among the calls is in the ids of its
questions.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import wraps
from typing import Any, cast

from langgraph.errors import GraphInterrupt
from langgraph.types import Interrupt

from openmanus_graph.langgraph_internals import (
    ARUN_CALL,
    CALLS_OF,
    NAMESPACE_OF_TASK,
    RESUME,
    RESUME_MAP_KEY,
    RUN_CALL,
    SCRATCHPAD_KEY,
    SEND_KEY,
    question_id,
)
from openmanus_graph.run_config import LEASE

_BY_CALL = "openmanus_graph answers by call"
"""Key of the one record in a task's answers: those of each call, in the order of the calls."""
_GRAPHS = 1000
"""Graphs that one call may run, before their namespaces are those of the next call."""

_calls: ContextVar[_Calls | None] = ContextVar("openmanus_graph_calls", default=None)


class _Calls:
    """The calls that a node makes at the same time, with the answers that each was given."""

    def __init__(self, ids: Sequence[Any]) -> None:
        self.ids = list(ids)
        self._answers: list[list[Any]] | None = None
        self._reading = threading.Lock()

    def answers(self, configurable: dict[str, Any], number: int) -> list[Any]:
        """The answers that a call was given, also in this run; the first call that asks reads those of all."""
        with self._reading:
            if self._answers is None:
                self._answers = self._read(configurable)
            return list(self._answers[number])

    def _read(self, configurable: dict[str, Any]) -> list[list[Any]]:
        """The answers by the calls' places; those that are new are stored with whatever else the task writes."""
        stored = cast("list[Any]", configurable[SCRATCHPAD_KEY].resume)
        known: list[dict[str, Any]] = [item for item in stored if isinstance(item, dict) and _BY_CALL in item]
        found: list[list[Any]] = known[-1][_BY_CALL] if known else [[] for _ in self.ids]
        given: dict[str, Any] = configurable.get(RESUME_MAP_KEY) or {}
        asked = [_id(configurable, number, len(answers)) for number, answers in enumerate(found)]
        if given.keys().isdisjoint(asked):
            return found
        found = [[*answers, *([given[id_]] if id_ in given else [])] for id_, answers in zip(asked, found, strict=True)]
        configurable[SEND_KEY]([(RESUME, [{_BY_CALL: found}])])
        return found


def _id(configurable: dict[str, Any], number: int, answers: int) -> str:
    return question_id(f"{configurable[NAMESPACE_OF_TASK]}|call {number}", answers)


@contextmanager
def _apart(call: Any, runtime: Any) -> Generator[None]:
    """Let one call count its own questions and graphs, if it is one of several in a durable run."""
    configurable: dict[str, Any] = runtime.config.get("configurable") or {}
    calls = _calls.get()
    several = calls is not None and len(calls.ids) > 1 and calls.ids.count(call["id"]) == 1
    if calls is None or not several or LEASE.get(configurable) is None or SCRATCHPAD_KEY not in configurable:
        yield
        return
    number = calls.ids.index(call["id"])
    answers = calls.answers(configurable, number)
    had = len(answers)

    def send(writes: Sequence[tuple[str, Any]]) -> None:
        others = [write for write in writes if write[0] != RESUME]  # the answers of all calls are kept already
        if others:
            outer(others)

    outer: Callable[[Any], None] = configurable[SEND_KEY]
    own = replace(
        configurable[SCRATCHPAD_KEY],
        interrupt_counter=itertools.count().__next__,
        subgraph_counter=itertools.count(number * _GRAPHS).__next__,
        get_null_resume=_no_answer,
        resume=answers,
    )
    runtime.config["configurable"] = {**configurable, SCRATCHPAD_KEY: own, SEND_KEY: send}
    try:
        yield
    except GraphInterrupt as interrupt:
        asked = question_id(configurable[NAMESPACE_OF_TASK], had)
        for item in cast("Sequence[Interrupt]", interrupt.args[0] if interrupt.args else ()):
            if item.id == asked:
                item.id = _id(configurable, number, had)
        raise


def _no_answer(consume: bool = False) -> None:
    """An answer without an id, which a run of ours has none of."""


def keep_answers_apart() -> None:
    """Let calls of `ToolNode` count for themselves; done once, where the program uses it."""
    module: Any = sys.modules.get("langgraph.prebuilt.tool_node")
    if module is None or getattr(module.ToolNode, _MARK, False):
        return
    node: Any = module.ToolNode
    calls_of, run_call, arun_call = (getattr(node, name) for name in (CALLS_OF, RUN_CALL, ARUN_CALL))

    @wraps(calls_of)
    def noted(self: Any, given: Any) -> Any:
        found = calls_of(self, given)
        _calls.set(_Calls([call["id"] for call in found[0]]))
        return found

    @wraps(run_call)
    def run_apart(self: Any, call: Any, kind: Any, runtime: Any) -> Any:
        with _apart(call, runtime):
            return run_call(self, call, kind, runtime)

    @wraps(arun_call)
    async def arun_apart(self: Any, call: Any, kind: Any, runtime: Any) -> Any:
        with _apart(call, runtime):
            return await arun_call(self, call, kind, runtime)

    for name, method in ((CALLS_OF, noted), (RUN_CALL, run_apart), (ARUN_CALL, arun_apart), (_MARK, True)):
        setattr(node, name, method)


_MARK = "_openmanus_graph_keeps_answers_apart"
