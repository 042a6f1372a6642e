"""What the reporter is told of the outputs."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import StructuredTool

from openmanus_graph.testing import Reply, ScriptedServer
from tests.agent.conftest import Build
from tests.agent.replies import done, thread


async def _read(name: str, characters: int) -> str:
    """Read a text with a fact near its end."""
    filler = "lorem ipsum " * (characters // 12)
    return f"{filler}The fact about {name} is {name.upper()}. {filler[:1000]}"


READ = StructuredTool.from_function(coroutine=_read, name="read", metadata={"effect": "read"})
LONG = [f"long{number}" for number in range(8)]
SHORT = [f"short{number}" for number in range(8)]


def reading(name: str, characters: int) -> dict[str, Any]:
    return {"id": name, "tool": "read", "args": {"name": name, "characters": characters}}


async def test_short_outputs_leave_their_room_to_long_ones(build: Build, provider: ScriptedServer) -> None:
    provider.add(Reply("Done."))
    subtasks = [*(reading(name, 6_000) for name in LONG), *(reading(name, 100) for name in SHORT)]
    app = build(tools=[READ], settings={"models": {"default": {"window": 128_000}}})
    out = await app.ainvoke({"plan": {"subtasks": subtasks}}, thread())
    told = str(provider.requests[-1].messages)
    assert out["status"] == "completed"
    assert [name for name in [*LONG, *SHORT] if f"is {name.upper()}." not in told] == []


async def test_only_a_little_is_told_of_what_an_agent_has_worked_through(
    build: Build, provider: ScriptedServer
) -> None:
    provider.add(*done("It says LONG0, as long0 shows."), Reply("LONG0."))
    sum_up = {"id": "sum", "goal": "say the fact", "agent": "executor", "needs": ["long0"]}
    plan = {"subtasks": [reading("long0", 6_000), reading("long1", 6_000), sum_up]}
    await build(tools=[READ], settings={"models": {"default": {"window": 128_000}}}).ainvoke({"plan": plan}, thread())
    brief, _, report = (str(request.messages) for request in provider.requests)
    assert "The fact about long0 is LONG0." in brief
    assert "The fact about long0" not in report
    assert "It says LONG0, as long0 shows." in report
    assert "The fact about long1 is LONG1." in report
