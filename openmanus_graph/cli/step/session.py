"""Step session: go through a thread step by step at the terminal."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.thread_id import checked_thread, new_thread_id
from openmanus_graph.checkpoints.threads import find_thread
from openmanus_graph.cli.options import RunOptions
from openmanus_graph.cli.run import agent_graph, plan_graph, task_of
from openmanus_graph.cli.step.commands import StepCommands
from openmanus_graph.cli.step.screen import StepScreen
from openmanus_graph.graphs.rebuild import rebuild_app
from openmanus_graph.graphs.user.user_graph import make_loaded_durable
from openmanus_graph.loading.graphs import load_graph
from openmanus_graph.loading.input_schema import check_input, input_of, read_input, title_of
from openmanus_graph.stepping.stepper import Stepper


def step(
    words: tuple[str, ...],
    plan_file: str | None,
    graph: str | None,
    given: str | None,
    thread: str | None,
    **option_values: Any,
) -> int:
    """Go through a thread step by step: one node of one branch, breakpoints, edits, back in time."""
    options = RunOptions(thread=checked_thread(thread) if thread else None, **option_values)
    if not words and plan_file is None and graph is None:
        raise click.UsageError("Name a THREAD, or give a TASK, --plan FILE or --graph REF.")
    return asyncio.run(_step(words, plan_file, graph, given, options))


async def _step(
    words: tuple[str, ...], plan_file: str | None, graph: str | None, given: str | None, options: RunOptions
) -> int:
    async with open_checkpointer(settings=options.effective_settings()) as saver:
        if graph is not None:
            stepper = await _own(saver, graph, words, given, options)
        elif plan_file is not None:
            stepper = _plan(saver, Path(plan_file), options)
        elif len(words) == 1 and " " not in words[0]:
            stepper = await _known(saver, words[0], options)
        else:
            stepper = _task(saver, words, options)
        async with stepper:
            commands = StepCommands(stepper)
            if sys.stdin.isatty() and sys.stdout.isatty():
                await StepScreen(commands).run()
            else:
                await _lines(commands)
            await stepper.close()
            click.echo(f"The thread {stepper.thread_id} is {stepper.status}.", err=True)
    return 0


async def _lines(commands: Any) -> None:
    """Execute commands from stdin, one a line."""
    click.echo(commands.stepper.last["text"])
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() in ("quit", "q"):
            return
        if line.strip():
            click.echo(await commands.do(line))


def _plan(saver: ThreadSaver, file: Path, options: RunOptions) -> Stepper:
    graph, plan = plan_graph(file, options, options.effective_settings())
    name = options.thread or new_thread_id(file.stem)
    configurable = {**options.stored_settings(None), **options.configurable}
    return Stepper(graph.compile(checkpointer=saver), thread_id=name, input={"plan": plan}, configurable=configurable)


def _task(saver: ThreadSaver, words: tuple[str, ...], options: RunOptions) -> Stepper:
    task = task_of(words)
    app: Any = agent_graph(options, None).compile(checkpointer=saver)
    name = options.thread or new_thread_id(task)
    configurable = {**options.stored_settings(None), **options.configurable}
    return Stepper(app, thread_id=name, input={"task": task}, configurable=configurable)


async def _known(saver: ThreadSaver, name: str, options: RunOptions) -> Stepper:
    thread = await find_thread(saver, name)
    app = await rebuild_app(thread, saver, options.effective_settings(thread))
    kept = {"max_parallel": thread.settings["max_parallel"]} if thread.settings.get("max_parallel") else {}
    configurable = {**kept, **options.stored_settings(thread), **options.configurable}
    return Stepper(app, thread_id=thread.thread_id, configurable=configurable)


async def _own(
    saver: ThreadSaver, place: str, words: tuple[str, ...], given: str | None, options: RunOptions
) -> Stepper:
    if bool(words) == (given is not None):
        raise click.UsageError("A graph takes a TASK or an --input.")
    loaded = await load_graph(place)
    app = make_loaded_durable(loaded, saver, options.effective_settings())
    value = read_input(given) if given is not None else input_of(app, task_of(words))
    check_input(app, value)
    title = title_of(value) or loaded.name
    configurable = {**options.configurable, "title": title}
    name = options.thread or new_thread_id(title if words else loaded.name)
    return Stepper(app, thread_id=name, input=value, configurable=configurable)
