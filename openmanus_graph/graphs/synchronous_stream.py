"""Synchronous stream: an asynchronous one, run on its own event loop for a caller in another thread."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import TypeVar

from openmanus_graph.errors import UsageError

ChunkT = TypeVar("ChunkT")

LOOK_S = 0.5
"""Seconds between two looks whether the loop still runs, while nothing comes from it."""


def synchronous(stream: Callable[[], AsyncGenerator[ChunkT]], loop: asyncio.AbstractEventLoop) -> Iterator[ChunkT]:
    """The chunks of a stream that runs on an event loop; it goes on when the next chunk is asked for.

    Args:
        stream: Makes the stream.
        loop: The loop, which another thread runs.

    Raises:
        UsageError: If this thread runs the loop, or none does.
    """
    _refuse_own(loop)
    taken: queue.SimpleQueue[tuple[ChunkT] | None] = queue.SimpleQueue()
    wanted: asyncio.Queue[None] = asyncio.Queue()
    ended = threading.Event()

    async def pump() -> None:
        try:
            async with aclosing(stream()) as chunks:
                async for chunk in chunks:
                    taken.put((chunk,))
                    await wanted.get()
        finally:
            ended.set()
            taken.put(None)

    running = asyncio.run_coroutine_threadsafe(pump(), loop)
    try:
        while (item := _next(taken, loop)) is not None:
            yield item[0]
            loop.call_soon_threadsafe(wanted.put_nowait, None)
        running.result()
    finally:
        running.cancel()
        while not ended.wait(LOOK_S) and loop.is_running():
            pass


def _next(taken: queue.SimpleQueue[tuple[ChunkT] | None], loop: asyncio.AbstractEventLoop) -> tuple[ChunkT] | None:
    while True:
        try:
            return taken.get(timeout=LOOK_S)
        except queue.Empty:
            if not loop.is_running():
                raise _without_loop() from None


def _refuse_own(loop: asyncio.AbstractEventLoop) -> None:
    try:
        own = asyncio.get_running_loop()
    except RuntimeError:
        own = None
    if own is loop:
        raise UsageError(
            "A durable graph cannot be run by 'invoke' or 'stream' on the event loop that its saver was opened on: "
            "the loop would wait for itself.",
            hint="Await it there: await app.ainvoke(...), or async for chunk in app.astream(...).",
        )
    if not loop.is_running():
        raise _without_loop()


def _without_loop() -> UsageError:
    return UsageError(
        "A durable graph runs on the event loop that its saver was opened on, and that loop does not run any more.",
        hint="Open the saver where the graph is run, or call openmanus_graph.run(graph, input, thread_id=...).",
    )
