"""Write queue: group commit of what one runner writes at the same time, in one statement behind one fence.

A write that somebody waits for goes out in the next turn of the event loop, with all that is there; while a statement
is on its way, what comes meanwhile gathers for the next one. So writes of one thread become visible in the order in
which they were asked for. How soon each goes is its `Urgency`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg

PATIENCE_S = 0.003
"""Seconds for which a write waits at most for another one to go with."""
MOST_WRITES = 64
MOST_BYTES = 8_000_000
"""Writes, and bytes of their values, of one statement; a single write may be larger."""


Urgency = Literal["now", "soon", "behind", "along"]
"""How soon a write goes out, and whether its writer waits.

`now`: in the next turn, and waited for. `soon`: with the next that goes now, or alone after `PATIENCE_S`, and waited
for. `behind`: as soon, and nobody waits. `along`: with whatever else goes, and by itself never.
"""


@dataclass
class Write:
    """The rows of one checkpoint or of one task's results."""

    key: Hashable
    """What it writes; two of the same key never share a statement."""
    kind: str
    """`checkpoints`, or `writes` or `replacing` for a task's."""
    checkpoint: str = ""
    """The checkpoint's row in JSON."""
    values: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The rows of values without the values, in plain JSON types."""
    blobs: list[bytes] = field(default_factory=list[bytes])
    """The value of each."""

    @property
    def size(self) -> int:
        """About how many bytes it sends."""
        return len(self.checkpoint) + sum(map(len, self.blobs))


def batch_of(writes: Sequence[Write]) -> tuple[str, list[bytes]]:
    """The parameters of `put_batch` for some writes: the rows in JSON, and the values that they count into."""
    rows: dict[str, list[str]] = {"checkpoints": [], "blobs": [], "writes": [], "replacing": []}
    blobs: list[bytes] = []
    for write in writes:
        if write.kind == "checkpoints":
            rows["checkpoints"].append(write.checkpoint)
        kind = "blobs" if write.kind == "checkpoints" else write.kind
        for value, blob in zip(write.values, write.blobs, strict=True):
            blobs.append(blob)
            rows[kind].append(json.dumps({**value, "at": len(blobs)}))
    return "{" + ",".join(f'"{kind}":[{",".join(each)}]' for kind, each in rows.items()) + "}", blobs


@dataclass(eq=False)
class _Entry:
    write: Write
    urgency: Urgency
    stored: asyncio.Future[None] | None
    """Done once it is committed; `None` if nobody waits."""


class WriteQueue:
    """The writes of one runner, in its event loop."""

    def __init__(self, store: Callable[[Sequence[Write]], Awaitable[None]]) -> None:
        """Begin with none; `store` stores writes in one commit."""
        self._store = store
        self._waiting: list[_Entry] = []
        self._sender: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost: Exception | None = None
        """Why a write that nobody waited for was not stored."""

    async def put(self, write: Write, urgency: Urgency = "now") -> None:
        """Store a write.

        Args:
            write: What to store.
            urgency: How soon. If one that nobody waits for cannot be stored, nothing that is put later is stored
                either, and raises why.
        """
        if self._lost is not None:
            raise self._lost
        awaited = urgency in ("now", "soon")
        entry = _Entry(write, urgency, asyncio.get_running_loop().create_future() if awaited else None)
        self._waiting.append(entry)
        self._send_soon()
        if entry.stored is None:
            return
        try:
            await asyncio.shield(entry.stored)
        except asyncio.CancelledError:
            if entry in self._waiting:  # not on its way yet
                self._waiting.remove(entry)
            else:  # nothing may be stored once its writer has ended
                await asyncio.wait([entry.stored])
            raise

    def _send_soon(self) -> None:
        """Begin to send if somebody waits, else after `PATIENCE_S`."""
        if self._sender is not None:
            return
        if any(entry.urgency == "now" for entry in self._waiting):
            if self._timer is not None:
                self._timer.cancel()
            self._begin()
        elif self._timer is None and any(entry.urgency != "along" for entry in self._waiting):
            self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send())

    async def close(self) -> None:
        """Drop what nobody waits for and is not on its way, at the end of its runner; return when nothing is."""
        self._waiting = [entry for entry in self._waiting if entry.stored is not None]
        if self._timer is not None and not self._waiting:
            self._timer.cancel()
            self._timer = None
        if self._sender is not None:
            await asyncio.wait([self._sender])

    async def _send(self) -> None:
        """Send all that waits, and what comes meanwhile."""
        try:
            while batch := self._take():
                await self._send_batch(batch)
                if all(entry.urgency != "now" for entry in self._waiting):
                    break
        finally:
            self._sender = None
            self._send_soon()

    def _take(self) -> list[_Entry]:
        """Take out what the next statement stores."""
        keys: set[Hashable] = set()
        size = taken = 0
        for entry in self._waiting[:MOST_WRITES]:
            size += entry.write.size
            if entry.write.key in keys or (taken and size > MOST_BYTES):
                break
            keys.add(entry.write.key)
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch

    async def _send_batch(self, batch: Sequence[_Entry]) -> None:
        error = self._lost
        if error is None:
            try:
                await self._store([entry.write for entry in batch])
            except (psycopg.DataError, UnicodeEncodeError) as refused:
                if len(batch) > 1:  # one of them has a name that Postgres does not take; the others are stored
                    for entry in batch:
                        await self._send_batch([entry])
                    return
                error = refused
            except Exception as failed:  # noqa: BLE001 - raised where it is waited for
                error = failed
            except BaseException:
                for entry in batch:
                    if entry.stored is not None:
                        entry.stored.cancel()
                raise
        for entry in batch:
            if entry.stored is None:
                self._lost = error
            elif not entry.stored.done():
                entry.stored.set_result(None) if error is None else entry.stored.set_exception(error)
