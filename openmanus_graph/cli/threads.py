"""threads: list them, look at one, move one, remove one or its past."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from openmanus_graph.cli.comparison import diff
from openmanus_graph.cli.effects import effects
from openmanus_graph.cli.history import events
from openmanus_graph.cli.html_report import report
from openmanus_graph.cli.moving import export, import_
from openmanus_graph.cli.picture import draw
from openmanus_graph.cli.playback import playback
from openmanus_graph.cli.rerun import rerun
from openmanus_graph.cli.retention import prune, size
from openmanus_graph.cli.terminal import print_json, print_table, with_program
from openmanus_graph.cli.thread import ago, show
from openmanus_graph.cli.timeline import history
from openmanus_graph.display_text import one_line

if TYPE_CHECKING:
    from openmanus_graph.checkpoints.threads import Thread


STATUSES = ["running", "waiting", "paused", "stopped", "partial", "completed", "failed"]


@click.group()
def threads() -> None:
    """List threads; show, move, prune or remove one."""


@threads.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--status", type=click.Choice(STATUSES), help="Only those of this status.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(limit: int, status: str | None, as_json: bool) -> None:
    """List the newest threads."""
    found = asyncio.run(_list(limit, status))
    if as_json:
        print_json([thread.as_json() for thread in found])
        return
    if not found:
        if status:
            click.echo(f"No thread is {status}.")
            return
        click.echo(with_program('No threads yet. Start one with: openmanus-graph run "TASK"'))
        return
    rows = [
        [thread.thread_id, thread.status, _done(thread), ago(thread.updated_at), one_line(thread.title)]
        for thread in found
    ]
    print_table(["THREAD", "STATUS", "DONE", "TOUCHED", "TITLE"], rows)


def _done(thread: Thread) -> str:
    progress = thread.progress
    return f"{progress.get('done', 0)}/{progress['total']}" if progress.get("total") else ""


async def _list(limit: int, status: str | None) -> list[Thread]:
    from openmanus_graph.checkpoints.database import open_checkpointer
    from openmanus_graph.checkpoints.threads import list_threads

    async with open_checkpointer() as saver:
        return await list_threads(saver, limit=limit, status=status)


threads.add_command(show)
threads.add_command(events)
threads.add_command(draw)
threads.add_command(report)
threads.add_command(effects)
for command in (size, prune, export, import_):
    threads.add_command(command)
threads.add_command(history)
threads.add_command(diff)
threads.add_command(playback)
threads.add_command(rerun)


@threads.command()
@click.argument("thread")
@click.option("--files", is_flag=True, help="Its workspace too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(thread: str, files: bool, yes: bool) -> None:
    """Remove a thread and its checkpoints."""
    asyncio.run(_delete(thread, files, yes))


async def _delete(name: str, files: bool, yes: bool) -> None:
    from openmanus_graph.checkpoints.database import open_checkpointer
    from openmanus_graph.checkpoints.threads import delete_thread, find_thread

    async with open_checkpointer() as saver:
        found = await find_thread(saver, name)
        what: Any = f"{found.thread_id} ({found.status})" + (f" and {found.workspace}" if files else "")
        if not yes:
            click.confirm(f"Remove the thread {what}?", abort=True, err=True)
        await delete_thread(saver, found, files=files)
    click.echo(f"Removed {what}.", err=True)
