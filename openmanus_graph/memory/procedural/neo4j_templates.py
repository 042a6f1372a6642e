"""Neo4j templates: procedural memory in a Neo4j server, each run stored by one statement that may be repeated."""

# The driver's keyword arguments have no types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar, cast

from openmanus_graph import shell_commands
from openmanus_graph.errors import MemoryStoreError, SettingsError
from openmanus_graph.fault_points import passed, writing
from openmanus_graph.memory.procedural import cypher
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

if TYPE_CHECKING:
    from neo4j import AsyncDriver, AsyncManagedTransaction

Row = Mapping[str, Any]
ResultT = TypeVar("ResultT")

EXTRA = "openmanus-graph[neo4j]"
MOST_TRIES = 3
"""How often a write is made that the server took and does not confirm."""
CONNECT_S = 5.0
"""Seconds to wait for a connection."""
PATIENCE_S = 2.0
"""Seconds for which an operation is tried again after what may pass."""
LIMIT_S = 30.0
"""Seconds after which an operation is given up in any case."""
OFFER_S = 5.0
"""Seconds after which the search for a template is given up: a request does not wait for its memory."""
SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
"""What an address begins with; the driver's own preview of another protocol is not used."""


class Neo4jTemplates:
    """Templates of one owner in a Neo4j server."""

    def __init__(
        self,
        uri: str,
        owner: str,
        *,
        user: str = "neo4j",
        password: str = "",
        clock: Callable[[], float] = time.time,
        patience_s: float = PATIENCE_S,
        limit_s: float = LIMIT_S,
        offer_s: float = OFFER_S,
    ) -> None:
        """Remember in a server; nothing is asked of it yet.

        Args:
            uri: Where it answers, such as `bolt://localhost:7687`.
            owner: Whose templates are stored and found.
            user: Its user.
            password: The user's password.
            clock: The present moment, Unix time in seconds, by which older runs weigh less.
            patience_s: Seconds for which an operation is tried again after what may pass.
            limit_s: Seconds after which an operation is given up in any case.
            offer_s: Seconds after which the search for a template is given up.

        Raises:
            SettingsError: If `uri` is no address of a Neo4j server.
        """
        if uri.partition("://")[0] not in SCHEMES:
            raise SettingsError(
                f"NEO4J_URI cannot be {uri!r}: it begins with none of {', '.join(SCHEMES)}.", hint=_SUCH
            )
        self._uri = uri
        self._owner = storable_text(owner)
        self._auth = (user, password)
        self._clock = clock
        self._patience_s = patience_s
        self._limit_s = limit_s
        self._offer_s = offer_s
        self._is_prepared = False

    async def remember(self, template: Template, run: TemplateRun, *, replaces: bool = False) -> None:
        """Store a template and a run that counts for it; the same run again counts once.

        Args:
            template: The template; one of the same key that has worked stays.
            run: The run.
            replaces: Whether it takes the place of that one, too.

        Raises:
            MemoryStoreError: If the server does not answer, or does not confirm it.
        """
        values = {**self._values(template, run), "replaces": replaces}
        with writing("template in neo4j"):
            await self._write(cypher.STORE, values)

    def _values(self, template: Template, run: TemplateRun) -> dict[str, Any]:
        ids = {step.id: self._id(template.key, step.id) for step in template.steps}
        steps = [
            {"id": ids[step.id], "step": step.id, "position": position, "definition": json.dumps(step.definition)}
            for position, step in enumerate(template.steps)
        ]
        return {
            "template": self._id(template.key),
            "key": template.key,
            "content": {
                "task": template.task,
                "goal": template.goal,
                "parameters": json.dumps(dict(template.parameters)),
                "words": template.words,
                "proven": run.succeeded,
            },
            "steps": steps,
            "names": list(ids),
            "needs": [{"step": ids[step.id], "needs": ids[name]} for step in template.steps for name in step.needs],
            "run": self._id(thread_digest(run.thread_id), run.request, run.was_replaced),
            "went": {
                "owner": self._owner,
                "thread": thread_digest(run.thread_id),
                "request": run.request,
                "replaced": run.was_replaced,
                "task": run.task_digest,
                "succeeded": run.succeeded,
                "seconds": float(sum(run.seconds.values())),
                "ended_at": run.ended_at,
            },
            "succeeded": run.succeeded,
            "done": [{"step": name, "seconds": float(seconds)} for name, seconds in sorted(run.seconds.items())],
            "failed": list(run.failed),
        }

    def _id(self, *parts: object) -> str:
        """The identity of a node: whose it is and what."""
        return json.dumps([self._owner, *parts])

    async def recall(self, task: str, *, limit: int = 1) -> list[str]:
        """Templates for a task in words, as `offered` finds them.

        Raises:
            MemoryStoreError: If the server does not answer.
        """
        return [described(known) for known in await self.offered(task, limit=limit)]

    async def offered(self, task: str, *, limit: int = 1) -> list[KnownTemplate]:
        """Templates that fit a task and have not failed too often, best first.

        Raises:
            MemoryStoreError: If the server does not answer.
        """
        words = words_of(storable_text(task))
        if not words or limit <= 0:
            return []
        asked = {"text": " ".join(words), "candidates": CANDIDATES}
        found = await self._read(cypher.FOUND, asked, limit_s=self._offer_s)
        return ranked(task, map(_known, found), limit)

    async def templates(self) -> list[KnownTemplate]:
        """Every template, those that are not offered too, the last used first.

        Raises:
            MemoryStoreError: If the server does not answer.
        """
        return [_known(row) for row in await self._read(cypher.ALL, {})]

    async def template(self, key: str) -> KnownTemplate | None:
        """The template with this key, or the one whose key begins so; `None` if there is none, or several.

        Raises:
            MemoryStoreError: If the server does not answer.
        """
        found = await self._read(cypher.BY_KEY, {"key": storable_text(key)})
        return _known(found[0]) if key and len(found) == 1 else None

    async def rate(self, thread_id: str, *, good: bool, why: str = "") -> str | None:
        """Say how the last run of a thread really went; gives the key of its template, or `None` without one.

        Raises:
            MemoryStoreError: If the server does not answer, or does not confirm it.
        """
        values = {"thread": thread_digest(thread_id), "good": good, "why": storable_text(why)}
        rows = await self._write(cypher.RATE, values)
        return str(rows[0]["key"]) if rows else None

    async def forget(self, key: str) -> bool:
        """Remove a template with its runs; gives whether there was one.

        Raises:
            MemoryStoreError: If the server does not answer, or does not confirm it.
        """
        return bool((await self._write(cypher.FORGET, {"template": self._id(storable_text(key))}))[0]["removed"])

    async def forget_thread(self, thread_id: str) -> int:
        """Remove the runs of a thread, and templates that no other thread has run; gives how many templates.

        Raises:
            MemoryStoreError: If the server does not answer, or does not confirm it.
        """
        rows = await self._write(cypher.FORGET_THREAD, {"thread": thread_digest(thread_id)})
        return int(rows[0]["removed"])

    # ---------------------------------------------------------------- the server

    async def _read(self, query: LiteralString, values: Row, *, limit_s: float | None = None) -> list[Row]:
        async def work(transaction: AsyncManagedTransaction) -> list[Row]:
            return await _rows(transaction, query, self._given(values))

        async def ask(driver: AsyncDriver) -> list[Row]:
            async with driver.session() as session:
                return await session.execute_read(work)

        return await self._asked(ask, self._limit_s if limit_s is None else limit_s)

    async def _write(self, query: LiteralString, values: Row) -> list[Row]:
        """Make a write that counts only with a bookmark, else it is made again.

        A server that is stopped in the ordinary way with a transaction open answers its commit as if it had worked, and
        stores nothing; what tells it apart is that no bookmark comes with it.
        """

        async def work(transaction: AsyncManagedTransaction) -> list[Row]:
            rows = await _rows(transaction, query, self._given(values))
            passed("inside template in neo4j")
            return rows

        async def ask(driver: AsyncDriver) -> list[Row]:
            first: list[Row] | None = None
            for _ in range(MOST_TRIES):
                async with driver.session() as session:
                    rows = await session.execute_write(work)
                    first = rows if first is None else first
                    if (await session.last_bookmarks()).raw_values:
                        return first  # of a write that was stored all the same, the second finds nothing left to do
            raise MemoryStoreError(
                f"The Neo4j at {self._uri!r} took a write {MOST_TRIES} times and did not confirm it.",
                hint=f"See what it logs, and check it with: {shell_commands.MEMORY_TEMPLATES}",
            )

        return await self._asked(ask, self._limit_s)

    def _given(self, values: Row) -> dict[str, Any]:
        return {**values, "owner": self._owner, "now": self._clock(), "half_life": HALF_LIFE_S}

    async def _asked(self, ask: Callable[[AsyncDriver], Awaitable[ResultT]], limit_s: float) -> ResultT:
        """Ask the server, with its indexes made at the first use."""
        try:
            async with asyncio.timeout(limit_s), self._driver() as driver:
                if not self._is_prepared:
                    for statement in cypher.SCHEMA:
                        await driver.execute_query(statement)
                    self._is_prepared = True
                return await ask(driver)
        except TimeoutError as error:
            raise self._unreachable(f"no answer in {limit_s:g} s") from error
        except (MemoryStoreError, SettingsError):
            raise
        except Exception as error:
            raise self._sorted(error) from error

    @asynccontextmanager
    async def _driver(self) -> AsyncGenerator[AsyncDriver]:
        """A driver for one operation: a graph may be used on several event loops, and a driver belongs to one."""
        try:
            from neo4j import AsyncGraphDatabase
        except ImportError as error:
            raise SettingsError(
                f"NEO4J_URI is {self._uri!r}, and the package 'neo4j' is not installed.",
                hint=f"Install it: {shell_commands.install(EXTRA)}",
            ) from error
        logging.getLogger("neo4j").setLevel(logging.ERROR)  # it warns of each of its own tries at length
        async with AsyncGraphDatabase.driver(
            self._uri,
            auth=self._auth,
            connection_timeout=CONNECT_S,
            max_transaction_retry_time=self._patience_s,
            notifications_min_severity="OFF",
            warn_notification_severity="OFF",
        ) as driver:
            yield driver

    def _sorted(self, error: Exception) -> Exception:
        """Our error for one of the driver; any other as it is."""
        from neo4j.exceptions import AuthError, ConfigurationError, DriverError, Neo4jError, ServiceUnavailable

        if isinstance(error, AuthError) or (isinstance(error, Neo4jError) and "Security" in (error.code or "")):
            return MemoryStoreError(
                f"The Neo4j at {self._uri!r} does not let the user {self._auth[0]!r} in.",
                hint="Set NEO4J_USERNAME and NEO4J_PASSWORD to what the server knows.",
            )
        if isinstance(error, ServiceUnavailable | OSError):
            return self._unreachable(_first_line(error))
        if isinstance(error, ConfigurationError | ValueError):
            return SettingsError(f"NEO4J_URI cannot be {self._uri!r}: {_first_line(error)}.", hint=_SUCH)
        if isinstance(error, DriverError | Neo4jError):
            return MemoryStoreError(f"The Neo4j at {self._uri!r} failed: {_first_line(error)}.", hint=_CHECK)
        return error

    def _unreachable(self, why: str) -> MemoryStoreError:
        return MemoryStoreError(f"No Neo4j answers at {self._uri!r}: {why}.", hint=_CHECK)


