"""Durable: a state graph whose compiled form keeps the engine's promises for a plain `ainvoke`.

Compiled with a `ThreadSaver`, a run holds its thread alone, commits each step before the next, records its status,
and takes up answers that other processes give while it runs. With any other saver, or none, it is LangGraph's own.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot

from openmanus_graph.checkpoints.lease import Lease
from openmanus_graph.checkpoints.progress import open_questions, progress_in
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import forget_answers, get_thread, waiting_answers
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import DatabaseError
from openmanus_graph.event_sinks import EventSinks
from openmanus_graph.events import Event, now
from openmanus_graph.graphs.chunk import shaped
from openmanus_graph.graphs.compatibility.check import Change, change_of
from openmanus_graph.graphs.orphan_tool_calls import with_results
from openmanus_graph.langgraph_internals import TASK_ID_KEY
from openmanus_graph.nodes.gate import ANSWER_ARRIVED, Gate
from openmanus_graph.plans.accepted import AcceptedPlans
from openmanus_graph.questions import Question, for_graph, resume_with
from openmanus_graph.run_config import FORCE, LEASE, SAID, SCOPE, thread_id_of, with_keys
from openmanus_graph.scope import Scope


class DurableGraph(CompiledStateGraph[Any, Any, Any, Any]):
    """A compiled graph that holds its thread's lease while it runs."""

    builder: DurableStateGraph  # pyright: ignore[reportIncompatibleVariableOverride] - narrower

    async def astream(  # type: ignore[override]
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        control: RunControl | None = None,
        durability: Any = None,
        **options: Any,
    ) -> AsyncIterator[Any]:
        """Stream the graph, as LangGraph does; the thread is this run's alone until it ends.

        Raises:
            ThreadBusyError: If another runner holds the thread.
            ThreadVersionError: If the thread needs what the graph no longer has, unless `configurable` has `force`.
            StaleRunnerError: If another runner took it meanwhile.
        """
        config = _without_semaphore(config)
        configurable = dict(config.get("configurable") or {})
        if TASK_ID_KEY in configurable:  # a node of another graph: that graph's run has the lease
            config = self._scoped(config, thread_id_of(config))
            chunks = self.inner_stream(input, config, control=control, durability=durability, **options)
        else:
            chunks = await self._root(input, config, configurable, Gate(control), durability, options)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    def inner_stream(self, given: Any, config: RunnableConfig, **options: Any) -> AsyncGenerator[Any]:
        """The stream of the graph's steps, which runs inside lease and scope: here LangGraph's own.

        `astream` calls it for every pass over the graph. A `UserGraph` overrides it to add the events of its nodes.

        Args:
            given: The input, as the graph takes it.
            config: LangGraph's config, with the run's scope.
            options: More of LangGraph's `astream`.
        """
        return cast("AsyncGenerator[Any]", super().astream(given, config, **options))

    async def _root(
        self,
        given: Any,
        config: RunnableConfig,
        configurable: dict[str, Any],
        gate: Gate,
        durability: Any,
        options: dict[str, Any],
    ) -> AsyncGenerator[Any]:
        mode = durability or ("sync" if self.checkpointer else None)
        if not isinstance(self.checkpointer, ThreadSaver) or configurable.get("thread_id") is None:
            prepared = self.builder.prepare_input(given, configurable)
            config = self._scoped(config, thread_id_of(config))
            return self.inner_stream(prepared, config, control=gate, durability=mode, **options)
        thread_id = str(configurable["thread_id"])
        force = bool(configurable.pop(FORCE.name, False))  # nothing that checkpoints should remember
        known = await get_thread(self.checkpointer, thread_id)
        if known is not None:  # what the thread began with holds, unless the caller says otherwise
            began = {"workspace": known.workspace, "sandbox": known.sandbox, SAID.name: known.settings.get("said")}
            configurable = {**{key: value for key, value in began.items() if value}, **configurable}
        config = cast("RunnableConfig", {**config, "configurable": configurable})
        prepared = self.builder.prepare_input(given, configurable)
        run = _Run(self, thread_id, prepared, config, gate, is_new=known is None, force=force)
        return self._alone(run, mode, options)

    def _scoped(self, config: RunnableConfig, thread_id: str) -> RunnableConfig:
        """The config with a scope for a run that nothing of ours records, unless a run around it has one."""
        configurable = dict(config.get("configurable") or {})
        configurable.setdefault(SCOPE.name, Scope(thread_id, self.builder.settings, None))
        return cast("RunnableConfig", {**config, "configurable": configurable})

    async def _alone(self, run: _Run, durability: Any, options: dict[str, Any]) -> AsyncGenerator[Any]:
        """Stream with the thread held, again and again as long as answers arrive from elsewhere."""
        await run.begin()
        try:
            for event in run.told:
                if (chunk := self._as_chunk(event, **options)) is not None:
                    yield chunk
            while True:
                drained: GraphDrained | None = None
                try:
                    given = await run.for_graph()
                    stream = self.inner_stream(given, run.config, control=run.gate, durability=durability, **options)
                    async with aclosing(stream) as chunks:
                        async for chunk in chunks:
                            yield chunk
                except GraphDrained as error:
                    drained = error
                if await run.goes_on():
                    continue
                if drained is not None:
                    raise drained
                return
        except BaseException as error:
            try:
                await asyncio.shield(run.end(error))
            except (psycopg.Error, DatabaseError) as worse:
                error.add_note(f"Nor could the end of the run be recorded: {worse}")
            if run.lease.lost is not None:
                raise run.lease.lost from error
            raise
        finally:
            await asyncio.shield(run.end(None))

    def _as_chunk(
        self, event: Event, stream_mode: Any = None, subgraphs: bool = False, version: Any = "v1", **_: Any
    ) -> Any:
        """An event of the run itself as its caller's stream has it; `None` where that has no events."""
        wanted = self.stream_mode if stream_mode is None else stream_mode
        if "custom" not in ([wanted] if isinstance(wanted, str) else wanted):
            return None
        return shaped((), "custom", event, wanted, subgraphs, version)

    async def snapshot(self, thread_id: str) -> StateSnapshot:
        """The thread's state at its newest checkpoint."""
        return await self.aget_state({"configurable": {"thread_id": thread_id}})

    async def check_version(self, thread_id: str, given: Any = None, *, force: bool = False) -> None:
        """Raise if a thread cannot go on with this graph.

        Args:
            thread_id: The thread.
            given: What it is to go on with: nothing, a `Command` or an input.
            force: Whether it is to go on all the same; then nothing is raised.

        Raises:
            ThreadVersionError: If the thread needs what the graph no longer has.
        """
        await change_of(self, cast("ThreadSaver", self.checkpointer), thread_id, given, force=force)

    async def questions(self, thread_id: str) -> list[Question]:
        """The thread's open questions, also those of branches that wait while others run."""
        return await open_questions(cast("ThreadSaver", self.checkpointer), thread_id)


