#!/usr/bin/env python3
"""Picture: draws the live view of a thread as it was at one of its events, as an SVG for the README.

python scripts/picture.py THREAD OUTPUT.svg [TYPE:SUBTASK] [HEIGHT]

The thread's stored events are shown up to the last one of that type and subtask, by default to the end:

    openmanus-graph demo --thread lamps && python scripts/picture.py lamps docs/images/live.svg tool_called:c10
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from datetime import datetime
from pathlib import Path

from rich.console import Console

from openmanus_graph import open_checkpointer, stored_events
from openmanus_graph.cli.live import LiveView
from openmanus_graph.cli.run_view_model import RunViewModel
from openmanus_graph.events import Event

WIDTH = 96
HEIGHT = 18


async def events_until(thread: str, until: str) -> list[Event]:
    """The thread's events up to the last one that is asked for."""
    async with open_checkpointer() as saver:
        events = await stored_events(saver, thread)
    kind, _, subtask = until.partition(":")
    ends = [n for n, one in enumerate(events) if one.get("type") == kind and one.get("subtask", "") == subtask]
    return events[: ends[-1] + 1] if ends else events


def _seconds(event: Event) -> float:
    return datetime.fromisoformat(event.get("time", "1970-01-01T00:00:00+00:00")).timestamp()


def draw(thread: str, events: list[Event], height: int) -> str:
    """The live view after these events."""
    console = Console(record=True, force_terminal=True, width=WIDTH, height=height, file=io.StringIO())
    now = [_seconds(events[0])]
    view = LiveView(RunViewModel(thread, clock=lambda: now[0]), console)
    for event in events:
        now[0] = _seconds(event)
        view.show(event)
    console.print(view.render())
    picture = console.export_svg(title='openmanus-graph run "We need 240 desk lamps …"', unique_id="live")
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)  # they would be fetched from the network


def main(arguments: list[str]) -> None:
    """Read the arguments and draw."""
    thread, output, *more = arguments
    events = asyncio.run(events_until(thread, more[0] if more else ""))
    picture = draw(thread, events, int(more[1]) if len(more) > 1 else HEIGHT)
    Path(output).write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
