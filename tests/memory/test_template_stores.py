"""Template stores: what each store of templates promises, on real servers."""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from psycopg.types.json import Jsonb

from openmanus_graph import ThreadSaver, open_checkpointer
from openmanus_graph.memory.procedural.neo4j_templates import Neo4jTemplates
from openmanus_graph.memory.procedural.postgres_templates import PostgresTemplates
from openmanus_graph.memory.procedural.template import TemplateStep
from openmanus_graph.memory.protocols import TemplateMemory
from tests.database_locks import until_waiting
from tests.memory.conftest import NOW, MakeTemplates
from tests.memory.ways import COPY, copying, run, searching
from tests.neo4j_server import Neo4jServer

ResultT = TypeVar("ResultT")
KEY = searching().key
LIKE_COPY = "Copy the first 5 lines of log.txt to head.txt and count the words in it"


async def test_a_store_is_template_memory(templates: MakeTemplates) -> None:
    assert isinstance(templates(), TemplateMemory)


async def test_everything_of_a_template_comes_back(templates: MakeTemplates) -> None:
    made = copying()
    await templates().remember(made, run(seconds={"s1": 1.0, "s2": 3.0, "s3": 0.5}))

    (known,) = await templates().templates()

    assert [replace(step, runs=0, mean_s=0.0) for step in known.template.steps] == list(made.steps)
    assert replace(known.template, steps=made.steps) == made
    assert (known.runs, known.worked, known.tasks, known.failures) == (1, 1, 1, 0.0)
    assert known.successes == pytest.approx(1.0)
    assert known.mean_s == pytest.approx(4.5)
    assert {step.id: (step.runs, step.mean_s) for step in known.template.steps} == {
        "s1": (1, 1.0),
        "s2": (1, 3.0),
        "s3": (1, 0.5),
    }


async def test_the_same_run_again_counts_once(templates: MakeTemplates) -> None:
    for _ in range(3):
        await templates().remember(copying(), run(seconds={"s1": 2.0}))

    (known,) = await templates().templates()

    assert (known.runs, known.template.steps[0].runs, known.template.steps[0].mean_s) == (1, 1, 2.0)


async def test_a_request_tried_again_replaces_how_it_went(templates: MakeTemplates) -> None:
    await templates().remember(copying(), run(succeeded=False, failed=("s1",)))
    await templates().remember(copying(), run(succeeded=True))

    (known,) = await templates().templates()

    assert (known.runs, known.worked) == (1, 1)


async def test_a_request_counts_for_one_template(templates: MakeTemplates) -> None:
    await templates().remember(copying(), run(thread="t"))
    await templates().remember(searching(), run(thread="t"))

    assert {known.template.key: known.runs for known in await templates().templates()} == {
        copying().key: 0,
        searching().key: 1,
    }


async def test_steps_of_success_replace_those_of_failure_and_stay(templates: MakeTemplates) -> None:
    failing = searching("moths")
    first, second = searching("bats"), searching("eels")
    assert failing.key == first.key == second.key
    store = templates()
    failed, good, later = (
        replace(template, goal=goal, steps=named(template.steps, goal))
        for template, goal in ((failing, "0"), (first, "1"), (second, "2"))
    )

    await store.remember(failed, run(1, succeeded=False))
    await store.remember(good, run(2))
    await store.remember(later, run(3))

    (known,) = await store.templates()
    assert known.template.goal == "1"
    assert [(step.id, step.needs) for step in known.template.steps] == [
        ("1s1", ()),
        ("1s2", ("1s1",)),
        ("1s3", ("1s2",)),
    ]


def named(steps: Sequence[TemplateStep], before: str) -> tuple[TemplateStep, ...]:
    """Steps of other names."""
    return tuple(
        replace(step, id=before + step.id, needs=tuple(before + name for name in step.needs)) for step in steps
    )


async def test_what_replaces_it_takes_its_place_and_its_runs(templates: MakeTemplates) -> None:
    first = copying()
    read, *others = first.steps
    renamed = replace(read, id="r")
    changed = replace(others[0], definition={**others[0].definition, "goal": "Write it"}, needs=("r",))
    second = replace(first, task="Copy {{p2}}", steps=(renamed, changed, others[1]))
    seconds = {step.id: 2.0 for step in first.steps}
    await templates().remember(first, run(1, seconds=seconds))
    await templates().remember(second, run(2, succeeded=False), replaces=True)

    (known,) = await templates().templates()

    assert known.template.task == "Copy {{p2}}"
    assert [(step.id, step.needs, step.runs) for step in known.template.steps] == [
        ("r", (), 0),
        ("s2", ("r",), 0),
        ("s3", ("s2",), 1),
    ], "what was counted is of the steps that stay"
    assert (known.runs, known.worked) == (2, 1)


