"""User graph: a graph that a user defines, run with one runner, kept steps, typed answers, events and resume by id."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing
from copy import copy
from pathlib import Path
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.types import Command, StateSnapshot

from openmanus_graph.checkpoints.encryption.cipher import Cipher, cipher_of
from openmanus_graph.checkpoints.reuse.searches import ThreadSearches
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.checkpoints.values.classes import note_schemas
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import Searches, ToolContext
from openmanus_graph.graphs.builders import USER_BUILDER
from openmanus_graph.graphs.chunk import parts_of, shaped
from openmanus_graph.graphs.durable import DurableGraph, DurableStateGraph, store_for
from openmanus_graph.graphs.user.node_events import EVENT_MODES, NodeEvents
from openmanus_graph.graphs.user.schemas import schemas_of
from openmanus_graph.langgraph_internals import TASK_ID_KEY, is_question_id
from openmanus_graph.loading.graphs import AnyGraph, LoadedGraph, reload_graph
from openmanus_graph.nodes.agent import KnowsOutcome
from openmanus_graph.run_config import (
    MAX_PARALLEL,
    SANDBOX,
    TITLE,
    TOOL_CONTEXT,
    WORKSPACE,
    configurable_of,
    thread_id_of,
    with_keys,
)
from openmanus_graph.scope import scope_of
from openmanus_graph.workspace import default_workspace


def user_workspace(thread_id: str, configurable: Mapping[str, Any]) -> Path:
    """The thread's folder, which exists once a tool has asked for it."""
    return Path(WORKSPACE.get(configurable) or default_workspace(thread_id)).expanduser().absolute()


class LazyToolContext:
    """The context of a run's tools, made when one of them first asks for it."""

    def __init__(
        self,
        thread_id: str,
        configurable: Mapping[str, Any],
        settings: Settings,
        cipher: Cipher | None = None,
        searches: Searches | None = None,
    ) -> None:
        """Keep what the context is made of.

        Args:
            thread_id: The thread.
            configurable: The run's; `workspace` and `sandbox` count.
            settings: The user's settings.
            cipher: Encrypts the thread's rows; by default that of the settings.
            searches: What the thread has searched for.
        """
        self._cipher = cipher
        self._searches = searches
        self._thread_id = thread_id
        self._configurable = configurable
        self._settings = settings
        self._context: ToolContext | None = None

    def __call__(self) -> ToolContext:
        """The context; the workspace exists from now on."""
        if self._context is None:
            workspace = user_workspace(self._thread_id, self._configurable)
            workspace.mkdir(parents=True, exist_ok=True)
            self._context = ToolContext(
                thread_id=self._thread_id,
                subtask_id="",
                workspace=workspace,
                settings=self._settings,
                sandbox=SANDBOX.get(self._configurable) or self._settings.sandbox,
                sealing=self._cipher or cipher_of(self._settings),
                searches=self._searches,
                report=_report,
            )
        return self._context

    async def aclose(self) -> None:
        """Close the sessions that tools have opened."""
        if self._context is not None:
            await self._context.sessions.aclose()
            await self._context.thread_sessions.aclose()


def _report(text: str) -> None:
    get_stream_writer()(text)


