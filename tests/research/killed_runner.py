"""Runs a research in a process of its own, and kills it at a boundary, a moment before or after a write.

Its argument is a case in JSON; where it comes to the end, it leaves `ended.json`: status and boundaries.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from openmanus_graph import Settings, build_manus_graph, build_plan_graph, fault_points, get_thread, open_checkpointer
from openmanus_graph.graphs.deep_research import build_deep_research
from openmanus_graph.graphs.user.user_graph import make_loaded_durable
from openmanus_graph.loading.graphs import load_graph

_TASK_ID = re.compile(r":[0-9a-f-]{36}")


async def graph_of(way: str, query: str, saver: Any, settings: Settings) -> tuple[Any, dict[str, Any]]:
    """The graph, and what it is given."""
    if way == "alone":
        return make_loaded_durable(await load_graph("deep_research"), saver, settings), {"query": query}
    if way == "tool":
        step: dict[str, Any] = {"id": "s1", "tool": "deep_research", "args": {"query": query}}
        graph = build_plan_graph(["deep_research"], settings=settings)
    else:
        step = {"id": "s1", "agent": "deep_research", "goal": query, "done_when": ""}
        agents = {"deep_research": build_deep_research(settings=settings)}
        graph = build_manus_graph(tools=["web_search"], agents=agents, settings=settings)
    return graph.compile(checkpointer=saver), {"plan": {"subtasks": [step]}}


async def drive(case: dict[str, Any]) -> str:
    """Begin the thread, or go on with it; its status at the end."""
    settings = Settings.load()
    async with open_checkpointer(settings=settings) as saver:
        app, given = await graph_of(case["way"], case["query"], saver, settings)
        config: Any = {"configurable": {"thread_id": case["thread"]}}
        thread = await get_thread(saver, case["thread"])
        begun = thread is not None and bool((await app.snapshot(case["thread"])).values)
        await app.ainvoke(None if begun else given, config)
        ended = await get_thread(saver, case["thread"])
        return "" if ended is None else ended.status


def main() -> None:
    """Run the case."""
    case, passed, times = json.loads(sys.argv[1]), list[str](), Counter[str]()

    def watch(name: str) -> None:
        name = _TASK_ID.sub("", name)
        times[name] += 1
        passed.append(f"{name} #{times[name]}")
        if passed[-1] == case.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    fault_points.watch(watch)
    status = asyncio.run(drive(case))
    Path("ended.json").write_text(json.dumps({"status": status, "boundaries": passed}))


if __name__ == "__main__":
    main()
