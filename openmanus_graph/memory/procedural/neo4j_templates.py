"""Neo4j templates: procedural memory in a Neo4j server, each run stored by one statement that may be repeated."""

# The driver's keyword arguments have no types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar

from openmanus_graph import shell_commands
from openmanus_graph.errors import MemoryStoreError, SettingsError
from openmanus_graph.fault_points import passed, writing
from openmanus_graph.memory.procedural import cypher
from openmanus_graph.memory.procedural.stored_templates import Row, StoredTemplates, Values, needs_of, steps_of
from openmanus_graph.memory.procedural.template import Template, TemplateRun, persons_word, thread_digest
from openmanus_graph.values.storable_json import storable_text

if TYPE_CHECKING:
    from neo4j import AsyncDriver, AsyncManagedTransaction

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
SILENCE_S = 60.0
"""Seconds for which a server that did not answer a run is not asked by another one in the same process."""
SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
"""What an address begins with; the driver's own preview of another protocol is not used."""


class FenceError(MemoryStoreError):
    """What was to be stored may have been forgotten since it was read: a deliverer reads it anew."""


@dataclass
class _Server:
    """What is known of a server, by all that use it in this process."""

    is_prepared: bool = False
    """Whether its indexes have been looked for."""
    silent_until: float = 0.0
    """Until when it is not asked, since it did not answer, on the monotonic clock."""


