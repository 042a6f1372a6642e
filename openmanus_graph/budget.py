"""Budget: a request's spending on models and time over all its resumes, and the limits that end it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, LiteralString, cast

from openmanus_graph.call_site import CallSite
from openmanus_graph.checkpoints.gathering import Gathering
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.sections import BudgetSettings
from openmanus_graph.display_text import counted
from openmanus_graph.errors import BudgetError, DatabaseError
from openmanus_graph.events import Usage
from openmanus_graph.fault_points import writing
from openmanus_graph.usage import NO_USAGE, add_usage
from openmanus_graph.values.storable_json import storable_list

logger = logging.getLogger(__name__)

_SENT: LiteralString = """
INSERT INTO model_calls (thread_id, role, subtask, turn, model, input_tokens, output_tokens, cost_usd, in_flight)
SELECT %s, one.row ->> 'role', one.row ->> 'subtask', (one.row ->> 'turn')::int, one.row ->> 'model', 0, 0, 0, true
FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS one (row, place) ORDER BY one.place
RETURNING number
"""
_ANSWERED: LiteralString = """
WITH given AS (SELECT %s::text AS thread_id, %s::jsonb AS rows),
one AS (
    SELECT given.thread_id, made.* FROM given, jsonb_to_recordset(given.rows) AS made (
        sent bigint, role text, subtask text, turn int, model text, input_tokens bigint, output_tokens bigint,
        cached_tokens bigint, cost_usd double precision, from_cache boolean, elapsed_s double precision)
),
answered AS (
    DELETE FROM model_calls USING one
    WHERE model_calls.thread_id = one.thread_id AND model_calls.number = one.sent AND model_calls.in_flight
)
INSERT INTO model_calls (thread_id, role, subtask, turn, model, input_tokens, output_tokens, cached_tokens, cost_usd,
                         from_cache, elapsed_s)
SELECT thread_id, role, subtask, turn, model, input_tokens, output_tokens, cached_tokens, cost_usd,
       from_cache, elapsed_s
FROM one
"""


OF_OWNER = "owner."
"""What the names of an owner's budgets begin with."""
OWNER_SECONDS = 30.0
"""After how many seconds what an owner has used is looked up again, with what other processes have added."""
_OF_OWNER: LiteralString = """
SELECT coalesce(sum(c.input_tokens + c.output_tokens), 0)::bigint AS tokens, coalesce(sum(c.cost_usd), 0) AS usd,
       count(c.number) AS model_calls, mine.owner
FROM threads mine JOIN threads t ON t.owner = mine.owner
LEFT JOIN model_calls c ON c.thread_id = t.thread_id AND c.created_at >= now() - make_interval(secs => %s)
WHERE mine.thread_id = %s GROUP BY mine.owner
"""


