"""Outbox templates: procedural memory in Neo4j, whose lessons wait in Postgres while it does not answer.

Every lesson is put down in Postgres first, then brought to Neo4j with those that wait, by one process at a time. A run
is a node of its own there, so that what is brought twice counts once. What is forgotten or corrected raises a fence in
Neo4j: a deliverer that had read a lesson before cannot store it after that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from openmanus_graph import shell_commands
from openmanus_graph.errors import MemoryStoreError
from openmanus_graph.fault_points import passed
from openmanus_graph.memory.deliverer import Delivery
from openmanus_graph.memory.procedural.lesson import Lesson, learn
from openmanus_graph.memory.procedural.neo4j_templates import FenceError, Neo4jTemplates
from openmanus_graph.memory.procedural.template import KnownTemplate, Template, TemplateRun
from openmanus_graph.memory.procedural.waiting_lessons import WaitingLessons
from openmanus_graph.redaction import redact_log

logger = logging.getLogger(__name__)

LEARN_S = 15.0
"""Seconds after which a run that is over leaves its lesson to the next one; a server's first write may take six."""
TRIES = 3
"""Refusals in a row after which the rest waits for another time, and how often a lesson that changes is read anew."""
LOCK_S = 30.0
"""Seconds for which a correction waits for another process to end its delivery."""
_AGAIN = f"See what waits with: {shell_commands.MEMORY_STATUS}"


