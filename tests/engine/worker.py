"""A process to kill: runs a thread to its end with a plain `ainvoke`, optionally on a slow saver."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from openmanus_graph import ThreadSaver, build_plan_graph, get_thread, open_checkpointer
from tests.engine.sample_tools import TOOLS


class SlowSaver(ThreadSaver):
    """Reads and commits everything 200 ms late."""

    async def retried(self, operation: Callable[[], Awaitable[Any]]) -> Any:
        """Wait first."""
        await asyncio.sleep(0.2)
        return await super().retried(operation)


async def main(url: str, thread_id: str, plan_file: str, pace: str) -> None:
    """Start the thread, or go on with it."""
    async with open_checkpointer(url) as saver:
        if pace == "slow":
            saver.__class__ = SlowSaver
        app = build_plan_graph(TOOLS).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": thread_id, "max_parallel": 3}}
        # A thread whose first checkpoint was never committed has nothing to go on from.
        begun = await get_thread(saver, thread_id) is not None and (await app.snapshot(thread_id)).values
        given = None if begun else {"plan": json.loads(Path(plan_file).read_text())}
        print("ready", flush=True)
        out = await app.ainvoke(given, config)
        print(json.dumps(out["results"]), flush=True)


asyncio.run(main(*sys.argv[1:]))
