"""Gathering: group commit of rows of one kind, in one statement for all that are asked for at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

RowT = TypeVar("RowT")
ResultT = TypeVar("ResultT")

MOST_ROWS = 64
"""Rows of one statement."""


class Gathering(Generic[RowT, ResultT]):
    """The rows of one kind that wait; what comes while a statement is on its way goes with the next."""

    def __init__(self, store: Callable[[Sequence[RowT]], Awaitable[Sequence[ResultT]]]) -> None:
        """Begin with none; `store` stores rows in one commit, and gives what came of each, in order."""
        self._store = store
        self._waiting: list[tuple[RowT, asyncio.Future[ResultT]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def put(self, row: RowT, undo: Callable[[ResultT], Awaitable[None]] | None = None) -> ResultT:
        """Store a row; what came of it, once it is committed.

        Args:
            row: The row.
            undo: Takes back what came of it, if its writer was cancelled while the statement was on its way.

        Raises:
            Exception: What the statement raised; it fails for all that were in it.
        """
        entry = (row, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        try:
            return await asyncio.shield(entry[1])
        except asyncio.CancelledError:
            if entry in self._waiting:  # not on its way yet
                self._waiting.remove(entry)
            else:  # nothing may be stored once its writer has ended
                await asyncio.wait([entry[1]])
                if undo is not None and not entry[1].cancelled() and entry[1].exception() is None:
                    await undo(entry[1].result())
            raise

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_ROWS], self._waiting[MOST_ROWS:]
                await self._send_batch(batch)
        finally:
            self._sender = None

    async def _send_batch(self, batch: Sequence[tuple[RowT, asyncio.Future[ResultT]]]) -> None:
        try:
            results = await self._store([row for row, _ in batch])
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            for _, stored in batch:
                stored.set_exception(error)
        except BaseException:
            for _, stored in batch:
                stored.cancel()
            raise
        else:
            for (_, stored), result in zip(batch, results, strict=True):
                stored.set_result(result)
