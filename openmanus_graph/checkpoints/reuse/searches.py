"""Searches: what search engines found for a thread, which the thread uses again for a while.

They are committed when they come, so that neither another subtask nor a resume asks an engine the same once more.
"""

from __future__ import annotations

import json
from typing import Any

from langchain_core.runnables import RunnableConfig
from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_whole
from openmanus_graph.checkpoints.reuse.kept_value import kept_value
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.run_config import LEASE, thread_id_of
from openmanus_graph.values.storable_json import storable

MOST = 500
"""Searches that are kept of a thread; the oldest go."""
LARGEST = 200_000
"""Characters of JSON above which what was found is not kept."""


class ThreadSearches:
    """The searches of a thread, as one run reads and writes them."""

    def __init__(self, saver: ThreadSaver, config: RunnableConfig) -> None:
        """Keep them for the run that `config` belongs to."""
        self._saver = saver
        self._config = config

    @classmethod
    def of(cls, saver: ThreadSaver | None, config: RunnableConfig) -> ThreadSearches | None:
        """Those of a run; `None` where no runner of ours holds the thread, so that nothing outlives the run."""
        held = LEASE.of(config) is not None
        return cls(saver, config) if saver is not None and held else None

    async def find(self, key: str, seconds: float) -> tuple[Any, float] | None:
        """What was found at most so many seconds ago, and how many ago; `None` if there is none that can be read."""
        query = "SELECT found AS value, made_at FROM searches WHERE thread_id = %s AND key = %s"
        return await kept_value(self._saver, query, (thread_id_of(self._config), key), seconds)

    async def keep(self, key: str, found: Any) -> None:
        """Keep what was found, in place of what was before.

        Raises:
            StaleRunnerError: If another runner has taken the thread.
        """
        found = storable(found)
        if len(json.dumps(found)) > LARGEST:
            return
        if self._saver.cipher is not None:
            found = sealed_whole(self._saver.cipher, found)
        await self._saver.fenced(
            self._config, "SELECT keep_search(%s, %s, %s, %s, %s)", (key, Jsonb(found), MOST), "search"
        )