async def test_a_correction_takes_the_place_of_a_template_and_its_runs(templates: MakeTemplates) -> None:
    first = copying()
    read, write, count = first.steps
    changed = replace(write, definition={**write.definition, "goal": "Write it"})
    same_key = replace(first, task="Copy {{p2}}", steps=(read, changed, count))
    for number, seconds in enumerate((1.0, 3.0)):
        took = {"s1": seconds, "s2": seconds}
        await templates().remember(first, run(number, seconds=took, failed=("s3",), succeeded=number > 0))

    for _ in range(2):
        assert await templates().correct(first.key, same_key)

    (known,) = await templates().templates()
    assert (known.template.task, known.runs, known.worked, known.tasks) == ("Copy {{p2}}", 3, 2, 2)
    assert [(step.runs, step.mean_s, step.failures) for step in known.template.steps] == [
        (2, 2.0, 0),
        (0, 0.0, 0),
        (0, 0.0, 2),
    ]
    assert known.is_proven


async def test_a_correction_with_another_key_leaves_nothing_of_the_one_before(templates: MakeTemplates) -> None:
    first, other = copying(), searching()
    took = [2.0, 4.0, 9.0]
    for number, seconds in enumerate(took):
        await templates().remember(first, run(number, seconds={"s1": seconds, "s2": 1.0}, failed=("s3",)))
    assert await templates().correct(first.key, first)
    moved = replace(first, key="moved", steps=(*first.steps[:2], replace(first.steps[2], id="last")))
    assert await templates().correct(first.key, moved)

    (known,) = await templates().templates()
    read, write, count = known.template.steps
    assert (known.template.key, known.runs, known.worked) == ("moved", 4, 4), "the person's word counts once"
    assert (read.runs, read.mean_s, read.spread_s) == (3, 5.0, pytest.approx(statistics.stdev(took)))
    assert (write.runs, count.id, count.failures, count.needs) == (3, "last", 0, ("s2",))
    assert await templates().rate("thread-1", good=False) == "moved"

    await templates().remember(other, run(7, seconds={"s1": 6.0}))
    assert await templates().correct("moved", replace(other, task="Both"))
    (known,) = await templates().templates()
    assert (known.template.task, known.template.key, known.runs) == ("Both", other.key, 5)
    assert await templates().forget_thread("thread-0") == 0
    assert not await templates(now=NOW + 1).correct("moved", other), "it is gone"
    assert not await templates(owner="you").correct(other.key, first), "it is somebody else's"
    assert [(one.template.key, one.runs) for one in await templates().templates()] == [(other.key, 4)]


async def test_counts_of_equal_steps_come_together(templates: MakeTemplates) -> None:
    one, other = copying(), replace(copying(), key="other")
    for number, seconds in enumerate((1.0, 2.0, 9.0)):
        await templates().remember(one, run(number, seconds={"s1": seconds}, failed=("s3",)))
    for number, seconds in enumerate((4.0, 8.0)):
        await templates().remember(other, run(5 + number, seconds={"s1": seconds}))
    assert await templates().correct("other", one)

    (known,) = await templates().templates()
    read, _, count = known.template.steps
    assert (known.runs, read.runs, count.failures) == (6, 5, 3)
    assert read.mean_s == pytest.approx(statistics.mean([1.0, 2.0, 9.0, 4.0, 8.0]))
    assert read.spread_s == pytest.approx(statistics.stdev([1.0, 2.0, 9.0, 4.0, 8.0]))


async def test_a_correction_whose_commit_was_not_heard_of_is_done_once(saver: ThreadSaver) -> None:
    store = PostgresTemplates(saver, "me", clock=lambda: NOW)
    await store.remember(copying(), run(1))
    moved = replace(copying(), key="moved")
    assert await store.correct(copying().key, moved)
    assert await store.correct(copying().key, moved), "made again after the connection broke"
    assert not await PostgresTemplates(saver, "me", clock=lambda: NOW + 1).correct(copying().key, moved)


async def test_a_plan_that_was_replaced_counts_beside_the_one_that_ran(templates: MakeTemplates) -> None:
    for _ in range(2):
        await templates().remember(copying(), run(thread="t", succeeded=False, was_replaced=True))
        await templates().remember(searching(), run(thread="t"))

    counts = {known.template.key: (known.runs, known.worked) for known in await templates().templates()}
    assert counts == {copying().key: (1, 0), searching().key: (1, 1)}
    assert await templates().rate("t", good=False) == searching().key
    await templates().remember(copying(), run(thread="t", request=2, succeeded=False, was_replaced=True))
    assert await templates().rate("t", good=True) is None, "of the last request, nothing that counts is left"
    assert await templates().forget_thread("t") == 2


