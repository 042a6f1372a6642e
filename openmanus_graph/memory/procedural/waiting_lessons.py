"""Waiting lessons: what requests have taught, in Postgres until Neo4j has it.

A row says "let this request count there as the row is now" and is read anew before each attempt. Only the version that
was delivered is settled: what was said of it meanwhile is delivered, too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.fault_points import writing
from openmanus_graph.memory.deliverer import deliverer
from openmanus_graph.memory.procedural.lesson import Lesson, run_data, run_from, template_data, template_from
from openmanus_graph.memory.procedural.template import KnownTemplate, Template, thread_digest
from openmanus_graph.values.storable_json import plain_json, storable_text

_PUT: LiteralString = """
    INSERT INTO waiting_lessons (owner, thread, request, replaced, key, template, run)
    VALUES (%(owner)s, %(thread)s, %(request)s, %(replaced)s, %(key)s, %(template)s, %(run)s)
    ON CONFLICT (owner, thread, request, replaced) DO UPDATE SET
        key = EXCLUDED.key, template = EXCLUDED.template, run = EXCLUDED.run,
        version = nextval('outbox_versions'), attempts = 0, error = NULL
    RETURNING key
"""
_RATE: LiteralString = """
    UPDATE waiting_lessons SET rating = %(good)s, why = %(why)s, version = nextval('outbox_versions'), attempts = 0
    WHERE NOT replaced AND (owner, thread, request, replaced) = (
        SELECT owner, thread, request, replaced FROM waiting_lessons
        WHERE owner = %(owner)s AND thread = %(thread)s AND request = coalesce(%(request)s, request)
        ORDER BY request DESC, replaced LIMIT 1
    )
    RETURNING key
"""
_READ: LiteralString = """
    SELECT * FROM waiting_lessons
    WHERE owner = %(owner)s AND thread = %(thread)s AND request = %(request)s AND replaced = %(replaced)s
"""
_SETTLE: LiteralString = """
    DELETE FROM waiting_lessons
    WHERE owner = %(owner)s AND thread = %(thread)s AND request = %(request)s AND replaced = %(replaced)s
        AND version = %(version)s
    RETURNING key
"""
_POSTPONE: LiteralString = """
    UPDATE waiting_lessons SET attempts = attempts + 1, error = %(error)s
    WHERE owner = %(owner)s AND thread = %(thread)s AND request = %(request)s AND replaced = %(replaced)s
    RETURNING key
"""
_FORGET_THREAD: LiteralString = """
    WITH gone AS (
        DELETE FROM waiting_lessons WHERE owner = %(owner)s AND thread = %(thread)s RETURNING key, template
    )
    SELECT DISTINCT key FROM gone WHERE template IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM waiting_lessons w WHERE w.owner = %(owner)s AND w.key = gone.key AND w.thread <> %(thread)s
    )
