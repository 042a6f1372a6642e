"""What no database holds: results with NUL, halves of emoji, NaN or huge numbers are kept, and paid for once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.types import Command

from openmanus_graph import ThreadSaver, build_plan_graph
from openmanus_graph.checkpoints.ledger import list_effects
from openmanus_graph.questions import answers_for

pytestmark = pytest.mark.postgres

HALF, OTHER_HALF = "\ud83d", "\ude00"
RETURNED: list[tuple[Any, Any]] = [
    ("a\0b", "a\ufffdb"),
    ({"k\0": ["a\0b", {"x": "\0"}]}, {"k\ufffd": ["a\ufffdb", {"x": "\ufffd"}]}),
    (f"half {HALF} of one", "half \ufffd of one"),
    (f"{HALF}{OTHER_HALF}", "😀"),
    ({f"k{OTHER_HALF}": [HALF, OTHER_HALF]}, {"k\ufffd": ["\ufffd", "\ufffd"]}),
    (math.nan, None),
    ({"a": [math.inf, -math.inf, 1.5]}, {"a": [None, None, 1.5]}),
    ({"n": 2**70, "m": -(2**70)}, {"n": str(2**70), "m": str(-(2**70))}),
    (2**64 - 1, 2**64 - 1),
    (1 << 100_000, f"{1 << 100_000:#x}"),
    (b"\xff\0x", "\ufffd\ufffdx"),
]
LARGE = f"\0{HALF}" * 60_000


def tool_of(name: str, log: Path, returned: Any, effect: str) -> BaseTool:
    def give() -> Any:
        with log.open("a") as file:
            file.write(f"{name}\n")
        if isinstance(returned, Exception):
            raise returned
        return returned

    return StructuredTool.from_function(func=give, name=name, description="g", metadata={"effect": effect})


@pytest.mark.parametrize("effect", ["read", "external"])
async def test_results_are_kept_and_their_work_is_done_once(saver: ThreadSaver, tmp_path: Path, effect: str) -> None:
    log = tmp_path / "log"
    tools = [tool_of(f"t{n}", log, row[0], effect) for n, row in enumerate(RETURNED)]
    tools += [
        tool_of("large", log, LARGE, effect),
        tool_of("raises", log, ValueError(f"bad \0 {HALF}"), effect),
    ]
    subtasks: list[dict[str, Any]] = [{"id": one.name, "tool": one.name} for one in tools]
    subtasks += [
        {"id": "ask", "tool": "ask_human", "args": {"inquire": "Go on?"}},
        {"id": "use", "tool": "bash", "args": {"command": "printf %s '${t2}' '${t3}'"}, "needs": ["ask"]},
    ]
    app = build_plan_graph([*tools, "ask_human", "bash"]).compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t", "workspace": str(tmp_path / "work"), "sandbox": "none"}}
    await app.ainvoke({"plan": {"subtasks": subtasks}}, config)
    answers: Any = answers_for(await app.questions("t"), ["yes"])
    results = (await app.ainvoke(Command(resume=answers), config))["results"]

    for n, (_, expected) in enumerate(RETURNED):
        assert (results[f"t{n}"]["status"], results[f"t{n}"]["error"]) == ("completed", None), n
        if results[f"t{n}"]["output_file"] is None:
            assert results[f"t{n}"]["output"] == expected, n
    assert results["large"]["output_file"]
    assert results["raises"]["status"] == "failed"
    assert "ValueError: bad \ufffd \ufffd" in str(results["raises"]["error"])
    assert results["use"]["output"]["stdout"] == "half \ufffd of one😀"
    assert sorted(log.read_text().split()) == sorted(one.name for one in tools)
    stored = [] if effect == "read" else [one.name for one in tools]
    kept = await list_effects(saver, "t")
    assert sorted(one.tool for one in kept if one.tool != "bash") == sorted(stored)


async def test_a_value_that_holds_itself_is_a_failure_of_known_outcome(saver: ThreadSaver, tmp_path: Path) -> None:
    ring: dict[str, Any] = {"paid": "for"}
    ring["ring"] = ring
    log = tmp_path / "log"
    app = build_plan_graph([tool_of("ring", log, ring, "external")]).compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t", "workspace": str(tmp_path / "work")}}

    plan = {"subtasks": [{"id": "a", "tool": "ring", "retries": 2}]}
    result = (await app.ainvoke({"plan": plan}, config))["results"]["a"]

    assert result["status"] == "failed"
    assert "holds itself" in str(result["error"])
    assert "unknown" not in str(result["error"])
    assert log.read_text() == "ring\n"
