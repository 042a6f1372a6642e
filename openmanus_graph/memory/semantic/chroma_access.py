"""Chroma access: a folder that several processes share, or a server; each gives a client for one piece of work.

Chroma's client of a folder keeps what it has read: it does not see what other processes write, and says nothing
(chroma issue 3792). So a counter beside the data tells that another process has written, and then the client is opened
anew; a lock keeps readers and writers apart.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx

from openmanus_graph import shell_commands
from openmanus_graph.errors import OpenManusGraphError, SettingsError, VectorIndexError
from openmanus_graph.memory.semantic.vector_index import index_error
from openmanus_graph.redaction import KEY, redact_log

ResultT = TypeVar("ResultT")

TIMEOUT_S = 30.0
"""How long a server may take to answer."""
COUNTER_BYTES = 8
"""Bytes of the counter in the lock file."""
_NETWORK = re.compile(r"nfs\d*|cifs|smb\w*|9p|fuse\.(sshfs|glusterfs|ceph\w*)|ceph|afs|lustre")
"""File systems on which `flock` may hold on one machine only, or not at all."""


class ChromaAccess(Protocol):
    """A way to a Chroma client."""

    place: str
    """The place in words."""

    @property
    def target(self) -> str:
        """Names the place, the same in every process that means the same one.

        Raises:
            VectorIndexError: If the place cannot be used.
        """
        ...

    def use(self, work: Callable[[Any], ResultT], *, write: bool) -> ResultT:
        """Do a piece of work with a client that knows everything that was written before.

        Args:
            work: Takes the client; blocks.
            write: Whether it changes anything.

        Raises:
            VectorIndexError: If it fails.
        """
        ...

    def close(self) -> None:
        """Let go of the client."""
        ...


class _OpenFolder:
    """What this process has open of a folder; one for all who use it, for Chroma itself shares a folder's data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.users = 0
        self.client: Any = None
        self.seen = -1

    def current(self, count: int) -> Any:
        """The client, opened anew if others have written since it was."""
        if self.client is not None and self.seen != count:
            self.drop()
        if self.client is None:
            chromadb = load_chroma()
            settings = chromadb.config.Settings(anonymized_telemetry=False)
            self.client = chromadb.PersistentClient(path=str(self.folder / "data"), settings=settings)
            self.seen = count
        return self.client

    def drop(self) -> None:
        client, self.client = self.client, None
        if client is not None:
            client.close()


_open_folders: dict[Path, _OpenFolder] = {}
_opening = threading.Lock()


