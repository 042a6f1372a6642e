"""Event sinks: hand a run's events to installed plug-ins, each in a thread of its own; none holds up the run."""

from __future__ import annotations

import asyncio
import copy
import logging
import queue
import threading
from collections.abc import Awaitable, Mapping
from typing import cast

from openmanus_graph.events import Event, EventSink
from openmanus_graph.loading.plugins import find_event_sinks

MOST_WAITING = 10_000
"""Events that may wait for a sink; one that lets more wait is left out of the rest of the run."""
CLOSE_SECONDS = 5.0
"""Seconds that the end of a run waits for sinks to take what they have not taken yet."""

logger = logging.getLogger(__name__)


class EventSinks:
    """The sinks of one run."""

    def __init__(self, thread_id: str, sinks: Mapping[str, EventSink] | None = None) -> None:
        """Prepare a queue for each sink.

        Args:
            thread_id: The thread that runs.
            sinks: The sinks by name; `None` means those of installed plug-ins.
        """
        sinks = find_event_sinks() if sinks is None else sinks
        self._lanes = [_Lane(name, sink, thread_id) for name, sink in sinks.items()]

    def add(self, event: Event) -> None:
        """Hand an event to every sink; it returns at once, from any thread."""
        for lane in self._lanes:
            lane.add(event)

    async def close(self) -> None:
        """Wait until the sinks have taken every event, `CLOSE_SECONDS` at most; a warning names those that have not."""
        for lane in self._lanes:
            lane.end()
        if self._lanes:
            await asyncio.gather(*(asyncio.to_thread(lane.join) for lane in self._lanes))


class _Lane:
    """One sink with the events that wait for it."""

    def __init__(self, name: str, sink: EventSink, thread_id: str) -> None:
        self._name = name
        self._sink = sink
        self._run = thread_id
        self._waiting: queue.Queue[Event | None] = queue.Queue(MOST_WAITING)
        self._left_out = False
        self._ended = False
        # A daemon: a sink that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._serve, name=f"event sink {name}", daemon=True)

    def add(self, event: Event) -> None:
        if self._left_out or self._ended:
            return
        if self._thread.ident is None:
            self._thread.start()
        try:
            self._waiting.put_nowait(cast("Event", dict(event)))
        except queue.Full:
            self._leave_out(f"{MOST_WAITING} events wait for it")

    def end(self) -> None:
        self._ended = True
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            self._leave_out(f"{MOST_WAITING} events wait for it")

    def join(self) -> None:
        if self._thread.ident is None:
            return
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self._leave_out(f"it did not take the last events within {CLOSE_SECONDS:g} s")

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            while not self._left_out and (event := self._waiting.get()) is not None:
                try:
                    # Its own copy: what one sink changes in an event reaches no other.
                    taken = self._sink(copy.deepcopy(event))
                    if taken is not None:
                        runner.run(_awaited(taken))
                except BaseException as error:  # noqa: BLE001 - whatever a plug-in raises, the run goes on without it
                    self._leave_out(" ".join(f"{type(error).__name__}: {error}".split()))

    def _leave_out(self, why: str) -> None:
        if not self._left_out:
            self._left_out = True
            logger.warning("The event sink %r is left out of the run of thread %r: %s", self._name, self._run, why)


async def _awaited(taken: Awaitable[None]) -> None:
    await taken