class UserGraph(DurableGraph):
    """A user's compiled graph that holds its thread's lease while it runs.

    Its `custom` stream has the events of its nodes; what a node writes to that stream comes as `node_progress`.
    """

    replaced: str | None = None
    """The checkpointer that the graph was compiled with and that the engine's own took the place of."""

    async def astream(  # type: ignore[override]
        self, input: Any, config: RunnableConfig | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        """Stream the graph, as a `DurableGraph` does; inside another graph, as LangGraph does."""
        completed = self.complete(config)
        if TASK_ID_KEY in configurable_of(completed):
            stream = super().inner_stream(input, self.nested(completed), **options)
        else:
            stream = super().astream(input, config, **options)
        async with aclosing(cast("AsyncGenerator[Any]", stream)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def inner_stream(  # type: ignore[override]
        self,
        given: Any,
        config: RunnableConfig,
        *,
        stream_mode: Any = None,
        subgraphs: bool = False,
        version: Any = "v1",
        **options: Any,
    ) -> AsyncGenerator[Any]:
        """LangGraph's own stream, with the events of the graph's nodes: stored, and told where `custom` was asked for.

        Args:
            given: The input, as the graph takes it.
            config: LangGraph's config, with the run's scope.
            stream_mode: The stream modes that the caller wants, one or a list; `None` means the graph's own.
            subgraphs: Whether the caller wants the chunks of nested graphs.
            version: The version of the stream that the caller wants.
            options: More of LangGraph's `astream`.
        """
        wanted = self.stream_mode if stream_mode is None else stream_mode
        asked = [wanted] if isinstance(wanted, str) else list(wanted)
        wants_events = "custom" in asked
        config, tools = self._served(config)
        scope = scope_of(config, self.builder.settings)
        events = NodeEvents(scope, await self._recorded(given, config))
        # Tokens only where somebody watches: they make models stream that would otherwise answer at once.
        modes: Any = list(dict.fromkeys([*asked, *EVENT_MODES, *(["messages"] if wants_events else [])]))
        stream = super().inner_stream(given, config, stream_mode=modes, subgraphs=True, version=version, **options)
        async with aclosing(tools), aclosing(stream) as chunks:
            async for chunk in chunks:
                namespace, mode, data = parts_of(chunk)
                for event in events.of(mode, namespace, data):
                    if wants_events:
                        yield shaped((), "custom", event, wanted, subgraphs, version)
                if mode in asked and mode != "custom" and (subgraphs or not namespace):
                    yield chunk if version == "v2" else shaped(namespace, mode, data, wanted, subgraphs, version)
                for event in scope.changes.taken() if wants_events else ():
                    yield shaped((), "custom", event, wanted, subgraphs, version)
            for event in scope.changes.taken() if wants_events else ():  # of the last step
                yield shaped((), "custom", event, wanted, subgraphs, version)

    async def _recorded(self, given: Any, config: RunnableConfig) -> Collection[str]:
        """Ids of tasks of the step to go on with whose writes are stored, so that they do not run again."""
        if (given is not None and not isinstance(given, Command)) or not isinstance(self.checkpointer, ThreadSaver):
            return ()
        return await self.checkpointer.recorded_tasks(thread_id_of(config))

    def _served(self, config: RunnableConfig) -> tuple[RunnableConfig, LazyToolContext]:
        """The config with what tools of ours ask for, and with the limit of nodes at the same time."""
        configurable = dict(config.get("configurable") or {})
        saver = self.checkpointer if isinstance(self.checkpointer, ThreadSaver) else None
        cipher, searches = None if saver is None else saver.cipher, ThreadSearches.of(saver, config)
        tools = LazyToolContext(thread_id_of(config), configurable, self.builder.settings, cipher, searches)
        changed = dict(with_keys(config, {TOOL_CONTEXT: tools}))
        # A durable graph takes LangGraph's semaphore away, which would stop dispatchers; here are none.
        if limit := MAX_PARALLEL.get(configurable):
            changed["max_concurrency"] = limit
        return cast("RunnableConfig", changed), tools

    def is_one_answer(self, resume: Any) -> bool:
        """Whether what a `Command` resumes with is the answer to the one open question: also a dict without ids."""
        return not isinstance(resume, dict) or not any(map(is_question_id, cast("dict[Any, Any]", resume)))

    async def snapshot(self, thread_id: str) -> StateSnapshot:
        """The thread's state at its newest checkpoint; what is no dict, as an `@entrypoint` may return, is `output`."""
        found = await super().snapshot(thread_id)
        return found if isinstance(found.values, dict) else found._replace(values={"output": found.values})

    def get_input_jsonschema(self, config: RunnableConfig | None = None) -> dict[str, Any]:
        """The JSON Schema of the graph's input."""
        if getattr(self.builder, "input_schema", None) is None:  # an @entrypoint has no builder of its own
            return Pregel.get_input_jsonschema(self, config)
        return super().get_input_jsonschema(config)

    def get_output_jsonschema(self, config: RunnableConfig | None = None) -> dict[str, Any]:
        """The JSON Schema of the graph's output."""
        if getattr(self.builder, "output_schema", None) is None:
            return Pregel.get_output_jsonschema(self, config)
        return super().get_output_jsonschema(config)


class UserGraphBuilder(DurableStateGraph):
    """The builder of a graph that a user built, with what a `DurableGraph` asks of it."""

    built: StateGraph[Any, Any, Any, Any] | None = None
    """What the graph was built with; `None` for an `@entrypoint`."""

    @classmethod
    def of(cls, built: StateGraph[Any, Any, Any, Any] | None, settings: Settings) -> UserGraphBuilder:
        """The builder with the attributes of the one that a graph was built with; none for an `@entrypoint`."""
        own = cls.__new__(cls)
        vars(own).update(vars(built) if built is not None else {})
        own.settings = settings
        own.built = built
        return own

    def outcome(self, values: Any) -> str:
        """The status at the end: what the graph's own builder says, if it knows, else `completed`."""
        return self.built.outcome(values) if isinstance(self.built, KnowsOutcome) else "completed"

    def thread_row(self, given: Any, configurable: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of the thread's row: what a resume by id needs, and what lists show."""
        row: dict[str, Any] = {
            "graph": dict(self.reference),
            "workspace": str(user_workspace(str(configurable["thread_id"]), configurable)),
            "sandbox": SANDBOX.get(configurable) or self.settings.sandbox,
        }
        if title := TITLE.get(configurable):
            row["title"] = title
        if limit := MAX_PARALLEL.get(configurable):
            row["settings"] = {MAX_PARALLEL.name: limit}
        return row


def make_durable(
    graph: AnyGraph,
    saver: ThreadSaver,
    *,
    reference: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
) -> DurableGraph:
    """A LangGraph graph with the engine's promises, on a saver of `open_checkpointer`.

    Args:
        graph: A `StateGraph`, a compiled graph, or an `@entrypoint`. A compiled one stays as it is; what is
            returned is a copy whose checkpointer is `saver`.
        saver: Where it keeps its steps.
        reference: How `reload_graph` finds it; without one, only the caller can resume its threads.
        settings: The settings to use instead of those of the environment.

    Returns:
        A compiled graph to `ainvoke` and `astream`.
    """
    settings = settings or Settings.load()
    row = {"builder": USER_BUILDER, "graph": dict(reference or {})}
    if isinstance(graph, DurableStateGraph):
        if reference is not None:
            graph.reference = row
        return graph.compile(checkpointer=saver)
    compiled = graph.compile() if isinstance(graph, StateGraph) else graph
    attributes = {key: value for key, value in vars(compiled).items() if key != "__orig_class__"}
    attributes["checkpointer"] = saver.for_any_values()
    attributes["store"] = store_for(compiled, saver)
    built = getattr(compiled, "builder", None)
    if isinstance(built, DurableStateGraph) and not isinstance(built, UserGraphBuilder):
        attributes["checkpointer"] = saver.for_plain_values()
        attributes["builder"] = builder = copy(built)
        made: DurableGraph = type(compiled)(**attributes)  # type: ignore[assignment]
    else:
        attributes["builder"] = builder = UserGraphBuilder.of(built, settings)
        note_schemas(schemas_of(compiled))
        made = UserGraph(schema_to_mapper=attributes.pop("schema_to_mapper", {}), **attributes)
        made.replaced = None if isinstance(compiled.checkpointer, bool | None) else type(compiled.checkpointer).__name__
    vars(made).update({key: value for key, value in attributes.items() if key not in vars(made)})
    if reference is not None or not builder.reference:
        builder.reference = row
    return made


def make_loaded_durable(loaded: LoadedGraph, saver: ThreadSaver, settings: Settings | None = None) -> DurableGraph:
    """The graph that `load_graph` found, with the engine's promises; closing the saver closes what it needs open."""
    saver.closing.push_async_callback(loaded.aclose)
    return make_durable(loaded.graph, saver, reference=loaded.reference, settings=settings)


async def rebuild_user_graph(thread: Thread, saver: ThreadSaver, settings: Settings | None = None) -> DurableGraph:
    """The graph of a thread that runs a user's own graph, loaded again.

    Raises:
        GraphNotImportableError: If it cannot be loaded here.
    """
    reference = cast("dict[str, Any]", thread.graph.get("graph") or {})
    found = await reload_graph(reference, thread.thread_id, saver.closing)
    return make_durable(found, saver, reference=reference, settings=settings)
