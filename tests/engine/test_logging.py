"""Logging: every transition of a run that an operator needs, with its thread and epoch, and no argument of a call."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.types import Command

from openmanus_graph import Plan, ThreadSaver, build_plan_graph
from openmanus_graph.checkpoints.lease import Lease
from openmanus_graph.tools.registry import builtin

SECRET = "hunter2-in-an-argument"


@tool
def pay(password: str) -> str:
    """Do something outside."""
    return "paid"


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name.startswith("openmanus_graph")]


async def test_a_run_logs_its_lease_its_effects_and_its_end(
    saver: ThreadSaver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = Plan.parse({
        "goal": "pay and ask",
        "subtasks": [
            {"id": "paying", "tool": "pay", "args": {"password": SECRET}},
            {"id": "who", "tool": "ask_human", "args": {"inquire": "well?"}},
        ],
    })  # fmt: skip
    app = build_plan_graph([pay, builtin("ask_human")]).compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "logged", "workspace": str(tmp_path)}}
    with caplog.at_level(logging.INFO, logger="openmanus_graph"):
        await app.ainvoke({"plan": plan}, config)
        question = (await app.questions("logged"))[0]
        await app.ainvoke(Command(resume={question["id"]: {"kind": "answer", "value": "Ada"}}), config)
    assert told(caplog) == [
        "The lease is taken.",
        "The run begins.",
        "An effect is claimed.",
        "An effect is settled.",
        "The lease is released.",
        "The lease is taken.",
        "The thread is resumed.",
        "The lease is released.",
    ]
    records = [record for record in caplog.records if record.name.startswith("openmanus_graph")]
    assert {getattr(record, "thread_id", None) for record in records} == {"logged"}
    assert len({getattr(record, "epoch", None) for record in records}) == 2
    assert not [record for record in records if SECRET in str(vars(record))]


async def test_a_lease_logs_that_it_is_retaken_and_that_it_is_lost(
    saver: ThreadSaver, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"graph": {"builder": "test"}}
    gone = asyncio.Event()

    async def until(text: str) -> None:
        while text not in told(caplog):
            await asyncio.sleep(0.01)

    with caplog.at_level(logging.INFO, logger="openmanus_graph"):
        lease = await Lease.acquire(saver.conninfo, "held", row)
        await lease.watch(None, gone.set)
        await lease._connection.close()
        await until("The lease is retaken on a new connection.")
        async with saver.connection() as connection:
            await connection.execute("UPDATE threads SET runner_epoch = runner_epoch + 1 WHERE thread_id = 'held'")
        await lease._connection.close()
        await gone.wait()
        await lease.abandon()
    assert "The lease is lost to another runner." in told(caplog)
