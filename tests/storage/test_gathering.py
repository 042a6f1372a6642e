"""Gathering: rows that are asked for at the same time share a statement, and each ends as its own did."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from openmanus_graph.checkpoints.gathering import MOST_ROWS, Gathering
from tests.virtual_time import run_virtual


class Store:
    """Takes statements, each for a second, and doubles their rows."""

    def __init__(self) -> None:
        self.statements: list[list[int]] = []
        self.error: Exception | None = None

    async def __call__(self, rows: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(1)
        self.statements.append(list(rows))
        if self.error is not None:
            raise self.error
        return [2 * row for row in rows]


def test_rows_share_a_statement_and_each_gets_its_own_result() -> None:
    async def main() -> tuple[Store, list[int]]:
        store = Store()
        gathering = Gathering(store)
        first = asyncio.create_task(gathering.put(1))
        await asyncio.sleep(0.5)
        return store, [await first, *await asyncio.gather(*(gathering.put(row) for row in (2, 3)))]

    store, results = run_virtual(main())
    assert (store.statements, results) == ([[1], [2, 3]], [2, 4, 6])


def test_a_statement_holds_so_many_rows_and_no_more() -> None:
    async def main() -> Store:
        store = Store()
        gathering = Gathering(store)
        await asyncio.gather(*(gathering.put(row) for row in range(MOST_ROWS + 1)))
        return store

    assert [len(one) for one in run_virtual(main()).statements] == [MOST_ROWS, 1]


def test_what_fails_fails_for_all_who_wait_and_for_nobody_after() -> None:
    async def main() -> list[Any]:
        store = Store()
        store.error = ValueError("no")
        gathering = Gathering(store)
        ended = await asyncio.gather(gathering.put(1), gathering.put(2), return_exceptions=True)
        store.error = None
        return [*map(str, ended), await gathering.put(3)]

    assert run_virtual(main()) == ["no", "no", 6]


def test_a_cancelled_row_is_not_stored_if_it_is_not_on_its_way_else_waited_for() -> None:
    async def main() -> tuple[Store, float]:
        store = Store()
        gathering = Gathering(store)
        sent = asyncio.create_task(gathering.put(1))
        await asyncio.sleep(0.5)
        waiting = asyncio.create_task(gathering.put(2))
        await asyncio.sleep(0.1)
        sent.cancel()
        waiting.cancel()
        for one in (sent, waiting):
            with pytest.raises(asyncio.CancelledError):
                await one
        ended = asyncio.get_running_loop().time()
        await asyncio.sleep(10)
        return store, ended

    store, ended = run_virtual(main())
    assert (store.statements, ended) == ([[1]], 1)


def test_what_was_stored_for_a_writer_that_was_cancelled_meanwhile_is_taken_back() -> None:
    async def main() -> tuple[list[int], list[list[int]]]:
        store, undone = Store(), list[int]()
        gathering = Gathering(store)

        async def undo(result: int) -> None:
            undone.append(result)

        sent = asyncio.create_task(gathering.put(1, undo))
        await asyncio.sleep(0.5)
        waiting = asyncio.create_task(gathering.put(2, undo))
        await asyncio.sleep(0.1)
        sent.cancel()
        waiting.cancel()
        for one in (sent, waiting):
            with pytest.raises(asyncio.CancelledError):
                await one
        await gathering.put(3, undo)
        return undone, store.statements

    assert run_virtual(main()) == ([2], [[1], [3]])
