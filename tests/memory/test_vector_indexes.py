"""Vector indexes: every kind keeps the one contract."""

from __future__ import annotations

import http.client
import math
import random
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from psycopg import conninfo

from openmanus_graph import Settings, ThreadSaver, open_checkpointer
from openmanus_graph.errors import SettingsError, VectorIndexError
from openmanus_graph.memory.embedding.hashing import HashingEmbedder
from openmanus_graph.memory.semantic import choice, chroma_access, pgvector_index
from openmanus_graph.memory.semantic.choice import open_index
from openmanus_graph.memory.semantic.chroma_access import ChromaServer
from openmanus_graph.memory.semantic.passage import Passage
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.memory.semantic.pgvector_index import PgvectorIndex
from openmanus_graph.memory.semantic.vector_index import VectorIndex, VectorSpace
from tests.conftest import Require
from tests.memory.conftest import NO_CHROMA, ChromaProcess, OpenIndex

pytestmark = pytest.mark.postgres

DIMENSIONS = 8


class Numbers:
    """An embedder that is never asked: the tests bring their vectors."""

    def __init__(self, name: str = "numbers", dimensions: int = DIMENSIONS) -> None:
        self.name = name
        self.dimensions = dimensions

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        raise AssertionError(texts)


def axis(number: int, more: float = 0.0) -> list[float]:
    vector = [0.0] * DIMENSIONS
    vector[number] = 1.0
    vector[(number + 1) % DIMENSIONS] += more
    return vector


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


@pytest.fixture
async def index(opened: OpenIndex) -> VectorIndex:
    return await opened(Numbers())


