"""Runs: an agent with the browser, in this process or one that may be killed."""

from __future__ import annotations

from typing import Any

from tests.engine.plans import plan

AGENT = plan({"id": "agent", "goal": "send the form", "agent": "executor", "tools": ["browser_use"]})
WORKER = """
import asyncio, json, sys
from openmanus_graph import Settings, build_manus_graph, open_checkpointer
from openmanus_graph.tools.browser_use import browser_use
from tests.ledger.model import TurnsModel

async def main(url, turns, host, home, given):
    settings = Settings(allow_hosts=(host,), home=home)
    async with open_checkpointer(url) as saver:
        app = build_manus_graph(TurnsModel(turns=json.loads(turns)), tools=[browser_use], settings=settings)
        run = app.compile(checkpointer=saver).ainvoke({"plan": json.loads(given)}, {"configurable": {"thread_id": "t"}})
        await run

asyncio.run(main(*sys.argv[1:]))
"""
"""A process that runs a plan with the agent."""


def act(action: str, **arguments: Any) -> list[Any]:
    return [("browser_use", {"action": action, **arguments})]
