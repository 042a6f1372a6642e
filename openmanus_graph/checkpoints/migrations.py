"""Migrations: the project's tables in their own schema, made once and upgraded in order."""

from __future__ import annotations

import logging
from importlib.resources import files
from typing import LiteralString, cast

from langgraph.checkpoint.postgres.base import BasePostgresSaver
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from openmanus_graph import shell_commands
from openmanus_graph.errors import MigrationNeededError

logger = logging.getLogger(__name__)

LOCK_KEY = 0x6F6D67_6D6967  # one migration at a time, whatever the process


def _own_migrations() -> list[tuple[int, LiteralString]]:
    folder = files("openmanus_graph.checkpoints") / "sql"
    numbered = [(int(item.name.split("_")[0]), item) for item in folder.iterdir() if item.name.endswith(".sql")]
    return [(number, cast("LiteralString", item.read_text())) for number, item in sorted(numbered)]


def _saver_migrations() -> list[LiteralString]:
    # The saver's list builds indexes concurrently, which no transaction allows; on tables this young a plain
    # build is as fast and keeps the whole migration atomic.
    return [cast("LiteralString", statement.replace("CONCURRENTLY", "")) for statement in BasePostgresSaver.MIGRATIONS]


async def schema_versions(connection: AsyncConnection[DictRow]) -> tuple[int, int]:
    """The versions (ours, the saver's) of the tables in the database; `(0, -1)` where there are none."""
    row = await (
        await connection.execute(
            "SELECT to_regclass('openmanus_graph.migrations') AS ours,"
            " to_regclass('openmanus_graph.checkpoint_migrations') AS saver"
        )
    ).fetchone()
    if row is None or row["ours"] is None or row["saver"] is None:
        return 0, -1
    versions = await (
        await connection.execute(
            "SELECT (SELECT coalesce(max(version), 0) FROM openmanus_graph.migrations) AS ours,"
            " (SELECT coalesce(max(v), -1) FROM openmanus_graph.checkpoint_migrations) AS saver"
        )
    ).fetchone()
    return (0, -1) if versions is None else (int(versions["ours"]), int(versions["saver"]))


def wanted_versions() -> tuple[int, int]:
    """The versions (ours, the saver's) that this program works with."""
    return _own_migrations()[-1][0], len(BasePostgresSaver.MIGRATIONS) - 1


async def migrate(connection: AsyncConnection[DictRow]) -> bool:
    """Bring the database to this program's version, in one transaction; safe to race.

    Args:
        connection: An autocommit connection that may create a schema in the database.

    Returns:
        Whether anything was changed.

    Raises:
        MigrationNeededError: If the database is newer than this program.
    """
    if await schema_versions(connection) == wanted_versions():
        return False
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        # A session that waited may have a stale catalog cache; locking a catalog table refreshes it, an advisory lock
        # does not.
        await connection.execute("LOCK TABLE pg_catalog.pg_namespace IN ACCESS SHARE MODE")
        ours, saver = await schema_versions(connection)
        refuse_newer((ours, saver))
        if (ours, saver) == wanted_versions():
            return False
        await connection.execute("CREATE SCHEMA IF NOT EXISTS openmanus_graph")
        await connection.execute("SET LOCAL search_path TO openmanus_graph")
        for version, statement in enumerate(_saver_migrations()):
            if version > saver:
                await connection.execute(statement)
                await connection.execute("INSERT INTO checkpoint_migrations (v) VALUES (%s)", (version,))
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        for version, statement in _own_migrations():
            if version > ours:
                await connection.execute(statement)
                await connection.execute("INSERT INTO migrations (version) VALUES (%s)", (version,))
    logger.info("The database is migrated.", extra={"schema": f"{ours}.{saver}", "to": _dotted(wanted_versions())})
    return True


async def make_store_tables(connection: AsyncConnection[DictRow]) -> None:
    """Bring the tables of LangGraph's store to its version, in one transaction; safe to race.

    Args:
        connection: An autocommit connection with our schema on its search path.
    """
    from langgraph.store.postgres.base import MIGRATIONS

    if await _store_version(connection) >= len(MIGRATIONS) - 1:
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        await connection.execute("LOCK TABLE pg_catalog.pg_namespace IN ACCESS SHARE MODE")
        before = await _store_version(connection)
        await connection.execute("CREATE TABLE IF NOT EXISTS store_migrations (v integer PRIMARY KEY)")
        for version, statement in enumerate(MIGRATIONS):
            if version > before:
                await connection.execute(cast("LiteralString", statement.replace("CONCURRENTLY", "")))
                await connection.execute("INSERT INTO store_migrations (v) VALUES (%s)", (version,))
    logger.info("The tables of the store are made.", extra={"schema": before, "to": len(MIGRATIONS) - 1})


async def _store_version(connection: AsyncConnection[DictRow]) -> int:
    """The version of the store's tables; -1 where there are none."""
    there = await (
        await connection.execute("SELECT to_regclass('openmanus_graph.store_migrations') AS there")
    ).fetchone()
    if there is None or there["there"] is None:
        return -1
    row = await (await connection.execute("SELECT coalesce(max(v), -1) AS v FROM store_migrations")).fetchone()
    return -1 if row is None else int(row["v"])


def _dotted(versions: tuple[int, int]) -> str:
    return f"{versions[0]}.{versions[1]}"


def refuse_newer(versions: tuple[int, int]) -> None:
    """Raise `MigrationNeededError` if the database's versions are above this program's."""
    wanted = wanted_versions()
    if versions[0] > wanted[0] or versions[1] > wanted[1]:
        raise MigrationNeededError(
            f"The database is of version {_dotted(versions)}, newer than this program's {_dotted(wanted)}.",
            hint=f"Upgrade the program: {shell_commands.UPGRADE}",
        )
