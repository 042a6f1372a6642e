"""Playback: replays a thread's stored events at their pace; no tool and no model is called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any, cast

from openmanus_graph.checkpoints.events import stored_events
from openmanus_graph.checkpoints.history.checkpoint_ref import find_place
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.events import Event

LONGEST_PAUSE_S = 3.0
"""How long playing waits at most between two events, such as where a person was asked."""
PAGE = 1000


async def playback(saver: ThreadSaver, address: str, *, fast: bool = False) -> AsyncGenerator[Event]:
    """The events of a thread, one after the other.

    Args:
        saver: The store.
        address: `THREAD`, or `THREAD@POINT` to stop at that point.
        fast: Leave out the pauses.

    Yields:
        The events, oldest first.

    Raises:
        UnknownThreadError: If there is no such thread.
        UnknownPointError: If the thread has no such point.
    """
    thread, point = await find_place(saver, address)
    after, last = 0, None
    while events := await stored_events(saver, thread.thread_id, after=after, limit=PAGE):
        for event in events:
            after = max(after, int(cast("Any", event)["number"]))
            moment = _moment(event)
            if point is not None and moment is not None and moment > point.made_at:
                continue
            if not fast and last is not None and moment is not None:
                await asyncio.sleep(min(max((moment - last).total_seconds(), 0.0), LONGEST_PAUSE_S))
            last = moment or last
            yield event


def _moment(event: Event) -> datetime | None:
    time = event.get("time")
    return datetime.fromisoformat(time) if time else None
