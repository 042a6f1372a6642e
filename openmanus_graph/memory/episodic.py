"""Episodic memory: past requests and their outcomes, found by the words of a new task."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Literal, cast

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.fault_points import writing
from openmanus_graph.memory.protocols import Episode

LEAST_SHARE = 0.3
"""Share of the new task's words, stop words aside, that an episode must have to be like it."""
MOST_WORDS = 200
"""Words of a task that are looked for; more say nothing new, and each costs time."""
MOST_CHARACTERS = 20_000
"""Characters of each field that are kept: full text has a limit, and memory is for the gist."""


def storable(text: str) -> str:
    """A text that Postgres takes: no NUL, no half of a surrogate pair, not beyond `MOST_CHARACTERS`."""
    cut = text[:MOST_CHARACTERS].replace("\0", " ")
    return cut.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class PostgresEpisodes:
    """Episodes in the checkpoint database, found by full text."""

    def __init__(self, saver: ThreadSaver) -> None:
        """Remember in a store.

        Args:
            saver: The store; an episode's thread must be in it, and takes its episodes along when it is deleted.
        """
        self._saver = saver

    async def remember(self, episode: Episode) -> None:
        """Store an episode; the same request of the same thread again replaces it.

        Raises:
            DatabaseError: If the store does not answer.
        """
        with writing("episode"):
            async with self._saver.connection() as connection:
                await connection.execute(
                    """
                    INSERT INTO episodes (thread_id, request, task, outline, outcome, failures, answer)
                    VALUES (%s, %s, %s, %s, %s, %s, %s)
                    ON CONFLICT (thread_id, request) DO UPDATE SET
                        task = EXCLUDED.task, outline = EXCLUDED.outline, outcome = EXCLUDED.outcome,
                        failures = EXCLUDED.failures, answer = EXCLUDED.answer, created_at = EXCLUDED.created_at
                    """,
                    (
                        episode["thread_id"],
                        episode["request"],
                        storable(episode["task"]),
                        storable(episode["outline"]),
                        storable(episode["outcome"]),
                        storable(episode["failures"]),
                        storable(episode["answer"]),
                    ),
                )

    async def recall(self, task: str, *, limit: int = 3, not_thread: str = "") -> list[Episode]:
        """Episodes like a task: any of its words may match, but at least `LEAST_SHARE` of them must.

        Args:
            task: Any text.
            limit: How many at most.
            not_thread: The thread whose episodes are left out: the conversation has them.

        Returns:
            The episodes, best first by `ts_rank_cd`, the newer of two equals first.

        Raises:
            DatabaseError: If the store does not answer.
        """
        if limit <= 0:
            return []
        async with self._saver.connection() as connection:
            rows = await (
                await connection.execute(
                    r"""
                    WITH asked AS MATERIALIZED (
                        -- Lexemes are quoted by hand, because plainto_tsquery wants all words, not any.
                        SELECT array_agg(lexeme) AS words, string_agg(
                            '''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', ' | '
                        )::tsquery AS query
                        FROM (SELECT lexeme FROM unnest(to_tsvector('english', %(task)s)) LIMIT %(words)s) found
                    )
                    SELECT thread_id, request, task, outline, outcome, failures, answer
                    FROM episodes, asked
                    WHERE search @@ query AND thread_id <> %(not_thread)s
                      AND cardinality(ARRAY(
                              SELECT unnest(words) INTERSECT SELECT unnest(tsvector_to_array(search))
                          )) >= %(share)s * cardinality(words)
                    ORDER BY ts_rank_cd(search, query, 1) DESC, created_at DESC
                    LIMIT %(limit)s
                    """,
                    {
                        "task": storable(task),
                        "words": MOST_WORDS,
                        "not_thread": storable(not_thread),
                        "share": LEAST_SHARE,
                        "limit": limit,
                    },
                )
            ).fetchall()
        return [cast("Episode", dict(row)) for row in rows]


_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about all an and are as at be by can do for from give has have how i in into is it its me my not of on or "
        "our out please so some than that the their them then there these this to up was we what when where which "
        "who why will with you your",
    )
)
_Field = Literal["task", "outline", "failures", "answer"]
_WEIGHTS: tuple[tuple[_Field, float], ...] = (("task", 1.0), ("outline", 0.4), ("failures", 0.2), ("answer", 0.2))


def _words(text: str) -> list[str]:
    """Words that tell tasks apart, without their commonest endings."""
    found = (word for word in re.findall(r"\w+", text.lower()) if word not in _STOP_WORDS)
    return [re.sub(r"(?<=\w{3})(?:ing|ies|ed|es|s|e|y)$", "", word) for word in found]


class LocalEpisodes:
    """Episodes of this process, for graphs without our store; they end with it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._episodes: dict[tuple[str, int], Episode] = {}

    async def remember(self, episode: Episode) -> None:
        """Store an episode; the same request of the same thread again replaces it."""
        key = (episode["thread_id"], episode["request"])
        self._episodes.pop(key, None)
        self._episodes[key] = cast("Episode", dict(episode))

    async def recall(self, task: str, *, limit: int = 3, not_thread: str = "") -> list[Episode]:
        """Episodes like a task, as `PostgresEpisodes.recall` finds them, by a simpler rule of words.

        Args:
            task: Any text.
            limit: How many at most.
            not_thread: The thread whose episodes are left out.
        """
        wanted = set(_words(task)[:MOST_WORDS])
        if not wanted:
            return []
        ranked: list[tuple[float, Episode]] = []
        for episode in reversed(self._episodes.values()):  # the newer of two equals first: sorting is stable
            if episode["thread_id"] == not_thread:
                continue
            rank, matched = _likeness(wanted, episode)
            if len(matched) >= LEAST_SHARE * len(wanted):
                ranked.append((rank, cast("Episode", dict(episode))))
        ranked.sort(key=lambda pair: -pair[0])
        return [episode for _, episode in ranked[: max(limit, 0)]]


def _likeness(wanted: set[str], episode: Episode) -> tuple[float, set[str]]:
    """How well an episode fits, and which of the words it has."""
    rank, length = 0.0, 0
    matched: set[str] = set()
    for name, weight in _WEIGHTS:
        counted: Counter[str] = Counter(_words(episode[name]))
        length += counted.total()
        matched |= wanted & set(counted)
        rank += weight * sum(counted[word] for word in wanted)
    return rank / (1 + math.log1p(length)), matched
