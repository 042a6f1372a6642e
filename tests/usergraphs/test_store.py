"""Store: what outlives threads is reached with LangGraph's `get_store()`, wherever a graph runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, TypedDict

import psycopg
import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.config import get_store
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.store.memory import InMemoryStore
from langgraph.store.postgres.aio import AsyncPostgresStore

from openmanus_graph import ThreadSaver, build_plan_graph, make_durable, open_checkpointer
from openmanus_graph.errors import MigrationNeededError
from openmanus_graph.graphs.durable import DurableGraph
from tests.chains import thread

pytestmark = pytest.mark.postgres


class Words(TypedDict, total=False):
    task: str
    seen: str


async def count(state: Words) -> Words:
    store = get_store()
    item = await store.aget(("counts",), "n")
    number = 1 + (item.value["n"] if item else 0)
    await store.aput(("counts",), "n", {"n": number})
    return {"seen": f"{type(store).__name__} {number}"}


def count_synchronously(state: Words) -> Words:
    store = get_store()
    item = store.get(("counts",), "n")
    store.put(("counts",), "n", {"n": 1 + (item.value["n"] if item else 0)})
    return {"seen": type(store).__name__}


def one_node(node: Any) -> StateGraph[Any, Any, Any, Any]:
    graph = StateGraph(Words)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    return graph


async def test_a_graph_without_a_store_has_the_databases_own(saver: ThreadSaver, database: str) -> None:
    assert isinstance(saver.store, AsyncPostgresStore)
    app = make_durable(one_node(count), saver)
    assert (await app.ainvoke({"task": "x"}, thread("one")))["seen"] == "ThreadStore 1"
    nested = make_durable(one_node(one_node(count).compile()), saver)
    assert (await nested.ainvoke({"task": "x"}, thread("two")))["seen"] == "ThreadStore 2"
    inner = make_durable(one_node(count), saver)
    assert (await make_durable(one_node(inner), saver).ainvoke({"task": "x"}, thread("in")))["seen"] == "ThreadStore 3"
    synchronous = make_durable(one_node(count_synchronously), saver)
    assert (await synchronous.ainvoke({"task": "x"}, thread("three")))["seen"] == "ThreadStore"
    async with open_checkpointer(database) as again:
        assert (await make_durable(one_node(count), again).ainvoke({}, thread("four")))["seen"] == "ThreadStore 5"


async def test_no_thread_takes_items_with_it(saver: ThreadSaver) -> None:
    await make_durable(one_node(count), saver).ainvoke({"task": "x"}, thread())
    await saver.aprune(["t"])
    await saver.adelete_thread("t")
    assert (await make_durable(one_node(count), saver).ainvoke({"task": "x"}, thread()))["seen"] == "ThreadStore 2"


@pytest.mark.parametrize("inside", ["itself", "stock", "stock twice", "durable", "called", "called synchronously"])
async def test_a_given_store_reaches_nodes(saver: ThreadSaver, inside: str) -> None:
    given = InMemoryStore()
    graph: Any = one_node(count).compile(store=given)
    if inside.startswith("stock"):
        graph = one_node(graph)
    if inside == "stock twice":
        graph = one_node(graph.compile())
    if inside == "durable":
        graph = one_node(make_durable(graph, saver))
    if inside.startswith("called"):
        inner = make_durable(graph, saver)
        synchronous = make_durable(one_node(count_synchronously).compile(store=given), saver)

        async def call(state: Words) -> Any:
            return await inner.ainvoke({"task": "x"})

        def call_synchronously(state: Words) -> Words:
            return {"seen": synchronous.invoke({"task": "x"})["seen"] + " 1"}

        graph = one_node(call if inside == "called" else call_synchronously)
    out = await make_durable(graph, saver).ainvoke({"task": "x"}, thread())
    assert out["seen"] == "InMemoryStore 1"
    assert given.get(("counts",), "n") is not None


@tool
async def remember(word: str) -> str:
    """Remember a word."""
    await get_store().aput(("words",), word, {"word": word})
    return f"remembered {word}"


async def test_tools_of_plans_and_of_tool_nodes_have_it(saver: ThreadSaver, tmp_path: Path) -> None:
    app = build_plan_graph([remember]).compile(checkpointer=saver)
    assert isinstance(app, DurableGraph)
    plan = {"goal": "x", "subtasks": [{"id": "s", "tool": "remember", "args": {"word": "one"}}]}
    config: Any = {"configurable": {"thread_id": "plan", "workspace": str(tmp_path / "work")}}
    out = await app.ainvoke({"plan": plan}, config)
    assert out["results"]["s"]["status"] == "completed", out["results"]

    call = {"name": "remember", "args": {"word": "two"}, "id": "1"}
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([remember]))
    graph.add_edge(START, "tools")
    await make_durable(graph, saver).ainvoke({"messages": [AIMessage(content="", tool_calls=[call])]}, thread("own"))
    store: Any = saver.store
    assert sorted([item.key for item in await store.asearch(("words",))]) == ["one", "two"]


async def test_tables_are_made_at_the_first_use_by_one_of_many(database: str) -> None:
    async def use(number: int) -> None:
        async with open_checkpointer(database) as saver:
            store: Any = saver.store
            await asyncio.gather(*(store.aput(("many",), f"{number} {place}", {}) for place in range(3)))

    def tables() -> set[str]:
        with psycopg.connect(database) as connection:
            rows = connection.execute(
                "SELECT schemaname || '.' || tablename FROM pg_tables WHERE tablename LIKE 'store%'"
            ).fetchall()
        return {row[0] for row in rows}

    async with open_checkpointer(database) as saver:
        await make_durable(one_node(lambda _: {"seen": "nothing"}), saver).ainvoke({"task": "x"}, thread())
    assert tables() == set()
    await asyncio.gather(*(use(number) for number in range(4)))
    assert tables() == {"openmanus_graph.store", "openmanus_graph.store_migrations"}
    async with open_checkpointer(database) as saver:
        store: Any = saver.store
        assert len(await store.asearch(("many",), limit=50)) == 12
        await AsyncPostgresStore(saver.pool).setup()  # LangGraph's own finds nothing left to do
    assert json.dumps(sorted(tables())) == '["openmanus_graph.store", "openmanus_graph.store_migrations"]'


async def test_who_may_not_make_them_is_told_how(database: str) -> None:
    from psycopg import conninfo, sql

    name = conninfo.conninfo_to_dict(database)["dbname"]
    role = f"reader_{name}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        for right in ("USAGE ON SCHEMA openmanus_graph", "ALL ON ALL TABLES IN SCHEMA openmanus_graph"):
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(right), sql.Identifier(role)))  # type: ignore[arg-type]
    try:
        url = conninfo.make_conninfo(database, options=f"-c role={role}")
        async with open_checkpointer(url) as saver:
            store: Any = saver.store
            with pytest.raises(MigrationNeededError, match="get_store"):
                await store.aget(("counts",), "n")
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
