"""Embedded server: a real Postgres that starts when a process needs it and stops after the last one.

Life time, all of it decided by locks that the kernel releases when a process dies, however it dies:

- every process that uses the server holds a shared lock on `users.lock`;
- who starts or stops it holds `start.lock`;
- who leaves, and then gets `users.lock` alone, stops it, unless it is pinned by `start()`.

Nothing here imports a driver, LangGraph or LangChain: joining a running server takes milliseconds.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import EmbeddedServerError, OpenManusGraphError
from openmanus_graph.files.folder_size import folder_size

if sys.platform == "win32":
    raise EmbeddedServerError(
        "The embedded server does not run on Windows.", hint="Use a server of your own: set DATABASE_URL."
    )

from openmanus_graph.checkpoints.server import log, wire
from openmanus_graph.checkpoints.server.account import Account
from openmanus_graph.checkpoints.server.cluster import START_S, Cluster
from openmanus_graph.checkpoints.server.configuration import DATABASE, ROLE
from openmanus_graph.checkpoints.server.locks import FileLock, users_of
from openmanus_graph.checkpoints.server.paths import ServerPaths

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerStatus:
    """What is known about the embedded server without starting it."""

    running: bool
    """Whether it accepts connections."""
    pinned: bool
    """Whether it stays up without users, until `db stop`."""
    version: str | None
    """Postgres' version; only the major one if it is not running, `None` if there is no data yet."""
    data: Path
    """The cluster's folder."""
    socket: Path
    """The folder of the socket."""
    log: Path
    """What the server says."""
    url: str
    """How to connect, for this user on this machine."""
    users: list[int] | None
    """Ids of the processes that use it; `None` where the system does not tell."""
    size: int
    """Bytes of the cluster on disk."""


