"""A process that runs a plan with the services of the settings; it is killed in the middle of a call."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from openmanus_graph import build_plan_graph, open_checkpointer
from openmanus_graph.tools.rebuild import available_tools


async def main(url: str, plan: str, workspace: str) -> None:
    """Run the plan."""
    tools = list((await asyncio.to_thread(available_tools, ())).values())
    async with open_checkpointer(url) as saver:
        app = build_plan_graph(tools, policy="allow").compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t", "workspace": workspace}}
        await app.ainvoke({"plan": json.loads(plan)}, config)


asyncio.run(main(*sys.argv[1:]))
