"""A process to kill: begins a request of the agent, or goes on with it, and prints each event's type as it comes."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from openmanus_graph import Settings, get_thread, open_checkpointer
from openmanus_graph.graphs.manus import build_manus_graph


async def main(url: str, provider: str, thread_id: str, task: str) -> None:
    """Run the thread to its end."""
    settings = Settings.load(llm_model="openai/scripted", llm_base_url=provider, llm_api_key="sk-scripted")
    async with open_checkpointer(url) as saver:
        app = build_manus_graph(settings=settings).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": thread_id}}
        begun = await get_thread(saver, thread_id) is not None and (await app.snapshot(thread_id)).values
        given = None if begun else {"task": task}
        print("ready", flush=True)
        async for event in app.astream(given, config, stream_mode="custom"):
            print(event["type"], flush=True)
        values = (await app.snapshot(thread_id)).values
        print(json.dumps({key: values[key] for key in ("answer", "status", "results")}), flush=True)


asyncio.run(main(*sys.argv[1:]))
