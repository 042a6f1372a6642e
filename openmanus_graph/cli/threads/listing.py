"""Listing: threads list and threads delete."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.threads import Thread, delete_thread, find_thread, list_threads
from openmanus_graph.cli.terminal import print_json, print_table, with_program
from openmanus_graph.display_text import ago, one_line


def list_all(limit: int, status: str | None, as_json: bool) -> None:
    """List the newest threads."""
    shown = asyncio.run(_list(limit, status))
    if as_json:
        print_json([thread.as_json() for thread in shown])
        return
    if not shown:
        if status:
            click.echo(f"No thread is {status}.")
            return
        click.echo(with_program('No threads yet. Start one with: openmanus-graph run "TASK"'))
        return
    rows = [
        [thread.thread_id, thread.status, _done(thread), ago(thread.updated_at), one_line(thread.title)]
        for thread in shown
    ]
    print_table(["THREAD", "STATUS", "DONE", "TOUCHED", "TITLE"], rows)


def _done(thread: Thread) -> str:
    progress = thread.progress
    return f"{progress.get('done', 0)}/{progress['total']}" if progress.get("total") else ""


async def _list(limit: int, status: str | None) -> list[Thread]:
    async with open_checkpointer() as saver:
        return await list_threads(saver, limit=limit, status=status)


def delete(thread: str, files: bool, yes: bool) -> None:
    """Remove a thread and its checkpoints."""
    asyncio.run(_delete(thread, files, yes))


async def _delete(name: str, files: bool, yes: bool) -> None:
    async with open_checkpointer() as saver:
        thread = await find_thread(saver, name, locked_too=True)
        what: Any = f"{thread.thread_id} ({thread.status})" + (f" and {thread.workspace}" if files else "")
        if not yes:
            click.confirm(f"Remove the thread {what}?", abort=True, err=True)
        await delete_thread(saver, thread, files=files)
    click.echo(f"Removed {what}.", err=True)
