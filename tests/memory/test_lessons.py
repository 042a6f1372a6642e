"""Lessons: what a run would have taught while Neo4j was away reaches it once, and not after it was forgotten."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import statistics
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from openmanus_graph import ThreadSaver, fault_points, open_checkpointer
from openmanus_graph.errors import MemoryStoreError
from openmanus_graph.memory.procedural.lesson import Lesson
from openmanus_graph.memory.procedural.neo4j_templates import Neo4jTemplates
from openmanus_graph.memory.procedural.outbox_templates import OutboxTemplates
from openmanus_graph.memory.procedural.template import Template, TemplateRun
from openmanus_graph.memory.procedural.waiting_lessons import WaitingLessons
from openmanus_graph.memory.protocols import TemplateMemory
from tests.memory.conftest import NOW
from tests.memory.ways import COPY, copying, run, searching
from tests.neo4j_server import Neo4jServer, free_port

pytestmark = pytest.mark.programs

READ_AND_NOT_STORED = "before template in neo4j"
MOMENTS = [
    "after waiting lesson",
    READ_AND_NOT_STORED,
    "inside template in neo4j",
    "after template in neo4j",
    "after lesson in neo4j",
    "before delivered lesson",
    "after delivered lesson",
]
"""When a process is killed that delivers, in their order."""


def outbox(saver: ThreadSaver, place: tuple[str, str], owner: str = "me") -> OutboxTemplates:
    """Templates in a server; however slow a machine is, it is waited for."""
    uri, password = place
    neo4j = Neo4jTemplates(uri, owner, password=password, clock=lambda: NOW, patience_s=60.0, limit_s=300.0)
    return OutboxTemplates(neo4j, WaitingLessons(saver, owner))


def place_of(server: Neo4jServer) -> tuple[str, str]:
    return server.uri, server.password


def lesson(number: int = 1, template: Template | None = None, **fields: Any) -> Lesson:
    """A run of a thread of its own, and the way in which it was done."""
    way = template or copying()
    return Lesson(run(number, **fields), way.key, way)


@pytest.fixture
def away(saver: ThreadSaver) -> OutboxTemplates:
    """Templates in a server that is not there."""
    neo4j = Neo4jTemplates(f"bolt://127.0.0.1:{free_port()}", "me", patience_s=0.1)
    return OutboxTemplates(neo4j, WaitingLessons(saver, "me"))


@pytest.fixture
def here(saver: ThreadSaver, neo4j: Neo4jServer) -> OutboxTemplates:
    return outbox(saver, place_of(neo4j))


@pytest.fixture
def lessons(saver: ThreadSaver) -> WaitingLessons:
    return WaitingLessons(saver, "me")


@pytest.fixture(autouse=True)
def unwatched() -> Iterator[None]:
    yield
    fault_points.watch(None)


def at(moment: str, do: Callable[[], None]) -> None:
    """Do something the first time that a moment comes."""
    done = False

    def watch(name: str) -> None:
        nonlocal done
        if name == moment and not done:
            done = True
            do()

    fault_points.watch(watch)


def elsewhere(database: str, place: tuple[str, str], use: Callable[[OutboxTemplates], Awaitable[Any]]) -> Any:
    """Use the same templates from another event loop, as another process does, and wait for it."""
    found: list[Any] = []

    async def go() -> None:
        async with open_checkpointer(database) as saver:
            found.append(await use(outbox(saver, place)))

    thread = threading.Thread(target=lambda: asyncio.run(go()))
    thread.start()
    thread.join()
    return found[0]


async def test_it_is_template_memory(away: OutboxTemplates) -> None:
    assert isinstance(away, TemplateMemory)


async def test_lessons_wait_and_count_once_the_server_answers(
    away: OutboxTemplates, here: OutboxTemplates, lessons: WaitingLessons
) -> None:
    took = [1.0, 2.0, 9.0]
    for number, seconds in enumerate(took):
        for _ in range(2):  # a node that runs again puts the same lesson down again
            with pytest.raises(MemoryStoreError, match="No Neo4j answers at"):
                await away.teach([lesson(number, seconds={"s1": seconds}, failed=("s3",), succeeded=number > 0)])
    assert await lessons.count() == 3

    assert (await here.deliver()).delivered == 3
    assert await lessons.count() == 0
    assert [known.template.key for known in await here.offered(COPY)] == [copying().key]
    (known,) = await here.templates()
    assert replace(known.template, steps=()) == replace(copying(), steps=())
    assert [(one.id, one.definition, one.needs) for one in known.template.steps] == [
        (one.id, one.definition, one.needs) for one in copying().steps
    ]
    read, _, count = known.template.steps
    assert (known.runs, known.worked, known.tasks, known.used_at) == (3, 2, 2, NOW)
    assert (read.runs, read.mean_s, read.spread_s) == (3, 4.0, pytest.approx(statistics.stdev(took)))
    assert count.failures == 3

    assert (await here.teach([lesson(1, seconds={"s1": 2.0}, failed=("s3",))], limit_s=600.0)).delivered == 1
    (known,) = await here.templates()
    assert (known.runs, known.template.steps[0].runs, known.template.steps[2].failures) == (3, 3, 3)


async def test_a_lesson_of_a_plan_by_rules_counts_for_its_template_alone(
    away: OutboxTemplates, here: OutboxTemplates, lessons: WaitingLessons
) -> None:
    await here.remember(searching(), run(0))
    for number, key in enumerate((searching().key, "gone")):
        await lessons.put(Lesson(run(number + 1), key))
    await lessons.put(Lesson(run(1, succeeded=False, was_replaced=True), searching().key))
    assert (await here.deliver()).delivered == 3

    assert [(known.template.key, known.runs, known.worked) for known in await here.templates()] == [
        (searching().key, 3, 2)
    ]


async def test_what_is_said_of_a_lesson_that_waits_is_delivered_with_it(
    away: OutboxTemplates, here: OutboxTemplates, lessons: WaitingLessons
) -> None:
    for number in (1, 2):
        await lessons.put(lesson(number, thread="t", request=number))
    assert await away.rate("t", good=False, why="too slow") == copying().key, "the last request"
    with pytest.raises(MemoryStoreError):
        await away.rate("nobody", good=False)
    await lessons.put(lesson(2, thread="t", request=2))
    await here.deliver()

    (known,) = await here.templates()
    assert (known.runs, known.worked) == (2, 1)
    assert await here.rate("t", good=True, request=2) == copying().key
    assert (await here.templates())[0].worked == 2


async def test_what_is_said_during_a_delivery_is_delivered_too(
    here: OutboxTemplates, lessons: WaitingLessons, neo4j: Neo4jServer, database: str
) -> None:
    await lessons.put(lesson(1, thread="t"))
    at(
        "after lesson in neo4j",
        lambda: elsewhere(database, place_of(neo4j), lambda other: other.rate("t", good=False, request=1)),
    )
    assert (await here.deliver()).waiting == 0

    (known,) = await here.templates()
    assert (known.runs, known.worked) == (1, 0)


@pytest.mark.parametrize("what", ["key", "thread", "correction"])
async def test_what_is_forgotten_while_it_is_delivered_does_not_come_back(
    here: OutboxTemplates, lessons: WaitingLessons, neo4j: Neo4jServer, database: str, what: str
) -> None:
    """A deliverer that was held up after it had read a lesson, and whose lock is gone by then."""
    await here.remember(copying(), run(0))
    await lessons.put(lesson(1, thread="t"))
    store = await here._neo4j.delivering()
    waiting = await lessons.read((await lessons.names())[0])
    assert waiting is not None
    others: dict[str, Callable[[OutboxTemplates], Awaitable[Any]]] = {
        "key": lambda other: other.forget(copying().key),
        "thread": lambda other: other.forget_thread("t"),
        "correction": lambda other: other.correct(copying().key, replace(copying(), key="new")),
    }
    elsewhere(database, place_of(neo4j), others[what])

    with pytest.raises(MemoryStoreError, match="was forgotten"):
        await store.remember(copying(), waiting.lesson.run)
    left = {"key": [], "thread": [(copying().key, 1)], "correction": [("new", 3)]}
    assert [(known.template.key, known.runs) for known in await here.templates()] == left[what]
    assert await lessons.count() == 0


@pytest.mark.parametrize("what", ["key", "thread"])
async def test_a_delivery_goes_on_without_what_was_forgotten_meanwhile(
    here: OutboxTemplates, lessons: WaitingLessons, neo4j: Neo4jServer, database: str, what: str
) -> None:
    await lessons.put(lesson(1, thread="t"))
    await lessons.put(lesson(2, template=searching(), thread="other"))

    async def forget(other: OutboxTemplates) -> object:
        return await (other.forget(copying().key) if what == "key" else other.forget_thread("t"))

    gone: list[object] = []
    at(READ_AND_NOT_STORED, lambda: gone.append(elsewhere(database, place_of(neo4j), forget)))
    assert (await here.deliver()).waiting == 0

    assert gone == [1], "also said to be gone, by the key as by the thread"
    assert [known.template.key for known in await here.templates()] == [searching().key]


async def test_lessons_that_wait_are_forgotten_where_the_server_is_away(
    away: OutboxTemplates, here: OutboxTemplates, lessons: WaitingLessons
) -> None:
    for number, (name, way) in enumerate([("t", copying()), ("u", copying()), ("v", searching())]):
        await lessons.put(lesson(number, template=way, thread=name))
    assert {known.template.key for known in await lessons.templates()} == {searching().key, copying().key}
    assert await WaitingLessons(lessons._saver, "you").forget_thread("t") == 0
    with pytest.raises(MemoryStoreError):
        await away.forget_thread("t")
    assert await lessons.count() == 2
    with pytest.raises(MemoryStoreError):
        await away.forget(searching().key)

    assert [known.template.key for known in await here.templates()] == [copying().key]
    assert await lessons.forget_thread("u") == 0, "it is delivered"


async def test_a_correction_takes_along_what_waits_for_the_template(
    here: OutboxTemplates, lessons: WaitingLessons
) -> None:
    await here.remember(copying(), run(0))
    await lessons.put(lesson(1))
    await lessons.put(lesson(2, template=replace(copying(), key="k" * 9_000), thread="refused"))
    assert await here.correct(copying().key, replace(copying(), key="new"))
    assert not await here.correct(copying().key, copying())

    assert [(known.template.key, known.runs) for known in await here.templates()][:1] == [("new", 3)]


async def test_a_lesson_that_is_refused_does_not_hold_up_the_others(
    here: OutboxTemplates, lessons: WaitingLessons
) -> None:
    await lessons.put(lesson(1, template=replace(copying(), key="k" * 9_000)))  # no index takes such a key
    await lessons.put(lesson(2, template=searching()))
    done = await here.deliver()

    assert (done.delivered, done.waiting) == (1, 1)
    assert "failed" in str(done.error)
    assert await lessons.last_error() == done.error
    assert (await here.teach([lesson(3)], limit_s=600.0)).delivered == 1, (
        "what a run teaches is not to blame for another's lesson"
    )
    with pytest.raises(MemoryStoreError, match="failed"):
        await here.teach([lesson(1, template=replace(copying(), key="k" * 9_000))], limit_s=600.0)
    assert {known.template.key: known.runs for known in await here.templates()} == {
        searching().key: 1,
        copying().key: 1,
        "k" * 9_000: 1,
    }, "what waits is listed after the others"


async def test_one_process_delivers_at_a_time(
    here: OutboxTemplates, lessons: WaitingLessons, neo4j: Neo4jServer, database: str
) -> None:
    await lessons.put(lesson(1))
    others: list[Any] = []
    at(
        READ_AND_NOT_STORED,
        lambda: others.append(elsewhere(database, place_of(neo4j), lambda other: other.teach([lesson(2)]))),
    )
    await here.deliver()

    (other,) = others
    assert (other.delivered, other.waiting, other.elsewhere) == (0, 2, True)
    assert await lessons.count() == 1, "what came meanwhile is for the next"
    assert (await here.deliver()).delivered == 1
    assert [known.runs for known in await here.templates()] == [2]


async def test_a_silent_server_is_waited_for_no_longer_than_is_said(
    saver: ThreadSaver, lessons: WaitingLessons, silent: str
) -> None:
    store = OutboxTemplates(Neo4jTemplates(silent, "me"), lessons)
    with pytest.raises(MemoryStoreError, match=r"no answer in 0\.5 s"):
        await store.teach([lesson(1)], limit_s=0.5)
    with pytest.raises(MemoryStoreError, match="within the last minute"):
        await store.teach([lesson(2)])

    assert await lessons.count() == 2


async def test_owners_are_apart(saver: ThreadSaver, neo4j: Neo4jServer) -> None:
    mine, theirs = (outbox(saver, place_of(neo4j), owner) for owner in ("me", "you"))
    for owner in ("me", "you"):
        await WaitingLessons(saver, owner).put(lesson(1, succeeded=owner == "me"))
    assert (await mine.deliver()).waiting == 0
    assert await WaitingLessons(saver, "you").count() == 1
    assert [known.worked for known in await theirs.templates()] == [0]
    assert [known.worked for known in await mine.templates()] == [1]


# ---------------------------------------------------------------- kill -9


def teach_and_die(database: str, place: tuple[str, str], run_: TemplateRun, moment: str) -> None:
    """Teach a lesson in a process of its own, which is killed at a moment."""

    def kill(name: str) -> None:
        if name == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    async def teach() -> None:
        async with open_checkpointer(database) as saver:
            await outbox(saver, place).teach([Lesson(run_, copying().key, copying())], limit_s=600.0)

    fault_points.watch(kill)
    asyncio.run(teach())


def delivered(database: str, place: tuple[str, str]) -> Any:
    """Deliver, and list the templates."""

    async def deliver() -> Any:
        async with open_checkpointer(database) as saver:
            store = outbox(saver, place)
            await store.deliver()
            return await store.templates()

    return asyncio.run(deliver())


@pytest.mark.kill
@pytest.mark.chaos
def test_a_process_that_is_killed_at_any_moment_loses_no_lesson_and_counts_none_twice(
    neo4j: Neo4jServer, database: str
) -> None:
    context = multiprocessing.get_context("spawn")
    took = [float(2**number) for number in range(len(MOMENTS))]
    for number, moment in enumerate(MOMENTS):
        made = run(number, seconds={"s1": took[number]}, failed=("s3",), succeeded=number % 2 == 0)
        process = context.Process(target=teach_and_die, args=(database, place_of(neo4j), made, moment))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL, moment

        (known,) = delivered(database, place_of(neo4j))
        read, _, count = known.template.steps
        assert (known.runs, known.worked, read.runs, count.failures) == (
            number + 1,
            number // 2 + 1,
            number + 1,
            number + 1,
        ), moment
        assert read.mean_s == pytest.approx(statistics.mean(took[: number + 1])), moment


@pytest.mark.kill
def test_a_deliverer_that_is_killed_leaves_the_rest_to_the_next(neo4j: Neo4jServer, database: str) -> None:
    async def put() -> None:
        async with open_checkpointer(database) as saver:
            for number in range(5):
                await WaitingLessons(saver, "me").put(lesson(number))

    asyncio.run(put())
    context = multiprocessing.get_context("spawn")
    args = (database, place_of(neo4j), run(5), "after lesson in neo4j")
    process = context.Process(target=teach_and_die, args=args)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL

    (known,) = delivered(database, place_of(neo4j))
    assert (known.runs, known.worked) == (6, 6)
