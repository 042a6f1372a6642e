"""Episodic memory: past requests and their outcomes, found by the words of a new task."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.fault_points import writing
from openmanus_graph.memory.protocols import Episode
from openmanus_graph.values.storable_json import storable_text

LEAST_LIKENESS = 0.6
"""Cosine of two tasks' words from which the one may be an example for the other.

At 0.6 two short tasks that share what they are about and differ in one word of it are alike ("compare the prices of
laptops", "... of laptops and phones": 0.83), and two that share the kind of work but not its matter are not ("... of
cars": 0.57; "write a mail to ...", with another person: 0.57).
"""
COMMON_WEIGHT = 0.3
"""What a word of work that nearly every task has, such as *write*, counts beside one of its matter."""
CANDIDATES = 200
"""Episodes with a word of the task that are compared with it, those that share most first."""
MOST_WORDS = 200
"""Words of a task that are looked for; more say nothing new, and each costs time."""
MOST_CHARACTERS = 20_000
"""Characters of each field that are kept: full text has a limit, and memory is for the gist."""


def storable(text: str) -> str:
    """A text that Postgres takes: no NUL, no half of a surrogate pair, not beyond `MOST_CHARACTERS`."""
    return storable_text(text[:MOST_CHARACTERS])


@dataclass(frozen=True)
class EpisodeHit:
    """An episode that a search found."""

    episode: Episode
    """The episode."""
    score: float | None = None
    """Share of the query's words that it has, 0 to 1; `None` where the store does not say."""
    at: datetime | None = None
    """When it was remembered; `None` where the store does not say."""

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON types."""
        score = None if self.score is None else round(self.score, 4)
        return {**self.episode, "score": score, "created_at": None if self.at is None else self.at.isoformat()}


class PostgresEpisodes:
    """Episodes in the checkpoint database, found by full text."""

    def __init__(self, saver: ThreadSaver, owner: str | None = None) -> None:
        """Remember in a store.

        Args:
            saver: The store; an episode's thread must be in it, and takes its episodes along when it is deleted.
            owner: Whose threads' episodes are recalled, besides those of threads without an owner; `None` means all.
        """
        self._saver = saver
        self._owner = owner

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
        """Episodes whose tasks are like a task by `fits_as_example`.

        Args:
            task: Any text.
            limit: How many at most.
            not_thread: The thread whose episodes are left out: the conversation has them.

        Returns:
            The episodes, the likest first, of equals those rated good first, then the newer. One that was rated bad
            counts as failed, with what was said of it among its failures.

        Raises:
            DatabaseError: If the store does not answer.
        """
        if limit <= 0:
            return []
        async with self._saver.connection() as connection:
            rows = await (
                await connection.execute(
                    """
                    WITH asked AS MATERIALIZED (
                        -- Any of the words, which are looked for in the task of an episode.
                        SELECT string_agg(quoted_lexeme(lexeme) || ':A', ' | ')::tsquery AS query
                        FROM (SELECT lexeme FROM unnest(to_tsvector('english', %(task)s)) LIMIT %(words)s) found
                    ), likely AS (
                        SELECT episodes.* FROM episodes, asked
                        WHERE search @@ query AND thread_id <> %(not_thread)s
                          AND (%(owner)s::text IS NULL OR EXISTS (
                              SELECT 1 FROM threads t
                              WHERE t.thread_id = episodes.thread_id AND t.owner IN ('', %(owner)s)
                          ))
                        ORDER BY ts_rank('{0,0,0,1}', search, query, 1) DESC, created_at DESC
                        LIMIT %(candidates)s
                    )
                    -- What a person said of it afterwards counts before how it ended.
                    SELECT thread_id, request, task, outline,
                           CASE WHEN NOT r.good THEN 'failed' ELSE outcome END AS outcome,
                           CASE WHEN NOT r.good THEN concat_ws(
                               E'\n', concat_ws(': ', 'rated bad', nullif(r.why, '')), nullif(failures, '')
                           ) ELSE failures END AS failures,
                           answer
                    FROM likely LEFT JOIN ratings r USING (thread_id, request)
                    ORDER BY coalesce(r.good, false) DESC, likely.created_at DESC
                    """,
                    {
                        "task": storable(task),
                        "words": MOST_WORDS,
                        "not_thread": storable(not_thread),
                        "owner": self._owner,
                        "candidates": CANDIDATES,
                    },
                )
            ).fetchall()
        return _likest(task, [cast("Episode", dict(row)) for row in rows], limit)

    async def search(self, query: str, *, limit: int = 10) -> list[EpisodeHit]:
        """Episodes with words of a query in task, outline, failures or answer; those with most of them first.

        Args:
            query: Any text.
            limit: How many at most.

        Raises:
            DatabaseError: If the store does not answer.
        """
        async with self._saver.connection() as connection:
            rows = await (
                await connection.execute(
                    """
                    WITH words AS MATERIALIZED (
                        SELECT quoted_lexeme(lexeme)::tsquery AS query
                        FROM unnest(to_tsvector('english', %(query)s)) LIMIT %(words)s
                    ), asked AS MATERIALIZED (
                        SELECT string_agg(query::text, ' | ')::tsquery AS query, count(*)::float8 AS words FROM words
                    )
                    SELECT e.thread_id, request, task, outline, outcome, failures, answer, e.created_at,
                        (SELECT count(*) FROM words w WHERE e.search @@ w.query) / asked.words AS score
                    FROM episodes e JOIN threads t USING (thread_id), asked
                    WHERE e.search @@ asked.query AND (%(owner)s::text IS NULL OR t.owner IN ('', %(owner)s))
                    ORDER BY score DESC, ts_rank(e.search, asked.query) DESC, e.created_at DESC
                    LIMIT %(limit)s
                    """,
                    {"query": storable(query), "words": MOST_WORDS, "owner": self._owner, "limit": max(limit, 0)},
                )
            ).fetchall()
        beside = [(float(row.pop("score")), row.pop("created_at")) for row in rows]
        return [EpisodeHit(cast("Episode", dict(row)), *more) for row, more in zip(rows, beside, strict=True)]


STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about all an and are as at be by can do for from give has have how i in into is it its me my not of on or "
        "our out please so some than that the their them then there these this to up was we what when where which "
        "who why will with you your",
    )
)
_COMMON_WORDS = frozenset(
    re.findall(
        r"\w+",
        "add answer ask build calculate change check collect compare compute convert copy count create describe draft "
        "explain fetch file files find get give help list look make me need new put read report result results run "
        "save search send show sort sum summarise summarize task tell text turn update use want work write",
    )
)
_WORD = re.compile(r"\w+")
_OPENING = " \t\"'([{„“«"
_SENTENCE_ENDS = ".!?\n"


def word_stems(text: str) -> list[str]:
    """Words that tell tasks apart, without their commonest endings."""
    found = (word for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS)
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
        newest_first = [
            cast("Episode", dict(episode))
            for episode in reversed(self._episodes.values())
            if episode["thread_id"] != not_thread
        ]
        return _likest(task, newest_first, max(limit, 0))


def _likest(task: str, best_first: Iterable[Episode], limit: int) -> list[Episode]:
    """The episodes that fit as examples, the likest first, equals in the order given."""
    fitting = [episode for episode in best_first if fits_as_example(episode["task"], task)]
    return sorted(fitting, key=lambda episode: -likeness(episode["task"], task))[:limit]


def fits_as_example(earlier: str, task: str) -> bool:
    """Whether an earlier task may be an example for one: it is like it, and names nothing that this one does not.

    What was done for another order, date or person would be taken for a part of this task.
    """
    return likeness(earlier, task) >= LEAST_LIKENESS and particulars(earlier) <= stems_of(task)


def likeness(one: str, other: str) -> float:
    """Cosine of the words of two tasks, 0 to 1; words of nearly every task count less, and by themselves nothing."""
    first, second = stems_of(one), stems_of(other)
    shared = first & second
    if not shared - COMMON_STEMS:
        return 0.0
    return weight_of(shared) / math.sqrt(weight_of(first) * weight_of(second))


def stems_of(task: str) -> set[str]:
    """The stems of a task's words, those of its beginning."""
    return set(word_stems(task)[:MOST_WORDS])


def weight_of(stems: Set[str]) -> float:
    """What words count together: one of work less than one of the matter."""
    return sum(COMMON_WEIGHT if stem in COMMON_STEMS else 1.0 for stem in stems)


def particulars(task: str) -> set[str]:
    """The numbers, codes and names of a task: longer words with a digit, and those capitalised within a sentence."""
    found: set[str] = set()
    for word in _WORD.finditer(task):
        before = task[max(word.start() - 9, 0) : word.start()].rstrip(_OPENING)
        is_name = word[0][0].isupper() and before[-1:] not in ("", *_SENTENCE_ENDS)
        is_code = len(word[0]) > 2 and any(character.isdigit() for character in word[0])
        if is_name or is_code:
            found.update(word_stems(word[0]))
    return found


COMMON_STEMS = frozenset(stem for word in _COMMON_WORDS for stem in word_stems(word))
"""Stems of words of work that nearly every task has."""