class Spending:
    """The usage of one request, committed call by call."""

    def __init__(self, thread_id: str, budget: BudgetSettings, saver: ThreadSaver | None) -> None:
        """Count for a thread.

        Args:
            thread_id: The thread.
            budget: Its limits.
            saver: Where calls are kept; `None` counts in this process only.
        """
        self.budget = budget
        self.total: Usage = cast("Usage", dict(NO_USAGE))
        self.known_usd = 0.0
        """US dollars of the calls whose price is known; the total is unknown once one is not."""
        self.held_s: Callable[[], float] = lambda: 0.0
        """Gives the seconds of this run in which a stepper let nothing run."""
        self._thread_id = thread_id
        self._saver = saver
        self._began = time.monotonic()
        self._active_before = 0.0
        self._sent: set[int] = set()
        """Calls of this process that have no reply yet."""
        self._owner = ""
        self._used_by_owner: dict[str, float] = {}
        """What the owner's requests had used, without what this one had used then."""
        self._owner_loaded = 0.0
        self._sends = Gathering(self._store_sent)
        self._answers = Gathering(self._store_answered)

    @property
    def active_s(self) -> float:
        """Seconds that the request has been running, in this process and earlier ones."""
        return self._active_before + time.monotonic() - self._began - self.held_s()

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the budget of time lasts; `None` without one."""
        return None if self.budget.wall_s is None else self.budget.wall_s - self.active_s

    async def load(self) -> None:
        """Load the usage of the request before this process."""
        if self._saver is None:
            return
        async with self._saver.connection() as connection:
            row = await (
                await connection.execute(
                    """
                    SELECT t.active_s, count(c.number) AS calls,
                           coalesce(sum(c.input_tokens), 0)::bigint AS input_tokens,
                           coalesce(sum(c.output_tokens), 0)::bigint AS output_tokens,
                           coalesce(sum(c.cached_tokens), 0)::bigint AS cached_tokens,
                           CASE WHEN bool_or(c.number IS NOT NULL AND c.cost_usd IS NULL) THEN NULL
                                ELSE coalesce(sum(c.cost_usd), 0) END AS cost_usd,
                           coalesce(sum(c.cost_usd), 0) AS known_usd,
                           count(*) FILTER (WHERE c.from_cache) AS cache_hits,
                           count(*) FILTER (WHERE c.in_flight) AS in_flight
                    FROM threads t LEFT JOIN model_calls c
                      ON c.thread_id = t.thread_id AND c.created_at >= t.request_started_at
                    WHERE t.thread_id = %s GROUP BY t.thread_id
                    """,
                    (self._thread_id,),
                )
            ).fetchone()
        if row is not None:
            fields = dict(row)
            self._active_before = float(fields.pop("active_s"))
            self.known_usd = float(fields.pop("known_usd"))
            if not fields["in_flight"]:
                del fields["in_flight"]
            self.total = cast("Usage", fields)
        await self._load_owner()

    async def _load_owner(self) -> None:
        """Load what all requests of the thread's owner have used, if that is limited."""
        if self._saver is None or not self.budget.owner.limits:
            return
        self._owner_loaded = time.monotonic()
        before = self._measures()
        async with self._saver.connection() as connection:
            seconds = self.budget.owner.days * 86_400
            row = await (await connection.execute(_OF_OWNER, (seconds, self._thread_id))).fetchone()
        if row is not None:
            self._owner = str(row["owner"])
            self._used_by_owner = {name: float(row[name]) - used for name, used in before.items()}

    def _measures(self) -> dict[str, float]:
        """What this request has used, by what can be limited."""
        tokens = self.total["input_tokens"] + self.total["output_tokens"]
        return {"tokens": tokens, "usd": self.known_usd, "model_calls": self.total["calls"]}

    async def send(self, place: CallSite, model: str) -> int | None:
        """Commit that a call is about to be sent: it is paid for, whatever becomes of this process.

        Returns:
            What `add` and `forget` know it by; `None` where calls are counted in this process only.
        """
        if self._saver is None:
            return None
        row = {"role": place.role, "subtask": place.subtask, "turn": place.turn, "model": model}
        with writing(f"model call sent {place.subtask or place.role}"):
            number = await self._sends.put(row, self._not_sent)
        self._sent.add(number)
        return number

    async def forget(self, number: int | None) -> None:
        """Take back that a call was sent: the provider refused it, or it failed."""
        if self._saver is None or number is None:
            return
        self._sent.discard(number)
        async with self._saver.connection() as connection:
            await connection.execute(
                "DELETE FROM model_calls WHERE thread_id = %s AND number = %s AND in_flight", (self._thread_id, number)
            )

    async def _not_sent(self, number: int) -> None:
        """Take back a call whose caller was cancelled before it could send it."""
        try:
            await self.forget(number)
        except DatabaseError:  # it counts as one that may have been sent; that its caller is cancelled is what matters
            logger.info("A call that was not sent stays counted.", extra={"thread_id": self._thread_id})

    @property
    def used(self) -> Usage:
        """What is used, calls that were sent and have no reply included."""
        sent = len(self._sent)
        return add_usage(self.total, {"calls": sent, "in_flight": sent}) if sent else self.total

    async def add(self, place: CallSite, model: str, usage: Usage, elapsed_s: float, sent: int | None = None) -> None:
        """Count a call that has its reply, and commit it.

        Args:
            place: Its call site.
            model: The model that replied.
            usage: What it used.
            elapsed_s: Seconds that it took.
            sent: What `send` gave for it; `None` for a call that was answered without a provider.
        """
        self._sent.discard(-1 if sent is None else sent)
        self.total = add_usage(self.total, usage)
        self.known_usd += usage["cost_usd"] or 0.0
        if self._saver is None:
            return
        row = {
            "sent": sent,
            "role": place.role,
            "subtask": place.subtask,
            "turn": place.turn,
            "model": model,
            "input_tokens": usage["input_tokens"],
            "output_tokens": usage["output_tokens"],
            "cached_tokens": usage["cached_tokens"],
            "cost_usd": usage["cost_usd"],
            "from_cache": usage["cache_hits"] > 0,
            "elapsed_s": elapsed_s,
        }
        with writing(f"model call {place.subtask or place.role}"):
            await self._answers.put(row)
        if self._used_by_owner and time.monotonic() - self._owner_loaded > OWNER_SECONDS:
            await self._load_owner()

    async def _store_sent(self, rows: Sequence[dict[str, Any]]) -> Sequence[int]:
        """Store that calls are about to be sent, in one statement; their numbers."""
        async with cast("ThreadSaver", self._saver).connection() as connection:
            found = await (await connection.execute(_SENT, (self._thread_id, storable_list(rows)))).fetchall()
        return [int(one["number"]) for one in found]

    async def _store_answered(self, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
        """Replace calls that were sent by what they used, in one statement."""
        async with cast("ThreadSaver", self._saver).connection() as connection:
            await connection.execute(_ANSWERED, (self._thread_id, storable_list(rows)))
        return [None] * len(rows)

    def reached(self) -> str | None:
        """The name of the first budget that is used up, or `None`."""
        own = self._measures()
        for name, used in {**own, "wall_s": self.active_s}.items():
            limit = getattr(self.budget, name)
            if limit is not None and used >= limit:
                return name
        for name, used in self._used_by_owner.items():
            limit = getattr(self.budget.owner, name)
            if limit is not None and used + own[name] >= limit:
                return OF_OWNER + name
        return None

    def check(self) -> None:
        """Raise if a budget is used up.

        Raises:
            BudgetError: With the budget and its limit.
        """
        name = self.reached()
        if name is not None:
            raise BudgetError(self.describe(name), budget=name, hint="Go on with a larger budget, see docs/budgets.md.")

    def describe(self, name: str) -> str:
        """A used-up budget in a sentence."""
        of_owner, kind = name.startswith(OF_OWNER), name.removeprefix(OF_OWNER)
        limit = getattr(self.budget.owner if of_owner else self.budget, kind)
        words = {
            "tokens": counted(limit, "token"),
            "usd": f"${limit:g}",
            "wall_s": f"{limit:g} s",
            "model_calls": counted(limit, "model call"),
        }
        if of_owner:
            days = f"{self.budget.owner.days:g} day{'' if self.budget.owner.days == 1 else 's'}"
            return f"The budget of {words[kind]} in {days} that {self._owner!r} has for all requests is used up."
        return f"The budget of {words[kind]} is used up."
