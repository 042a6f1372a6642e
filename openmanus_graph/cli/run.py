"""Run: ask the agent, or start a plan or a user graph."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.thread_id import checked_thread, new_thread_id
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.cli.attachments import attach, checked, page_pictures
from openmanus_graph.cli.execution import execute
from openmanus_graph.cli.options import RunOptions, absolute
from openmanus_graph.cli.report import next_step
from openmanus_graph.cli.user_graph import UserGraphOptions, run_user_graph
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ThreadUnfinishedError, UsageError
from openmanus_graph.graphs.builders import runs_agent
from openmanus_graph.graphs.durable import DurableStateGraph
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.graphs.plan import build_plan_graph
from openmanus_graph.graphs.rebuild import rebuild_graph
from openmanus_graph.loading.plugins import find_agents
from openmanus_graph.plan import Plan
from openmanus_graph.tools.rebuild import available_tools, why_missing
from openmanus_graph.tools.registry import builtin
from openmanus_graph.workspace import default_workspace

LONGEST_TASK = 1_000_000
"""Characters a task may have; what is longer belongs into an attachment."""


def run(
    task: tuple[str, ...],
    plan_file: str | None,
    graph: str | None,
    given: str | None,
    thread: str | None,
    **option_values: Any,
) -> int:
    """Ask the agent, or run a plan or a graph of your own."""
    options = RunOptions(thread=checked_thread(thread) if thread else None, **option_values)
    if graph is not None:
        if plan_file is not None:
            raise click.UsageError("Give --plan or --graph, not both.")
        return asyncio.run(_run_user_graph(graph, task, given, options))
    if given is not None:
        raise click.UsageError("--input is for --graph.")
    if bool(task) == (plan_file is not None):
        raise click.UsageError('Say what to do: openmanus-graph run "TASK", or --plan FILE, or --graph REF.')
    if plan_file is not None:
        if options.attach:
            raise click.UsageError("--attach is for a TASK; a plan finds its files in --workspace.")
        return asyncio.run(run_plan(Path(plan_file), options))
    return asyncio.run(run_task(task_of(task), options))


def task_of(words: tuple[str, ...]) -> str:
    """Task text, from the command line or from stdin.

    Raises:
        UsageError: If it is empty or too long.
    """
    try:
        text = sys.stdin.read() if words == ("-",) else " ".join(words)
    except UnicodeDecodeError as error:
        raise UsageError("The task on stdin is not valid UTF-8.", hint="Attach the file with --attach.") from error
    text = text.replace("\0", "").strip()
    if not text:
        raise UsageError("The task is empty.", hint='Say what to do: openmanus-graph run "TASK"')
    if len(text) > LONGEST_TASK:
        raise UsageError(
            f"The task has {len(text):,} characters; at most {LONGEST_TASK:,} can be taken.",
            hint="Attach the long part as a file with --attach.",
        )
    return text


SOUNDS = frozenset({".mp3", ".wav", ".m4a", ".ogg", ".oga", ".opus", ".flac", ".aac", ".webm"})
"""Endings of recordings."""


async def run_task(task: str, options: RunOptions) -> int:
    """Hand the agent a task, in a new thread or as the next request of a conversation."""
    checked(options.attach)
    graph = agent_graph(options, None)  # a missing model is said before a database is started
    name = options.thread or new_thread_id(task)
    async with open_checkpointer(settings=options.effective_settings()) as saver:
        known = await get_thread(saver, name) if options.thread else None
        if known is not None:
            refuse_request(known, task)
            graph = agent_graph(options, known)
        given = {"task": task, "attachments": await handed(options.attach, name, known, options)}
        return await execute(
            graph.compile(checkpointer=saver),
            given,
            thread_id=name,
            configurable={**options.stored_settings(known), **options.configurable},
            as_json=options.as_json,
            quiet=options.quiet,
            task=task,
        )


def agent_graph(options: RunOptions, thread: Thread | None) -> DurableStateGraph:
    """The agent's graph: from the options first, then from how the thread began.

    Raises:
        NoModelError: If a role has no model.
    """
    settings = options.effective_settings(thread)
    tools = None
    if thread is None or options.tools:
        tools = list(available_tools(options.tools, settings).values())
    if thread is not None:
        return rebuild_graph(thread, settings, tools=tools, model=options.model, policy=options.policy)
    agents = {name: agent.graph for name, agent in find_agents().items()}
    return build_manus_graph(models=options.model, tools=tools, agents=agents, settings=settings)


def refuse_request(thread: Thread, task: str | None) -> None:
    """Raise if a thread runs something other than the agent, or cannot take the next request yet.

    Args:
        thread: The thread.
        task: The request; `None` where there is none yet, so that an unfinished one is no obstacle.
    """
    name = thread.thread_id
    words = ["chat"] if task is None else ["run", task if len(task) <= 80 else "…"]
    again = f"openmanus-graph {shlex.join([*words, '--thread', new_thread_id(name)])}"
    if not runs_agent(thread):
        raise UsageError(
            f"The thread {name!r} is no conversation: it runs a plan or a graph of your own.",
            hint=f"Start a conversation: {again}",
        )
    if task is not None and not thread.finished:
        go_on = next_step(thread) or f"openmanus-graph resume {name}"
        raise ThreadUnfinishedError(
            f"The thread {name!r} is {thread.status} and has not ended.",
            hint=f"Go on with it: {go_on}\nOr start anew: {again}",
        )


def attached(files: list[Path], name: str, thread: Thread | None, options: RunOptions) -> list[str]:
    """Copy files into the workspace that the thread has or will have; their paths in it."""
    if not files:
        return []
    sounds = [path.name for path in files if path.suffix.lower() in SOUNDS]
    if sounds and (why := why_missing(builtin("transcribe_audio"), options.effective_settings(thread))):
        click.echo(f"{sounds[0]!r} is sound, and nothing can listen to it here. {why}", err=True)
    return attach(files, _folder(name, thread, options))


async def handed(files: Sequence[str], name: str, thread: Thread | None, options: RunOptions) -> list[str]:
    """Copy files into the workspace, as `attached` does, and draw pages of PDFs that are named `FILE.pdf#page=N`."""
    copied = attached(checked(files), name, thread, options)
    if not copied:
        return []
    settings = options.effective_settings(thread)
    return [*copied, *await page_pictures(files, copied, _folder(name, thread, options), settings)]


def _folder(name: str, thread: Thread | None, options: RunOptions) -> Path:
    folder = options.workspace or (thread.workspace if thread is not None else None) or default_workspace(name)
    return Path(folder).expanduser().absolute()


async def run_plan(plan_file: Path, options: RunOptions) -> int:
    """Execute a plan; only one with subtasks for agents needs a model."""
    settings = options.effective_settings()
    graph, plan = plan_graph(plan_file, options, settings)
    name = options.thread or new_thread_id(plan_file.stem, settings)
    async with open_checkpointer(settings=settings) as saver:
        known = await get_thread(saver, name) if options.thread else None
        if known is not None and not known.finished:
            raise ThreadUnfinishedError(
                f"The thread {name!r} is {known.status} and has not ended.",
                hint=f"Go on with it: openmanus-graph resume {name}\n"
                f"Or start anew: {_anew(plan_file, options, new_thread_id(name, settings))}",
            )
        return await execute(
            graph.compile(checkpointer=saver),
            {"plan": plan},
            thread_id=name,
            configurable={**options.stored_settings(known), **options.configurable, "plan_file": absolute(plan_file)},
            as_json=options.as_json,
            quiet=options.quiet,
            task=plan.goal,
        )


def plan_graph(plan_file: Path, options: RunOptions, settings: Settings) -> tuple[Any, Plan]:
    """The graph that can execute the plan of a file, and the plan, checked with the graph's tools."""
    plan = Plan.from_file(plan_file)
    graph = graph_of_plan(plan, options, settings)
    return graph, plan if any(subtask.agent for subtask in plan.subtasks) else graph.plans.accept(plan)


def graph_of_plan(plan: Plan, options: RunOptions, settings: Settings) -> Any:
    """The graph that can execute a plan: the agent's, where a subtask is for an agent."""
    if any(subtask.agent for subtask in plan.subtasks):
        return agent_graph(options, None)
    return build_plan_graph(list(available_tools(options.tools, settings).values()), settings=settings)


def _anew(plan_file: Path, options: RunOptions, name: str) -> str:
    """The command that runs the same plan in the same way in another thread; a workspace is never shared."""
    words = ["--plan", str(plan_file), *(word for place in options.tools for word in ("--tools", place))]
    for option, value in options.configurable.items():
        if option not in ("workspace", "force"):
            words += [f"--{option.replace('_', '-')}", str(value)]
    return "openmanus-graph run " + shlex.join([*words, "--thread", name])


async def _run_user_graph(place: str, task: tuple[str, ...], given: str | None, options: RunOptions) -> int:
    own = UserGraphOptions(options.thread, options.configurable, options.as_json, options.quiet)
    return await run_user_graph(place, task_of(task) if task else None, given, own, options.effective_settings())