class _Run:
    """One process's work on a thread, from taking the lease to recording how it ended."""

    def __init__(
        self,
        graph: DurableGraph,
        thread_id: str,
        given: Any,
        config: RunnableConfig,
        gate: Gate,
        *,
        is_new: bool,
        force: bool,
    ) -> None:
        self.graph = graph
        self.told: list[Event] = []
        """Events that come before those of any node."""
        self._is_new = is_new
        self._force = force
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
        if isinstance(self.input, Command) and isinstance(self.input.resume, dict):
            open_ids = {question["id"] for question in await self.graph.questions(self.thread_id)}
            resume_with(cast("dict[str, Any]", self.input.resume), open_ids)
        row: dict[str, Any] = {"new_request": self.input is not None and not isinstance(self.input, Command)}
        configurable = dict(self.config.get("configurable") or {})
        row |= self.graph.builder.thread_row(self.input, configurable)
        if said := SAID.get(configurable):
            row["settings"] = {**row.get("settings", {}), "said": said}
        change = Change()

        async def check() -> Mapping[str, Any]:
            nonlocal change
            change = await change_of(self.graph, self.saver, self.thread_id, self.input, force=self._force)
            return change.columns

        try:
            self.lease = await Lease.acquire(self.saver.conninfo, self.thread_id, row, check)
        except psycopg.OperationalError as error:
            raise self.saver.lost(error) from error
        self.config = with_keys(self.config, {LEASE: self.lease, SCOPE: self.scope})
        self.lease.watch(self._answer_arrived, self._lease_lost)
        try:
            await self.scope.spending.load()
            if (holder := self.gate.holder) is not None:
                self.scope.spending.held_s = lambda: holder.held_s
            self.lease.active = lambda: self.scope.spending.active_s
            await self._take_up_waiting()
            interrupted: list[str] = []
            if not self._is_new:
                self.input, interrupted = await with_results(
                    self.graph, lambda: self.graph.snapshot(self.thread_id), self.input
                )
        except BaseException:
            await self.lease.abandon()
            raise
        self.lease.log("The run begins." if self._is_new else "The thread is resumed.")
        self._note("run_started", {"active_s": round(self.scope.spending.active_s, 3)})
        if change.text:
            self.told.append(self._note("warned", {"text": change.text}))
        if interrupted:
            self.told.append(self._note("warned", {"text": _interrupted(interrupted)}, "/interrupted"))

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
        spent = self.scope.spending.total
        self._note("run_finished", {"status": columns["status"], "error": columns.get("error"), "usage": spent})
        if self.lease.lost is None:
            await self.scope.log.close()
        await self.lease.release(**columns)


