"""Durable: a state graph whose compiled form keeps the engine's promises for a plain `ainvoke`.

Compiled with a `ThreadSaver`, a run holds its thread alone, commits each step before what cannot be done again,
records its status, and takes up answers that other processes give while it runs. With any other saver, or none, it is
LangGraph's own.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, TypeGuard, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphDrained, InvalidUpdateError
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.runtime import RunControl
from langgraph.store.base import BaseStore
from langgraph.types import StateSnapshot

from openmanus_graph.checkpoints.progress import open_questions, results_so_far
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.standing import Standing, standing_of
from openmanus_graph.checkpoints.store import ThreadStore
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import DatabaseError, UnknownQuestionError
from openmanus_graph.events import Event
from openmanus_graph.graphs.chunk import shaped
from openmanus_graph.graphs.compatibility.check import change_of
from openmanus_graph.graphs.synchronous_stream import synchronous
from openmanus_graph.graphs.thread_run import ThreadRun
from openmanus_graph.langgraph_internals import (
    TASK_ID_KEY,
    configurable_in,
    let_graphs_without_checkpoints_run,
    with_store,
)
from openmanus_graph.nodes.gate import Gate
from openmanus_graph.plans.accepted import AcceptedPlans
from openmanus_graph.questions import Approval, Question, approval_of
from openmanus_graph.run_config import (
    FORCE,
    MAX_PARALLEL,
    SAID,
    SANDBOX,
    SCOPE,
    WORKSPACE,
    configurable_of,
    thread_id_of,
    with_beginning,
)
from openmanus_graph.scope import Scope

let_graphs_without_checkpoints_run()

_NO_THREAD = """\
A graph with a checkpointer runs a thread, and the config names none: give its `configurable` a `thread_id`.\
"""
"""LangGraph raises a `ValueError` here, too; it names the same key."""


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
        config = _without_semaphore(self.complete(config))
        configurable = configurable_of(config)
        if TASK_ID_KEY in configurable:  # a node of another graph: that graph's run has the lease
            config = self.nested(self._scoped(config, thread_id_of(config)))
            chunks = self.inner_stream(input, config, control=control, durability=durability, **options)
        else:
            chunks = await self._root(input, config, configurable, Gate(control), durability, options)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:  # type: ignore[override]
        """Stream the graph to a caller in another thread than that of the saver's event loop, which runs it.

        Raises:
            UsageError: If this thread runs that loop, or none does.
            ThreadBusyError: As `astream`, and whatever else that raises.
        """
        completed = self.complete(config)
        if TASK_ID_KEY in configurable_of(completed):
            return super().stream(input, self.nested(completed), **options)
        if not isinstance(self.checkpointer, ThreadSaver):
            return super().stream(input, config, **options)
        return synchronous(
            lambda: cast("AsyncGenerator[Any]", self.astream(input, config, **options)), self.checkpointer.loop
        )

    def complete(self, config: RunnableConfig | None) -> RunnableConfig:
        """The config with what LangGraph adds to its `configurable`: of the graph itself, and of the node around it.

        Raises:
            ValueError: If the graph keeps its steps, runs for itself, and the config names no thread.
        """
        configurable = configurable_in(self.config, config)
        keeps = isinstance(self.checkpointer, BaseCheckpointSaver) and TASK_ID_KEY not in configurable
        if keeps and configurable.get("thread_id") is None:
            raise ValueError(_NO_THREAD)
        return cast("RunnableConfig", {**(config or {}), "configurable": configurable})

    def nested(self, config: RunnableConfig) -> RunnableConfig:
        """The config of a node that runs this graph, with the store that the graph was compiled with, if any."""
        return config if isinstance(self.store, ThreadStore) else with_store(config, self.store)

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
        configurable: Mapping[str, Any],
        gate: Gate,
        durability: Any,
        options: dict[str, Any],
    ) -> AsyncGenerator[Any]:
        mode = durability or ("sync" if self.checkpointer else None)
        if not isinstance(self.checkpointer, ThreadSaver):
            prepared = self.builder.prepare_input(given, configurable)
            config = self._scoped(config, thread_id_of(config))
            return self.inner_stream(prepared, config, control=gate, durability=mode, **options)
        thread_id = str(configurable["thread_id"])
        force = bool(FORCE.get(configurable))
        configurable = {key: value for key, value in configurable.items() if key != FORCE.name}  # not to be remembered
        known = await get_thread(self.checkpointer, thread_id)
        if known is not None:  # what the thread began with holds, unless the caller says otherwise
            began = {WORKSPACE: known.workspace, SANDBOX: known.sandbox, SAID: known.settings.get("said")}
            configurable = with_beginning(configurable, began)
        config = cast("RunnableConfig", {**config, "configurable": configurable})
        prepared = self.builder.prepare_input(given, configurable)
        stops = self._stops_silently(options)
        run = ThreadRun(self, thread_id, prepared, config, gate, is_new=known is None, force=force, stops=stops)
        return self._alone(run, mode, options)

    def is_one_answer(self, resume: Any) -> bool:
        """Whether what a `Command` resumes with is the answer to the one open question, not several by their ids."""
        return not isinstance(resume, dict)

    def _stops_silently(self, options: Mapping[str, Any]) -> bool:
        """Whether the graph or one inside of it stops before or after nodes, without a question."""
        graphs = [self, *(graph for _, graph in self.get_subgraphs(recurse=True))]
        stops = [
            getattr(graph, name, None)
            for graph in graphs
            for name in ("interrupt_before_nodes", "interrupt_after_nodes")
        ]
        return any([*stops, options.get("interrupt_before"), options.get("interrupt_after")])

    def _scoped(self, config: RunnableConfig, thread_id: str) -> RunnableConfig:
        """The config with a scope for a run that nothing of ours records, unless a run around it has one."""
        configurable = dict(config.get("configurable") or {})
        configurable.setdefault(SCOPE.name, Scope(thread_id, self.builder.settings, None))
        return cast("RunnableConfig", {**config, "configurable": configurable})

    async def _alone(self, run: ThreadRun, durability: Any, options: dict[str, Any]) -> AsyncGenerator[Any]:
        """Stream with the thread held; repeat as long as answers arrive from other processes."""
        await run.begin()
        try:
            for event in run.first_events:
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
                if (chunk := await self._waiting_values(run, **options)) is not None:
                    yield chunk
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

    async def _waiting_values(
        self, run: ThreadRun, stream_mode: Any = None, subgraphs: bool = False, version: Any = "v1", **_: Any
    ) -> Any:
        """The values of a run that ends with a question, as its caller's stream has them, where the graph knows more
        than LangGraph's own last ones have; else `None`.
        """
        wanted = self.stream_mode if stream_mode is None else stream_mode
        if "values" not in ([wanted] if isinstance(wanted, str) else wanted):
            return None
        plans = self.builder.plans
        if plans is None or not await self.questions(run.thread_id):
            return None
        values = (await self.snapshot(run.thread_id)).values
        known = {name: values[name] for name in self.output_channels if name in values}
        if found := await results_so_far(run.saver, run.thread_id, plans.find(values.get("plan"))):
            known["results"] = found
        return shaped((), "values", known, wanted, subgraphs, version)

    def _as_chunk(
        self, event: Event, stream_mode: Any = None, subgraphs: bool = False, version: Any = "v1", **_: Any
    ) -> Any:
        """An event of the run itself as its caller's stream has it; `None` where that has no events."""
        wanted = self.stream_mode if stream_mode is None else stream_mode
        if "custom" not in ([wanted] if isinstance(wanted, str) else wanted):
            return None
        return shaped((), "custom", event, wanted, subgraphs, version)

    async def snapshot(self, thread_id: str) -> StateSnapshot:
        """The thread's state at its newest checkpoint, with what ended tasks have written since."""
        place: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        try:
            return await self.aget_state(place)
        except InvalidUpdateError:  # those writes do not fit together, which is what ended the run
            root = await cast("ThreadSaver", self.checkpointer).aget_tuple(place)
            return await self.aget_state(place if root is None else root.config)

    async def standing(self, thread: Thread) -> Standing:
        """Where one of its threads stands."""
        return await standing_of(cast("ThreadSaver", self.checkpointer), thread, self)

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

    def check_answer(self, question: Question, answer: Any, workspace: str | None) -> None:
        """Refuse an edit that cannot be taken, such as one with arguments that the tool does not have.

        Args:
            question: What was asked.
            answer: An answer to it, as a `Command` resumes with; what is no approval is for the node to judge.
            workspace: The thread's folder.

        Raises:
            UnknownQuestionError: With what is wrong; the question stays open.
        """
        fields = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
        if question["kind"] != "approve" or fields.get("kind") != "approve":
            return
        try:
            approval = approval_of(fields.get("value"), cast("Mapping[str, Any]", question))
        except UnknownQuestionError:
            return  # the node asks again, and says why
        if approval.action == "edit":
            self.builder.check_approval(question, approval.applied_to(question.get("args")), workspace)

    async def questions(self, thread_id: str) -> list[Question]:
        """The thread's open questions, also those of branches that wait while others run."""
        return await open_questions(cast("ThreadSaver", self.checkpointer), thread_id)


