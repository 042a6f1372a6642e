"""Allowed sites: where a person lets a request's calls be made without being asked again, until the request is over."""

from __future__ import annotations

import asyncio

from langchain_core.runnables import RunnableConfig
from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_whole
from openmanus_graph.checkpoints.saver import ThreadSaver


class AllowedSites:
    """The sites of one request; the next request begins without any (`checkpoints/lease.py`)."""

    def __init__(self, thread_id: str, saver: ThreadSaver | None) -> None:
        """Know none yet.

        Args:
            thread_id: The thread.
            saver: Where they are kept; `None` keeps them in this process only.
        """
        self._thread_id = thread_id
        self._saver = saver
        self._sites: list[str] | None = None
        self._turn = asyncio.Lock()

    async def has(self, site: str) -> bool:
        """Whether a site is allowed."""
        async with self._turn:
            return site in await self._loaded()

    async def add(self, config: RunnableConfig, site: str) -> None:
        """Allow a site; it is kept before this returns.

        Args:
            config: That of the node that a person has answered.
            site: Scheme, host and port.

        Raises:
            StaleRunnerError: If another runner has taken the thread.
        """
        async with self._turn:
            sites = await self._loaded()
            if site in sites:
                return
            kept = [*sites, site]
            if self._saver is not None:
                cipher = self._saver.cipher
                stored = kept if cipher is None else sealed_whole(cipher, kept)
                await self._saver.fenced(config, "SELECT allow_sites(%s, %s, %s)", (Jsonb(stored),), "an allowed site")
            self._sites = kept

    async def _loaded(self) -> list[str]:
        if self._sites is None:
            row = None
            if self._saver is not None:
                async with self._saver.connection() as connection:
                    query = "SELECT allowed_sites FROM threads WHERE thread_id = %s"
                    row = await (await connection.execute(query, (self._thread_id,))).fetchone()
            self._sites = [] if row is None else list(row["allowed_sites"])
        return self._sites
