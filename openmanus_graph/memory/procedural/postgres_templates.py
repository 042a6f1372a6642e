"""Postgres templates: procedural memory in the checkpoint database, each run stored in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, LiteralString, cast

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.fault_points import writing
from openmanus_graph.memory.procedural.stored_templates import Row, StoredTemplates, Values, needs_of, steps_of
from openmanus_graph.memory.procedural.template import Template, TemplateRun, persons_word, thread_digest
from openmanus_graph.values.storable_json import plain_json, storable_text

_STORE_TEMPLATE: LiteralString = """
    INSERT INTO templates AS t (owner, key, task, goal, parameters, words, proven)
    VALUES (%(owner)s, %(key)s, %(task)s, %(goal)s, %(parameters)s, %(words)s, false)
    ON CONFLICT (owner, key) DO UPDATE SET updated_at = clock_timestamp()
    RETURNING proven, (xmax = 0) AS made
"""
_LOCK_OF_THREAD: LiteralString = """
    SELECT FROM templates t
    WHERE owner = %(owner)s AND key IN (
        SELECT key FROM template_runs r WHERE r.owner = t.owner AND r.thread = %(thread)s
    )
    ORDER BY key FOR UPDATE
"""
_FORGET_THREAD: LiteralString = """
    WITH gone AS (
        DELETE FROM template_runs WHERE owner = %(owner)s AND thread = %(thread)s RETURNING key
    )
    DELETE FROM templates t
    WHERE t.owner = %(owner)s AND t.key IN (SELECT key FROM gone) AND NOT EXISTS (
        SELECT 1 FROM template_runs r WHERE r.owner = t.owner AND r.key = t.key AND r.thread <> %(thread)s
    )
    RETURNING t.key
"""
_PROVE: LiteralString = """
    UPDATE templates
    SET task = %(task)s, goal = %(goal)s, parameters = %(parameters)s, words = %(words)s, proven = %(proven)s
    WHERE owner = %(owner)s AND key = %(key)s
"""
_DROP_STEPS: LiteralString = """
    DELETE FROM template_steps WHERE owner = %(owner)s AND key = %(key)s AND step <> ALL(%(ids)s)
"""
_DROP_NEEDS: LiteralString = """
    DELETE FROM template_needs WHERE owner = %(owner)s AND key = %(key)s
"""
_STORE_STEPS: LiteralString = """
    INSERT INTO template_steps AS s (owner, key, step, position, definition)
    SELECT %(owner)s, %(key)s, step, position, definition
    FROM jsonb_to_recordset(%(steps)s) AS given (step text, position int, definition jsonb)
    ON CONFLICT (owner, key, step) DO UPDATE SET
        position = EXCLUDED.position, definition = EXCLUDED.definition,
        runs = CASE WHEN s.definition = EXCLUDED.definition THEN s.runs ELSE 0 END,
        failures = CASE WHEN s.definition = EXCLUDED.definition THEN s.failures ELSE 0 END,
        mean_s = CASE WHEN s.definition = EXCLUDED.definition THEN s.mean_s ELSE 0 END,
        m2_s = CASE WHEN s.definition = EXCLUDED.definition THEN s.m2_s ELSE 0 END
"""
_STORE_NEEDS: LiteralString = """
    INSERT INTO template_needs (owner, key, step, needs)
    SELECT %(owner)s, %(key)s, step, needs FROM jsonb_to_recordset(%(needs)s) AS n (step text, needs text)
"""
_STORE_RUN: LiteralString = """
    INSERT INTO template_runs AS r (owner, thread, request, replaced, key, task, succeeded, seconds, ended_at)
    VALUES (%(owner)s, %(thread)s, %(request)s, %(replaced)s, %(key)s, %(task)s, %(succeeded)s, %(seconds)s,
        to_timestamp(%(ended_at)s))
    ON CONFLICT (owner, thread, request, replaced) DO UPDATE SET
        key = EXCLUDED.key, task = EXCLUDED.task, succeeded = EXCLUDED.succeeded, seconds = EXCLUDED.seconds,
        ended_at = EXCLUDED.ended_at
    RETURNING (xmax = 0) AS fresh
"""
_COUNT_STEPS: LiteralString = """
    UPDATE template_steps s SET
        runs = s.runs + 1,
        mean_s = s.mean_s + (t.seconds - s.mean_s) / (s.runs + 1),
        m2_s = s.m2_s + (t.seconds - s.mean_s) * (t.seconds - s.mean_s - (t.seconds - s.mean_s) / (s.runs + 1))
    FROM unnest(%(done)s::text[], %(took)s::float8[]) AS t (step, seconds)
    WHERE s.owner = %(owner)s AND s.key = %(key)s AND s.step = t.step
"""
_COUNT_FAILURES: LiteralString = """
    UPDATE template_steps SET failures = failures + 1
    WHERE owner = %(owner)s AND key = %(key)s AND step = ANY(%(failed)s)
"""
_LOCK_BOTH: LiteralString = """
    SELECT key FROM templates WHERE owner = %(owner)s AND key IN (%(before)s, %(key)s) ORDER BY key FOR UPDATE
