"""Unreadable: rows that are damaged, foreign or gone make no traceback and no silent loss; a good point is named."""

from __future__ import annotations

import json
import operator
from typing import Annotated, Any, TypedDict, cast

import ormsgpack
import psycopg
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.channels import DeltaChannel
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from openmanus_graph import ThreadSaver, build_plan_graph, get_thread
from openmanus_graph.checkpoints.saver import ThreadSaver as Saver
from openmanus_graph.errors import ThreadUnreadableError
from openmanus_graph.graphs.user.user_graph import make_durable
from openmanus_graph.state import appended
from tests.chains import chain, thread
from tests.cli.conftest import Program
from tests.engine.sample_tools import TOOLS

from .conftest import down, says, stopped

pytestmark = pytest.mark.postgres

BLOB = (
    "UPDATE checkpoint_blobs SET type = {type}, blob = {blob} WHERE checkpoint_ns = '' AND channel = %s AND version ="
)
NEWEST = " (SELECT max(version) FROM checkpoint_blobs WHERE checkpoint_ns = '' AND channel = %s)"


async def execute(saver: ThreadSaver, query: str, *values: Any) -> list[Any]:
    async with saver.connection() as connection:
        cursor = await connection.execute(query, values)  # type: ignore[arg-type]
        return await cursor.fetchall() if cursor.description else []


async def ids(saver: ThreadSaver, namespace: str = "") -> list[str]:
    """The checkpoints of a namespace, newest first."""
    rows = await execute(
        saver, "SELECT checkpoint_id AS id FROM checkpoints WHERE checkpoint_ns = %s ORDER BY 1 DESC", namespace
    )
    return [str(row["id"]) for row in rows]


def foreign(value: Any) -> bytes:
    """A value as another program might have written it: an instance of a class that is not known here."""
    inner = ormsgpack.packb(["their", "Own", value])
    return ormsgpack.packb([ormsgpack.Ext(2, inner)])


@pytest.mark.parametrize(
    ("kind", "blob", "why"),
    [
        ("msgpack", b"\xc1 no msgpack", "the value of 'seen' is damaged"),
        ("msgpack", b"", "the value of 'seen' is damaged"),
        ("pickle", b"anything", "the value of 'seen' is stored in an unknown way"),
        (
            "msgpack",
            foreign({"a": 1}),
            "the value of 'seen' is refused: It is of the class their.Own, which is not here: nothing has imported",
        ),
    ],
    ids=["damaged", "cut", "unknown", "foreign"],
)
async def test_a_value_that_cannot_be_read_is_named_with_the_last_good_point(
    saver: ThreadSaver, kind: str, blob: bytes, why: str
) -> None:
    app = make_durable(chain(a=says(1), b=says(2), c=down), saver)
    await stopped(app, {"task": "x", "seen": []})
    newest, good, *_ = await ids(saver)
    await execute(saver, BLOB.format(type="%s", blob="%s") + NEWEST, kind, blob, "seen", "seen")
    with pytest.raises(ThreadUnreadableError) as caught:
        await app.ainvoke(None, thread())
    error = caught.value
    assert (error.checkpoint_id, error.good) == (newest, good)
    assert error.message.startswith(f"The checkpoint {newest} of the thread 't' cannot be read: {why}")
    cure = f"o on from the last good point, in a new thread: openmanus-graph threads rerun t@{good}"
    missing = "Import 'their' before the thread is read, or bring the class back. Else: g"
    assert error.hint == (missing if "their" in why else "G") + cure
    row = await get_thread(saver, "t")
    assert row is not None
    assert row.status == "stopped"
    assert good in str(row.error)
    at_good: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": good}}
    assert (await app.aget_state(at_good)).values["seen"] == [1]