"""


@dataclass(frozen=True)
class WaitingLesson:
    """A lesson that waits, with what was said of it."""

    lesson: Lesson
    """The lesson."""
    version: int
    """Changes with the row."""
    rating: bool | None
    """What a person said of how the request went; `None` if they said nothing."""
    why: str
    """Why."""

    @property
    def name(self) -> dict[str, Any]:
        """What names the row, besides its owner."""
        return _name(self.lesson)


def _name(lesson: Lesson) -> dict[str, Any]:
    run = lesson.run
    return {"thread": run.thread, "request": run.request, "replaced": run.was_replaced}


class WaitingLessons:
    """The lessons of one owner that wait."""

    def __init__(self, saver: ThreadSaver, owner: str) -> None:
        """Keep them in a store.

        Args:
            saver: The store.
            owner: Whose they are.
        """
        self._saver = saver
        self._owner = storable_text(owner)

    @asynccontextmanager
    async def deliverer(self) -> AsyncGenerator[bool]:
        """Be the one process that delivers them; gives whether this one is."""
        async with deliverer(self._saver, f"lessons:{self._owner}") as mine:
            yield mine

    async def put(self, lesson: Lesson) -> dict[str, Any]:
        """Put a lesson down; one of the same request is replaced, and keeps what was said of it; gives what names it.

        Raises:
            DatabaseError: If the store does not answer.
        """
        name = _name(lesson)
        template = None if lesson.template is None else Jsonb(template_data(lesson.template), dumps=plain_json)
        run = Jsonb(run_data(lesson.run), dumps=plain_json)
        with writing("waiting lesson"):
            await self._rows(_PUT, {**name, "key": lesson.key, "template": template, "run": run})
        return name

    async def count(self) -> int:
        """How many wait."""
        rows = await self._rows("SELECT count(*) AS n FROM waiting_lessons WHERE owner = %(owner)s", {})
        return int(rows[0]["n"])

    async def last_error(self) -> str | None:
        """Why one of them could not be delivered although the server answered; `None` if none was refused."""
        rows = await self._rows(
            "SELECT error FROM waiting_lessons WHERE owner = %(owner)s AND error IS NOT NULL"
            " ORDER BY version DESC LIMIT 1",
            {},
        )
        return str(rows[0]["error"]) if rows else None

    async def names(self) -> list[dict[str, Any]]:
        """What names each, those first that failed least often and were put down first."""
        rows = await self._rows(
            "SELECT thread, request, replaced FROM waiting_lessons WHERE owner = %(owner)s ORDER BY attempts, version",
            {},
        )
        return [dict(row) for row in rows]

    async def read(self, name: Mapping[str, Any]) -> WaitingLesson | None:
        """A lesson as it is now; `None` if it has been delivered or forgotten."""
        rows = await self._rows(_READ, name)
        return _waiting(rows[0]) if rows else None

    async def settle(self, delivered: WaitingLesson) -> bool:
        """Remove a lesson that was delivered; gives whether it had not changed meanwhile."""
        with writing("delivered lesson"):
            rows = await self._rows(_SETTLE, {**delivered.name, "version": delivered.version})
        return bool(rows)

    async def postpone(self, refused: WaitingLesson, error: str) -> None:
        """Note why a lesson was refused; the others come before it from then on."""
        await self._rows(_POSTPONE, {**refused.name, "error": storable_text(error)})

    async def rate(self, thread_id: str, *, good: bool, why: str, request: int | None) -> str | None:
        """Say how the last request of a thread that waits really went; gives its template's key, or `None`.

        Args:
            thread_id: The thread.
            good: Whether it went well.
            why: Why.
            request: Which request is meant; `None` means the last one that waits.
        """
        given = {"thread": thread_digest(thread_id), "request": request, "good": good, "why": storable_text(why)}
        rows = await self._rows(_RATE, given)
        return str(rows[0]["key"]) if rows else None

    async def move(self, key: str, to: str) -> None:
        """Let what counts for one template count for another one.

        Args:
            key: The key of the one.
            to: The key of the other.
        """
        await self._rows(
            "UPDATE waiting_lessons SET key = %(to)s, template = NULL, version = nextval('outbox_versions')"
            " WHERE owner = %(owner)s AND key = %(key)s RETURNING key",
            {"key": key, "to": to},
        )

    # ---------------------------------------------------------------- as a store of templates that can be forgotten

    async def templates(self) -> list[KnownTemplate]:
        """What would become templates, as far as the lessons themselves say, the last first."""
        rows = await self._rows(
            "SELECT DISTINCT ON (key) * FROM waiting_lessons WHERE owner = %(owner)s AND template IS NOT NULL"
            " ORDER BY key, version DESC",
            {},
        )
        waiting = map(_waiting, rows)
        found = [_known(one, one.lesson.template) for one in waiting if one.lesson.template is not None]
        return sorted(found, key=lambda known: known.used_at or 0.0, reverse=True)

    async def forget(self, key: str) -> bool:
        """Remove what waits for a template; gives whether there was anything."""
        rows = await self._rows(
            "DELETE FROM waiting_lessons WHERE owner = %(owner)s AND key = %(key)s RETURNING key",
            {"key": storable_text(key)},
        )
        return bool(rows)

    async def clear(self) -> None:
        """Remove all that waits."""
        await self._rows("DELETE FROM waiting_lessons WHERE owner = %(owner)s RETURNING key", {})

    async def forget_thread(self, thread_id: str) -> int:
        """Remove what waits of a thread; gives how many templates that would have made which no other thread makes."""
        return len(await self.forgotten_of(thread_id))

    async def forgotten_of(self, thread_id: str) -> set[str]:
        """Remove what waits of a thread; gives the keys of what it would have made that no other lesson makes."""
        rows = await self._rows(_FORGET_THREAD, {"thread": thread_digest(thread_id)})
        return {str(row["key"]) for row in rows}

    async def _rows(self, query: LiteralString, values: Mapping[str, Any]) -> list[DictRow]:
        given = {**values, "owner": self._owner}

        async def ask() -> list[DictRow]:
            async with self._saver.pool.connection() as connection:
                return await (await connection.execute(query, given)).fetchall()

        return await self._saver.retried(ask)


def _waiting(row: DictRow) -> WaitingLesson:
    run = run_from(row["run"], str(row["thread"]), int(row["request"]), was_replaced=bool(row["replaced"]))
    key, made = str(row["key"]), row["template"]
    lesson = Lesson(run, key, None if made is None else template_from(key, made))
    return WaitingLesson(lesson, int(row["version"]), row["rating"], str(row["why"]))


def _known(waiting: WaitingLesson, template: Template) -> KnownTemplate:
    """A lesson as the template that it would make."""
    run = waiting.lesson.run
    worked = run.succeeded if waiting.rating is None else waiting.rating
    return KnownTemplate(
        template,
        runs=1,
        successes=float(worked),
        failures=float(not worked),
        worked=int(worked),
        tasks=int(worked),
        mean_s=sum(run.seconds.values()),
        is_proven=run.succeeded,
        used_at=run.ended_at,
    )
