"""Execution: one run of a graph from the command line, with signals, view, questions and exit code."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import click
from langgraph.errors import GraphDrained
from langgraph.types import Command

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.cli.terminal import interactive, program, with_program
from openmanus_graph.cli.view import View, choose_view
from openmanus_graph.events import Event, now
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.nodes.gate import Gate
from openmanus_graph.questions import Question, answers_for

EXIT_CODES = {"completed": 0, "failed": 1, "waiting": 3, "partial": 4}


@dataclass
class Stop:
    """What a signal asked for: the first drains, the second ends the process at once."""

    gate: Gate
    view: View
    signal_number: int | None = None

    def install(self) -> None:
        """Take Ctrl-C and `SIGTERM`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._arrived, number)

    def _arrived(self, number: int) -> None:
        if self.signal_number is not None:
            self.view.stop()
            click.echo("Stopped at once; the thread can be resumed.", err=True)
            os._exit(128 + number)
        self.signal_number = number
        self.gate.request_drain("the user stopped it")
        click.echo("Stopping: running steps end, nothing new starts. Again to stop at once.", err=True)


async def execute(
    app: DurableGraph,
    given: Any,
    *,
    thread_id: str,
    configurable: Mapping[str, Any],
    as_json: bool,
    quiet: bool,
) -> int:
    """Run the graph until it ends, waits or is stopped; print the result on stdout.

    Args:
        app: The compiled graph.
        given: Its input, `None` to go on, or a command.
        thread_id: The thread.
        configurable: More of the config.
        as_json: Whether events go to stdout as JSON.
        quiet: Whether to show no progress.

    Returns:
        The exit code.
    """
    saver = cast("ThreadSaver", app.checkpointer)
    began = time.monotonic()
    while True:
        view = choose_view(thread_id, as_json=as_json, quiet=quiet)
        stop = Stop(Gate(), view)
        await _stream(app, given, {**configurable, "thread_id": thread_id}, stop)
        thread = cast("Thread", await get_thread(saver, thread_id))
        if thread.status == "waiting" and interactive() and not as_json and stop.signal_number is None:
            answers = _prompt(thread.questions)
            if answers is not None:
                given = Command(resume=answers)
                continue
        break
    snapshot = await app.snapshot(thread_id)
    everything = cast("dict[str, Any]", snapshot.values.get("results") or {})
    planned = {subtask["id"] for subtask in (thread.plan or {}).get("subtasks", [])}
    results = {key: result for key, result in everything.items() if key in planned}
    code = EXIT_CODES.get(thread.status, 128 + (stop.signal_number or signal.SIGINT))
    if stop.signal_number is not None and thread.status == "waiting":
        code = 128 + stop.signal_number
    hint = next_step(thread)
    if as_json:
        last = Event(type="run_finished", id=f"{thread_id}/run_finished", thread_id=thread_id, time=now())
        last.update(status=thread.status, error=thread.error, elapsed_s=round(time.monotonic() - began, 3))
        if hint:
            last["next"] = with_program(hint)
        view.show(cast("Event", {**last, "results": results, "workspace": thread.workspace}))
        return code
    report(thread, results, hint)
    return code


async def _stream(app: DurableGraph, given: Any, configurable: Mapping[str, Any], stop: Stop) -> None:
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


def _prompt(questions: list[Question]) -> dict[str, Any] | None:
    """Ask the person at the terminal one of the open questions; `None` if they would rather not."""
    question = questions[0]
    try:
        text = click.prompt(f"{question['subtask'] or 'question'}: {question['question']}", err=True)
    except click.Abort:
        click.echo("", err=True)
        return None
    return dict(answers_for([question], [str(text)]))


def next_step(thread: Thread) -> str | None:
    """The command that goes on with a thread, or `None` where nothing is left to do."""
    name = thread.thread_id
    if thread.status == "completed":
        return None
    if thread.status == "waiting":
        several = len(thread.questions) > 1
        shown = f"{thread.questions[0]['subtask']}=…" if several else "…"
        return f"openmanus-graph resume {name} --answer {shown}"
    return f"openmanus-graph resume {name}"


def sinks(plan: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs of the completed subtasks that no other subtask needs: what the plan was for."""
    from openmanus_graph.plan import Plan

    parsed = Plan.parse(plan)
    needed = {need for subtask in parsed.subtasks for need in parsed.prerequisites(subtask)}
    return {
        subtask.id: results[subtask.id]["output"]
        for subtask in parsed.subtasks
        if subtask.id not in needed and results.get(subtask.id, {}).get("status") == "completed"
    }


def as_text(output: Any) -> str:
    """An output for people: text as it is, a flat dict as `key: value` lines, anything else as JSON."""
    import json

    if isinstance(output, str):
        return output
    if isinstance(output, dict):
        fields = cast("dict[str, Any]", output)
        if fields and all(isinstance(value, (str, int, float, bool)) for value in fields.values()):
            return "\n".join(f"{key}: {value}" for key, value in fields.items())
    return json.dumps(output, indent=2, ensure_ascii=False)


def report(thread: Thread, results: Mapping[str, Any], hint: str | None) -> None:
    """Print the end of a run: results on stdout, the rest on stderr."""
    for name, output in sinks(thread.plan or {}, results).items() if thread.plan else ():
        click.echo(as_text(output) if output is not None else f"{name}: done")
    for name, result in results.items():
        if result["status"] == "failed":
            click.echo(f"{name} failed: {result['error']}", err=True)
    if thread.sandbox == "none":
        click.echo("It ran without a sandbox (--sandbox none).", err=True)
    words = {
        "completed": "completed",
        "failed": "failed; what completed is kept",
        "waiting": "waits for an answer",
        "paused": "is paused",
    }
    click.echo(f"Thread {thread.thread_id} {words.get(thread.status, thread.status)}.", err=True)
    for question in thread.questions:
        click.echo(f"  {question['subtask']} asks: {question['question']}", err=True)
    if hint:
        verb = "Try again what is not completed" if thread.status == "failed" else "Go on"
        click.echo(f"{verb} with: {with_program(hint)}", err=True)
    elif thread.workspace:
        click.echo(
            f"Files are in {thread.workspace}; look back with: {program()} threads show {thread.thread_id}",
            err=True,
        )
    sys.stdout.flush()