class ChromaFolder:
    """A folder of Chroma's, correct with several processes and threads."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made for this account alone if it is not there.

        Args:
            folder: The folder.

        Raises:
            VectorIndexError: If it is on a network file system, whose locks cannot be relied on.
        """
        self._folder = folder.resolve()
        _refuse_network(self._folder)
        self.place = f"Chroma in {str(self._folder)!r}"
        with _opening:
            self._open = _open_folders.setdefault(self._folder, _OpenFolder(self._folder))
            self._open.users += 1
        self._closed = False
        self._name: str | None = None

    @property
    def target(self) -> str:
        """Names the folder by what is written in it: hosts and containers have other names and paths for the same."""
        if self._name is None:
            self._name = self._read_name()
        return f"chroma {self._name}"

    def _read_name(self) -> str:
        """The name in the folder; the first who asks gives it one."""
        file = self._folder / "id"
        draft = self._folder / f".{os.urandom(8).hex()}.part"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not file.exists():
                draft.touch(0o600)
                draft.write_text(os.urandom(8).hex())
                with suppress(FileExistsError):
                    os.link(draft, file)
                draft.unlink()
            return file.read_text().strip()
        except OSError as error:
            raise VectorIndexError(f"The folder {str(self._folder)!r} cannot be used: {error.strerror}.") from error

    def use(self, work: Callable[[Any], ResultT], *, write: bool) -> ResultT:
        """Do a piece of work under the lock; a writer counts before it writes, so that its end cannot be missed."""
        with self._open.lock:
            file = self._lock_file()
            try:
                alone = write or not (self._folder / "data" / "chroma.sqlite3").exists()  # opening makes its tables
                fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
                count = int.from_bytes(os.pread(file, COUNTER_BYTES, 0), "big")
                client = self._open.current(count)
                if write:
                    os.pwrite(file, (count + 1).to_bytes(COUNTER_BYTES, "big"), 0)
                    self._open.seen = count + 1
                return work(client)
            except OpenManusGraphError:
                raise
            except Exception as error:
                self._open.drop()
                raise index_error(self.place, error) from error
            finally:
                os.close(file)

    def _lock_file(self) -> int:
        """A descriptor of this use's own: a lock on a shared one would be changed by another thread."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise VectorIndexError(f"The folder {str(self._folder)!r} cannot be used: {error.strerror}.") from error

    def close(self) -> None:
        """Let go of the client; the last one who uses the folder closes it."""
        with _opening, self._open.lock:
            if self._closed:
                return
            self._closed = True
            self._open.users -= 1
            if self._open.users == 0:
                self._open.drop()
                _open_folders.pop(self._folder, None)


class ChromaServer:
    """A server of Chroma's."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """Connect at the first use.

        Args:
            url: Where it answers.
            headers: Header fields of every request, such as a token.

        Raises:
            SettingsError: If the URL is none, or has more in it than where the server is.
        """
        scheme, host, port = _server_in(url)
        self._where: dict[str, Any] = {"host": host, "port": port, "ssl": scheme == "https"}
        self._headers = dict(headers)
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._url = f"{scheme}://{shown}"
        self.place = f"the Chroma server at {shown}"
        self._lock = threading.Lock()
        self._client: Any = None

    @property
    def target(self) -> str:
        """Names the server."""
        return f"chroma {self._url}"

    def use(self, work: Callable[[Any], ResultT], *, write: bool) -> ResultT:
        """Do a piece of work; the server keeps readers and writers apart."""
        del write
        try:
            return work(self._connected())
        except OpenManusGraphError:
            raise
        except Exception as error:
            raise index_error(self.place, error, self._headers.values()) from error

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                chromadb = load_chroma()
                # Chroma's client waits for ever, from its first call on: so the server is asked before, with a limit,
                # and by the same way: both take a proxy from the environment.
                with httpx.Client(timeout=TIMEOUT_S) as asking:
                    asking.get(f"{self._url}/api/v2/heartbeat", headers=self._headers).raise_for_status()
                settings = chromadb.config.Settings(anonymized_telemetry=False)
                self._client = chromadb.HttpClient(**self._where, headers=self._headers, settings=settings)
                for session in _sessions(self._client):
                    session.timeout = httpx.Timeout(TIMEOUT_S)
            return self._client

    def close(self) -> None:
        """Let go of the client."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()
            for session in _sessions(client):
                session.close()


def _server_in(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a server's address.

    Raises:
        SettingsError: If it is no address, or has a password, a path or a query in it.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        good = parts.scheme in ("http", "https") and host and parts.path in ("", "/")
    except ValueError:
        parts, host, port, good = None, "", None, False
    if not good or parts is None or "@" in parts.netloc or parts.query or parts.fragment:
        shown = re.sub(r"^([a-z]+://)?.*@", rf"\1{KEY}@", redact_log(url), flags=re.DOTALL).partition("?")[0]
        raise SettingsError(
            f"The setting 'chroma_url' cannot be {shown!r}.",
            hint="It looks like https://host:8000; a token is in a variable that the setting chroma_headers names.",
        )
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 8000)


def _sessions(client: Any) -> list[httpx.Client]:
    """The HTTP clients inside Chroma's: it has two, gives neither a time limit, and leaves both open."""
    return [inner._server._session for inner in (client, client._admin_client)]


def load_chroma() -> Any:
    """Chroma, which takes a second or two to import.

    Raises:
        VectorIndexError: If it is not installed.
    """
    try:
        chromadb = import_module("chromadb")
        import_module("chromadb.config")
    except ImportError as error:
        raise VectorIndexError(
            "Chroma is not installed.", hint=f"Get it with: {shell_commands.install('openmanus-graph[chroma]')}"
        ) from error
    return chromadb


def _refuse_network(folder: Path) -> None:
    """Raise for a folder on a network file system."""
    kind = file_system_of(folder)
    if _NETWORK.fullmatch(kind):
        raise VectorIndexError(
            f"The folder {str(folder)!r} is on the network file system {kind!r}, whose locks Chroma's data needs.",
            hint="Set OPENMANUS_GRAPH_HOME to a folder of this machine, CHROMA_URL to a server, or"
            " OPENMANUS_GRAPH_VECTOR_INDEX=pgvector.",
        )


def file_system_of(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The kind of file system that a folder is on, or will be; empty where that cannot be known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    resolved = folder.resolve()
    best, kind = -1, ""
    for line in lines:
        fields = line.split(" ")
        point = Path(fields[1].replace("\\040", " "))
        if len(point.parts) >= best and (resolved == point or point in resolved.parents):
            best, kind = len(point.parts), fields[2]
    return kind