def _without_semaphore(config: RunnableConfig | None) -> RunnableConfig:
    """The config without `max_concurrency`, which becomes `max_parallel`.

    LangGraph's semaphore would be held by subtasks that wait for their prerequisites, and the run would stand still.
    """
    config = config if config is not None else {}
    limit = config.get("max_concurrency")
    if limit is None:
        return config
    configurable = {MAX_PARALLEL.name: limit, **configurable_of(config)}
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
        """The columns of the thread's row for this run."""
        return {"graph": dict(self.reference)}

    def outcome(self, values: Any) -> str:
        """The status of a thread that ran to its end: `completed` or `failed`."""
        return "completed"

    def check_approval(self, question: Question, approval: Approval, workspace: str | None) -> None:
        """Refuse an approval that the node would not take; a graph of plans and tools knows which.

        Args:
            question: What was asked.
            approval: What a person said.
            workspace: The thread's folder.

        Raises:
            UnknownQuestionError: With what is wrong.
        """

    def compile(self, *arguments: Any, **options: Any) -> DurableGraph:  # type: ignore[override]
        """Compile, as LangGraph does."""
        compiled = super().compile(*arguments, **options)
        attributes = {key: value for key, value in vars(compiled).items() if key != "__orig_class__"}
        if isinstance(compiled.checkpointer, ThreadSaver):
            attributes["checkpointer"] = compiled.checkpointer.for_plain_values()
        attributes["store"] = store_for(compiled, compiled.checkpointer)
        return DurableGraph(**attributes)


def store_for(graph: Pregel[Any, Any, Any, Any], checkpointer: Any) -> BaseStore | None:
    """The store of a graph's runs: its own, else that of the graphs inside of it, else that of its saver.

    LangGraph gives graphs inside of others the outer one's store, and none if that has none.

    Args:
        graph: The graph.
        checkpointer: What it keeps its steps with.
    """
    if graph.store is not None:
        return graph.store
    inside = {id(inner.store): inner.store for _, inner in graph.get_subgraphs(recurse=True) if _has_store(inner)}
    if len(inside) == 1:
        return next(iter(inside.values()))
    return checkpointer.store if isinstance(checkpointer, ThreadSaver) else None


def _has_store(graph: Any) -> TypeGuard[Pregel[Any, Any, Any, Any]]:
    return isinstance(graph, Pregel) and graph.store is not None and not isinstance(graph.store, ThreadStore)