async def test_what_a_task_had_written_can_be_left_behind(saver: ThreadSaver) -> None:
    graph = chain(a=says(1), b=says(2))
    graph.add_node("beside", cast("Any", down))
    graph.add_edge("a", "beside")
    app = make_durable(graph, saver)
    await stopped(app, {"task": "x", "seen": []})
    newest = (await ids(saver))[0]
    await execute(
        saver, "UPDATE checkpoint_writes SET blob = '\\xc1' WHERE channel = 'seen' AND checkpoint_id = %s", newest
    )
    with pytest.raises(ThreadUnreadableError, match="what a task had written to 'seen' is damaged") as caught:
        await app.ainvoke(None, thread())
    assert caught.value.good == newest  # going back to it leaves those writes out


async def test_a_record_without_what_it_needs_is_named(saver: ThreadSaver) -> None:
    app = make_durable(chain(a=says(1), b=down), saver)
    await stopped(app, {"task": "x", "seen": []})
    newest, good, *_ = await ids(saver)
    damage = "UPDATE checkpoints SET checkpoint = checkpoint - 'versions_seen' WHERE checkpoint_id = %s"
    await execute(saver, damage, newest)
    with pytest.raises(ThreadUnreadableError, match="'versions_seen' is missing in its record") as caught:
        await app.ainvoke(None, thread())
    assert caught.value.good == good


async def test_nothing_good_is_said_so(saver: ThreadSaver) -> None:
    app = make_durable(chain(a=says(1), b=down), saver)
    await stopped(app, {"task": "x", "seen": []})
    await execute(saver, "UPDATE checkpoints SET checkpoint = checkpoint - 'channel_versions'")
    with pytest.raises(ThreadUnreadableError) as caught:
        await app.ainvoke(None, thread())
    assert caught.value.good is None
    assert "No earlier point can be read" in str(caught.value.hint)


class Talk(TypedDict, total=False):
    task: str
    sure: bool
    messages: Annotated[list[AnyMessage], DeltaChannel(appended, snapshot_frequency=3)]
    count: Annotated[int, operator.add]


def talk() -> StateGraph[Any, Any, Any, Any]:
    """A graph of which each third step stores its messages whole."""

    def step(state: Talk) -> dict[str, Any]:
        number = state.get("count", 0)
        if number == 7:
            interrupt("go on?")
        return {"messages": [AIMessage(str(number))], "count": 1, "sure": True}

    graph = StateGraph(Talk)
    graph.add_node("step", step)
    graph.add_edge(START, "step")
    graph.add_conditional_edges("step", lambda state: "step" if state["count"] < 9 else "__end__")
    return graph


async def stored_whole(saver: ThreadSaver) -> list[str]:
    """The checkpoints that have the messages whole, newest first."""
    rows = await execute(
        saver,
        "SELECT c.checkpoint_id AS id FROM checkpoints c JOIN checkpoint_blobs b ON b.channel = 'messages'"
        " AND b.version = c.checkpoint -> 'channel_versions' ->> 'messages'"
        " WHERE c.checkpoint -> 'channel_values' ? 'messages' ORDER BY 1 DESC",
    )
    return [str(row["id"]) for row in rows]


async def test_a_lost_snapshot_of_a_growing_list_is_no_empty_list(saver: ThreadSaver) -> None:
    app = make_durable(talk(), saver)
    await app.ainvoke({"task": "x", "messages": [HumanMessage("hi")]}, thread())
    assert [message.content for message in (await app.snapshot("t")).values["messages"]] == ["hi", *"0123456"]
    lost, earlier, *_ = await stored_whole(saver)
    all_ids = await ids(saver)
    good = all_ids[all_ids.index(lost) + 1]
    await execute(
        saver,
        "DELETE FROM checkpoint_blobs WHERE channel = 'messages' AND version = (SELECT checkpoint -> 'channel_versions'"
        " ->> 'messages' FROM checkpoints WHERE checkpoint_id = %s)",
        lost,
    )
    with pytest.raises(ThreadUnreadableError, match="'messages' is missing") as caught:
        await app.snapshot("t")
    assert caught.value.good == good
    at_lost: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": lost}}
    with pytest.raises(ThreadUnreadableError, match="the value of 'messages' is missing"):
        await app.aget_state(at_lost)
    at_earlier: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": earlier}}
    assert (await app.aget_state(at_earlier)).values["sure"] is True  # a field that holds `true` is no lost list


