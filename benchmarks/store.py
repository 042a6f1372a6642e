"""Store: one Postgres for a measurement, ours and a rival's plain LangGraph saver on the same server."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from openmanus_graph import open_checkpointer
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import Settings

RIVAL_SCHEMA = "openmanus_graph_benchmark_rival"


@contextmanager
def temporary_folder() -> Generator[Path]:
    """A folder that another account may enter: as root, the embedded server runs under one."""
    with tempfile.TemporaryDirectory(prefix="openmanus-graph-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@asynccontextmanager
async def our_saver(home: Path, url: str | None) -> AsyncGenerator[ThreadSaver]:
    """Our checkpointer, on an embedded server of its own below `home`, or on a given one."""
    settings = Settings.load(home=home)
    if url is None:
        settings = settings.model_copy(update={"database_url": None})
    async with open_checkpointer(url, settings=settings, migrate_tables=True) as saver:
        yield saver


@asynccontextmanager
async def rival_saver(ours: ThreadSaver) -> AsyncGenerator[AsyncPostgresSaver]:
    """LangGraph's own saver as its documentation sets it up, with a pool, in a schema of its own."""

    async def configure(connection: AsyncConnection[DictRow]) -> None:
        await connection.execute(f"SET search_path TO {RIVAL_SCHEMA}")  # pyright: ignore - a constant

    options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with await AsyncConnection.connect(ours.conninfo, autocommit=True) as connection:
        await connection.execute(f"DROP SCHEMA IF EXISTS {RIVAL_SCHEMA} CASCADE")  # pyright: ignore - a constant
        await connection.execute(f"CREATE SCHEMA {RIVAL_SCHEMA}")  # pyright: ignore - a constant
        try:
            async with AsyncConnectionPool[AsyncConnection[DictRow]](
                ours.conninfo, kwargs=options, max_size=10, configure=configure, open=False
            ) as pool:
                saver = AsyncPostgresSaver(pool)
                await saver.setup()
                yield saver
        finally:
            await connection.execute(f"DROP SCHEMA {RIVAL_SCHEMA} CASCADE")  # pyright: ignore - a constant
