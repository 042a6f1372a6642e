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
from openmanus_graph.memory.procedural.ranking import CANDIDATES, described, ranked, words_of
from openmanus_graph.memory.procedural.template import (
    HALF_LIFE_S,
    KnownTemplate,
    Template,
    TemplateRun,
    TemplateStep,
    spread,
    thread_digest,
)
from openmanus_graph.values.storable_json import storable_text

_STORE_TEMPLATE: LiteralString = """
    INSERT INTO templates AS t (owner, key, task, goal, parameters, words, proven)
    VALUES (%(owner)s, %(key)s, %(task)s, %(goal)s, %(parameters)s, %(words)s, false)
    ON CONFLICT (owner, key) DO UPDATE SET updated_at = clock_timestamp()
    RETURNING proven, (xmax = 0) AS made
"""
_PROVE: LiteralString = """
    UPDATE templates
    SET task = %(task)s, goal = %(goal)s, parameters = %(parameters)s, words = %(words)s, proven = %(succeeded)s
    WHERE owner = %(owner)s AND key = %(key)s
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
    VALUES (%(owner)s, %(thread)s, %(request)s, %(replaced)s, %(key)s, %(digest)s, %(succeeded)s, %(total)s,
        to_timestamp(%(ended)s))
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
_KNOWN: LiteralString = """
    SELECT t.key, t.task, t.goal, t.parameters, t.proven, tally.*,
        (SELECT jsonb_agg(jsonb_build_object(
            'id', s.step, 'definition', s.definition, 'runs', s.runs, 'failures', s.failures, 'mean', s.mean_s,
            'm2', s.m2_s, 'needs', (SELECT coalesce(jsonb_agg(n.needs), '[]') FROM template_needs n
                WHERE n.owner = s.owner AND n.key = s.key AND n.step = s.step)
        ) ORDER BY s.position) FROM template_steps s WHERE s.owner = t.owner AND s.key = t.key) AS steps
    FROM templates t CROSS JOIN LATERAL (
        SELECT count(*) AS runs,
            coalesce(sum(w) FILTER (WHERE good), 0)::float8 AS successes,
            coalesce(sum(w) FILTER (WHERE NOT good), 0)::float8 AS failures,
            count(*) FILTER (WHERE good) AS worked,
            count(DISTINCT task) FILTER (WHERE good) AS tasks,
            coalesce(avg(seconds), 0)::float8 AS mean_s,
            max(ended_at) AS last
        FROM (
            SELECT task, seconds, ended_at, coalesce(rating, succeeded) AS good,
                power(0.5, greatest(%(now)s - extract(epoch FROM ended_at)::float8, 0) / %(half_life)s) AS w
            FROM template_runs r WHERE r.owner = t.owner AND r.key = t.key
        ) weighed
    ) tally
    WHERE t.owner = %(owner)s
