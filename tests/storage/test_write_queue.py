"""Group commit: what is written at the same time shares a statement, in order, and each write ends as its own did."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmanus_graph import ThreadSaver
from openmanus_graph.checkpoints.write_queue import PATIENCE_S, Urgency, Write, WriteQueue, batch_of
from tests.virtual_time import run_virtual

URGENCIES: list[Urgency] = ["now", "soon", "behind"]


class Store:
    """Takes statements, and each takes its time."""

    def __init__(self, takes_s: float = 1.0) -> None:
        self.takes_s = takes_s
        self.statements: list[list[str]] = []
        self.times: list[float] = []
        self.refused: dict[str, Exception] = {}
        self.running = 0

    async def __call__(self, writes: Sequence[Write]) -> None:
        assert not self.running
        self.running += 1
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes_s)
        self.running -= 1
        for write in writes:
            if (error := self.refused.get(str(write.key))) is not None:
                raise error
        self.statements.append([str(write.key) for write in writes])


def row(key: str) -> Write:
    return Write(key, "checkpoints", "{}")


def test_what_is_asked_for_at_once_shares_a_statement_and_the_rest_follows() -> None:
    async def main() -> Store:
        store = Store()
        queue = WriteQueue(store)

        async def later(key: str, after: float) -> None:
            await asyncio.sleep(after)
            await queue.put(row(key))

        await asyncio.gather(later("a", 0), later("b", 0), later("c", 0.1), later("d", 0.2), later("e", 1.5))
        return store

    store = run_virtual(main())
    assert store.statements == [["a", "b"], ["c", "d"], ["e"]]
    assert store.times == [0, 1, 2]


def test_a_lone_write_waits_for_nobody() -> None:
    async def main() -> Store:
        store = Store()
        await WriteQueue(store).put(row("a"))
        return store

    assert run_virtual(main()).times == [0]


def test_a_patient_write_goes_with_the_next_or_alone_after_a_moment() -> None:
    async def main() -> Store:
        store = Store(0.0)
        queue = WriteQueue(store)
        first = asyncio.create_task(queue.put(row("a"), "soon"))
        await asyncio.sleep(PATIENCE_S / 2)
        await queue.put(row("b"))
        await first
        await queue.put(row("c"), "soon")
        return store

    store = run_virtual(main())
    assert store.statements == [["a", "b"], ["c"]]
    assert store.times == pytest.approx([PATIENCE_S / 2, PATIENCE_S * 1.5])


def test_what_nobody_waits_for_is_stored_with_what_follows() -> None:
    async def main() -> Store:
        store = Store()
        queue = WriteQueue(store)
        await queue.put(row("input"), "along")
        assert store.statements == []
        await queue.put(row("step"))
        return store

    assert run_virtual(main()).statements == [["input", "step"]]


def test_what_nobody_waits_for_and_nothing_follows_is_not_stored() -> None:
    async def main() -> Store:
        store = Store()
        await WriteQueue(store).put(row("input"), "along")
        await asyncio.sleep(10)
        return store

    assert run_virtual(main()).statements == []


def test_what_nobody_waits_for_goes_out_behind_its_writer() -> None:
    async def main() -> Store:
        store = Store()
        await WriteQueue(store).put(row("point"), "behind")
        assert asyncio.get_running_loop().time() == 0
        await asyncio.sleep(10)
        return store

    store = run_virtual(main())
    assert (store.statements, store.times) == ([["point"]], [pytest.approx(PATIENCE_S)])


def test_nothing_goes_out_once_its_writer_has_ended() -> None:
    async def main() -> Store:
        store = Store()
        queue = WriteQueue(store)
        await queue.put(row("on its way"), "behind")
        await asyncio.sleep(PATIENCE_S * 1.5)
        await queue.put(row("late"), "behind")
        await queue.close()
        assert store.running == 0
        await asyncio.sleep(10)
        return store

    assert run_virtual(main()).statements == [["on its way"]]


def test_nothing_is_stored_after_a_lost_write_that_nobody_waited_for() -> None:
    async def main() -> Store:
        store = Store()
        store.refused["input"] = psycopg.OperationalError("gone")
        queue = WriteQueue(store)
        await queue.put(row("input"), "along")
        puts = [queue.put(row("of another branch")), queue.put(row("input"))]  # the second one waits for the next turn
        ended = await asyncio.gather(*puts, return_exceptions=True)
        assert [str(one) for one in ended] == ["gone", "gone"]
        with pytest.raises(psycopg.OperationalError, match="gone"):
            await queue.put(row("step"))
        return store

    assert run_virtual(main()).statements == []


def test_a_cancelled_write_that_is_on_its_way_ends_before_its_writer_and_waits_for_no_other() -> None:
    async def main() -> float:
        store = Store()
        queue = WriteQueue(store)
        first = asyncio.create_task(queue.put(row("a")))
        await asyncio.sleep(0.5)
        others = [asyncio.create_task(queue.put(row("b"))) for _ in range(5)]  # each in a statement of its own
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        ended = asyncio.get_running_loop().time()
        assert store.statements == [["a"]]
        await asyncio.gather(*others)
        return ended

    assert run_virtual(main()) == 1


def test_a_name_that_postgres_does_not_take_fails_its_own_write_alone() -> None:
    async def main() -> tuple[Store, list[Any]]:
        store = Store()
        store.refused["b"] = psycopg.DataError("no such name")
        queue = WriteQueue(store)
        ended = await asyncio.gather(*(queue.put(row(key)) for key in "abc"), return_exceptions=True)
        return store, ended

    store, ended = run_virtual(main())
    assert store.statements == [["a"], ["c"]]
    assert [type(one) for one in ended] == [type(None), psycopg.DataError, type(None)]


def test_what_fails_together_fails_for_all_who_wait() -> None:
    class OddError(Exception):
        """No error of a database."""

    async def main() -> list[Any]:
        store = Store()
        store.refused["a"] = OddError("epoch")
        queue = WriteQueue(store)
        ended = await asyncio.gather(*(queue.put(row(key)) for key in "ab"), return_exceptions=True)
        await queue.put(row("c"))
        return [*ended, *store.statements]

    first, second, *stored = run_virtual(main())
    assert (type(first), type(second), stored) == (OddError, OddError, [["c"]])


def test_a_cancelled_write_that_is_not_on_its_way_is_not_made() -> None:
    async def main() -> Store:
        store = Store()
        queue = WriteQueue(store)
        first = asyncio.create_task(queue.put(row("a")))
        await asyncio.sleep(0.5)
        second = asyncio.create_task(queue.put(row("b")))
        await asyncio.sleep(0.1)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        await queue.put(row("c"))
        return store

    assert run_virtual(main()).statements == [["a"], ["c"]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(URGENCIES), st.integers(0, 4)), max_size=30))
def test_writes_of_one_key_stay_in_order_and_never_share_a_statement(asked: list[tuple[str, Urgency, int]]) -> None:
    async def main() -> Store:
        store = Store(0.7)
        queue = WriteQueue(store)

        async def put(key: str, urgency: Urgency, after: int) -> None:
            await asyncio.sleep(after)
            await queue.put(row(key), urgency)

        await asyncio.gather(*(put(*one) for one in asked))
        await asyncio.sleep(100)  # for those that nobody waits for
        return store

    store = run_virtual(main())
    assert sorted(key for statement in store.statements for key in statement) == sorted(key for key, _, _ in asked)
    assert all(len(set(statement)) == len(statement) for statement in store.statements)


@pytest.mark.postgres
async def test_many_rows_of_one_statement_are_read_back_as_they_were(saver: ThreadSaver) -> None:
    place = {"ns": "n", "id": "1", "task": "t", "path": "p"}
    many = Write("many", "writes")
    for index, blob in enumerate([b"", b"\0\xff", b"x" * 100_000]):
        many.values.append({**place, "idx": index, "channel": f"c{index}", "type": "bytes"})
        many.blobs.append(blob)
    later = Write("later", "replacing", values=[{**place, "idx": 1, "channel": "new", "type": "bytes"}], blobs=[b"new"])
    ignored = Write(
        "ignored", "writes", values=[{**place, "idx": 0, "channel": "old", "type": "bytes"}], blobs=[b"old"]
    )
    async with saver.connection() as connection:
        await connection.execute("INSERT INTO threads (thread_id, graph, runner_epoch) VALUES ('t', '{}', 7)")
        for writes in ([many], [later, ignored]):
            await connection.execute("SELECT put_batch('t', 7, %s::jsonb, %s::bytea[])", batch_of(writes))
        rows = await (await connection.execute("SELECT channel, blob FROM checkpoint_writes ORDER BY idx")).fetchall()
    assert [(one["channel"], bytes(one["blob"])) for one in rows] == [
        ("c0", b""),
        ("new", b"new"),
        ("c2", b"x" * 100_000),
    ]