def _interrupted(tools: list[str]) -> str:
    """What is said of calls that were never answered."""
    calls = f"a call of {tools[0]!r}" if len(tools) == 1 else f"{len(tools)} calls of {', '.join(map(repr, tools))}"
    return f"The thread had {calls} without a result, which the new input leaves behind: it is marked as interrupted."


def _without_semaphore(config: RunnableConfig | None) -> RunnableConfig:
    """The config without `max_concurrency`, which becomes `max_parallel`.

    LangGraph's semaphore would be held by subtasks that wait for their prerequisites, and the run would stand still.
    """
    config = config if config is not None else {}
    limit = config.get("max_concurrency")
    if limit is None:
        return config
    configurable = {"max_parallel": limit, **(config.get("configurable") or {})}
    return cast("RunnableConfig", {**config, "max_concurrency": None, "configurable": configurable})


class DurableStateGraph(StateGraph[Any, Any, Any, Any]):
    """A `StateGraph` that compiles to a `DurableGraph`, and knows how it is built again."""

    reference: Mapping[str, Any] = {}
    """How another process builds the same graph: the builder's import path and what it was given."""
    plans: AcceptedPlans | None = None
    """The plans that it has accepted; `None` means that it executes none."""

    def __init__(self, *schemas: Any, settings: Settings | None = None, **options: Any) -> None:
        """Make a graph, as LangGraph does.

        Args:
            schemas: The state's schema, as LangGraph takes it.
            settings: The user's settings; `None` means those of the environment.
            options: More of LangGraph's.
        """
        super().__init__(*schemas, **options)
        self.settings = settings or Settings.load()

    def prepare_input(self, given: Any, configurable: Mapping[str, Any]) -> Any:
        """The input in plain types, validated before anything is written."""
        return given

    def thread_row(self, given: Any, configurable: Mapping[str, Any]) -> dict[str, Any]:
        """What the thread's row holds of this run."""
        return {"graph": dict(self.reference)}

    def outcome(self, values: Any) -> str:
        """The status of a thread that ran to its end: `completed` or `failed`."""
        return "completed"

    def compile(self, *arguments: Any, **options: Any) -> DurableGraph:  # type: ignore[override]
        """Compile, as LangGraph does."""
        compiled = super().compile(*arguments, **options)
        attributes = {key: value for key, value in vars(compiled).items() if key != "__orig_class__"}
        return DurableGraph(**attributes)