"""


class PostgresTemplates:
    """Templates of one owner in the checkpoint database."""

    def __init__(self, saver: ThreadSaver, owner: str, *, clock: Callable[[], float] = time.time) -> None:
        """Remember in a store.

        Args:
            saver: The store.
            owner: Whose templates are stored and found.
            clock: The present moment, Unix time in seconds, by which older runs weigh less.
        """
        self._saver = saver
        self._owner = storable_text(owner)
        self._clock = clock

    async def remember(self, template: Template, run: TemplateRun, *, replaces: bool = False) -> None:
        """Store a template and a run that counts for it, in one transaction; the same run again counts once.

        Args:
            template: The template; one of the same key that has worked stays.
            run: The run.
            replaces: Whether it takes the place of that one, too.

        Raises:
            DatabaseError: If the store does not answer.
        """
        values = {**self._values(template, run), "replaces": replaces}

        async def store() -> None:
            async with self._saver.pool.connection() as connection, connection.transaction():
                await _store(connection, values)

        with writing("template"):
            await self._saver.retried(store)

    def _values(self, template: Template, run: TemplateRun) -> dict[str, Any]:
        took = sorted(run.seconds.items())
        return {
            "owner": self._owner,
            "key": template.key,
            "task": template.task,
            "goal": template.goal,
            "parameters": Jsonb(dict(template.parameters)),
            "words": template.words,
            "steps": Jsonb(
                [
                    {"step": step.id, "position": position, "definition": step.definition}
                    for position, step in enumerate(template.steps)
                ]
            ),
            "needs": Jsonb([{"step": step.id, "needs": name} for step in template.steps for name in step.needs]),
            "ids": [step.id for step in template.steps],
            "thread": thread_digest(run.thread_id),
            "request": run.request,
            "replaced": run.was_replaced,
            "digest": run.task_digest,
            "succeeded": run.succeeded,
            "total": float(sum(run.seconds.values())),
            "ended": run.ended_at,
            "done": [name for name, _ in took],
            "took": [seconds for _, seconds in took],
            "failed": list(run.failed),
        }

    async def recall(self, task: str, *, limit: int = 1) -> list[str]:
        """Templates for a task in words, as `offered` finds them.

        Raises:
            DatabaseError: If the store does not answer.
        """
        return [described(known) for known in await self.offered(task, limit=limit)]

    async def offered(self, task: str, *, limit: int = 1) -> list[KnownTemplate]:
        """Templates that fit a task and have not failed too often, best first.

        Raises:
            DatabaseError: If the store does not answer.
        """
        words = words_of(storable_text(task))
        if not words or limit <= 0:
            return []
        rows = await self._rows(
            _KNOWN + "AND t.search @@ to_tsquery('english', %(query)s)"
            " ORDER BY ts_rank(t.search, to_tsquery('english', %(query)s)) DESC, t.key LIMIT %(candidates)s",
            {"query": " | ".join(words), "candidates": CANDIDATES},
        )
        return ranked(task, map(_known, rows), limit)

    async def templates(self) -> list[KnownTemplate]:
        """Every template, those that are not offered too, the last used first.

        Raises:
            DatabaseError: If the store does not answer.
        """
        return [_known(row) for row in await self._rows(_KNOWN + "ORDER BY tally.last DESC NULLS LAST, t.key", {})]

    async def template(self, key: str) -> KnownTemplate | None:
        """The template with this key, or the one whose key begins so; `None` if there is none, or several.

        Raises:
            DatabaseError: If the store does not answer.
        """
        found = await self._rows(_KNOWN + "AND starts_with(t.key, %(key)s) LIMIT 2", {"key": storable_text(key)})
        return _known(found[0]) if key and len(found) == 1 else None

    async def rate(self, thread_id: str, *, good: bool, why: str = "") -> str | None:
        """Say how the last run of a thread really went; gives the key of its template, or `None` without one.

        Raises:
            DatabaseError: If the store does not answer.
        """
        rows = await self._rows(
            """
            UPDATE template_runs SET rating = %(good)s, why = %(why)s
            WHERE (owner, thread, request, replaced) = (
                SELECT owner, thread, request, replaced FROM template_runs
                WHERE owner = %(owner)s AND thread = %(thread)s ORDER BY request DESC, replaced LIMIT 1
            )
            RETURNING key
            """,
            {"good": good, "why": storable_text(why), "thread": thread_digest(thread_id)},
        )
        return str(rows[0]["key"]) if rows else None

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
        rows = await self._rows(
            """
            WITH gone AS (
                DELETE FROM template_runs WHERE owner = %(owner)s AND thread = %(thread)s RETURNING key
            )
            DELETE FROM templates t
            WHERE t.owner = %(owner)s AND t.key IN (SELECT key FROM gone) AND NOT EXISTS (
                SELECT 1 FROM template_runs r
                WHERE r.owner = t.owner AND r.key = t.key AND r.thread <> %(thread)s
            )
            RETURNING t.key
            """,
            {"thread": thread_digest(thread_id)},
        )
        return len(rows)

    async def _rows(self, query: LiteralString, values: Mapping[str, Any]) -> Sequence[DictRow]:
        given = {**values, "owner": self._owner, "now": self._clock(), "half_life": HALF_LIFE_S}

        async def ask() -> Sequence[DictRow]:
            async with self._saver.pool.connection() as connection:
                return await (await connection.execute(query, given)).fetchall()

        return await self._saver.retried(ask)


async def _store(connection: AsyncConnection[DictRow], values: Mapping[str, Any]) -> None:
    """Store a template and a run in the transaction; the template's row is locked first, so two of them queue here."""
    row = await (await connection.execute(_STORE_TEMPLATE, values)).fetchone()
    known = cast("DictRow", row)
    if known["made"] or values["replaces"] or (values["succeeded"] and not known["proven"]):
        # Steps of a run that succeeded replace those of one that failed, and stay.
        await connection.execute(_PROVE, values)
        await connection.execute(
            "DELETE FROM template_steps WHERE owner = %(owner)s AND key = %(key)s AND step <> ALL(%(ids)s)", values
        )
        await connection.execute("DELETE FROM template_needs WHERE owner = %(owner)s AND key = %(key)s", values)
        await connection.execute(_STORE_STEPS, values)
        await connection.execute(_STORE_NEEDS, values)
    run = cast("DictRow", await (await connection.execute(_STORE_RUN, values)).fetchone())
    if run["fresh"]:
        await connection.execute(_COUNT_STEPS, values)
        await connection.execute(_COUNT_FAILURES, values)


def _known(row: DictRow) -> KnownTemplate:
    steps = tuple(
        TemplateStep(
            str(step["id"]),
            dict(step["definition"]),
            tuple(sorted(step["needs"])),
            runs=int(step["runs"]),
            failures=int(step["failures"]),
            mean_s=float(step["mean"]),
            spread_s=spread(int(step["runs"]), float(step["m2"])),
        )
        for step in row["steps"] or ()
    )
    template = Template(str(row["key"]), str(row["task"]), steps, str(row["goal"]), dict(row["parameters"]))
    return KnownTemplate(
        template,
        runs=int(row["runs"]),
        successes=float(row["successes"]),
        failures=float(row["failures"]),
        worked=int(row["worked"]),
        tasks=int(row["tasks"]),
        mean_s=float(row["mean_s"]),
        is_proven=bool(row["proven"]),
    )
