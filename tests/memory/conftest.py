"""Fixtures of memory tests: Chroma's own server, each kind of vector index, a real Neo4j, templates in either store."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from openmanus_graph import Settings, ThreadSaver
from openmanus_graph.memory.procedural.neo4j_templates import Neo4jTemplates
from openmanus_graph.memory.procedural.postgres_templates import PostgresTemplates
from openmanus_graph.memory.protocols import Embedder, TemplateMemory
from openmanus_graph.memory.semantic.choice import open_index
from openmanus_graph.memory.semantic.vector_index import VectorIndex
from tests.conftest import Require
from tests.neo4j_server import Neo4jServer, jars

HAS_CHROMA = find_spec("chromadb") is not None
NO_CHROMA = (HAS_CHROMA, "Chroma is not installed", "pip install 'openmanus-graph[chroma]'")
KINDS = ["pgvector", "chroma", "chroma-server"]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class ChromaProcess:
    """Chroma's own server on loopback, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = Path(sys.executable).with_name("chroma")
        # The host is always named: in a configuration file without one it would listen everywhere.
        command = [program, "run", "--host", "127.0.0.1", "--port", str(self.port), "--path", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while not self._answers():
            assert time.monotonic() < end, (self.folder / "log").read_text()
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/heartbeat", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def shared_chroma() -> Iterator[ChromaProcess]:
    """A server that lives as long as the session."""
    with tempfile.TemporaryDirectory(prefix="omg-chroma-") as folder:
        server = ChromaProcess(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def chroma_process(tmp_path: Path, require: Require) -> Iterator[ChromaProcess]:
    """A server of the test's own, not started yet."""
    require(*NO_CHROMA)
    server = ChromaProcess(tmp_path)
    yield server
    server.stop()


@pytest.fixture(params=KINDS)
def memory_settings(request: pytest.FixtureRequest, tmp_path: Path, require: Require) -> Settings:
    """Settings that choose one kind of index."""
    kind = str(request.param)
    if kind == "pgvector":
        return Settings.load(home=tmp_path, vector_index="pgvector", owner="me", embedder="hashing")
    require(*NO_CHROMA)
    if kind == "chroma":
        return Settings.load(home=tmp_path, vector_index="chroma", owner="me", embedder="hashing")
    server: ChromaProcess = request.getfixturevalue("shared_chroma")
    return Settings.load(home=tmp_path, vector_index="chroma", chroma_url=server.url, owner="me", embedder="hashing")


OpenIndex = Callable[[Embedder], Awaitable[VectorIndex]]


@pytest.fixture
async def opened(saver: ThreadSaver, memory_settings: Settings) -> AsyncIterator[OpenIndex]:
    """Opens indexes of the chosen kind, which are closed at the end."""
    made: list[VectorIndex] = []

    async def make(embedder: Embedder) -> VectorIndex:
        index = await open_index(saver, memory_settings, embedder)
        assert index is not None
        made.append(index)
        return index

    yield make
    await asyncio.gather(*(index.aclose() for index in made))


NOW = 1_800_000_000.0
"""The present moment of the tests."""
MakeTemplates = Callable[..., TemplateMemory]
"""Makes a store: `templates(owner="me", now=NOW)`."""


@pytest.fixture(scope="session")
def neo4j_of_session() -> Iterator[Neo4jServer | None]:
    """A server that lives as long as the session; `None` where there is none."""
    lib = jars()
    if lib is None:
        yield None
        return
    home = Path(tempfile.mkdtemp(prefix="omg-neo4j-"))
    server = Neo4jServer(home, lib)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(home)


@pytest.fixture
def neo4j(neo4j_of_session: Neo4jServer | None, require: Require) -> Neo4jServer:
    """The server, empty."""
    require(neo4j_of_session is not None, "no Neo4j server is here", "make neo4j")
    assert neo4j_of_session is not None
    neo4j_of_session.empty()
    return neo4j_of_session


@pytest.fixture(
    params=[pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("neo4j", marks=pytest.mark.programs)]
)
def templates(request: pytest.FixtureRequest) -> MakeTemplates:
    """Makes stores of one kind, all with the same content."""
    if request.param == "neo4j":
        server: Neo4jServer = request.getfixturevalue("neo4j")

        def in_neo4j(owner: str = "me", now: float = NOW) -> TemplateMemory:
            # However slow a machine is: what a run waits for is another matter.
            return Neo4jTemplates(
                server.uri, owner, password=server.password, clock=lambda: now, limit_s=300.0, offer_s=300.0
            )

        return in_neo4j
    saver: ThreadSaver = request.getfixturevalue("saver")

    def in_postgres(owner: str = "me", now: float = NOW) -> TemplateMemory:
        return PostgresTemplates(saver, owner, clock=lambda: now)

    return in_postgres


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a server that takes connections, and says nothing."""
    held: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    yield f"bolt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for writer in held:
        writer.close()
    server.close()
