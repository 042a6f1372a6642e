"""Thread run: one run of a thread in this process, from taking the lease to recording how it ended."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.types import Command, StateSnapshot

from openmanus_graph.checkpoints.lease import Lease
from openmanus_graph.checkpoints.pending_input import pending_input, stored_input
from openmanus_graph.checkpoints.progress import asked_at, progress_in
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import forget_answers, get_thread, waiting_answers
from openmanus_graph.errors import DatabaseError
from openmanus_graph.event_sinks import EventSinks
from openmanus_graph.events import Event, now
from openmanus_graph.graphs.compatibility.check import GraphChange, change_of
from openmanus_graph.graphs.given_answers import bound
from openmanus_graph.graphs.orphan_tool_calls import with_results
from openmanus_graph.graphs.tool_questions import keep_answers_apart
from openmanus_graph.nodes.gate import ANSWER_ARRIVED, Gate
from openmanus_graph.questions import Question, for_graph
from openmanus_graph.run_config import LEASE, SAID, SCOPE, configurable_of, with_keys
from openmanus_graph.scope import Scope


class HeldGraph(Protocol):
    """What a run asks of its graph; a `DurableGraph` is one."""

    builder: Any
    """Knows the thread's row, the settings and how a thread has ended."""
    checkpointer: Any
    """The saver."""

    async def snapshot(self, thread_id: str) -> StateSnapshot:
        """The thread's state at its newest checkpoint."""
        ...

    async def questions(self, thread_id: str) -> list[Question]:
        """The thread's open questions."""
        ...

    def is_one_answer(self, resume: Any) -> bool:
        """Whether what a `Command` resumes with is the answer to the one open question."""
        ...

    def check_answer(self, question: Question, answer: Any, workspace: str | None) -> None:
        """Refuse an edit that cannot be taken."""
        ...


