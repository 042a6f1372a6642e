"""Execution: one run of a graph from the command line, with signals, view, questions and exit code."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import click
from langgraph.errors import GraphDrained
from langgraph.types import Command

from openmanus_graph.budget import Spending
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.cli.asking import AtTerminal, Person, ask_all
from openmanus_graph.cli.report import EXIT_CODES, current_plan, current_results, next_step, report
from openmanus_graph.cli.run_view_model import RunViewModel
from openmanus_graph.cli.terminal import interactive, print_json_line, with_program
from openmanus_graph.cli.view import View, choose_view
from openmanus_graph.errors import DatabaseError, OpenManusGraphError, StaleRunnerError
from openmanus_graph.events import Event, Usage, now
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.nodes.gate import Gate
from openmanus_graph.plan import Plan

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class StopSignal:
    """Stop by signal: the first one drains, the second one ends the process at once."""

    gate: Gate
    view: View
    signal_number: int | None = None

    def install(self) -> None:
        """Take Ctrl-C and `SIGTERM`."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._arrived, number)

    def remove(self) -> None:
        """Restore the earlier handlers, such as that of a prompt which Ctrl-C ends."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    def _arrived(self, number: int) -> None:
        if self.signal_number is not None:
            self.view.stop()
            click.echo("Stopped at once; the thread can be resumed.", err=True)
            os._exit(128 + number)
        self.signal_number = number
        self.gate.request_drain("the user stopped it")
        self.view.say("Stopping: what runs ends, nothing new starts. Again to stop at once.")


@dataclass(frozen=True)
class RunDisplay:
    """Display of a run: its view, and who answers its questions."""

    as_json: bool = False
    """Whether events go to stdout as JSON."""
    quiet: bool = False
    """Whether to show no progress."""
    task: str = ""
    """What was asked, for views, until there is a plan."""
    person: Person | None = None
    """Who is asked open questions; `None` leaves them open."""


@dataclass
class RunOutcome:
    """Outcome of a run: thread, state, usage and exit code."""

    thread: Thread
    """The thread as it is now."""
    values: Mapping[str, Any]
    """The graph's state."""
    usage: Usage
    """What the request has used."""
    elapsed_s: float
    """Seconds of this process."""
    signal_number: int | None = None
    """The signal that stopped it, or `None`."""
    plan: Plan | None = None
    """Its present plan, or `None` if it has none."""
    told: Collection[str] = ()
    """Subtasks whose failure was said already."""
    results: dict[str, Any] = field(init=False)
    """Results of the present plan."""

    def __post_init__(self) -> None:
        self.results = current_results(self.thread, self.values, self.plan)

    @property
    def exit_code(self) -> int:
        """Exit code of the process."""
        if self.signal_number is not None and self.thread.status == "waiting":
            return 128 + self.signal_number
        if self.signal_number is None and self.thread.status == "paused":  # by a stop of the graph itself
            return EXIT_CODES["waiting"]
        return EXIT_CODES.get(self.thread.status, 128 + (self.signal_number or signal.SIGINT))


async def execute(
    app: DurableGraph,
    given: Any,
    *,
    thread_id: str,
    configurable: Mapping[str, Any],
    as_json: bool,
    quiet: bool,
    task: str = "",
) -> int:
    """Run the graph until it ends, waits or is stopped; print the result on stdout.

    Args:
        app: The compiled graph.
        given: Its input, `None` to go on, or a command.
        thread_id: The thread.
        configurable: More of the config.
        as_json: Whether events go to stdout as JSON.
        quiet: Whether to show no progress.
        task: What was asked, for views.

    Returns:
        The exit code.
    """
    person = AtTerminal() if interactive() and not as_json else None
    showing = RunDisplay(as_json, quiet, task, person)
    try:
        ended = await perform(app, given, thread_id=thread_id, configurable=configurable, showing=showing)
    except (DatabaseError, StaleRunnerError):
        raise  # nothing more can be said of the thread, or it is somebody else's
    except OpenManusGraphError as error:
        await _tell_stopped(cast("ThreadSaver", app.checkpointer), thread_id, error, as_json=as_json)
        raise
    if as_json:
        _print_last_event(ended)
    else:
        hint, told = next_step(ended.thread), ended.told
        report(ended.thread, ended.values, hint=hint, usage=ended.usage, plan=ended.plan, told=told)
    return ended.exit_code


