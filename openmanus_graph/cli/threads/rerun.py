"""Rerun: what came after a point once more, in a new thread, with edits."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.forking.edit import read_edit
from openmanus_graph.checkpoints.forking.fork import Fork, fork_thread
from openmanus_graph.checkpoints.history.checkpoint_ref import find_place
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.cli.options import RunOptions
from openmanus_graph.cli.resume import resume_thread
from openmanus_graph.cli.terminal import with_program
from openmanus_graph.errors import UsageError
from openmanus_graph.graphs.builders import runs_user_graph
from openmanus_graph.graphs.rebuild import rebuild_graph


def rerun(
    point: str,
    edits: tuple[str, ...],
    plan_file: str | None,
    new_id: str | None,
    workspace: str | None,
    no_run: bool,
    **option_values: Any,
) -> int:
    """Go on from a point in a new thread; the old one never changes."""
    return asyncio.run(_rerun(point, edits, plan_file, new_id, workspace, no_run, RunOptions(**option_values)))


async def _rerun(
    address: str,
    edits: tuple[str, ...],
    plan_file: str | None,
    new_id: str | None,
    workspace: str | None,
    no_run: bool,
    options: RunOptions,
) -> int:
    async with open_checkpointer(settings=options.effective_settings()) as saver:
        source, _ = await find_place(saver, address)
        plan = None if plan_file is None else _plan(source, plan_file, options)
        parsed = dict(read_edit(text) for text in edits)
        fork = await fork_thread(saver, address, new_id=new_id, workspace=workspace, edits=parsed, plan=plan)
        _tell(fork)
        if no_run:
            if fork.given is not None and plan_file is not None:
                click.echo(
                    with_program(f"Run it: openmanus-graph resume {fork.thread.thread_id} --plan {plan_file}"), err=True
                )
                return 0
            click.echo(with_program(f"Run it: openmanus-graph resume {fork.thread.thread_id}"), err=True)
            return 0
        again = plan_file if fork.given is not None else None
        return await resume_thread(fork.thread, saver, (), again, options)


def _plan(source: Thread, plan_file: str, options: RunOptions) -> Any:
    """The plan of a file, checked against what the thread's graph has."""
    if runs_user_graph(source):
        raise UsageError(f"The thread {source.thread_id!r} runs a graph of your own, which takes no plan.")
    settings = options.effective_settings(source)
    graph: Any = rebuild_graph(source, settings, model=options.model)
    return graph.plans.from_file(plan_file)


def _tell(fork: Fork) -> None:
    origin = fork.thread.origin or {}
    where = fork.source.thread_id if fork.cut is None else f"{fork.source.thread_id}@{origin.get('number')}"
    click.echo(f"The thread {fork.thread.thread_id} goes on from {where}, in {fork.thread.workspace}.", err=True)
    if fork.missing:
        shown = ", ".join(fork.missing[:5])
        more = f" and {len(fork.missing) - 5} more" if len(fork.missing) > 5 else ""
        click.echo(f"Not there, because their contents were not kept: {shown}{more}.", err=True)
    if fork.ended and fork.given is None:
        click.echo("The request had ended there, so nothing comes after it.", err=True)
