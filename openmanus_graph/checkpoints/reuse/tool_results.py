"""Tool results: what calls that only read returned, reused for a while by all runs of an owner.

A tool says by `cache_s` in its metadata for how long.
"""

from __future__ import annotations

import json
from typing import Any

from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_whole
from openmanus_graph.checkpoints.reuse.kept_value import kept_value
from openmanus_graph.checkpoints.saver import ThreadSaver

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
        query = (
            "SELECT output AS value, made_at FROM tool_results"
            " WHERE owner = %s AND key = %s AND expires_at > clock_timestamp()"
        )
        return await kept_value(self._saver, query, (self._owner, key), seconds)

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
