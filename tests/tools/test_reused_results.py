"""Reused results: what a tool that only reads said lately is not asked again, in any run of the same owner."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool

from openmanus_graph import Settings, ThreadSaver, build_plan_graph
from openmanus_graph.errors import SettingsError
from openmanus_graph.tools.spec import spec_of

pytestmark = pytest.mark.postgres


class Shop:
    """A server that is asked for prices."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def tool(self, description: str = "The price of a part.", **facts: Any) -> BaseTool:
        async def price(part: str) -> dict[str, Any]:
            self.asked.append(part)
            if part == "none":
                raise RuntimeError("no such part")
            return {"part": part, "euros": len(self.asked)}

        metadata = {"effect": "read", "cache_s": 3600, **facts}
        return StructuredTool.from_function(coroutine=price, name="price", description=description, metadata=metadata)


async def euros(saver: ThreadSaver, tool: BaseTool, part: str, thread: str, owner: str = "ann") -> Any:
    app = build_plan_graph([tool], settings=Settings.load(owner=owner)).compile(checkpointer=saver)
    given: Any = {"plan": {"subtasks": [{"id": "ask", "tool": "price", "args": {"part": part}}]}}
    config: Any = {"configurable": {"thread_id": thread}}
    result = (await app.ainvoke(given, config))["results"]["ask"]
    return result["error"] or result["output"]["euros"]


async def test_another_run_of_the_owner_takes_the_result(saver: ThreadSaver) -> None:
    shop = Shop()
    assert [await euros(saver, shop.tool(), "wheel", name) for name in ("one", "two")] == [1, 1]
    assert await euros(saver, shop.tool(), "bell", "three") == 2
    assert await euros(saver, shop.tool(), "wheel", "four", owner="ben") == 3
    assert shop.asked == ["wheel", "bell", "wheel"]


async def test_what_is_too_old_is_asked_again(saver: ThreadSaver) -> None:
    shop = Shop()
    await euros(saver, shop.tool(), "wheel", "one")
    async with saver.connection() as connection:
        await connection.execute("UPDATE tool_results SET made_at = made_at - interval '30 minutes'")
    assert await euros(saver, shop.tool(), "wheel", "two") == 1
    assert await euros(saver, shop.tool(cache_s=600), "wheel", "three") == 2
    async with saver.connection() as connection:
        await connection.execute("UPDATE tool_results SET expires_at = clock_timestamp()")
    assert await euros(saver, shop.tool(), "wheel", "four") == 3


@pytest.mark.parametrize("facts", [{"cache_s": None}, {"effect": "write"}, {"effect": "external", "idempotent": True}])
async def test_only_what_reads_and_says_so_is_reused(saver: ThreadSaver, facts: dict[str, Any]) -> None:
    shop = Shop()
    assert [await euros(saver, shop.tool(**facts), "wheel", name) for name in ("one", "two")] == [1, 2]


async def test_a_failure_and_a_tool_that_changed_are_asked_again(saver: ThreadSaver) -> None:
    shop = Shop()
    for name in ("one", "two"):
        assert "no such part" in await euros(saver, shop.tool(), "none", name)
    assert shop.asked == ["none", "none"]
    assert await euros(saver, shop.tool(), "wheel", "three") == 3
    assert await euros(saver, shop.tool("The price of a part in euros."), "wheel", "four") == 4


@pytest.mark.parametrize("wrong", [0, -1, "1h", True, float("inf")])
def test_a_time_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(SettingsError, match="as 'cache_s'"):
        spec_of(Shop().tool(cache_s=wrong))