class EmbeddedServer:
    """One process' use of the embedded server of a data folder; every object counts as a user of its own."""

    def __init__(self, settings: Settings) -> None:
        """Note where the server lies; nothing is touched before `acquire` or `start`."""
        self._settings = settings
        self._place = ServerPaths.below(settings.home)
        self._guard = threading.RLock()
        self._users: FileLock | None = None
        self._owner = 0
        """Process that took `_users`; a forked child must not give back what its parent took."""

    @property
    def url(self) -> str:
        """How to connect, for this user on this machine; says nothing about whether the server runs."""
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(self._place.sockets), safe='/')}"

    async def acquire(self) -> str:
        """Use the server: start it if it does not run, and keep it up until `release`.

        Calling it again makes sure that the server still runs, and recovers it if it does not.

        Returns:
            The URL to connect to.

        Raises:
            DatabaseFullError: If the disk is full.
            EmbeddedServerError: If it cannot be started.
        """
        joining = asyncio.ensure_future(asyncio.to_thread(self._acquire))
        try:
            await asyncio.shield(joining)
        except asyncio.CancelledError:
            # The thread cannot be stopped; leave no user behind who will never leave.
            await asyncio.wait([joining])
            if not joining.exception():
                await asyncio.to_thread(self._release)
            raise
        return self.url

    async def release(self) -> None:
        """Stop using the server; the last one to leave stops it. Calling it again does nothing.

        Raises:
            EmbeddedServerError: If it should stop and does not.
        """
        await asyncio.to_thread(self._release)

    async def __aenter__(self) -> str:
        return await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()

    async def start(self) -> None:
        """Start the server, and keep it up without users until `stop` or the machine's next start.

        Raises:
            DatabaseFullError: If the disk is full.
            EmbeddedServerError: If it cannot be started.
        """
        await asyncio.to_thread(self._start)

    async def stop(self, *, force: bool = False) -> None:
        """Take back `start`, and stop the server.

        Args:
            force: Stop it under the processes that use it, too; their runs can be resumed.

        Raises:
            EmbeddedServerError: If other processes use it and `force` is not given (then it stops
                after the last of them), or if it does not stop.
        """
        await asyncio.to_thread(self._stop, force)

    def status(self) -> ServerStatus:
        """What is known about the server; changes nothing."""
        place = self._place
        with place.explained():
            answer = wire.ask(place.sockets, ROLE, DATABASE)
            version = place.data / "PG_VERSION"
            stored = version.read_text(encoding="ascii").strip() if version.exists() else None
            return ServerStatus(
                running=answer.state in ("ready", "no database"),
                pinned=self._pinned(),
                version=answer.version or stored,
                data=place.data,
                socket=place.sockets,
                log=place.log,
                url=self.url,
                users=users_of(place.users_lock) if place.users_lock.exists() else [],
                size=folder_size(place.data),
            )

    def _cluster(self) -> Cluster:
        return Cluster(self._place, Account.for_server(self._settings.db_account))

    @contextmanager
    def _deciding(self) -> Generator[Cluster]:
        """Hold the start lock: nobody else starts or stops the server inside the block."""
        cluster = self._cluster()
        self._place.make(cluster.account)
        with self._place.explained(), FileLock(self._place.start_lock) as start:
            start.wait(START_S)
            yield cluster

    def _acquire(self) -> None:
        with self._guard:
            if self._users is not None and self._owner == os.getpid():
                if not self._joined(self._users):
                    with self._deciding() as cluster:
                        cluster.ensure()
                return
            self._forget()
            users = self._join()
            self._users, self._owner = users, os.getpid()
            atexit.register(self._release_at_exit)

    def _join(self) -> FileLock:
        """A shared lock on the users file, with the server running."""
        if self._place.users_lock.exists():
            with self._place.explained():
                self._place.verify()
                users = FileLock(self._place.users_lock)
            try:
                # Whoever decides to stop the server holds this lock alone; so if it can be had,
                # and the server answers, then the server stays.
                if self._joined(users):
                    return users
            except BaseException:
                users.close()
                raise
            users.close()
        with self._deciding() as cluster:
            users = FileLock(self._place.users_lock)
            try:
                users.wait(START_S, shared=True)
                cluster.ensure()
            except BaseException:
                self._leave(cluster, users)
                raise
        return users

    def _joined(self, users: FileLock) -> bool:
        if not users.try_shared():
            return False
        log.bound(self._place.log)
        return self._cluster().ask().state == "ready"

    def _forget(self) -> None:
        """Drop a lock inherited over a fork; closing leaves the parent's hold as it is."""
        if self._users is not None:
            self._users.close()
            self._users = None

    def _release(self) -> None:
        with self._guard:
            users = self._users
            if users is None:
                return
            if self._owner != os.getpid():
                self._forget()
                return
            self._users = None
            atexit.unregister(self._release_at_exit)
            try:
                if not self._place.root.exists():  # removed under our feet; the server ends by itself
                    return
                with self._deciding() as cluster:
                    self._stop_if_last(cluster, users)
            finally:
                users.close()

    def _stop_if_last(self, cluster: Cluster, users: FileLock) -> None:
        users.unlock()
        if users.try_exclusive() and not self._pinned():
            cluster.stop()

    def _leave(self, cluster: Cluster, users: FileLock) -> None:
        """Leave after a failure, which must stay the one that the user sees."""
        try:
            self._stop_if_last(cluster, users)
        except OpenManusGraphError as error:
            _log.warning("The embedded server could not be stopped: %s", error)
        finally:
            users.close()

    def _release_at_exit(self) -> None:
        try:
            self._release()
        except OpenManusGraphError as error:
            _log.warning("The embedded server could not be released: %s", error)

    def _start(self) -> None:
        with self._guard, self._deciding() as cluster:
            cluster.ensure()
            self._place.pin.write_text(_boot(), encoding="ascii")

    def _stop(self, force: bool) -> None:
        with self._guard:
            if not self._place.root.exists():
                return
            with self._deciding() as cluster, FileLock(self._place.users_lock) as users:
                self._place.pin.unlink(missing_ok=True)
                if not force and not users.try_exclusive():
                    raise self._in_use()
                cluster.stop()

    def _in_use(self) -> EmbeddedServerError:
        pids = [pid for pid in users_of(self._place.users_lock) or [] if pid != os.getpid() or self._users]
        who = f"processes {', '.join(map(str, pids))}" if pids else "other processes"
        return EmbeddedServerError(
            f"The embedded server is in use by {who}, and stops when the last of them ends.",
            hint=f"Stop it under them with: {shell_commands.FORCE_SERVER_TO_STOP}",
        )

    def _pinned(self) -> bool:
        """Whether `start` was called since the machine started; a pin does not outlive that."""
        try:
            return self._place.pin.read_text(encoding="ascii") == _boot()
        except FileNotFoundError:
            return False


def _boot() -> str:
    """The id of this boot of the machine; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
