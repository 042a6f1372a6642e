"""User graph: run, resume and list graphs that users define."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import click
from langchain_core.messages import BaseMessage
from langgraph.types import Command

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.thread_id import new_thread_id
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.cli.asking import AtTerminal
from openmanus_graph.cli.execution import RunDisplay, RunOutcome, perform
from openmanus_graph.cli.report import EXIT_CODES, next_step, note_not_begun, print_result, report
from openmanus_graph.cli.terminal import interactive, print_json, print_json_line, print_table, with_program
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import OpenManusGraphError, ThreadUnfinishedError, UsageError
from openmanus_graph.events import Event, now
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.graphs.user.node_events import answer_in
from openmanus_graph.graphs.user.user_graph import UserGraphBuilder, make_loaded_durable, rebuild_user_graph
from openmanus_graph.loading.graphs import BUILT_IN, LoadedGraph, load_graph
from openmanus_graph.loading.input_schema import check_input, input_of, read_input, title_of
from openmanus_graph.loading.langgraph_json import find_project
from openmanus_graph.loading.user_modules import described
from openmanus_graph.questions import answers_for
from openmanus_graph.values.storable_json import storable


@dataclass(frozen=True)
class UserGraphOptions:
    """How a user's own graph is run and shown."""

    thread_id: str | None = None
    """The thread; `None` means a new one, named after the task."""
    configurable: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """More of the config, such as `workspace` and `max_parallel`."""
    as_json: bool = False
    """Whether events go to stdout as JSON."""
    quiet: bool = False
    """Whether to show no progress."""


async def run_user_graph(
    place: str, task: str | None, given: str | None, options: UserGraphOptions, settings: Settings | None = None
) -> int:
    """Run a user's own graph as a thread.

    Args:
        place: The graph, as `load_graph` takes it.
        task: What is asked, in words; the graph's input schema says where it belongs.
        given: The input as JSON, or `@FILE`; one of both must be there.
        options: How it is run and shown.
        settings: The settings to use instead of those of the environment.

    Returns:
        The exit code.

    Raises:
        UsageError: If the graph cannot be loaded, or the input does not fit it.
        ThreadUnfinishedError: If the thread has not ended.
    """
    settings = settings or Settings.load()
    loaded = await load_graph(place)
    if (task is None) == (given is None):
        raise UsageError(
            "A graph takes a task or an input.", hint=f'Give "TASK" or --input JSON to run --graph {place}.'
        )
    async with open_checkpointer(settings=settings) as saver:
        app = make_loaded_durable(loaded, saver, settings)
        value = read_input(given) if given is not None else input_of(app, cast("str", task))
        check_input(app, value)
        title = title_of(value) or loaded.name
        thread_id = options.thread_id or new_thread_id(title if task is not None else loaded.name, settings)
        await _refuse_other(saver, thread_id, app, loaded)
        _say_replaced(app)
        configurable = {**options.configurable, "title": title}
        return await _perform(app, value, thread_id, configurable, options, title)


async def resume_user_graph(
    thread: Thread,
    saver: ThreadSaver,
    answers: Sequence[str],
    options: UserGraphOptions,
    settings: Settings | None = None,
) -> int:
    """Go on with a thread that runs a user's own graph.

    Args:
        thread: The thread; `runs_user_graph` says whether it is one.
        saver: Where it is kept.
        answers: Answers to its questions, as the command line takes them.
        options: How it is shown.
        settings: The settings to use instead of those of the environment.

    Returns:
        The exit code.
    """
    app = await rebuild_user_graph(thread, saver, settings)
    force = bool(options.configurable.get("force"))
    if not thread.finished and thread.status != "running":  # what is next is known only to a graph that fits
        await app.check_version(thread.thread_id, force=force)
    standing = await app.standing(thread)
    standing.refuse(thread.thread_id)
    note_not_begun(standing, thread.thread_id)
    given: Any = None
    if answers:
        found = answers_for(standing.questions, list(answers))
        for question in standing.questions:
            app.check_answer(question, found.get(question["id"]), thread.workspace)
        given = Command(resume=dict(found))
    elif thread.finished and thread.status != "completed" and not isinstance(app.builder, UserGraphBuilder):
        given = _again(app, standing.values)
    if thread.finished and given is None:
        ended = await app.snapshot(thread.thread_id)
        _say_end(app, thread, cast("Mapping[str, Any]", ended.values))
        return EXIT_CODES[thread.status]
    kept = {"max_parallel": thread.settings["max_parallel"]} if thread.settings.get("max_parallel") else {}
    configurable = {**kept, **options.configurable, "title": thread.title}
    return await _perform(app, given, thread.thread_id, configurable, options, thread.title)


def _again(app: DurableGraph, values: Any) -> Any:
    """Input that retries the unfinished work of a built-in graph which the user made."""
    fields = cast("dict[str, Any]", app.get_input_jsonschema().get("properties") or {})
    return {"again": True} if "again" in fields else {"plan": values.get("plan")}


