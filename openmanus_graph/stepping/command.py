"""Command: one verb of a stepper under way; it runs whether or not it is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, cast

from openmanus_graph.errors import UsageError
from openmanus_graph.stepping.view import Stop


class ShownStop(dict[str, Any]):
    """A stop that notebooks show as its line of text."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print the line of text; IPython calls this."""
        del cycle
        printer.text(self["text"])


class Verb(Awaitable[Stop]):
    """A step, a run or a move in the background: await it for the stop at which it ends."""

    def __init__(self, work: Coroutine[Any, Any, Stop], interrupt: Callable[[], Awaitable[None]]) -> None:
        """Begin the work.

        Args:
            work: What is done; it gives failures as values.
            interrupt: Called when whoever awaits it is cancelled, such as by an interrupt of a notebook's kernel.

        Raises:
            UsageError: If no event loop is running.
        """
        try:
            self._task = asyncio.get_running_loop().create_task(work)
        except RuntimeError as error:
            work.close()
            raise UsageError(
                "A stepper needs a running event loop.", hint="Use it in a notebook, or inside of asyncio.run(main())."
            ) from error
        self._interrupt = interrupt

    def __await__(self) -> Generator[Any, None, Stop]:
        return self._wait().__await__()

    async def _wait(self) -> Stop:
        try:
            return cast("Stop", ShownStop(await asyncio.shield(self._task)))
        except asyncio.CancelledError:
            if not self._task.done():
                await self._interrupt()
            raise

    @property
    def done(self) -> bool:
        """Whether the verb has ended."""
        return self._task.done()

    def __repr__(self) -> str:
        if not self._task.done() or self._task.cancelled():
            return "<under way; await it>"
        return self._task.result()["text"]
