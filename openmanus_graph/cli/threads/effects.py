"""Effects: the calls of a thread that did something outside, and what is known of each."""

from __future__ import annotations

import asyncio

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.ledger import Effect, list_effects
from openmanus_graph.checkpoints.threads import find_thread
from openmanus_graph.cli.terminal import print_json, print_table
from openmanus_graph.display_text import one_line


def effects(thread: str, as_json: bool) -> None:
    """List the calls of a thread that had effects outside, oldest first."""
    calls = asyncio.run(_effects(thread))
    if as_json:
        print_json([effect.as_json() for effect in calls])
        return
    if not calls:
        click.echo("The thread has made no call with an effect outside.")
        return
    print_table(["SUBTASK", "TOOL", "STATUS", "TRIES", "BEGUN", "KEY", "CALL"], [_row(effect) for effect in calls])


def _row(effect: Effect) -> list[str]:
    begun = f"{effect.claimed_at.astimezone():%m-%d %H:%M:%S}"
    what = one_line(effect.args, 200) + (f": {one_line(effect.error)}" if effect.error else "")
    return [effect.subtask, effect.tool, effect.status, str(effect.tries), begun, effect.key[:8], what]


async def _effects(name: str) -> list[Effect]:
    async with open_checkpointer() as saver:
        thread = await find_thread(saver, name)
        return await list_effects(saver, thread.thread_id)
