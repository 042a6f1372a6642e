#!/usr/bin/env python3
"""Picture: draws the live view of a real run, in its middle, as an SVG for the README.

python scripts/picture.py PLAN TOOLS OUTPUT.svg [SUBTASKS]

The view is drawn once SUBTASKS subtasks (by default half of the plan) have completed; the run then goes on.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from openmanus_graph import Plan, build_plan_graph, open_checkpointer
from openmanus_graph.cli.view import LiveView
from openmanus_graph.tools.reference import load_tools

WIDTH = 96


async def draw(plan_file: str, tools_file: str, wanted: int | None) -> str:
    """Run the plan, and give the picture of it when enough of it had completed."""
    tools = load_tools(tools_file)
    plan = Plan.from_file(plan_file, tools={tool.name: tool for tool in tools})
    height = len(plan.subtasks) + 6
    console = Console(record=True, force_terminal=True, width=WIDTH, height=height, file=io.StringIO())
    thread = f"{Path(plan_file).stem.replace('_', '-')}-{plan.definition_hashes()[plan.subtasks[0].id][:6]}"
    view = LiveView(thread, console)
    left = wanted or len(plan.subtasks) // 2
    with tempfile.TemporaryDirectory() as folder:
        async with open_checkpointer() as saver:
            app = build_plan_graph(tools).compile(checkpointer=saver)
            config = {"configurable": {"thread_id": thread, "workspace": folder}}
            async for event in app.astream({"plan": plan}, config, stream_mode="custom"):
                view.show(event)
                left -= event["type"] == "subtask_finished"
                if left == 0 and event["type"] != "subtask_finished":
                    left = -1
                    console.print(view._render())  # the view as it is now, outside its own live display
            await saver.adelete_thread(thread)
    picture = console.export_svg(title=f"openmanus-graph run --plan {plan_file}", unique_id="live")
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)  # they would be fetched from the network


def main(arguments: list[str]) -> None:
    """Read the arguments and draw."""
    plan, tools, output, *wanted = arguments
    picture = asyncio.run(draw(plan, tools, int(wanted[0]) if wanted else None))
    Path(output).write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