class ThreadRun:
    """One run of a thread in this process, from taking the lease to recording how it ended."""

    def __init__(
        self,
        graph: HeldGraph,
        thread_id: str,
        given: Any,
        config: RunnableConfig,
        gate: Gate,
        *,
        is_new: bool,
        force: bool,
        stops: bool,
    ) -> None:
        self.graph = graph
        self.first_events: list[Event] = []
        """Events that come before those of any node."""
        self._is_new = is_new
        self._force = force
        self._stops = stops
        self.thread_id = thread_id
        self.input: Any = given
        self.config: RunnableConfig = config
        self._caller = gate
        self.gate = Gate(gate)
        self._ended = False
        self._answers: dict[str, Any] = {}
        self.saver = cast("ThreadSaver", graph.checkpointer)
        self.lease: Lease
        self.sinks = EventSinks(thread_id)
        self.scope = Scope(thread_id, graph.builder.settings, self.saver, self.sinks)

    async def begin(self) -> None:
        """Take the thread, and make the input what the graph is to be run with.

        Raises:
            ThreadBusyError: If another runner holds the thread.
            ThreadVersionError: If the thread needs what the graph no longer has.
            UnknownQuestionError: If the input answers what is not asked, or with an edit that cannot be taken.
            EncryptionKeyError: If the thread was encrypted with a key that is not set.
        """
        keep_answers_apart()
        await self._bind_answers()
        row: dict[str, Any] = {"new_request": self.input is not None and not isinstance(self.input, Command)}
        row["owner"] = self.scope.owner
        configurable = dict(self.config.get("configurable") or {})
        row |= self.graph.builder.thread_row(self.input, configurable)
        if chosen := SAID.get(configurable):
            row["settings"] = {**row.get("settings", {}), "said": chosen}
        change = GraphChange()

        async def check() -> Mapping[str, Any]:
            nonlocal change
            await self._bind_answers()  # once more: another runner may have taken an answer before this one came
            change = await change_of(cast("Any", self.graph), self.saver, self.thread_id, self.input, force=self._force)
            return change.columns

        if self.input is not None and not isinstance(self.input, Command):
            row["input"] = stored_input(self.saver, self.input)  # refused here, before anything is written
        try:
            self.lease = await Lease.acquire(self.saver.conninfo, self.thread_id, row, check, cipher=self.saver.cipher)
        except psycopg.OperationalError as error:
            raise self.saver.lost(error) from error
        self.scope.owner = self.lease.owner or self.scope.owner
        self.config = with_keys(self.config, {LEASE: self.lease, SCOPE: self.scope})
        try:
            await self.lease.watch(self._answer_arrived, self._lease_lost)
            await self.scope.spending.load()
            if (holder := self.gate.holder) is not None:
                self.scope.spending.held_s = lambda: holder.held_s
            self.lease.active = lambda: self.scope.spending.active_s
            await self._take_up_waiting()
            interrupted: list[str] = []
            if self.input is None and (due := await pending_input(self.saver, self.thread_id)) is not None:
                self.input = due.value
            if not self._is_new:
                self.input, interrupted = await with_results(
                    cast("Any", self.graph), lambda: self.graph.snapshot(self.thread_id), self.input
                )
        except BaseException:
            await self.lease.abandon()
            raise
        self.lease.log("The run begins." if self._is_new else "The thread is resumed.")
        self._note("run_started", {"active_s": round(self.scope.spending.active_s, 3)})
        if change.text:
            self.first_events.append(self._note("warned", {"text": change.text}))
        if interrupted:
            self.first_events.append(self._note("warned", {"text": _interrupted(interrupted)}, "/interrupted"))

    async def _bind_answers(self) -> None:
        """Put the answers of the input under the ids of their questions.

        Raises:
            UnknownQuestionError: If one is not open, any more or yet, or is an edit that cannot be taken.
        """
        if not isinstance(self.input, Command):
            return
        given = cast("Command[Any]", self.input)
        place = configurable_of(self.config).get("checkpoint_id")
        questions: list[Question] = []
        if place:
            asked = await asked_at(self.saver, self.thread_id, str(place))
        else:
            questions = await self.graph.questions(self.thread_id)
            asked = {question["id"] for question in questions}
        is_one = self.graph.is_one_answer(given.resume)
        self.input = bound(given, asked, is_one=is_one, addressed=bool(place), stops=self._stops)
        answers: Any = self.input.resume if isinstance(self.input, Command) else None
        if isinstance(answers, dict) and questions:
            known = await get_thread(self.saver, self.thread_id)
            for question in questions:
                answer = cast("dict[str, Any]", answers).get(question["id"])
                self.graph.check_answer(question, answer, None if known is None else known.workspace)

    async def for_graph(self) -> Any:
        """The input with its answers as the graph takes them."""
        if not isinstance(self.input, Command) or not isinstance(self.input.resume, dict):
            return self.input
        questions = await self.graph.questions(self.thread_id)
        return replace(
            cast("Command[Any]", self.input), resume=for_graph(cast("dict[str, Any]", self.input.resume), questions)
        )

    def _note(self, kind: Any, fields: dict[str, Any], which: str = "") -> Event:
        """Keep an event of the run itself, which no node sends."""
        name = f"{self.thread_id}/{kind}/{self.lease.epoch}{which}"
        event = Event(type=kind, id=name, thread_id=self.thread_id, time=now())
        kept = cast("Event", {**event, **fields})
        self.scope.keep(kept)
        return kept

    async def _take_up_waiting(self) -> None:
        """Add answers that were left for a runner that stopped before it could take them up."""
        resume = self.input.resume if isinstance(self.input, Command) else None
        if self.input is not None and not isinstance(resume, dict):
            return
        self._answers = dict(cast("dict[str, Any]", resume or {}))
        answers = await self._open_answers()
        if answers and self.input is None:
            self.input = Command(resume=answers)
        elif answers:
            self.input = replace(cast("Command[Any]", self.input), resume={**answers, **self._answers})
        self._answers = {**answers, **self._answers}

    async def _open_answers(self) -> dict[str, Any]:
        """Answers to open questions: given to this run, or left for it; those to closed ones are forgotten."""
        left = await waiting_answers(self.saver, self.thread_id)
        answers = {**left, **self._answers}
        if not answers:
            return {}
        open_ids = {question["id"] for question in await self.graph.questions(self.thread_id)}
        if closed := left.keys() - open_ids:
            await forget_answers(self.saver, self.thread_id, closed)
        return {key: value for key, value in answers.items() if key in open_ids}

    def _answer_arrived(self) -> None:
        self.lease.log("An answer from another process arrived.")
        self.gate.request_drain(ANSWER_ARRIVED)

    def _lease_lost(self) -> None:
        self.gate.request_drain("another runner took the thread")

    async def goes_on(self) -> bool:
        """Whether there is an answer to take up, which is then the next input."""
        if self.lease.lost is not None or self._caller.drain_requested:
            return False
        answers = await self._open_answers()
        if not answers.keys() - self._answers.keys() and self.gate.drain_reason != ANSWER_ARRIVED:
            return False
        # Those given before too: a drain may have come before their questions took them.
        self._answers = {**self._answers, **answers}
        self.gate = Gate(self._caller)
        self.input = Command(resume=answers) if answers else None
        return True

    async def end(self, error: BaseException | None) -> None:
        """Record the end and let the thread go; the first call counts."""
        if self._ended:
            return
        self._ended = True
        try:
            await self._let_go(error)
        finally:
            await self.sinks.close()

    async def _let_go(self, error: BaseException | None) -> None:
        if isinstance(error, DatabaseError):
            await self.lease.abandon()  # nothing could be recorded; without a runner the thread counts as stopped
            return
        try:
            await self._record(error)
        except psycopg.OperationalError as worse:
            await self.lease.abandon()
            raise self.saver.lost(worse) from worse
        except BaseException:
            await self.lease.abandon()
            raise

    async def _record(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, GraphDrained):
            text = None if isinstance(error, (asyncio.CancelledError, GeneratorExit)) else str(error)
            await self._conclude(status="stopped", error=text)
            return
        await self._open_answers()  # forgets those that were taken up
        snapshot = await self.graph.snapshot(self.thread_id)
        questions = await self.graph.questions(self.thread_id) if snapshot.next else []
        if self.lease.progress is None:  # every subtask had ended before this process began
            self.lease.progress = progress_in(snapshot.values)
        if error is not None:
            self.lease.log("The run is drained.", reason=self.gate.drain_reason)
            status = "paused"
        elif questions:
            status = "waiting"
        elif snapshot.next:
            status = "paused"
        else:
            status = self.graph.builder.outcome(snapshot.values)
        await self._conclude(status=status, questions=questions)

    async def _conclude(self, **columns: Any) -> None:
        spent = self.scope.spending.used
        self._note("run_finished", {"status": columns["status"], "error": columns.get("error"), "usage": spent})
        await (self.scope.log.close() if self.lease.lost is None else self.scope.log.abandon())
        await self.saver.end_writes(self.lease)
        await self.lease.release(**columns)


def _interrupted(tools: list[str]) -> str:
    """The warning about calls that never got a result."""
    calls = f"a call of {tools[0]!r}" if len(tools) == 1 else f"{len(tools)} calls of {', '.join(map(repr, tools))}"
    return f"The thread had {calls} without a result, which the new input leaves behind: it is marked as interrupted."