class Neo4jTemplates(StoredTemplates):
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
        super().__init__(owner, clock)
        self._uri = uri
        self._auth = (user, password)
        self._patience_s = patience_s
        self._limit_s = limit_s
        self._offer_s = offer_s
        self._server = _Server()
        self._epoch: int | None = None
        self._deadline: float | None = None

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
            await self._write(values, cypher.STORE)

    def _values(self, template: Template, run: TemplateRun) -> Values:
        ids = {step.id: self._id(template.key, step.id) for step in template.steps}
        content, went = self._content(template, run), self._went(run)
        return {
            "template": self._id(template.key),
            "key": template.key,
            "content": {**content, "parameters": json.dumps(content["parameters"])},
            "steps": [
                {**step, "id": ids[step["step"]], "definition": json.dumps(step["definition"], sort_keys=True)}
                for step in steps_of(template)
            ],
            "names": list(ids),
            "needs": [{"step": ids[one["step"]], "needs": ids[one["needs"]]} for one in needs_of(template)],
            "run": self._id(went["thread"], run.request, run.was_replaced),
            "went": {**went, "owner": self._owner},
            "succeeded": run.succeeded,
            "done": [{"step": name, "seconds": float(seconds)} for name, seconds in sorted(run.seconds.items())],
            "failed": list(run.failed),
        }

    def _id(self, *parts: object) -> str:
        """The identity of a node: whose it is and what."""
        return json.dumps([self._owner, *parts])

    @property
    def _fence(self) -> str:
        """The identity of the owner's fence, which stays when all else of theirs is removed."""
        return hashlib.sha256(f"openmanus_graph fence: {self._owner}".encode()).hexdigest()[:32]

    async def _found(self, values: Values) -> Sequence[Row]:
        self._refuse_silence()
        return _decoded(await self._read(cypher.FOUND, values, limit_s=self._offer_s))

    async def _all(self) -> Sequence[Row]:
        return _decoded(await self._read(cypher.ALL, {}))

    async def _by_key(self, values: Values) -> Sequence[Row]:
        return _decoded(await self._read(cypher.BY_KEY, values))

    async def rate(self, thread_id: str, *, good: bool, why: str = "", request: int | None = None) -> str | None:
        """Say how the last run of a thread really went; gives the key of its template, or `None` without one.

        Args:
            thread_id: The thread.
            good: Whether it went well.
            why: Why.
            request: Which request is meant; `None` means the last one that counts.

        Raises:
            MemoryStoreError: If the server does not answer, or does not confirm it.
        """
        return await self.rate_digest(thread_digest(thread_id), good=good, why=why, request=request)

    async def rate_digest(self, thread: str, *, good: bool, why: str, request: int | None) -> str | None:
        """As `rate`, with what names the thread in place of its id."""
        values = {"thread": thread, "request": request, "good": good, "why": storable_text(why)}
        (rows,) = await self._write(values, cypher.RATE)
        return str(rows[0]["key"]) if rows else None

    async def correct(self, key: str, template: Template) -> bool:
        """Put a person's correction in the place of a template, in one transaction; gives whether it was there.

        Args:
            key: The template's key.
            template: The correction, whose key may be another.

        Raises:
            MemoryStoreError: If the server does not answer, or does not confirm it.
        """
        run = persons_word(template.key, self._clock())
        word_before = self._id(thread_digest(persons_word(key, 0.0).thread_id), run.request, run.was_replaced)
        values = {**self._values(template, run), "replaces": True}
        values |= {"before": self._id(storable_text(key)), "word_before": word_before}
        with writing("corrected template in neo4j"):
            _, before, *_ = await self._write(values, cypher.RAISE, cypher.LOCK, cypher.STORE, cypher.MOVE)
        return bool(before)

    async def forget(self, key: str) -> bool:
        """Remove a template with its runs; gives whether there was one.

        Raises:
            MemoryStoreError: If the server does not answer, or does not confirm it.
        """
        _, rows = await self._write({"template": self._id(storable_text(key))}, cypher.RAISE, cypher.FORGET)
        return bool(rows[0]["removed"])

    async def forget_thread(self, thread_id: str) -> int:
        """Remove the runs of a thread, and templates that no other thread has run; gives how many templates.

        Raises:
            MemoryStoreError: If the server does not answer, or does not confirm it.
        """
        _, rows = await self._write({"thread": thread_digest(thread_id)}, cypher.RAISE, cypher.FORGET_THREAD)
        return int(rows[0]["removed"])

    async def delivering(self, limit_s: float | None = None) -> Neo4jTemplates:
        """The same store for a deliverer of lessons, which stores none that may have been forgotten since.

        Whoever forgets or corrects a template, and the next deliverer, raises the fence: from then on this one's writes
        raise `FenceError`.

        Args:
            limit_s: Seconds after which all that it does is given up; `None` means those of each operation.

        Raises:
            MemoryStoreError: If the server does not answer, or did not within the last minute.
        """
        self._refuse_silence()
        mine = copy.copy(self)
        if limit_s is not None:
            mine._limit_s, mine._deadline = limit_s, time.monotonic() + limit_s
        (rows,) = await mine._write({}, cypher.RAISE)
        mine._epoch = int(rows[0]["epoch"])
        return mine

    def _refuse_silence(self) -> None:
        if time.monotonic() < self._server.silent_until:
            raise self._unreachable("it did not answer within the last minute")

    # ---------------------------------------------------------------- the server

    async def _read(self, query: LiteralString, values: Row, *, limit_s: float | None = None) -> list[Row]:
        async def work(transaction: AsyncManagedTransaction) -> list[Row]:
            return await _rows(transaction, query, self._given(values))

        async def ask(driver: AsyncDriver) -> list[Row]:
            async with driver.session() as session:
                return await session.execute_read(work)

        return await self._asked(ask, self._limit_s if limit_s is None else limit_s)

    async def _write(self, values: Row, *statements: LiteralString) -> list[list[Row]]:
        """Make a write that counts only with a bookmark, else it is made again; the rows of each statement.

        Where one has no rows, those after it in the same transaction are left out. A server that is stopped in the
        ordinary way with a transaction open answers its commit as if it had worked, and stores nothing; what tells it
        apart is that no bookmark comes with it.
        """

        async def work(transaction: AsyncManagedTransaction) -> list[list[Row]]:
            given = self._given({**values, "fence": self._fence, "epoch": self._epoch})
            if self._epoch is not None and not await _rows(transaction, cypher.IS_UNRAISED, given):
                raise FenceError("What is delivered was forgotten, or is delivered by another process.")
            found: list[list[Row]] = []
            for statement in statements:
                found.append(await _rows(transaction, statement, given))
                if not found[-1]:
                    break
            passed("inside template in neo4j")
            return found

        async def ask(driver: AsyncDriver) -> list[list[Row]]:
            first: list[list[Row]] | None = None
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

    async def _asked(self, ask: Callable[[AsyncDriver], Awaitable[ResultT]], limit_s: float) -> ResultT:
        """Ask the server, with its indexes made at the first use."""
        left = limit_s if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)
        try:
            async with asyncio.timeout(min(limit_s, left)), self._driver() as driver:
                if not self._server.is_prepared:
                    for statement in cypher.SCHEMA:
                        await driver.execute_query(statement)
                    self._server.is_prepared = True
                return await ask(driver)
        except TimeoutError as error:
            self._server.silent_until = time.monotonic() + SILENCE_S
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


def _decoded(rows: Sequence[Row]) -> list[Row]:
    """Rows of templates with what the server keeps as JSON, since its values are no mappings."""
    return [
        {
            **row,
            "parameters": json.loads(row["parameters"]),
            "steps": [{**step, "definition": json.loads(step["definition"])} for step in row["steps"]],
        }
        for row in rows
    ]
