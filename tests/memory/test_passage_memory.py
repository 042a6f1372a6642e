"""Passage memory: words and meaning together find what a question is about, and nothing of another matter is told."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings, ThreadSaver
from openmanus_graph.config.sections import ModelSettings
from openmanus_graph.memory.deliverer import Delivery
from openmanus_graph.memory.embedding import choice as embedder_choice
from openmanus_graph.memory.embedding.choice import open_embedder
from openmanus_graph.memory.semantic import passage_memory
from openmanus_graph.memory.semantic.full_text import TextHit
from openmanus_graph.memory.semantic.fusion import fuse
from openmanus_graph.memory.semantic.passage import Passage
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.memory.semantic.passages import Selection
from openmanus_graph.memory.semantic.pgvector_index import PgvectorIndex
from tests.memory.conftest import ChromaProcess
from tests.memory.embedding_server import EmbeddingServer, embedding_server

pytestmark = pytest.mark.postgres

HANDBOOK = [
    "Travel > Expenses. Receipts of a business trip are handed in within 30 days; a hotel may cost 120 euros a night.",
    "Travel > Trains. Book trains with the company card; first class from four hours on.",
    "Office > Keys. A lost key of the office is reported to the front desk on the same day.",
    "Office > Kitchen. The dishwasher is emptied by whoever comes first in the morning.",
    "IT > Passwords. A forgotten password is reset at the service desk, with the staff card.",
    "IT > Laptops. A broken laptop is replaced within two working days; the old one goes back to IT.",
    "Leave > Holidays. Holidays are asked for two weeks ahead; 30 days a year, of which 10 may be carried over.",
    "Leave > Illness. Whoever falls ill tells the team before nine, and brings a note from the third day on.",
]
ANSWERED = [
    ("How much may a hotel cost on a business trip?", 0),
    ("hand in receipts of a trip", 0),
    ("I lost my office key", 2),
    ("reset a forgotten password", 4),
    ("My laptop is broken, who replaces it?", 5),
    ("How many days of holidays may be carried over?", 6),
    ("first class trains", 1),
]
NOT_ANSWERED = [
    "Write a poem about autumn",
    "Compare the prices of electric cars in Europe",
    "What is the capital of Australia?",
    "Sum up the invoices of 2025 for the tax office",
    "Fix the failing test in the parser of the compiler",
    "Plan a week of vegetarian dinners for a family of four",
    "How long do humpback whales sing?",
    "Draw the history of the company's shares over the last ten years",
]


def passages_of(texts: list[str]) -> list[Passage]:
    return [Passage("handbook.md", position, text) for position, text in enumerate(texts)]


@pytest.fixture
async def memory(saver: ThreadSaver, memory_settings: Settings) -> AsyncIterator[PassageMemory]:
    made = PassageMemory(saver, memory_settings)
    yield made
    await made.aclose()


@pytest.fixture
def embeddings() -> Iterator[EmbeddingServer]:
    with embedding_server() as started:
        yield started


def with_model(embeddings: EmbeddingServer, tmp_path: Path, **more: Any) -> Settings:
    table = ModelSettings(model="openai/concepts", base_url=embeddings.url, retries=1)
    return Settings.load(home=tmp_path, owner="me", vector_index="pgvector", models={"embedding": table}, **more)


async def test_questions_are_answered_by_the_right_passage(memory: PassageMemory) -> None:
    await memory.add(passages_of(HANDBOOK))
    before = [(await memory.search(question)).hits[0].passage.position for question, _ in ANSWERED]
    delivery = await memory.deliver()
    after = [(await memory.search(question)).hits[0].passage.position for question, _ in ANSWERED]

    assert (delivery.delivered, delivery.waiting, delivery.error) == (len(HANDBOOK), 0, None)
    assert before == after == [position for _, position in ANSWERED]
    found = await memory.search("hotel", limit=2)
    assert found.warning is None
    assert found.hits[0].nearness is not None
    assert len(found.hits) == 2


async def test_a_passage_of_another_matter_is_not_told(memory: PassageMemory) -> None:
    await memory.add(passages_of(HANDBOOK))
    await memory.deliver()

    told = {question: await memory.recall(question) for question, _ in ANSWERED}
    assert [question for question, position in ANSWERED if HANDBOOK[position] not in "".join(told[question])] == []
    assert [question for question in NOT_ANSWERED if await memory.recall(question)] == []
    assert told["hand in receipts of a trip"][0].startswith("Source: handbook.md (words 1.00, nearness ")
    assert all(len(passages) <= 2 for passages in told.values())


async def test_what_is_forgotten_is_gone_before_the_index_knows(memory: PassageMemory) -> None:
    await memory.add(passages_of(HANDBOOK))
    await memory.deliver()
    await memory.forget(Selection(matching="forgotten passwords"))

    assert (await memory.status()).waiting == 1
    hits = (await memory.search("reset a forgotten password", limit=50)).hits
    assert [hit for hit in hits if hit.passage.position == 4] == []
    assert await memory.recall("reset a forgotten password") == []


async def test_owners_do_not_see_each_other(
    saver: ThreadSaver, memory: PassageMemory, memory_settings: Settings
) -> None:
    await memory.add(passages_of(HANDBOOK))
    await memory.deliver()
    other = PassageMemory(saver, memory_settings, "you")

    assert (await other.search("hotel")).hits == []
    assert await other.recall("reset a forgotten password") == []
    await other.add(passages_of(["A hotel for you."]))
    await other.deliver()
    assert [hit.passage.text for hit in (await other.search("hotel")).hits] == ["A hotel for you."]
    assert "A hotel for you." not in [hit.passage.text for hit in (await memory.search("hotel", limit=50)).hits]
    await other.aclose()


async def test_an_empty_memory_opens_nothing(saver: ThreadSaver, tmp_path: Path) -> None:
    memory = PassageMemory(saver, Settings.load(home=tmp_path, chroma_url="http://127.0.0.1:9", embedder="hashing"))

    assert await memory.recall("anything") == []
    assert memory._opened is None
    assert memory._warning is None


async def test_words_alone_answer_where_no_index_is_wanted(saver: ThreadSaver, tmp_path: Path) -> None:
    memory = PassageMemory(saver, Settings.load(home=tmp_path, vector_index="none", owner="me"))
    await memory.add(passages_of(HANDBOOK))

    found = await memory.search("lost key")
    assert (found.hits[0].passage.position, found.hits[0].nearness, found.warning) == (2, None, None)
    assert len(await memory.recall("I lost my office key")) == 1
    assert (await memory.deliver()).waiting == 0
    status = await memory.status()
    assert (status.passages, status.sources, status.index, status.error) == (8, 1, None, None)


async def test_a_server_that_is_down_at_the_start_costs_one_warning(
    saver: ThreadSaver, chroma_process: ChromaProcess, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.load(home=chroma_process.folder, chroma_url=chroma_process.url, owner="me", embedder="hashing")
    memory = PassageMemory(saver, settings)
    with caplog.at_level(logging.WARNING, logger=passage_memory.__name__):
        await memory.add(passages_of(HANDBOOK))
        done = await memory.deliver()
        found = [await memory.search("lost key") for _ in range(3)]

    assert [one.hits[0].passage.position for one in found] == [2, 2, 2]
    assert "fails: " in str(found[0].warning)
    assert (done.delivered, done.waiting) == (0, 8)
    assert caplog.messages.count("Passages are found by their words alone.") == 1

    chroma_process.start()
    async with saver.connection() as connection:
        await connection.execute("UPDATE outbox SET next_at = clock_timestamp()")
    assert (await memory.deliver()).waiting == 0
    again = await memory.search("lost key")
    assert again.warning is None
    assert again.hits[0].nearness is not None
    await memory.aclose()


async def test_an_index_that_failed_is_asked_again_later(
    saver: ThreadSaver, embeddings: EmbeddingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passage_memory, "PAUSE_S", 0.0)
    memory = PassageMemory(saver, with_model(embeddings, tmp_path))
    embeddings.statuses = [401]
    await memory.add(passages_of(HANDBOOK))
    assert (await memory.search("lost key")).warning is None
    await memory.deliver()
    embeddings.statuses = [401]
    assert (await memory.search("lost key")).warning is not None
    found = await memory.search("lost key")

    assert found.warning is None
    assert found.hits[0].nearness is not None


async def test_a_model_finds_other_words_for_the_same(
    saver: ThreadSaver, embeddings: EmbeddingServer, tmp_path: Path
) -> None:
    memory = PassageMemory(saver, with_model(embeddings, tmp_path))
    await memory.add(passages_of(["The physician treats an illness.", "An automobile needs a drive belt.", "Rocks."]))
    await memory.deliver()

    found = await memory.search("vehicle")
    assert found.hits[0].passage.position == 1
    assert (found.hits[0].coverage, found.hits[0].nearness) == (0.0, pytest.approx(1.0, abs=0.01))
    assert len(await memory.recall("Which medicine is for that?")) == 1
    assert await memory.recall("Pay the invoice") == []
    status = await memory.status()
    assert status.embedder == f"openai/concepts at {embeddings.url}"
    assert {len(batch) for batch in embeddings.asked} == {1, 3}


def test_the_name_of_a_model_has_no_secrets() -> None:
    table = ModelSettings(model="openai/concepts", base_url="https://me:opensesame@host/v1?api_key=opensesame")
    chosen = open_embedder(Settings.load(models={"embedding": table}))

    assert chosen.name == "openai/concepts at https://host/v1"


async def test_a_provider_that_knows_no_encoding_of_vectors_is_asked_without_one(
    saver: ThreadSaver, embeddings: EmbeddingServer, tmp_path: Path
) -> None:
    table = ModelSettings(model="ollama/concepts", base_url=embeddings.place, retries=0)
    settings = Settings.load(home=tmp_path, owner="me", vector_index="pgvector", models={"embedding": table})
    memory = PassageMemory(saver, settings)
    await memory.add(passages_of(["The physician treats an illness.", "Rocks."]))

    assert await memory.deliver() == Delivery(2, 0)
    assert (await memory.search("medicine")).hits[0].passage.position == 0


async def test_another_embedder_has_its_own_index(
    saver: ThreadSaver, embeddings: EmbeddingServer, tmp_path: Path
) -> None:
    words = PassageMemory(saver, Settings.load(home=tmp_path, owner="me", vector_index="pgvector", embedder="hashing"))
    await words.add(passages_of(HANDBOOK))
    await words.deliver()
    meanings = PassageMemory(saver, with_model(embeddings, tmp_path))

    assert (await meanings.status()).waiting == len(HANDBOOK)
    await meanings.deliver()
    assert (await meanings.status()).waiting == (await words.status()).waiting == 0


async def test_a_model_that_fails_delays_nothing_but_meaning(
    saver: ThreadSaver, embeddings: EmbeddingServer, tmp_path: Path
) -> None:
    memory = PassageMemory(saver, with_model(embeddings, tmp_path))
    await memory.add(passages_of(HANDBOOK))
    embeddings.statuses = [401] * 10
    done = await memory.deliver()
    found = await memory.search("lost key")

    assert done.waiting == len(HANDBOOK)
    assert "'openai/concepts' of the role 'embedding'" in str(done.error)
    assert found.hits[0].passage.position == 2
    assert "'openai/concepts' of the role 'embedding'" in str(found.warning)


async def test_a_model_is_asked_again_after_a_fault_of_the_moment(
    saver: ThreadSaver, embeddings: EmbeddingServer, tmp_path: Path
) -> None:
    embeddings.statuses = [503]
    memory = PassageMemory(saver, with_model(embeddings, tmp_path))
    await memory.add(passages_of(HANDBOOK))

    assert (await memory.deliver()).error is None


@pytest.mark.parametrize(
    "body",
    [
        b"{not json",
        b"[]",
        b'{"object": "list", "data": []}',
        b'{"object": "list", "data": [{"index": 0}], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}',
        b'{"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [1.0, 2.0]}], "model": "m",'
        b' "usage": {"prompt_tokens": 1, "total_tokens": 1}}',
        b'{"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": "x"}], "model": "m",'
        b' "usage": {"prompt_tokens": 1, "total_tokens": 1}}',
    ],
)
async def test_an_answer_without_vectors_is_one_warning(
    saver: ThreadSaver, embeddings: EmbeddingServer, tmp_path: Path, body: bytes
) -> None:
    memory = PassageMemory(saver, with_model(embeddings, tmp_path))
    await memory.add(passages_of(HANDBOOK[:1]))
    embeddings.bodies = [body] * 20
    done = await memory.deliver()
    found = await memory.search("business trip")

    assert (done.delivered, done.waiting) == (0, 1)
    assert done.error is not None
    assert (found.hits[0].passage.position, found.hits[0].nearness) == (0, None)
    assert found.warning is not None
    embeddings.bodies = []
    async with saver.connection() as connection:
        await connection.execute("UPDATE outbox SET next_at = clock_timestamp()")
    assert (await memory.deliver()).waiting == 0
    assert (await memory.search("business trip")).warning is None


async def test_a_model_is_not_asked_for_more_than_the_query(
    saver: ThreadSaver, embeddings: EmbeddingServer, tmp_path: Path
) -> None:
    writer = PassageMemory(saver, with_model(embeddings, tmp_path))
    await writer.add(passages_of(HANDBOOK))
    await writer.deliver()
    embeddings.asked.clear()
    reader = PassageMemory(saver, with_model(embeddings, tmp_path))

    assert await reader.recall("reset a forgotten password") != []
    assert embeddings.asked == [["reset a forgotten password"]]


class Odd:
    """An embedder of somebody's that is not as it should be."""

    name = "odd"

    def __init__(self, gives: Callable[[Sequence[str]], Any]) -> None:
        self.dimensions = 4
        self.gives = gives

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        given = self.gives(texts)
        return await given if inspect.isawaitable(given) else given