async def test_the_nearest_come_first_with_their_cosines(index: VectorIndex) -> None:
    await index.upsert("me", [("a", axis(0)), ("b", axis(0, 1.0)), ("c", axis(3))])

    found = await index.query("me", axis(0), 2)

    assert [key for key, _ in found] == ["a", "b"]
    assert [near for _, near in found] == pytest.approx([1.0, math.sqrt(0.5)], abs=0.005)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host", "host:8000", "http://host:99999", "http://host:port", "http://[::1", "://", "http://host/path"),
        *(
            "http://me:opensesame@host:8000",
            "http://opensesame@host",
            "http://me:open/sesame@host",
            "me:opensesame@host",
        ),
        *("http://host:8000?token=opensesame", "http://me:opensesame@host:port"),
    ],
)
def test_a_wrong_address_of_a_server_is_one_error_without_secrets(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^The setting 'chroma_url' cannot be '.*'\. It looks like") as raised:
        ChromaServer(url, {})

    assert "sesame" not in str(raised.value)


async def test_a_server_beyond_a_proxy_is_reached_through_it(
    saver: ThreadSaver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    require: Require,
) -> None:
    require(*NO_CHROMA)
    server: ChromaProcess = request.getfixturevalue("shared_chroma")
    with proxy_to(server.port) as (port, asked):
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        settings = Settings.load(home=tmp_path, chroma_url="http://chroma.invalid:8000")
        index = await open_index(saver, settings, Numbers())
        assert index is not None
        await index.upsert("proxy", [("a", axis(0))])
        assert await index.keys("proxy") == {"a"}
        await index.aclose()

    assert any("/api/v2/heartbeat" in path for path in asked)
    assert all(path.startswith("http://chroma.invalid:8000/") for path in asked)


@contextmanager
def proxy_to(server_port: int) -> Iterator[tuple[int, list[str]]]:
    """A proxy whose every host is one server; its port, and what it is asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            asked.append(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            inner = http.client.HTTPConnection("127.0.0.1", server_port)
            path = self.path.removeprefix("http://chroma.invalid:8000")
            inner.request(self.command, path, body, {"Content-Type": self.headers.get("Content-Type") or ""})
            answer = inner.getresponse()
            data = answer.read()
            inner.close()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type") or "")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    for method in ("GET", "POST", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.forward)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving.server_address[1], asked
        serving.shutdown()
        thread.join()


async def test_an_empty_index_answers(index: VectorIndex) -> None:
    assert await index.query("me", axis(0), 5) == []
    assert await index.keys("me") == set()
    assert await index.owners() == set()
    await index.delete("me", ["a"])
    await index.upsert("me", [])


async def test_a_vector_is_replaced_by_its_key(index: VectorIndex) -> None:
    await index.upsert("me", [("a", axis(0)), ("b", axis(1))])
    await index.upsert("me", [("a", axis(4)), ("a", axis(5))])

    assert (await index.query("me", axis(5), 1))[0] == ("a", pytest.approx(1.0, abs=0.005))
    assert await index.keys("me") == {"a", "b"}


async def test_what_is_removed_is_not_found(index: VectorIndex) -> None:
    await index.upsert("me", [("a", axis(0)), ("b", axis(1))])
    await index.delete("me", ["a", "unknown"])
    await index.delete("me", ["a"])

    assert [key for key, _ in await index.query("me", axis(0), 5)] == ["b"]
    assert await index.keys("me") == {"b"}


async def test_owners_are_apart(index: VectorIndex) -> None:
    await index.upsert("me", [("a", axis(0))])
    await index.upsert("you", [("b", axis(0)), ("c", axis(1))])
    await index.delete("you", ["a"])

    assert [key for key, _ in await index.query("me", axis(0), 5)] == ["a"]
    assert [key for key, _ in await index.query("you", axis(0), 5)] == ["b", "c"]
    assert await index.owners() == {"me", "you"}


async def test_embedders_are_apart(opened: OpenIndex) -> None:
    first, second = await opened(Numbers()), await opened(Numbers("other"))
    await first.upsert("me", [("a", axis(0))])
    await second.upsert("me", [("b", axis(0))])

    assert await first.keys("me") == {"a"}
    assert [key for key, _ in await second.query("me", axis(0), 5)] == ["b"]
    assert first.target != second.target


async def test_a_vector_of_another_length_is_refused(index: VectorIndex) -> None:
    await index.upsert("me", [("a", axis(0))])

    with pytest.raises(VectorIndexError, match="a vector of 3 numbers instead of 8"):
        await index.upsert("me", [("b", axis(1)), ("c", [1.0, 2.0, 3.0])])
    with pytest.raises(VectorIndexError, match="a vector of 3 numbers instead of 8"):
        await index.query("me", [1.0, 2.0, 3.0], 1)
    assert await index.keys("me") == {"a"}


async def test_another_opening_sees_everything_at_once(opened: OpenIndex) -> None:
    first, second = await opened(Numbers()), await opened(Numbers())
    for number in range(6):
        writer, reader = (first, second) if number % 2 else (second, first)
        await writer.upsert("me", [(f"k{number}", axis(number))])
        assert await reader.keys("me") == {f"k{one}" for one in range(number + 1)}
        assert (await reader.query("me", axis(number), 1))[0][0] == f"k{number}"
        await writer.delete("me", [f"k{number}"])
        assert (await reader.query("me", axis(number), 10)) == [
            found for found in await reader.query("me", axis(number), 10) if found[0] != f"k{number}"
        ]
        await writer.upsert("me", [(f"k{number}", axis(number))])
    assert first.target == second.target


async def test_thousands_of_keys_are_listed_whole(index: VectorIndex) -> None:
    """A query of as many as there are would give fewer."""
    chosen = random.Random(1)
    items = [(f"k{number}", [chosen.gauss(0, 1) for _ in range(DIMENSIONS)]) for number in range(2_500)]
    await index.upsert("me", items)
    await index.tidy()

    assert await index.keys("me") == {key for key, _ in items}
    await index.delete("me", [key for key, _ in items[:2_400]])
    assert await index.keys("me") == {key for key, _ in items[2_400:]}


async def test_the_nearest_of_many_are_nearly_those_of_exact_search(index: VectorIndex) -> None:
    chosen = random.Random(2)
    items = {f"k{number}": [chosen.gauss(0, 1) for _ in range(DIMENSIONS)] for number in range(1_000)}
    await index.upsert("me", list(items.items()))
    found = 0
    for _ in range(20):
        query = [chosen.gauss(0, 1) for _ in range(DIMENSIONS)]
        exact = sorted(items, key=lambda key: -cosine(items[key], query))[:10]
        found += len(set(exact) & {key for key, _ in await index.query("me", query, 10)})

    assert found >= 190  # of 200; HNSW misses some


async def test_above_its_limit_pgvector_searches_by_its_index(
    saver: ThreadSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgvector_index, "EXACT_ROWS", 300)
    index = await PgvectorIndex.open_index(saver, VectorSpace("space", "numbers", DIMENSIONS))
    chosen = random.Random(3)
    items = {f"k{number}": [chosen.gauss(0, 1) for _ in range(DIMENSIONS)] for number in range(1_000)}
    await index.upsert("me", [(key, vector) for key, vector in items.items() if key not in ("k7", "k8", "k9")])
    await index.upsert("few", [(key, items[key]) for key in ("k7", "k8", "k9")])
    await index.tidy()
    await index.tidy()

    async with saver.connection() as connection:
        rows = await (
            await connection.execute("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'")
        ).fetchall()
    assert len(rows) == 1
    # A filter on the index alone would leave none of the few.
    assert {key for key, _ in await index.query("few", axis(0), 10)} == {"k7", "k8", "k9"}
    exact = sorted(items, key=lambda key: -cosine(items[key], axis(0)))[:10]
    assert len(set(exact) & {key for key, _ in await index.query("me", axis(0), 10)}) >= 7


async def test_without_chroma_pgvector_is_taken_where_it_may_be(
    saver: ThreadSaver, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    settings = Settings.load(home=tmp_path, owner="me", embedder="hashing")
    index = await open_index(saver, settings, HashingEmbedder())
    assert index is not None
    assert index.place == "pgvector in the database"

    async with saver.connection() as connection:
        await connection.execute("DROP EXTENSION vector CASCADE")
        role = f"reader_{uuid.uuid4().hex[:8]}"  # a role is of the whole server
        await connection.execute(f"CREATE ROLE {role}")  # type: ignore[arg-type]
        for what in (
            "USAGE ON SCHEMA",
            "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA",
            "USAGE ON ALL SEQUENCES IN SCHEMA",
        ):
            await connection.execute(f"GRANT {what} openmanus_graph TO {role}")  # type: ignore[arg-type]
    as_reader = conninfo.make_conninfo(database, options=f"-c role={role}")
    async with open_checkpointer(as_reader, migrate_tables=False) as other:
        memory = PassageMemory(other, settings)
        await memory.add([Passage("a.md", 0, "A lost key is reported."), Passage("a.md", 1, "Trains are booked.")])
        found = await memory.search("lost key")
        assert (found.hits[0].passage.position, found.hits[0].nearness, found.warning) == (0, None, None)
        assert (await memory.status()).index is None
        explicit = PassageMemory(other, settings.model_copy(update={"vector_index": "pgvector"}))
        assert "permission denied" in str((await explicit.search("lost key")).warning)


async def test_pgvector_is_taken_where_the_data_folder_is_on_a_network(
    saver: ThreadSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Require
) -> None:
    require(*NO_CHROMA)
    monkeypatch.setattr(chroma_access, "file_system_of", lambda folder: "nfs4")
    index = await open_index(saver, Settings.load(home=tmp_path, embedder="hashing"), HashingEmbedder())
    assert index is not None
    assert index.place == "pgvector in the database"
    with pytest.raises(VectorIndexError, match="network file system 'nfs4'"):
        await open_index(saver, Settings.load(home=tmp_path, vector_index="chroma"), HashingEmbedder())