"""
_IS_CORRECTED: LiteralString = """
    SELECT 1 FROM template_runs
    WHERE owner = %(owner)s AND thread = %(thread)s AND key = %(key)s AND ended_at = to_timestamp(%(ended_at)s)
"""
_DROP_WORD: LiteralString = """
    DELETE FROM template_runs WHERE owner = %(owner)s AND thread = %(word_before)s
"""
_MOVE_RUNS: LiteralString = """
    UPDATE template_runs SET key = %(key)s WHERE owner = %(owner)s AND key = %(before)s
"""
_MOVE_COUNTS: LiteralString = """
    UPDATE template_steps s SET
        runs = s.runs + o.runs,
        failures = s.failures + o.failures,
        mean_s = (s.mean_s * s.runs + o.mean_s * o.runs) / greatest(s.runs + o.runs, 1),
        m2_s = s.m2_s + o.m2_s
            + (o.mean_s - s.mean_s) * (o.mean_s - s.mean_s) * s.runs * o.runs / greatest(s.runs + o.runs, 1)
    FROM template_steps o
    WHERE s.owner = %(owner)s AND s.key = %(key)s AND o.owner = s.owner AND o.key = %(before)s
        AND o.step = s.step AND o.definition = s.definition
"""
_DROP: LiteralString = """
    DELETE FROM templates WHERE owner = %(owner)s AND key = %(before)s
"""
_KNOWN: LiteralString = """
    SELECT t.key, t.task, t.goal, t.parameters, t.proven, tally.*,
        (SELECT jsonb_agg(jsonb_build_object(
            'step', s.step, 'definition', s.definition, 'runs', s.runs, 'failures', s.failures, 'mean_s', s.mean_s,
            'm2_s', s.m2_s, 'needs', (SELECT coalesce(jsonb_agg(n.needs), '[]') FROM template_needs n
                WHERE n.owner = s.owner AND n.key = s.key AND n.step = s.step)
        ) ORDER BY s.position) FROM template_steps s WHERE s.owner = t.owner AND s.key = t.key) AS steps
    FROM templates t CROSS JOIN LATERAL (
        SELECT count(*) AS runs,
            coalesce(sum(w) FILTER (WHERE good), 0)::float8 AS successes,
            coalesce(sum(w) FILTER (WHERE NOT good), 0)::float8 AS failures,
            count(*) FILTER (WHERE good) AS worked,
            count(DISTINCT task) FILTER (WHERE good) AS tasks,
            coalesce(avg(seconds), 0)::float8 AS mean_s,
            extract(epoch FROM max(ended_at))::float8 AS last
        FROM (
            SELECT task, seconds, ended_at, coalesce(rating, succeeded) AS good,
                power(0.5, greatest(%(now)s - extract(epoch FROM ended_at)::float8, 0) / %(half_life)s) AS w
            FROM template_runs r WHERE r.owner = t.owner AND r.key = t.key
        ) weighed
    ) tally
    WHERE t.owner = %(owner)s