def raising(error: BaseException) -> Callable[[Sequence[str]], Any]:
    def gives(_: Sequence[str]) -> Any:
        raise error

    return gives


@pytest.mark.parametrize(
    ("gives", "why"),
    [
        (raising(ValueError("no such word; password=opensesame")), r"'odd' fails: no such word; password=\[key\]\."),
        (raising(KeyError("x")), "'odd' fails: 'x'"),
        (lambda texts: [], "gave 0 vectors for 1 texts"),
        (lambda texts: None, "'odd' fails: "),
        (lambda texts: [["a"] * 4 for _ in texts], "'odd' fails: could not convert"),
        (lambda texts: [[1.0, 2.0] for _ in texts], "a vector of 2 numbers instead of 4"),
        (lambda texts: [[math.nan] * 4 for _ in texts], "infinite or none"),
        (lambda texts: asyncio.Event().wait(), r"did not answer within 0\.2 s"),
    ],
)
async def test_an_embedder_that_is_odd_is_one_warning(
    saver: ThreadSaver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    gives: Any,
    why: str,
) -> None:
    memory = PassageMemory(saver, Settings.load(home=tmp_path, owner="me", vector_index="pgvector", embedder="odd"))
    monkeypatch.setattr(embedder_choice, "embedder", lambda name: Odd(gives))
    monkeypatch.setattr(passage_memory, "LONGEST_S", 0.2)
    await memory.add(passages_of(HANDBOOK[:1]))
    with caplog.at_level(logging.WARNING, logger=passage_memory.__name__):
        found = [await memory.search("business trip") for _ in range(3)]
        assert await memory.recall("receipts of a business trip") != []

    assert [one.hits[0].passage.position for one in found] == [0, 0, 0]
    assert re.search(why, str(found[0].warning))
    assert "opensesame" not in caplog.text
    assert caplog.messages.count("Passages are found by their words alone.") == 1
    if "answer" not in why:
        done = await memory.deliver()
        assert (done.delivered, done.waiting) == (0, 1)
        assert re.search(why, str(done.error))