async def test_steps_know_their_durations_and_failures(templates: MakeTemplates) -> None:
    took = [1.0, 2.0, 4.0, 9.0]
    for number, seconds in enumerate(took):
        await templates().remember(copying(), run(number, seconds={"s1": seconds}))
    await templates().remember(copying(), run(9, succeeded=False, seconds={"s1": 2.0}, failed=("s2",)))

    (known,) = await templates().templates()
    read, write, count = known.template.steps

    assert read.mean_s == pytest.approx(statistics.mean([*took, 2.0]))
    assert read.spread_s == pytest.approx(statistics.stdev([*took, 2.0]))
    assert (write.failures, count.failures, count.runs) == (1, 0, 0)


async def test_a_task_of_the_same_words_finds_its_template(templates: MakeTemplates) -> None:
    await templates().remember(copying(), run())
    await templates().remember(searching(), run(2))

    assert [known.template.key for known in await templates().offered(LIKE_COPY)] == [copying().key]
    assert await templates().offered("Paint the fence green on Sunday") == []
    assert await templates().offered(LIKE_COPY, limit=0) == []
    (text,) = await templates().recall(LIKE_COPY)
    assert "worked 1 of 1 time" in text
    assert "{{p2}}" in text


async def test_the_right_one_of_many_is_found(templates: MakeTemplates) -> None:
    await templates().remember(copying(), run(0))
    for number in range(60):
        other = searching(f"topic{number}")
        await templates().remember(
            replace(other, key=f"k{number}", task=f"Write report {number} lines"), run(number + 1)
        )

    assert [known.template.key for known in await templates().offered(LIKE_COPY)] == [copying().key]


async def test_older_runs_weigh_less(templates: MakeTemplates) -> None:
    await templates().remember(copying(), run(1, days_ago=60))
    await templates().remember(copying(), run(2, days_ago=30, succeeded=False))
    await templates().remember(copying(), run(3))

    (known,) = await templates().templates()

    assert known.successes == pytest.approx(1.25)
    assert known.failures == pytest.approx(0.5)
    assert known.rate == pytest.approx(1.25 / 1.75)


async def test_the_one_that_works_now_comes_first(templates: MakeTemplates) -> None:
    worse, better = replace(copying(), key="worse"), replace(copying(), key="better")
    for number in range(4):
        await templates().remember(worse, run(number, days_ago=90))
        await templates().remember(better, run(10 + number, succeeded=number > 0))

    assert [known.template.key for known in await templates().offered(COPY, limit=2)] == ["better", "worse"]


async def test_what_fails_too_often_is_listed_and_not_offered(templates: MakeTemplates) -> None:
    await templates().remember(copying(), run(1))
    assert await templates().offered(COPY)
    await templates().remember(copying(), run(2, succeeded=False))
    assert await templates().offered(COPY)
    await templates().remember(copying(), run(3, succeeded=False))

    assert await templates().offered(COPY) == []
    assert [known.runs for known in await templates().templates()] == [3]


async def test_what_never_worked_is_not_offered(templates: MakeTemplates) -> None:
    await templates().remember(copying(), run(1, succeeded=False))

    assert await templates().offered(COPY) == []


async def test_a_rating_outweighs_how_a_run_ended(templates: MakeTemplates) -> None:
    for number in range(3):
        await templates().remember(copying(), run(number))
    assert await templates().rate("thread-0", good=False, why="the wrong words") == copying().key
    assert await templates().rate("thread-1", good=False) == copying().key

    assert await templates().offered(COPY) == []
    assert await templates().rate("thread-0", good=True) == copying().key
    assert len(await templates().offered(COPY)) == 1
    assert await templates().rate("nobody", good=True) is None


async def test_a_rating_is_of_the_last_request_and_stays(templates: MakeTemplates) -> None:
    await templates().remember(copying(), run(thread="t", request=1))
    await templates().remember(copying(), run(thread="t", request=2))
    assert await templates().rate("t", good=False, request=3) is None, "which counts for none"
    await templates().rate("t", good=False)
    await templates().remember(copying(), run(thread="t", request=2))

    (known,) = await templates().templates()

    assert (known.runs, known.worked) == (2, 1)


async def test_a_template_is_found_by_the_beginning_of_its_key(templates: MakeTemplates) -> None:
    for key in ("abc1", "abd2"):
        await templates().remember(replace(copying(), key=key), run(thread=key))

    found = await templates().template("abc")
    assert found is not None
    assert found.template.key == "abc1"
    assert await templates().template("ab") is None
    assert await templates().template("x") is None
    assert await templates().template("") is None


