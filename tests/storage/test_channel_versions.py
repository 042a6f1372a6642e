"""Channel versions: short, in order as text, after LangGraph's own too, and different in every fork."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.postgres.base import BasePostgresSaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from openmanus_graph import ThreadSaver, make_durable
from openmanus_graph.checkpoints.channel_version import next_version


def langgraphs(current: str | None) -> str:
    return BasePostgresSaver.get_next_version(cast("Any", None), current, None)


@given(st.integers(0, 10**9 - 2))
def test_each_is_greater_than_the_one_before_and_unlike_others(number: int) -> None:
    before = next_version(number)
    assert before < next_version(before)
    assert next_version(before) != next_version(before)
    assert len(before) == 19


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_langgraphs_own_go_before(ours: list[bool]) -> None:
    versions: list[str] = [langgraphs(None)]
    while len(versions) < 40:
        versions.append(langgraphs(versions[-1]))
    for _ in ours:
        versions.append(next_version(versions[-1]))
    assert versions == sorted(versions)


class Count(TypedDict):
    number: int


@pytest.mark.postgres
async def test_a_thread_that_began_with_langgraphs_goes_on(saver: ThreadSaver, monkeypatch: pytest.MonkeyPatch) -> None:
    builder: Any = StateGraph(Count)
    builder.add_node("add", lambda state: {"number": state["number"] + 1})
    builder.add_node("again", lambda state: {"number": state["number"] + 1})
    builder.add_edge(START, "add")
    builder.add_edge("add", "again")
    builder.add_edge("again", END)
    app = make_durable(builder.compile(interrupt_before=["again"]), saver)
    config: Any = {"configurable": {"thread_id": "t"}}
    with monkeypatch.context() as patch:
        patch.setattr(ThreadSaver, "get_next_version", BasePostgresSaver.get_next_version)
        await app.ainvoke({"number": 1}, config)
    assert await app.ainvoke(None, config) == {"number": 3}
    assert (await app.aget_state(config)).next == ()