async def test_a_gap_in_a_growing_list_is_no_shorter_list(saver: ThreadSaver) -> None:
    app = make_durable(talk(), saver)
    await app.ainvoke({"task": "x", "messages": [HumanMessage("hi")]}, thread())
    whole = (await stored_whole(saver))[0]
    all_ids = await ids(saver)
    gone = all_ids[all_ids.index(whole) - 1]
    await execute(saver, "DELETE FROM checkpoints WHERE checkpoint_id = %s AND checkpoint_id <> %s", gone, all_ids[0])
    await execute(saver, "DELETE FROM checkpoints WHERE checkpoint_id = %s", whole)
    with pytest.raises(ThreadUnreadableError, match="'messages' is missing a piece") as caught:
        await app.snapshot("t")
    assert caught.value.good == all_ids[all_ids.index(whole) + 1]


async def test_a_damaged_message_is_no_missing_one(saver: ThreadSaver) -> None:
    app = make_durable(talk(), saver)
    await app.ainvoke({"task": "x", "messages": [HumanMessage("hi")]}, thread())
    rows = await execute(
        saver, "SELECT checkpoint_id AS id, blob FROM checkpoint_writes WHERE channel = 'messages' ORDER BY 1 DESC"
    )
    damaged = bytes(rows[0]["blob"]).replace(b"langchain_core", b"langchain_cere")
    assert damaged != bytes(rows[0]["blob"])
    damage = "UPDATE checkpoint_writes SET blob = %s WHERE channel = 'messages' AND checkpoint_id = %s"
    await execute(saver, damage, damaged, rows[0]["id"])
    with pytest.raises(
        ThreadUnreadableError, match=r"of the class langchain_cere\.messages\.\w+\.\w+, which is not here"
    ):
        await app.snapshot("t")


async def test_a_damaged_subtask_is_named(saver: Saver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    plan = {
        "subtasks": [
            {"id": "one", "tool": "echo", "args": {"value": "a"}},
            {"id": "ask", "tool": "ask_human", "args": {"inquire": "Go on?"}},
        ]
    }
    await app.ainvoke({"plan": plan}, thread())
    await execute(
        saver,
        "UPDATE checkpoint_blobs SET blob = '\\xc1' WHERE checkpoint_ns LIKE '%%subtask one %%' AND channel = 'result'",
    )
    with pytest.raises(ThreadUnreadableError, match="of the subtask 'one' of the thread 't' cannot be read") as caught:
        await app.ainvoke(None, thread())
    assert caught.value.good in await ids(saver, await namespace_of(saver, "one"))


async def namespace_of(saver: ThreadSaver, subtask: str) -> str:
    query = "SELECT DISTINCT checkpoint_ns AS ns FROM checkpoints WHERE checkpoint_ns LIKE %s"
    rows = await execute(saver, query, f"%subtask {subtask} %")
    return str(rows[0]["ns"])


def test_the_shell_shows_what_is_left_of_it(program: Program, database: str) -> None:
    plan = program.plan({"id": "color", "tool": "ask_human", "args": {"inquire": "Which color?"}})
    program("run", "--plan", plan, "--thread", "t", code=3)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "UPDATE openmanus_graph.checkpoint_blobs SET blob = '\\xc1' WHERE checkpoint_ns = '' AND channel = 'plan'"
        )
    out, _ = program("threads", "show", "t")
    assert "status:    waiting" in out
    assert "cannot be read: the value of 'plan' is damaged" in out
    assert "threads rerun t@" in out
    shown = json.loads(program("threads", "show", "t", "--json")[0])
    assert shown["unreadable"]["last_good"]
    assert "threads rerun" in program("resume", "t", "--answer", "blue", code=1)[1]