@pytest.mark.parametrize("field", ["near", "most_weight", "batch", "dimensions"])
async def test_an_embedder_whose_numbers_are_none_is_one_warning(
    saver: ThreadSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    odd = Odd(lambda texts: [[1.0] * 4 for _ in texts])
    setattr(odd, field, "many")
    monkeypatch.setattr(embedder_choice, "embedder", lambda name: odd)
    memory = PassageMemory(saver, Settings.load(home=tmp_path, owner="me", vector_index="pgvector", embedder="odd"))
    await memory.add(passages_of(HANDBOOK[:1]))

    assert await memory.recall("receipts of a business trip") != []
    assert (await memory.search("business trip")).warning is not None


@pytest.mark.parametrize("method", ["query", "upsert", "keys"])
async def test_an_index_that_raises_anything_is_one_warning(
    saver: ThreadSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async def fails(*_: Any) -> Any:
        raise RuntimeError("Out of order.")

    monkeypatch.setattr(PgvectorIndex, method, fails)
    memory = PassageMemory(saver, Settings.load(home=tmp_path, owner="me", vector_index="pgvector", embedder="hashing"))
    await memory.add(passages_of(HANDBOOK))
    done, found = await memory.deliver(), await memory.search("lost key")

    assert found.hits[0].passage.position == 2
    assert "The index of vectors fails: Out of order." in (found.warning, done.error)


async def test_a_delivery_in_the_background_ends_with_the_memory(
    saver: ThreadSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def never(texts: Sequence[str]) -> list[list[float]]:
        if texts == ["business trip"]:
            return [[1.0] * 4]
        begun.set()
        try:
            await asyncio.Event().wait()
            return []
        finally:
            ended.set()

    monkeypatch.setattr(embedder_choice, "embedder", lambda name: Odd(never))
    memory = PassageMemory(saver, Settings.load(home=tmp_path, owner="me", vector_index="pgvector", embedder="odd"))
    await memory.add(passages_of(HANDBOOK))
    assert await memory.recall("business trip") != []
    await begun.wait()
    assert await memory.recall("business trip") != []
    await memory.aclose()

    assert ended.is_set()
    other = PassageMemory(saver, Settings.load(home=tmp_path, owner="me", vector_index="pgvector", embedder="odd"))
    monkeypatch.setattr(embedder_choice, "embedder", lambda name: Odd(lambda texts: [[1.0] * 4 for _ in texts]))
    assert await other.deliver() == Delivery(len(HANDBOOK), 0)


async def test_a_delivery_that_is_stopped_leaves_the_lock_to_the_next(saver: ThreadSaver, tmp_path: Path) -> None:
    memory = PassageMemory(saver, Settings.load(home=tmp_path, owner="me", vector_index="pgvector", embedder="hashing"))
    for ticks in range(40):
        await memory.add(passages_of([f"{HANDBOOK[0]} {ticks}"]))
        await memory.recall("business trip receipts")
        for _ in range(ticks):
            await asyncio.sleep(0)
        done = await memory.deliver()
        assert (done.waiting, done.elsewhere, done.error) == (0, False, None), ticks


async def test_searches_beside_each_other_open_one_index(memory: PassageMemory) -> None:
    await memory.add(passages_of(HANDBOOK))
    await memory.deliver()
    found = await asyncio.gather(*(memory.search(question) for question, _ in ANSWERED))

    assert [one.hits[0].passage.position for one in found] == [position for _, position in ANSWERED]


@pytest.mark.parametrize("query", ["", "   ", "the of and", "\0", "\ud800", "' OR 1=1 --", "Ж" * 30_000])
async def test_any_query_is_answered(memory: PassageMemory, query: str) -> None:
    await memory.add(passages_of(HANDBOOK))
    await memory.deliver()

    assert (await memory.search(query)).warning is None
    assert await memory.recall(query) == []


def test_sure_words_lead_and_unsure_ones_follow() -> None:
    texts = [TextHit("words", 0.9, 0.5), TextHit("other", 0.5, 0.3)]
    assert fuse(texts, {"meaning": 0.9, "other": 0.1})[0][0] == "words"
    unsure = [TextHit("words", 0.5, 0.5), TextHit("other", 0.4, 0.3)]
    assert fuse(unsure, {"meaning": 0.9, "other": 0.1})[0][0] == "meaning"
    assert fuse(unsure, {"meaning": 0.9, "other": 0.1}, most_weight=0.3)[0][0] == "words"
    assert fuse(texts, {}) == [("words", 0.5), ("other", 0.3)]
    assert fuse([], {"a": 0.5, "b": -0.5}) == [("a", 0.75), ("b", 0.0)]
    assert fuse([], {}) == []