async def perform(
    app: DurableGraph, given: Any, *, thread_id: str, configurable: Mapping[str, Any], showing: RunDisplay
) -> RunOutcome:
    """Run the graph until it ends, waits for somebody who is not there, or is stopped.

    Args:
        app: The compiled graph.
        given: Its input, `None` to go on, or a command.
        thread_id: The thread.
        configurable: More of the config.
        showing: How it is shown.
    """
    saver = cast("ThreadSaver", app.checkpointer)
    began = time.monotonic()
    going_on = given is None or isinstance(given, Command)
    view_model = await _view_model(app, thread_id, showing.task, going_on)
    while True:
        view = choose_view(view_model, as_json=showing.as_json, quiet=showing.quiet)
        stop = StopSignal(Gate(), view)
        await _stream(app, given, {**configurable, "thread_id": thread_id}, stop)
        thread = cast("Thread", await get_thread(saver, thread_id))
        if thread.status == "waiting" and showing.person is not None and stop.signal_number is None:
            answers = ask_all(thread.questions, showing.person, partial(app.check_answer, workspace=thread.workspace))
            if answers is not None:
                given = Command(resume=answers)
                view_model.again()
                continue
        break
    snapshot = await app.snapshot(thread_id)
    spent = Spending(thread_id, app.builder.settings.budget, saver)
    await spent.load()
    values = cast("Mapping[str, Any]", snapshot.values)
    plan = current_plan(thread, values, app.builder.plans)
    elapsed_s = time.monotonic() - began
    return RunOutcome(thread, values, spent.total, elapsed_s, stop.signal_number, plan, view_model.told)


async def _view_model(app: DurableGraph, thread_id: str, task: str, going_on: bool) -> RunViewModel:
    """View model that starts with the usage of earlier processes."""
    budget = app.builder.settings.budget
    if not going_on:
        return RunViewModel(thread_id, task=task, budget=budget)
    spent = Spending(thread_id, budget, cast("ThreadSaver", app.checkpointer))
    await spent.load()
    return RunViewModel(thread_id, task=task, budget=budget, before=spent.total, active_s=spent.active_s)


async def _stream(app: DurableGraph, given: Any, configurable: Mapping[str, Any], stop: StopSignal) -> None:
    stop.install()
    stop.view.start()
    try:
        async for event in app.astream(
            given,
            {"configurable": dict(configurable)},
            stream_mode="custom",
            control=stop.gate,
        ):
            stop.view.show(event)
    except GraphDrained:
        pass  # the thread's status says so, and `report` how to go on
    finally:
        stop.view.stop()
        stop.remove()


async def _tell_stopped(saver: ThreadSaver, thread_id: str, error: OpenManusGraphError, *, as_json: bool) -> None:
    """Add the resume command to an error that stopped the thread; with `--json`, close the stream too."""
    thread = await get_thread(saver, thread_id)
    if thread is None or thread.status != "stopped":
        return
    command = f"openmanus-graph resume {thread_id}"
    if "openmanus-graph resume" not in (error.hint or ""):
        error.hint = "\n".join(filter(None, [error.hint, f"What is done is kept. Go on with: {command}"]))
    if as_json:
        last = Event(type="run_finished", id=f"{thread_id}/run_finished", thread_id=thread_id, time=now())
        last.update(status=thread.status, error=error.message, next=with_program(command))
        print_json_line(last)


def _print_last_event(ended: RunOutcome) -> None:
    """Print the last event of `--json`, with answer, results, questions and workspace."""
    thread, hint = ended.thread, next_step(ended.thread)
    last = Event(type="run_finished", id=f"{thread.thread_id}/run_finished", thread_id=thread.thread_id, time=now())
    last.update(status=thread.status, error=thread.error, elapsed_s=round(ended.elapsed_s, 3), usage=ended.usage)
    if hint:
        last["next"] = with_program(hint)
    more = {
        "answer": ended.values.get("answer"),
        "results": ended.results,
        "questions": thread.questions,
        "workspace": thread.workspace,
    }
    print_json_line({**last, **more})
