"""Database: opens the checkpoint store, embedded or given, and closes it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, cast

import psycopg
from psycopg import AsyncConnection, conninfo
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.encryption.cipher import Cipher, cipher_of
from openmanus_graph.checkpoints.encryption.opening import opening_with
from openmanus_graph.checkpoints.lease import KEEPALIVES
from openmanus_graph.checkpoints.migrations import migrate, refuse_newer, schema_versions, wanted_versions
from openmanus_graph.checkpoints.refusals import unreachable
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.server.embedded import EmbeddedServer
from openmanus_graph.checkpoints.store import ThreadStore
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import MigrationNeededError, SettingsError
from openmanus_graph.values.storable_json import plain_json, storable_json

CONNECT_SECONDS = 5.0
"""How long a server may take to answer before it counts as unreachable."""


def _configuring(cipher: Cipher | None) -> Callable[[AsyncConnection[DictRow]], Awaitable[None]]:
    """Prepares each connection of the pool."""
    opening = None if cipher is None else opening_with(cipher)

    async def configure(connection: AsyncConnection[DictRow]) -> None:
        set_json_dumps(plain_json if cipher is None else storable_json, connection)
        if opening is not None:
            opening(connection)
        await connection.execute("SET search_path TO openmanus_graph")

    return configure


def redacted(url: str) -> str:
    """The place a connection string names, without its password."""
    parts = conninfo.conninfo_to_dict(url)
    host = parts.get("host") or "localhost"
    return f"{host}:{parts.get('port') or 5432}/{parts.get('dbname') or parts.get('user') or ''}"


class Checkpointer:
    """The result of `open_checkpointer`: `async with` gives the saver and closes it, `await` gives it to keep."""

    def __init__(self, url: str | None, settings: Settings | None, migrate_tables: bool | None) -> None:
        self._url = url
        self._settings = settings
        self._migrate = migrate_tables
        self._stack = AsyncExitStack()

    def __await__(self) -> Generator[Any, None, ThreadSaver]:
        return self._open().__await__()

    async def __aenter__(self) -> ThreadSaver:
        return await self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self) -> ThreadSaver:
        settings = self._settings or Settings.load()
        cipher = cipher_of(settings)
        secret = settings.database_url
        url = self._url or (secret.get_secret_value() if secret else None)
        embedded = url is None
        if url is None:
            url = await self._stack.enter_async_context(EmbeddedServer(settings))
            place = f"the embedded server (OPENMANUS_GRAPH_HOME={str(settings.home)!r})"
        else:
            setting = "url" if self._url else "DATABASE_URL"
            place = f"{_redacted_or_refused(url, setting)} (set by {setting})"
        try:
            pool = await self._open_pool(url, place, cipher)
            await self._prepare(pool, automatic=embedded if self._migrate is None else self._migrate)
            saver = ThreadSaver(pool, url, place, settings.home if embedded else None, cipher)
            saver.home = settings.home
            saver.store = store = ThreadStore(saver)
            self._stack.push_async_callback(store.aclose)
            saver.closing = self._stack
            saver.aclose = self._stack.aclose
        except BaseException:
            await self._stack.aclose()
            raise
        return saver

    async def _open_pool(
        self, url: str, place: str, cipher: Cipher | None
    ) -> AsyncConnectionPool[AsyncConnection[DictRow]]:
        options = {
            "autocommit": True,
            "prepare_threshold": None,
            "row_factory": dict_row,
            "connect_timeout": int(CONNECT_SECONDS),
            **KEEPALIVES,
        }
        # Asked once by hand, because a pool keeps the server's own words for its log.
        try:
            probe = await AsyncConnection.connect(url, **cast("dict[str, Any]", options))
            await probe.close()
        except psycopg.OperationalError as error:
            raise unreachable(place, error) from error
        pool = AsyncConnectionPool[AsyncConnection[DictRow]](
            url,
            kwargs=options,
            min_size=1,
            max_size=10,
            timeout=CONNECT_SECONDS,
            reconnect_timeout=CONNECT_SECONDS,
            configure=_configuring(cipher),
            open=False,
        )
        try:
            await self._stack.enter_async_context(pool)
            await pool.wait(timeout=CONNECT_SECONDS)
        except PoolTimeout as error:
            raise unreachable(place, error) from error
        return pool

    async def _prepare(self, pool: AsyncConnectionPool[AsyncConnection[DictRow]], *, automatic: bool) -> None:
        async with pool.connection() as connection:
            if automatic:
                await migrate(connection)
                return
            versions = await schema_versions(connection)
            refuse_newer(versions)
            if versions != wanted_versions():
                state = "has none of our tables" if versions == (0, -1) else "has tables of an older version"
                raise MigrationNeededError(
                    f"The database {state}, and nothing is created in a foreign one unasked.",
                    hint=f"Create them with: {shell_commands.MIGRATE}",
                )


def _redacted_or_refused(url: str, setting: str) -> str:
    try:
        return redacted(url)
    except psycopg.ProgrammingError as error:
        raise SettingsError(
            f"The value of {setting} is not a Postgres URL.",
            hint="It looks like postgresql://user:password@host:5432/database",
        ) from error


def open_checkpointer(
    url: str | None = None, *, settings: Settings | None = None, migrate_tables: bool | None = None
) -> Checkpointer:
    """Open the checkpoint store.

    Use it as `async with open_checkpointer() as saver:`, or as `saver = await open_checkpointer()` where a block
    cannot span what follows (a notebook), and then `await saver.aclose()`.

    Args:
        url: A Postgres URL; `None` means `DATABASE_URL`, else the embedded server.
        settings: The settings to use instead of those of the environment.
        migrate_tables: Whether to create or upgrade the tables; `None` means yes on the embedded server only.

    Returns:
        An object to enter or to await; both give a `ThreadSaver`.

    Raises:
        DatabaseUnreachableError: If no server answers within 5 seconds.
        MigrationNeededError: If a foreign database lacks our tables, or is newer than this program.
        EmbeddedServerError: If the embedded server does not start.
        SettingsError: If an encryption key is set that is none, or cannot be read.
    """
    return Checkpointer(url, settings, migrate_tables)
