"""Events: the stored events of a thread, whole or as they come."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.events import stored_events
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import find_thread, get_thread
from openmanus_graph.cli.lines import Lines
from openmanus_graph.cli.run_view_model import RunViewModel
from openmanus_graph.cli.terminal import print_json_line
from openmanus_graph.events import Event

POLL_SECONDS = 0.5
"""How often `--follow` looks for more."""
PAGE = 1000
"""Events that are read at a time."""


def events(thread: str, follow: bool, as_json: bool) -> None:
    """Print what happened in a thread, event by event, also of processes that are gone."""
    asyncio.run(_print_events(thread, follow, as_json))


async def _print_events(name: str, follow: bool, as_json: bool) -> None:
    async with open_checkpointer() as saver:
        thread = await find_thread(saver, name)
        lines = None if as_json else Lines(RunViewModel(thread.thread_id))
        after = await _print_new(saver, thread.thread_id, 0, lines)
        while follow:
            now = await get_thread(saver, thread.thread_id)
            after = await _print_new(saver, thread.thread_id, after, lines)
            if now is None or now.status != "running":
                break
            await asyncio.sleep(POLL_SECONDS)


async def _print_new(saver: ThreadSaver, thread_id: str, after: int, lines: Lines | None) -> int:
    """Print the events behind number `after`; the number of the last one."""
    while True:
        stored: list[Any] = await stored_events(saver, thread_id, after=after, limit=PAGE)
        for event in stored:
            _print(event, lines)
            after = max(after, int(event["number"]))
        if not stored:
            return after


def _print(event: Event, lines: Lines | None) -> None:
    if lines is None:
        print_json_line(event)
        return
    line = lines.of(event)
    if line is not None:
        click.echo(f"{str(event.get('time', ''))[11:19]}  {line}")