async def test_a_forgotten_template_is_gone_with_its_runs(templates: MakeTemplates) -> None:
    await templates().remember(copying(), run(1))
    await templates().remember(searching(), run(2))

    assert await templates().forget(copying().key)
    assert not await templates().forget(copying().key)
    assert [known.template.key for known in await templates().templates()] == [searching().key]
    assert await templates().rate("thread-1", good=True) is None


async def test_forgetting_a_thread_takes_what_only_it_had(templates: MakeTemplates) -> None:
    await templates().remember(copying(), run(thread="a"))
    await templates().remember(searching(), run(thread="a", request=2))
    await templates().remember(searching(), run(thread="b"))

    assert await templates().forget_thread("a") == 1
    assert [(known.template.key, known.runs) for known in await templates().templates()] == [(searching().key, 1)]
    assert await templates().forget_thread("a") == 0


async def test_forgetting_a_thread_spares_what_another_runs_meanwhile(saver: ThreadSaver) -> None:
    store = PostgresTemplates(saver, "me")
    await store.remember(searching(), run(thread="a"))
    async with saver.pool.connection() as connection:
        async with connection.transaction():
            await connection.execute("UPDATE templates SET updated_at = clock_timestamp() WHERE key = %s", (KEY,))
            await connection.execute(
                "INSERT INTO template_runs SELECT (jsonb_populate_record(r, %s)).* FROM template_runs r",
                (Jsonb({"thread": "b"}),),
            )
            forgetting = asyncio.create_task(store.forget_thread("a"))
            await until_waiting(saver)
        assert await forgetting == 0
    assert [(known.template.key, known.runs) for known in await store.templates()] == [(KEY, 1)]


async def test_nobody_sees_templates_of_others(templates: MakeTemplates) -> None:
    mine, theirs = templates(owner="me"), templates(owner="you")
    await mine.remember(copying(), run(1))
    await theirs.remember(copying(), run(1, succeeded=False))

    assert [known.worked for known in await mine.templates()] == [1]
    assert [known.worked for known in await theirs.templates()] == [0]
    assert await theirs.offered(COPY) == []
    assert await templates(owner="they").templates() == []
    assert await templates(owner="they").template(copying().key) is None
    assert not await templates(owner="they").forget(copying().key)
    assert await templates(owner="they").rate("thread-1", good=False) is None
    assert await templates(owner="they").forget_thread("thread-1") == 0
    assert await theirs.forget(copying().key)
    assert len(await mine.templates()) == 1


AWKWARD = [
    "prices AND (",
    "",
    "~ * ? : \\ / \" ' NOT OR",
    "%s {} $1 $owner {{p1}} ${a}",
    "nul \0 byte, half \ud800 pair, 😀",
    "the of and",
    "word " * 5_000,
]


@pytest.mark.parametrize("task", AWKWARD, ids=range(len(AWKWARD)))
async def test_any_characters_are_safe(templates: MakeTemplates, task: str) -> None:
    await templates().remember(copying(), run())

    assert await templates().offered(task) == []
    assert await templates().template(task) is None
    assert await templates().rate(task, good=True, why=task) is None


def store_in(kind: str, place: tuple[str, str], count: int, ready: Any) -> None:
    """Store runs in a process of its own, the same as another process does."""

    async def store(memory: TemplateMemory) -> None:
        ready.wait()
        for number in range(count):
            seconds = {"s1": float(number)}
            await memory.remember(copying(), run(number, succeeded=number % 4 > 0, seconds=seconds))

    asyncio.run(with_store(kind, place, store))


async def with_store(kind: str, place: tuple[str, str], use: Callable[[TemplateMemory], Awaitable[ResultT]]) -> ResultT:
    """Use a store that is opened for it."""
    if kind == "neo4j":
        return await use(
            Neo4jTemplates(place[0], "me", password=place[1], patience_s=60.0, limit_s=120.0, clock=lambda: NOW)
        )
    async with open_checkpointer(place[0]) as saver:
        return await use(PostgresTemplates(saver, "me", clock=lambda: NOW))


@pytest.mark.kill
@pytest.mark.parametrize("kind", [pytest.param("postgres", marks=pytest.mark.postgres), "neo4j"])
def test_two_processes_that_store_the_same_runs_count_each_once(kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "neo4j":
        server: Neo4jServer = request.getfixturevalue("neo4j")
        place = (server.uri, server.password)
    else:
        place = (str(request.getfixturevalue("database")), "")
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(2)
    processes = [context.Process(target=store_in, args=(kind, place, 20, ready)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0]
    (known,) = asyncio.run(with_store(kind, place, lambda store: store.templates()))
    assert (known.runs, known.worked, known.tasks) == (20, 15, 15)
    read = known.template.steps[0]
    assert (read.runs, read.mean_s) == (20, pytest.approx(9.5))
    assert read.spread_s == pytest.approx(statistics.stdev(range(20)))