async def _refuse_other(saver: ThreadSaver, thread_id: str, app: DurableGraph, loaded: LoadedGraph) -> None:
    """Raise if the thread exists and has not ended, or runs another graph."""
    known = await get_thread(saver, thread_id)
    if known is None:
        return
    if not known.finished:
        raise ThreadUnfinishedError(
            f"The thread {thread_id!r} is {known.status} and has not ended.",
            hint=f"Go on with it: openmanus-graph resume {thread_id}",
        )
    if known.graph != dict(app.builder.reference):
        raise UsageError(
            f"The thread {thread_id!r} belongs to another graph than {loaded.name!r}.",
            hint="Name another thread, or none.",
        )


def _say_replaced(app: DurableGraph) -> None:
    replaced = getattr(app, "replaced", None)
    if replaced:
        click.echo(f"The graph's own {replaced} is not used: its steps are kept in Postgres.", err=True)


async def _perform(
    app: DurableGraph, given: Any, thread_id: str, configurable: Mapping[str, Any], options: UserGraphOptions, task: str
) -> int:
    person = AtTerminal() if interactive() and not options.as_json else None
    showing = RunDisplay(options.as_json, options.quiet, task, person)
    try:
        ended = await perform(app, given, thread_id=thread_id, configurable=configurable, showing=showing)
    except (OpenManusGraphError, OSError):
        raise
    except Exception as error:
        raise _failure(error, thread_id) from error
    if options.as_json:
        _print_last(app, ended)
    else:
        _say_end(app, ended.thread, ended.values, ended)
    return ended.exit_code


def _failure(error: Exception, thread_id: str) -> Exception:
    """Error of a user's node, as a sentence that names node and line."""
    notes = " ".join(getattr(error, "__notes__", []))
    node = re.search(r"During task with name '([^']*)'", notes)
    where = f"The node {node[1]!r}" if node else "The graph"
    return OpenManusGraphError(
        f"{where} failed: {described(error)}.",
        hint=f"What it has done is kept. Try the step again with: openmanus-graph resume {thread_id}",
    )


def output_of(app: DurableGraph, values: Any) -> Any:
    """The graph's output among its state's values."""
    channels = app.output_channels
    fields = cast("Mapping[str, Any]", values)
    if isinstance(channels, str):  # an @entrypoint, whose output is one value
        return fields.get("output", values)
    return {name: fields[name] for name in channels if name in fields}


def _next_step(app: DurableGraph, thread: Thread) -> str | None:
    """The command that goes on; a graph of one's own that ran to its end has nothing left, however it ended."""
    return None if thread.finished and isinstance(app.builder, UserGraphBuilder) else next_step(thread)


def _say_end(app: DurableGraph, thread: Thread, values: Mapping[str, Any], ended: RunOutcome | None = None) -> None:
    """Print the answer on stdout, the rest on stderr."""
    hint = _next_step(app, thread)
    usage = None if ended is None else ended.usage
    if not isinstance(app.builder, UserGraphBuilder):
        report(thread, values, hint=hint, usage=usage, told=() if ended is None else ended.told)
        return
    if thread.finished:
        output = output_of(app, values)
        answer = answer_in(output)
        print_result(json.dumps(as_json(output), indent=2, ensure_ascii=False) if answer is None else answer)
    report(thread, {}, hint=hint, usage=usage)


def _print_last(app: DurableGraph, ended: RunOutcome) -> None:
    """Print the last event of `--json`, with answer, output and questions."""
    thread, hint = ended.thread, _next_step(app, ended.thread)
    output = output_of(app, ended.values)
    last = Event(type="run_finished", id=f"{thread.thread_id}/run_finished", thread_id=thread.thread_id, time=now())
    last.update(status=thread.status, error=thread.error, elapsed_s=round(ended.elapsed_s, 3), usage=ended.usage)
    if hint:
        last["next"] = with_program(hint)
    more = {"answer": answer_in(output), "output": as_json(output), "questions": thread.questions}
    print_json_line({**last, **more})


def as_json(value: Any) -> Any:
    """An output in JSON types: messages as their type and content."""
    if isinstance(value, BaseMessage):
        calls = getattr(value, "tool_calls", None)
        return {"type": value.type, "content": value.content, **({"tool_calls": calls} if calls else {})}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(item) for item in cast("Sequence[Any]", value)]
    return storable(value)


def list_graphs(in_json: bool) -> None:
    """List the graphs that `run --graph NAME` knows: those of the folder's langgraph.json, and the built-in ones."""
    graphs = asyncio.run(_list())
    if in_json:
        print_json(graphs)
        return
    rows = [[graph["name"], graph["from"], graph["description"]] for graph in graphs]
    print_table(["GRAPH", "FROM", "WHAT IT DOES"], rows)
    click.echo(with_program(f'Run one with: openmanus-graph run --graph {graphs[0]["name"]} "TASK"'), err=True)
    if find_project() is None:
        click.echo(with_program("No langgraph.json here. Make a project with: openmanus-graph new DIR"), err=True)


async def _list() -> list[dict[str, str]]:
    project = find_project()
    own = dict(project.graphs) if project else {}
    graphs: list[dict[str, str]] = []
    for name, place in {**own, **{name: "built in" for name in BUILT_IN if name not in own}}.items():
        try:
            async with await load_graph(name) as loaded:
                description = loaded.description
        except UsageError as error:
            description = f"cannot be loaded: {error.message}"
        graphs.append({"name": name, "from": place, "description": description})
    return graphs
