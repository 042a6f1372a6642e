"""Tool results: what calls that only read returned, reused for a while by all runs of an owner.

A tool says by `cache_s` in its metadata for how long.
"""

from __future__ import annotations

import json
from typing import Any

from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.encryption.cipher import refuse_sealed
from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_whole
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import DamagedValueError, EncryptionKeyError

LARGEST = 1_000_000
"""Characters of JSON above which a result is not kept."""


class ToolResults:
    """The kept results of an owner."""

    def __init__(self, saver: ThreadSaver, owner: str) -> None:
        """Keep them in a store, for an owner."""
        self._saver = saver
        self._owner = owner

    async def find(self, key: str, seconds: float) -> tuple[Any, float] | None:
        """A result that is not older than so many seconds, and its age; `None` if there is none that can be read.

        Args:
            key: Of the tool, as it is defined, and of the arguments.
            seconds: How old it may be.
        """
        try:
            async with self._saver.connection() as connection:
                row = await (
                    await connection.execute(
                        "SELECT output, extract(epoch FROM clock_timestamp() - made_at)::float AS age FROM tool_results"
                        " WHERE owner = %s AND key = %s AND expires_at > clock_timestamp()",
                        (self._owner, key),
                    )
                ).fetchone()
            if row is None or float(row["age"]) > seconds:
                return None
            if self._saver.cipher is None:
                refuse_sealed([row["output"]])
        except (EncryptionKeyError, DamagedValueError):  # the call is made again, as if nothing had been kept
            return None
        return row["output"], float(row["age"])

    async def keep(self, key: str, output: Any, seconds: float) -> None:
        """Keep a result for so many seconds, unless it is too large; what has expired is removed."""
        if len(json.dumps(output)) > LARGEST:
            return
        if self._saver.cipher is not None:
            output = sealed_whole(self._saver.cipher, output)
        async with self._saver.connection() as connection:
            await connection.execute("DELETE FROM tool_results WHERE expires_at <= clock_timestamp()")
            await connection.execute(
                "INSERT INTO tool_results (owner, key, output, expires_at)"
                " VALUES (%s, %s, %s, clock_timestamp() + make_interval(secs => %s))"
                " ON CONFLICT (owner, key) DO UPDATE SET output = EXCLUDED.output, made_at = clock_timestamp(),"
                " expires_at = EXCLUDED.expires_at",
                (self._owner, key, Jsonb(output), seconds),
            )

    async def forget(self) -> None:
        """Remove all of the owner's; calls are made again then."""
        async with self._saver.connection() as connection:
            await connection.execute("DELETE FROM tool_results WHERE owner = %s", (self._owner,))
