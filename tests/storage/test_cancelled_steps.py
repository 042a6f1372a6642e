"""Cancelled steps: what a step wrote before it was cancelled is never taken for all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypedDict, cast

import psycopg
import pytest
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph

from openmanus_graph import ThreadSaver
from openmanus_graph.checkpoints.events import EventLog, stored_events
from openmanus_graph.checkpoints.lease import Lease
from openmanus_graph.events import Event

pytestmark = pytest.mark.postgres


class State(TypedDict, total=False):
    planned: bool
    done: bool


async def plan(state: State) -> State:
    get_stream_writer()("planned")
    return {"planned": True}


async def work(state: State) -> State:
    return {"done": True}


async def goes_on(state: State) -> str:
    await asyncio.sleep(0.2)  # an edge that takes its time, so that the end surely comes before it
    return "work"


async def test_a_run_that_is_given_up_between_a_node_and_its_edge_goes_on_with_the_edge(saver: ThreadSaver) -> None:
    graph = StateGraph(State)
    graph.add_node("plan", plan)
    graph.add_node("work", work)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", goes_on, ["work", END])
    app = graph.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t"}}

    stream = cast("AsyncGenerator[Any]", app.astream({"done": False}, config, stream_mode="custom", durability="sync"))
    async for _ in stream:
        await asyncio.sleep(0.05)  # the node has returned, its edge is being decided
        await stream.aclose()
        break

    assert (await app.aget_state(config)).next == ("plan",)
    assert await app.ainvoke(None, config) == {"planned": True, "done": True}


async def test_nobody_sees_a_runner_once_a_run_has_ended(database: str, saver: ThreadSaver) -> None:
    for number in range(20):
        lease = await Lease.acquire(saver.conninfo, f"t{number}", {"graph": {}})
        await lease.release(status="completed")
        async with await psycopg.AsyncConnection.connect(database, options="-c search_path=openmanus_graph") as other:
            found = await other.execute("SELECT has_runner(%s)", (f"t{number}",))
            assert await found.fetchone() == (False,)


async def test_a_cancellation_is_one_where_the_connection_is_gone_too(
    saver: ThreadSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = asyncio.Event()

    @asynccontextmanager
    async def gone() -> AsyncGenerator[None]:
        waits.set()
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError as error:  # both at once
            raise psycopg.OperationalError("the connection is lost") from error
        yield

    async def use() -> None:
        async with saver.connection():
            pass

    async def again() -> None:
        await saver.retried(use)

    for make in (use, again):
        with monkeypatch.context() as patch:
            patch.setattr(saver.pool, "connection", gone)
            waits.clear()
            task = asyncio.create_task(make())
            await waits.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_a_log_that_is_left_stores_nothing_more(saver: ThreadSaver) -> None:
    async with saver.connection() as connection:
        await connection.execute("INSERT INTO threads (thread_id, graph) VALUES ('t', '{}')")
    log = EventLog("t", saver)
    log.add(Event(type="warned", id="one", thread_id="t", text="said too late"))
    await log.abandon()
    assert await stored_events(saver, "t") == []
    assert log.lost == 0
