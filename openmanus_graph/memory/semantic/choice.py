"""Index choice: Chroma where it is installed, else pgvector where the database has it, else none."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SettingsError, VectorIndexError
from openmanus_graph.memory.protocols import Embedder
from openmanus_graph.memory.semantic.chroma_access import ChromaFolder, ChromaServer
from openmanus_graph.memory.semantic.chroma_index import ChromaIndex
from openmanus_graph.memory.semantic.pgvector_index import PgvectorIndex
from openmanus_graph.memory.semantic.vector_index import VectorIndex, VectorSpace
from openmanus_graph.models.catalog import variable as environment_variable

FOLDER = "chroma"
"""Chroma's folder in the data folder."""


async def open_index(saver: ThreadSaver, settings: Settings, embedder: Embedder) -> VectorIndex | None:
    """The index that the settings choose; `None` if they want none.

    Raises:
        VectorIndexError: If the chosen one cannot be used.
        SettingsError: If a header of the server names a variable that is not set.
    """
    if settings.vector_index == "none":
        return None
    space = VectorSpace(await _database(saver), embedder.name, embedder.dimensions)
    if settings.vector_index == "pgvector":
        return await PgvectorIndex.open_index(saver, space)
    if settings.chroma_url:
        return ChromaIndex(ChromaServer(settings.chroma_url, headers_of(settings)), space)
    if settings.vector_index == "chroma" or find_spec("chromadb") is not None:
        try:
            return ChromaIndex(await asyncio.to_thread(ChromaFolder, settings.home / FOLDER), space)
        except VectorIndexError:  # the data folder is on a network file system
            if settings.vector_index == "chroma" or not await has_pgvector(saver):
                raise
    return await PgvectorIndex.open_index(saver, space) if await has_pgvector(saver) else None


async def has_pgvector(saver: ThreadSaver) -> bool:
    """Whether the database has the extension `vector`, or this account may give it to it."""

    async def read() -> bool:
        async with saver.pool.connection() as connection:
            row = await (
                await connection.execute(
                    "SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'vector')"
                    " OR (EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector')"
                    " AND has_database_privilege(current_database(), 'CREATE')) AS there"
                )
            ).fetchone()
        return row is not None and bool(row["there"])

    return await saver.retried(read)


def headers_of(settings: Settings) -> dict[str, str]:
    """The header fields of requests to the Chroma server, their values taken from the environment.

    Raises:
        SettingsError: If a variable is not set.
    """
    found: dict[str, str] = {}
    for field, variable in settings.chroma_headers.items():
        value = environment_variable(variable)
        if not value:
            raise SettingsError(
                f"The header {field!r} of the Chroma server is in {variable!r}, which is not set.",
                hint=f"Set it: export {variable}=…",
            )
        found[field] = value
    return found


async def _database(saver: ThreadSaver) -> str:
    async def read() -> str:
        async with saver.pool.connection() as connection:
            row = await (await connection.execute("SELECT own_memory_space() AS id")).fetchone()
        if row is None or row["id"] is None:
            raise VectorIndexError("The table 'memory_space' of the database is empty.")
        return str(row["id"])

    return await saver.retried(read)
