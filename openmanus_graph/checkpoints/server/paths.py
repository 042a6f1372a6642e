"""Server paths: the files and folders of the embedded server, and who may touch them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from openmanus_graph.checkpoints.server.account import OTHER_SERVER, Account
from openmanus_graph.checkpoints.server.wire import lock_file, socket_file
from openmanus_graph.errors import DatabaseFullError, EmbeddedServerError

SOCKET_LIMIT = 100
"""Bytes a socket's path may have: the system allows 104 to 108, and Postgres adds `.lock` beside it."""

PLAIN = re.compile(r"[A-Za-z0-9/._-]+")
"""Socket folders that need no quoting in URLs and configuration (a comma separates hosts in both)."""


@dataclass(frozen=True)
class ServerPaths:
    """The files of one embedded server, all below one folder of the data folder."""

    home: Path
    """The data folder of the settings, absolute."""

    @classmethod
    def below(cls, home: Path) -> ServerPaths:
        """The place for a data folder, with links resolved: two names of one folder are one server."""
        return cls(Path(os.path.realpath(home.expanduser())))

    @property
    def root(self) -> Path:
        """Folder of everything here; belongs to the user of this process."""
        return self.home / "postgres"

    @property
    def data(self) -> Path:
        """The cluster; belongs to the account that runs the server."""
        return self.root / "data"

    @property
    def configuration(self) -> Path:
        """Folder of the configuration, outside the cluster: the account can read it and not change it."""
        return self.root / "configuration"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.root / "server.log"

    @property
    def shelf(self) -> Path:
        """Copies of the binaries."""
        return self.root / "binaries"

    @property
    def start_lock(self) -> Path:
        """The lock of the process that starts or stops the server."""
        return self.root / "start.lock"

    @property
    def users_lock(self) -> Path:
        """The lock that every process that uses the server holds, shared."""
        return self.root / "users.lock"

    @property
    def alive_lock(self) -> Path:
        """The lock that every process of the server inherits: free means that none of them lives."""
        return self.root / "alive.lock"

    @property
    def pin(self) -> Path:
        """Its presence keeps the server up without users."""
        return self.root / "pinned"

    @property
    def sockets(self) -> Path:
        """Folder of the socket: here if its path is short and plain, else in the system's run-time folder.

        The choice depends on nothing but the user and the path, so that every process makes the same one.
        """
        inside = self.root / "run"
        if len(os.fsencode(socket_file(inside))) <= SOCKET_LIMIT and PLAIN.fullmatch(str(inside)):
            return inside
        mark = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        uid = os.geteuid()
        # Not $XDG_RUNTIME_DIR: it goes away when the user logs out, under the feet of what still runs.
        base = Path("/run") if uid == 0 and Path("/run").is_dir() else Path("/tmp")  # noqa: S108 - verified when made
        return base / f"openmanus-graph-{uid}-{mark}"

    def make(self, account: Account) -> None:
        """Make the folders, without changing any that exists.

        Raises:
            EmbeddedServerError: If one cannot be made, is somebody else's, or is out of the account's reach.
            DatabaseFullError: If the disk is full.
        """
        with self.explained():
            if account.dropped:
                nearest = next(step for step in (self.root, *self.root.parents) if step.exists())
                if not account.can_enter(nearest):
                    barred = str(account.first_barred(nearest))
                    raise EmbeddedServerError(
                        f"The account {account.name!r}, which runs the embedded server, cannot enter "
                        f"{barred!r} on the way to the data folder {str(self.home)!r}.",
                        hint="Set OPENMANUS_GRAPH_HOME to a folder that every account can reach, such as "
                        "/var/lib/openmanus-graph.",
                    )
            # For a dropped account every new folder must let it pass; nobody but root may write there.
            _make_folders(self.home, 0o755 if account.dropped else 0o700, parents=0o755)
            _make_folders(self.root, 0o711 if account.dropped else 0o700, parents=0o755)
            self.verify()

    def verify(self) -> None:
        """Refuse a place that somebody else could have prepared.

        Raises:
            EmbeddedServerError: If it does not belong to the user of this process alone.
        """
        status = self.root.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise EmbeddedServerError(
                f"The folder {str(self.root)!r} is not one that only this user (id {os.geteuid()}) "
                f"may change: it belongs to user id {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}.",
                hint=f"Run as that user, or set OPENMANUS_GRAPH_HOME to a folder of your own. {OTHER_SERVER}",
            )

    def make_sockets(self, account: Account) -> None:
        """Make the socket folder, for the account alone.

        Raises:
            EmbeddedServerError: If something of somebody else is in the way.
        """
        folder = self.sockets
        with self.explained():
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            try:
                link = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except (NotADirectoryError, PermissionError) as error:
                raise self._occupied(folder) from error
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise self._occupied(folder) from error
                raise
            try:
                owner = os.fstat(link).st_uid
                if owner not in (os.geteuid(), account.uid):
                    raise self._occupied(folder)
                if owner != account.uid:
                    os.fchown(link, account.uid, account.gid)
                os.fchmod(link, 0o700)
            finally:
                os.close(link)

    def remove_sockets(self, account: Account) -> None:
        """Remove the socket folder, if it is one outside the data folder and the account's own."""
        folder = self.sockets
        try:
            status = folder.lstat()
        except FileNotFoundError:
            return
        if folder.parent == self.root or not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid:
            return
        for file in (socket_file(folder), lock_file(folder)):
            file.unlink(missing_ok=True)
        folder.rmdir()

    def _occupied(self, folder: Path) -> EmbeddedServerError:
        return EmbeddedServerError(
            f"The socket folder {str(folder)!r} is in the way: it is not a folder of this user.",
            hint="Have it removed, or set OPENMANUS_GRAPH_HOME to a folder with a shorter path.",
        )

    @contextmanager
    def explained(self) -> Generator[None]:
        """Turn the system's errors inside the block into ours, naming the data folder.

        Raises:
            DatabaseFullError: For a full disk or quota.
            EmbeddedServerError: For every other `OSError`.
        """
        try:
            yield
        except OSError as error:
            what = f"{error.filename or self.home}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_full(self.home, f"{what}: {error.strerror}") from error
            raise EmbeddedServerError(
                f"The embedded server's data folder {str(self.home)!r} cannot be used: "
                f"{what!r}: {error.strerror or error}.",
                hint=f"Set OPENMANUS_GRAPH_HOME to a folder that this user can write. {OTHER_SERVER}",
            ) from error


def disk_full(home: Path, evidence: str) -> DatabaseFullError:
    """The error for a full disk below `home`, with the evidence for it."""
    return DatabaseFullError(
        f"The disk of the embedded server's data folder {str(home)!r} is full ({evidence}).",
        hint=f"Make room there (see: df -h {home}), then run the same command again.",
    )


def _make_folders(folder: Path, mode: int, *, parents: int) -> None:
    if folder.is_dir():
        return
    if not folder.parent.exists():
        _make_folders(folder.parent, parents, parents=parents)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
        return  # another process was faster, and sets the mode
    folder.chmod(mode)  # `mkdir` obeys the umask, which may shut the account out