"""


class PostgresTemplates(StoredTemplates):
    """Templates of one owner in the checkpoint database."""

    WORDS_BETWEEN = " | "

    def __init__(self, saver: ThreadSaver, owner: str, *, clock: Callable[[], float] = time.time) -> None:
        """Remember in a store.

        Args:
            saver: The store.
            owner: Whose templates are stored and found.
            clock: The present moment, Unix time in seconds, by which older runs weigh less.
        """
        super().__init__(owner, clock)
        self._saver = saver

    async def remember(self, template: Template, run: TemplateRun, *, replaces: bool = False) -> None:
        """Store a template and a run that counts for it, in one transaction; the same run again counts once.

        Args:
            template: The template; one of the same key that has worked stays.
            run: The run.
            replaces: Whether it takes the place of that one, too.

        Raises:
            DatabaseError: If the store does not answer.
        """
        values = self._values(template, run)
        went = {**self._went(run), "owner": self._owner, "key": template.key}

        async def store() -> None:
            async with self._saver.pool.connection() as connection, connection.transaction():
                await _store(connection, values, went, replaces=replaces)

        with writing("template"):
            await self._saver.retried(store)

    def _values(self, template: Template, run: TemplateRun) -> Values:
        took = sorted(run.seconds.items())
        content = self._content(template, run)
        return {
            **self._given(content),
            "key": template.key,
            "parameters": Jsonb(content["parameters"], dumps=plain_json),
            "steps": Jsonb(steps_of(template), dumps=plain_json),
            "needs": Jsonb(needs_of(template), dumps=plain_json),
            "ids": [step.id for step in template.steps],
            "has_needs": any(step.needs for step in template.steps),
            "done": [name for name, _ in took],
            "took": [seconds for _, seconds in took],
            "failed": list(run.failed),
        }

    async def _found(self, values: Values) -> Sequence[Row]:
        return await self._rows(
            _KNOWN + "AND t.search @@ to_tsquery('english', %(text)s)"
            " ORDER BY ts_rank(t.search, to_tsquery('english', %(text)s)) DESC, t.key LIMIT %(candidates)s",
            values,
        )

    async def _all(self) -> Sequence[Row]:
        return await self._rows(_KNOWN + "ORDER BY tally.last DESC NULLS LAST, t.key", {})

    async def _by_key(self, values: Values) -> Sequence[Row]:
        return await self._rows(_KNOWN + "AND starts_with(t.key, %(key)s) LIMIT 2", values)

    async def rate(self, thread_id: str, *, good: bool, why: str = "", request: int | None = None) -> str | None:
        """Say how the last run of a thread really went; gives the key of its template, or `None` without one.

        Args:
            thread_id: The thread.
            good: Whether it went well.
            why: Why.
            request: Which request is meant; `None` means the last one that counts.

        Raises:
            DatabaseError: If the store does not answer.
        """
        rows = await self._rows(
            """
            UPDATE template_runs SET rating = %(good)s, why = %(why)s
            WHERE NOT replaced AND (owner, thread, request, replaced) = (
                SELECT owner, thread, request, replaced FROM template_runs
                WHERE owner = %(owner)s AND thread = %(thread)s AND request = coalesce(%(request)s, request)
                ORDER BY request DESC, replaced LIMIT 1
            )
            RETURNING key
            """,
            {"request": request, "good": good, "why": storable_text(why), "thread": thread_digest(thread_id)},
        )
        return str(rows[0]["key"]) if rows else None

    async def correct(self, key: str, template: Template) -> bool:
        """Put a person's correction in the place of a template, in one transaction; gives whether it was there.

        Args:
            key: The template's key.
            template: The correction, whose key may be another.

        Raises:
            DatabaseError: If the store does not answer.
        """
        run = persons_word(template.key, self._clock())
        values = {**self._values(template, run), "before": storable_text(key)}
        values["word_before"] = thread_digest(persons_word(key, 0.0).thread_id)
        went = {**self._went(run), "owner": self._owner, "key": template.key}

        async def store() -> bool:
            async with self._saver.pool.connection() as connection, connection.transaction():
                return await _correct(connection, values, went)

        with writing("corrected template"):
            return await self._saver.retried(store)

    async def forget(self, key: str) -> bool:
        """Remove a template with its runs; gives whether there was one.

        Raises:
            DatabaseError: If the store does not answer.
        """
        removed = "DELETE FROM templates WHERE owner = %(owner)s AND key = %(key)s RETURNING key"
        return bool(await self._rows(removed, {"key": storable_text(key)}))

    async def forget_thread(self, thread_id: str) -> int:
        """Remove the runs of a thread, and templates that no other thread has run; gives how many templates.

        Raises:
            DatabaseError: If the store does not answer.
        """
        given = self._given({"thread": thread_digest(thread_id)})

        async def forget() -> int:
            async with self._saver.pool.connection() as connection, connection.transaction():
                # Whoever stores a run locks its template first, so that what follows sees all runs.
                await connection.execute(_LOCK_OF_THREAD, given)
                return len(await (await connection.execute(_FORGET_THREAD, given)).fetchall())

        return await self._saver.retried(forget)

    async def _rows(self, query: LiteralString, values: Mapping[str, Any]) -> Sequence[DictRow]:
        given = self._given(values)

        async def ask() -> Sequence[DictRow]:
            async with self._saver.pool.connection() as connection:
                return await (await connection.execute(query, given)).fetchall()

        return await self._saver.retried(ask)


async def _store(
    connection: AsyncConnection[DictRow], values: Mapping[str, Any], went: Mapping[str, Any], *, replaces: bool
) -> None:
    """Store a template and a run in the transaction; the template's row is locked first, so two of them queue here."""
    row = await (await connection.execute(_STORE_TEMPLATE, values)).fetchone()
    known = cast("DictRow", row)
    if known["made"] or replaces or (values["proven"] and not known["proven"]):
        # Steps of a run that succeeded replace those of one that failed, and stay.
        await connection.execute(_PROVE, values)
        if not known["made"]:
            await connection.execute(_DROP_STEPS, values)
            await connection.execute(_DROP_NEEDS, values)
        await connection.execute(_STORE_STEPS, values)
        if values["has_needs"]:
            await connection.execute(_STORE_NEEDS, values)
    run = cast("DictRow", await (await connection.execute(_STORE_RUN, went)).fetchone())
    if run["fresh"] and values["done"]:
        await connection.execute(_COUNT_STEPS, values)
    if run["fresh"] and values["failed"]:
        await connection.execute(_COUNT_FAILURES, values)


async def _correct(connection: AsyncConnection[DictRow], values: Mapping[str, Any], went: Mapping[str, Any]) -> bool:
    """Put a correction in the place of a template in the transaction; gives whether it was there."""
    locked = await (await connection.execute(_LOCK_BOTH, values)).fetchall()
    if values["before"] not in {row["key"] for row in locked}:
        # The same correction once more, after a connection that broke at its commit, finds that it is done.
        return await (await connection.execute(_IS_CORRECTED, went)).fetchone() is not None
    await _store(connection, values, went, replaces=True)
    if values["before"] != values["key"]:
        for statement in (_DROP_WORD, _MOVE_RUNS, _MOVE_COUNTS, _DROP):
            await connection.execute(statement, values)
    return True