class OutboxTemplates:
    """Templates of one owner in Neo4j, and the lessons that wait for it."""

    def __init__(self, neo4j: Neo4jTemplates, lessons: WaitingLessons) -> None:
        """Remember in a server, and meanwhile in Postgres.

        Args:
            neo4j: The server's templates.
            lessons: Where lessons of the same owner wait.
        """
        self._neo4j = neo4j
        self._lessons = lessons

    # ---------------------------------------------------------------- lessons

    async def teach(self, lessons: Iterable[Lesson], *, limit_s: float = LEARN_S) -> Delivery:
        """Put lessons down, and deliver all that wait.

        Args:
            lessons: The lessons.
            limit_s: Seconds after which the delivery is given up.

        Raises:
            MemoryStoreError: If the server does not answer, or did not take these; they wait.
            DatabaseError: If the store of what waits does not answer.
        """
        mine = [await self._lessons.put(lesson) for lesson in lessons]
        done = await self.deliver(limit_s=limit_s)
        left = [name for name in mine if await self._lessons.read(name) is not None]
        if left and not done.elsewhere:
            why = done.error or f"Neo4j did not take all that waits in {limit_s:g} s."
            raise MemoryStoreError(why, hint=_AGAIN)
        return done

    async def deliver(self, *, limit_s: float | None = None) -> Delivery:
        """Bring to the server what waits for it, unless another process does.

        Args:
            limit_s: Seconds after which it is given up, and after half of which nothing more is begun; `None` means
                when all is delivered.

        Raises:
            MemoryStoreError: If the server does not answer; what it has not taken still waits.
            DatabaseError: If the store of what waits does not answer.
        """
        if not await self._lessons.count():
            return Delivery(0, 0)
        async with self._lessons.deliverer() as mine:
            if not mine:
                return Delivery(0, await self._lessons.count(), elsewhere=True)
            delivered, error = await self._deliver(limit_s)
        return Delivery(delivered, await self._lessons.count(), error)

    async def _deliver(self, limit_s: float | None) -> tuple[int, str | None]:
        began, delivered, refusals = time.monotonic(), 0, 0
        error: str | None = None
        store = await self._neo4j.delivering(limit_s)
        for name in await self._lessons.names():
            if refusals == TRIES or (limit_s is not None and time.monotonic() - began > limit_s / 2):
                break
            for _ in range(TRIES):
                try:
                    if await self._brought(store, name):
                        delivered, refusals = delivered + 1, 0
                        break
                except FenceError:
                    store = await self._neo4j.delivering(limit_s)  # then what was forgotten is not found any more
                except MemoryStoreError as refused:
                    refusals, error = refusals + 1, await self._refused(name, refused)
                    break
        return delivered, error

    async def _brought(self, store: Neo4jTemplates, name: Mapping[str, Any]) -> bool:
        """Bring a lesson to the server as it is now; gives whether it has not changed meanwhile."""
        waiting = await self._lessons.read(name)
        if waiting is None:
            return True
        run = waiting.lesson.run
        await learn(store, waiting.lesson)
        if waiting.rating is not None and not run.was_replaced:
            await store.rate_digest(run.thread, good=waiting.rating, why=waiting.why, request=run.request)
        passed("after lesson in neo4j")
        return await self._lessons.settle(waiting)

    async def _refused(self, name: Mapping[str, Any], refused: MemoryStoreError) -> str:
        """Note that the server refused a lesson; why."""
        why = redact_log(refused.message)
        waiting = await self._lessons.read(name)
        if waiting is not None:
            await self._lessons.postpone(waiting, why)
        logger.warning("A lesson cannot be brought to Neo4j.", extra={"error": why})
        return why

    # ---------------------------------------------------------------- as a store of templates

    async def recall(self, task: str, *, limit: int = 1) -> list[str]:
        """Templates for a task in words, as `offered` finds them.

        Raises:
            MemoryStoreError: If the server does not answer.
        """
        return await self._neo4j.recall(task, limit=limit)

    async def offered(self, task: str, *, limit: int = 1) -> list[KnownTemplate]:
        """Templates that fit a task and have not failed too often, best first; without what waits.

        Raises:
            MemoryStoreError: If the server does not answer.
        """
        return await self._neo4j.offered(task, limit=limit)

    async def templates(self) -> list[KnownTemplate]:
        """Every template, the last used first, and after them what still waits to become one.

        Raises:
            MemoryStoreError: If the server does not answer.
        """
        await self.deliver()
        found = await self._neo4j.templates()
        keys = {known.template.key for known in found}
        return [*found, *(one for one in await self._lessons.templates() if one.template.key not in keys)]

    async def template(self, key: str) -> KnownTemplate | None:
        """The template with this key, or the one whose key begins so; `None` if there is none, or several.

        Raises:
            MemoryStoreError: If the server does not answer.
        """
        await self.deliver()
        return await self._neo4j.template(key)

    async def remember(self, template: Template, run: TemplateRun, *, replaces: bool = False) -> None:
        """Store a template and a run that counts for it, without an outbox: whoever asks is told of a failure.

        Args:
            template: The template; one of the same key that has worked stays.
            run: The run.
            replaces: Whether it takes the place of that one, too.

        Raises:
            MemoryStoreError: If the server does not answer, or does not confirm it.
        """
        await self._neo4j.remember(template, run, replaces=replaces)

    async def rate(self, thread_id: str, *, good: bool, why: str = "", request: int | None = None) -> str | None:
        """Say how the last run of a thread really went, also where its lesson waits; gives the key of its template.

        Args:
            thread_id: The thread.
            good: Whether it went well.
            why: Why.
            request: Which request is meant; `None` means the last one that counts.

        Raises:
            MemoryStoreError: If no lesson of it waits, and the server does not answer.
        """
        key = await self._lessons.rate(thread_id, good=good, why=why, request=request)
        # One that was delivered in this moment has left the outbox, and is there.
        return key or await self._neo4j.rate(thread_id, good=good, why=why, request=request)

    async def correct(self, key: str, template: Template) -> bool:
        """Put a person's correction in the place of a template; what waits for the one counts for the other.

        Args:
            key: The template's key.
            template: The correction, whose key may be another.

        Raises:
            MemoryStoreError: If the server does not answer, or another process does not end its delivery.
        """
        async with self._alone():
            await self._deliver(None)
            is_done = await self._neo4j.correct(key, template)
            if is_done:
                await self._lessons.move(key, template.key)
            return is_done

    @asynccontextmanager
    async def _alone(self) -> AsyncGenerator[None]:
        """Let nobody deliver during the block, once those who do have ended."""
        end = time.monotonic() + LOCK_S
        while time.monotonic() < end:
            async with self._lessons.deliverer() as mine:
                if mine:
                    yield
                    return
            await asyncio.sleep(0.1)
        raise MemoryStoreError(f"Another process has been bringing lessons to Neo4j for {LOCK_S:g} s.", hint=_AGAIN)

    async def forget(self, key: str) -> bool:
        """Remove a template with its runs, and what waits for it; gives whether there was anything.

        Raises:
            MemoryStoreError: If the server does not answer; what waited is gone all the same.
        """
        waited = await self._lessons.forget(key)
        return await self._neo4j.forget(key) or waited

    async def forget_thread(self, thread_id: str) -> int:
        """Remove a thread's runs, what waits of it, and templates that no other thread has run; how many of those.

        Raises:
            MemoryStoreError: If the server does not answer; what waited is gone all the same.
        """
        keys = await self._lessons.forgotten_of(thread_id)
        unmade = [key for key in keys if await self._neo4j.template(key) is None]
        return len(unmade) + await self._neo4j.forget_thread(thread_id)