_SUCH = "Give such as bolt://localhost:7687 or neo4j+s://db.example.com."
_CHECK = f"Start it, or unset NEO4J_URI to keep templates in Postgres; check with: {shell_commands.MEMORY_TEMPLATES}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0].rstrip(".") if lines else type(error).__name__)[:300]


async def _rows(transaction: AsyncManagedTransaction, query: LiteralString, values: dict[str, Any]) -> list[Row]:
    """The rows of a statement; values go as one mapping, since the names of some are arguments of the driver."""
    result = await transaction.run(query, values)
    return [dict(record) async for record in result]


def _known(row: Row) -> KnownTemplate:
    steps = tuple(
        TemplateStep(
            str(step["step"]),
            cast("dict[str, Any]", json.loads(step["definition"])),
            tuple(sorted(cast("Sequence[str]", step["needs"]))),
            runs=int(step["runs"]),
            failures=int(step["failures"]),
            mean_s=float(step["mean_s"]),
            spread_s=spread(int(step["runs"]), float(step["m2_s"])),
        )
        for step in row["steps"]
    )
    parameters = cast("dict[str, str]", json.loads(row["parameters"]))
    return KnownTemplate(
        Template(str(row["key"]), str(row["task"]), steps, str(row["goal"]), parameters),
        runs=int(row["runs"]),
        successes=float(row["successes"]),
        failures=float(row["failures"]),
        worked=int(row["worked"]),
        tasks=int(row["tasks"]),
        mean_s=float(row["mean_s"]),
        is_proven=bool(row["proven"]),
    )
