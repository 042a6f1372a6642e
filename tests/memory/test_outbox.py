"""Outbox: whatever dies or is away, every index gets what the passages are, and nobody sees what they are not."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from openmanus_graph import Settings, ThreadSaver, fault_points, open_checkpointer
from openmanus_graph.errors import VectorIndexError
from openmanus_graph.memory.embedding.hashing import HashingEmbedder
from openmanus_graph.memory.semantic.choice import open_index
from openmanus_graph.memory.semantic.outbox import BATCH, Outbox
from openmanus_graph.memory.semantic.passage import Passage, passage_key
from openmanus_graph.memory.semantic.passages import Passages, Selection
from openmanus_graph.memory.semantic.vector_index import VectorIndex
from tests.memory.conftest import ChromaProcess, OpenIndex

pytestmark = pytest.mark.postgres


class Watched(HashingEmbedder):
    """Word hashing that can be disturbed: `before` is awaited with each batch."""

    batch = BATCH

    def __init__(self, name: str = "") -> None:
        super().__init__(64)
        self._more = name
        self.batches: list[list[str]] = []
        self.before: Callable[[Sequence[str]], Awaitable[None]] | None = None

    @property
    def name(self) -> str:
        return super().name + self._more

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.batches.append(list(texts))
        if self.before is not None:
            await self.before(texts)
        return await super().embed(texts)


class Delivering:
    """Passages with an index and its outbox."""

    def __init__(self, saver: ThreadSaver, index: VectorIndex, embedder: Watched) -> None:
        self.saver = saver
        self.index = index
        self.embedder = embedder
        self.passages = Passages(saver, "me")
        self.outbox = Outbox(saver, index, embedder)

    async def add(self, *texts: str) -> None:
        await self.passages.add([Passage("a.md", position, text) for position, text in enumerate(texts)])

    async def due_now(self) -> None:
        """Let no time have to pass before the next try."""
        async with self.saver.connection() as connection:
            await connection.execute("UPDATE outbox SET next_at = clock_timestamp()")

    async def keys(self) -> set[str]:
        return await self.index.keys("me")


def keys_of(*texts: str) -> set[str]:
    return {passage_key("me", "a.md", text) for text in texts}


@pytest.fixture
async def here(saver: ThreadSaver, opened: OpenIndex) -> Delivering:
    embedder = Watched()
    made = Delivering(saver, await opened(embedder), embedder)
    await made.outbox.register()
    return made


async def test_what_is_added_and_forgotten_is_delivered(here: Delivering) -> None:
    await here.add("one", "two", "three")
    assert await here.outbox.waiting() == 3
    told: list[tuple[int, int]] = []
    done = await here.outbox.deliver(progress=lambda *counts: told.append(counts))

    assert (done.delivered, done.waiting, done.error, told) == (3, 0, None, [(3, 0)])
    assert await here.keys() == keys_of("one", "two", "three")

    await here.passages.forget(Selection(keys=keys_of("two")))
    assert (await here.outbox.deliver()).delivered == 1
    assert await here.keys() == keys_of("one", "three")
    assert (await here.outbox.deliver()).delivered == 0


async def test_added_and_forgotten_before_it_is_delivered_leaves_nothing(here: Delivering) -> None:
    await here.add("one")
    await here.passages.forget(Selection())
    await here.add("two")
    await here.outbox.deliver()

    assert await here.keys() == keys_of("two")


async def test_many_go_in_batches(here: Delivering) -> None:
    await here.add(*(f"text {number}" for number in range(BATCH + 10)))
    done = await here.outbox.deliver()

    assert (done.delivered, [len(batch) for batch in here.embedder.batches]) == (BATCH + 10, [BATCH, 10])


async def test_a_new_index_is_asked_for_what_there_was_before(saver: ThreadSaver, opened: OpenIndex) -> None:
    first = Watched()
    here = Delivering(saver, await opened(first), first)
    await here.add("one", "two")
    assert await here.outbox.register()
    assert not await here.outbox.register()
    await here.outbox.deliver()
    assert await here.keys() == keys_of("one", "two")

    second = Watched("other")
    changed = Delivering(saver, await opened(second), second)
    assert await changed.outbox.register()
    await changed.add("three")
    await changed.outbox.deliver()
    assert await changed.keys() == keys_of("one", "two", "three")
    assert await here.outbox.waiting() == 1


@pytest.mark.parametrize("moment", ["before vector index", "after vector index", "before delivered passages"])
async def test_a_deliverer_that_dies_leaves_it_to_the_next(here: Delivering, moment: str) -> None:
    await here.add("one", "two")
    await here.outbox.deliver()
    await here.add("three")
    await here.passages.forget(Selection(keys=keys_of("one")))

    class Killed(BaseException):
        pass

    def kill(name: str) -> None:
        if name == moment:
            raise Killed

    fault_points.watch(kill)
    with pytest.raises(Killed):
        await here.outbox.deliver()
    fault_points.watch(None)

    assert await here.outbox.waiting() == 2
    assert (await here.outbox.deliver()).delivered == 2
    assert await here.keys() == keys_of("two", "three")


async def test_what_changes_during_a_delivery_is_delivered_again(here: Delivering) -> None:
    await here.add("one", "two")

    async def forget(_: Sequence[str]) -> None:
        here.embedder.before = None
        await here.passages.forget(Selection(keys=keys_of("one")))

    here.embedder.before = forget
    done = await here.outbox.deliver()

    assert done.waiting == 0
    assert await here.keys() == keys_of("two")


async def test_one_process_delivers_at_a_time(here: Delivering) -> None:
    await here.add("one")
    going, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: Sequence[str]) -> None:
        going.set()
        await go_on.wait()

    here.embedder.before = wait
    first = asyncio.create_task(here.outbox.deliver())
    await going.wait()
    second = await here.outbox.deliver()
    go_on.set()

    assert (second.delivered, second.waiting, second.elsewhere) == (0, 1, True)
    assert (await first).delivered == 1
    assert not (await here.outbox.deliver()).elsewhere


async def test_a_passage_that_is_refused_does_not_hold_up_the_others(here: Delivering) -> None:
    await here.add(*(f"text {number}" for number in range(20)), "poison")

    async def refuse(texts: Sequence[str]) -> None:
        if "poison" in texts:
            raise VectorIndexError("It is refused; the key is sk-abcdefghijklmnop1234.")

    here.embedder.before = refuse
    for _ in range(6):
        await here.outbox.deliver()
        await here.due_now()

    assert await here.outbox.waiting() == 1
    assert await here.outbox.last_error() == "It is refused; the key is [key]."
    assert len(await here.keys()) == 20
    here.embedder.before = None
    assert (await here.outbox.deliver()).waiting == 0
    assert await here.outbox.last_error() is None


async def test_failures_wait_longer_each_time(here: Delivering) -> None:
    async def refuse(_: Sequence[str]) -> None:
        raise VectorIndexError("Away.")

    here.embedder.before = refuse
    await here.add("one")
    waits: list[float] = []
    attempts = 0
    for _ in range(10):
        await here.due_now()
        await here.outbox.deliver(seconds=0.01)
        async with here.saver.connection() as connection:
            row: Any = await (
                await connection.execute(
                    "SELECT extract(epoch FROM next_at - clock_timestamp())::float8 AS wait, attempts FROM outbox"
                )
            ).fetchone()
        waits.append(row["wait"])
        attempts = row["attempts"]

    assert attempts == 10
    assert waits[-1] > 15
    assert all(wait <= 37.5 for wait in waits)


async def test_a_passage_that_failed_for_months_is_still_tried(here: Delivering) -> None:
    await here.add("one")
    async with here.saver.connection() as connection:
        await connection.execute("UPDATE outbox SET attempts = 5000")
    here.embedder.before = raise_away
    done = await here.outbox.deliver()
    assert (done.waiting, done.error) == (1, "Away.")
    await here.due_now()
    here.embedder.before = None

    assert (await here.outbox.deliver()).waiting == 0


async def raise_away(_: Sequence[str]) -> None:
    raise VectorIndexError("Away.")


async def test_vectors_of_another_length_are_an_error_of_the_delivery(here: Delivering) -> None:
    await here.add("one")
    here.embedder._dimensions = 3
    done = await here.outbox.deliver()

    assert "a vector of 3 numbers instead of 64" in str(done.error)
    assert (await here.keys(), done.waiting) == (set(), 1)


async def test_a_sweep_heals_ghosts_and_holes(here: Delivering) -> None:
    await here.add("one", "two", "three")
    await here.outbox.deliver()
    [vector] = await here.embedder.embed(["ghost"])
    await here.index.upsert("me", [("ghost", vector)])
    await here.index.upsert("gone", [("ghost of another", vector)])
    await here.index.delete("me", list(keys_of("one")))
    await here.add("four")

    assert await here.outbox.sweep() == 3
    await here.outbox.deliver()
    assert await here.keys() == keys_of("one", "two", "three", "four")
    assert await here.index.keys("gone") == set()
    assert await here.outbox.sweep() == 0


async def test_sweeps_come_once_a_day(here: Delivering) -> None:
    assert await here.outbox.sweep_if_due() == 0
    [vector] = await here.embedder.embed(["ghost"])
    await here.index.upsert("me", [("ghost", vector)])
    assert await here.outbox.sweep_if_due() == 0
    async with here.saver.connection() as connection:
        await connection.execute("UPDATE vector_targets SET swept_at = swept_at - interval '2 days'")

    assert await here.outbox.sweep_if_due() == 1


async def test_a_copy_of_a_database_does_not_touch_what_the_other_has_indexed(
    server: str, database: str, memory_settings: Settings
) -> None:
    async def with_copy(url: str, change: Callable[[Delivering], Awaitable[None]]) -> set[str]:
        async with open_checkpointer(url) as saver:
            embedder = Watched()
            index = await open_index(saver, memory_settings, embedder)
            assert index is not None
            made = Delivering(saver, index, embedder)
            await made.outbox.register()
            await change(made)
            assert (await made.outbox.deliver()).waiting == 0
            assert await made.outbox.sweep() == 0
            keys = await made.keys()
            await index.aclose()
            return keys

    async def add(here: Delivering) -> None:
        await here.add("one", "two")

    async def forget(here: Delivering) -> None:
        await here.passages.forget(Selection(keys=keys_of("one")))
        await here.add("three")

    async def nothing(_: Delivering) -> None:
        pass

    await with_copy(database, add)
    names = [f"copied_{uuid.uuid4().hex}", conninfo.conninfo_to_dict(database)["dbname"]]
    copy = conninfo.make_conninfo(database, dbname=names[0])
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, map(str, names))))
    try:
        assert await with_copy(copy, forget) == keys_of("two", "three")
        assert await with_copy(database, nothing) == keys_of("one", "two")
        assert await with_copy(copy, nothing) == keys_of("two", "three")
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(names[0]))))


async def test_an_index_that_nobody_uses_is_not_kept_up(here: Delivering) -> None:
    async with here.saver.connection() as connection:
        await connection.execute("SELECT add_target('old')")
        await connection.execute("UPDATE vector_targets SET seen_at = seen_at - interval '31 days' WHERE name = 'old'")
    await here.add("one")
    assert not await here.outbox.register()

    async with here.saver.connection() as connection:
        rows = await (await connection.execute("SELECT DISTINCT target FROM outbox")).fetchall()
    assert [row["target"] for row in rows] == [here.index.target]


@pytest.mark.chaos
async def test_a_server_that_dies_and_comes_back_loses_nothing(
    saver: ThreadSaver, chroma_process: ChromaProcess
) -> None:
    settings = Settings.load(home=chroma_process.folder, chroma_url=chroma_process.url)
    embedder = Watched()
    chroma_process.start()
    index = await open_index(saver, settings, embedder)
    assert index is not None
    here = Delivering(saver, index, embedder)
    await here.outbox.register()
    await here.add("one")
    await here.outbox.deliver()

    async def stop(_: Sequence[str]) -> None:
        chroma_process.stop()

    here.embedder.before = stop  # in the middle of a delivery
    await here.add("two")
    await here.passages.forget(Selection(keys=keys_of("one")))
    done = await here.outbox.deliver()
    assert done.waiting == 2
    assert done.error is not None
    assert done.error.startswith("The Chroma server at 127.0.0.1:")

    here.embedder.before = None
    chroma_process.start()
    await here.due_now()
    assert (await here.outbox.deliver()).waiting == 0
    assert await here.keys() == keys_of("two")
    await index.aclose()
