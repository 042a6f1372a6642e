"""Pictures: threads draw and threads report."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.history.history import thread_history
from openmanus_graph.checkpoints.threads import find_thread
from openmanus_graph.cli.picture import format_of, put_out
from openmanus_graph.drawing.gantt import gantt_mermaid, gantt_svg, gantt_text
from openmanus_graph.drawing.history import history_tree
from openmanus_graph.drawing.junit import junit_xml
from openmanus_graph.drawing.plan import plan_diagram, plan_mermaid, plan_text
from openmanus_graph.drawing.record import Record, record_of
from openmanus_graph.drawing.report import report_html
from openmanus_graph.drawing.svg import svg
from openmanus_graph.drawing.tree import tree_mermaid, tree_svg, tree_text
from openmanus_graph.errors import UsageError


def draw(thread: str, gantt: bool, history: bool, form: str | None, output: Path | None) -> None:
    """Draw a thread's plan with what its subtasks stand at, its timeline, or its history."""
    if gantt and history:
        raise UsageError("--gantt and --history are two pictures.", hint="Give one of them.")
    wanted = format_of(form, output)
    if history:
        put_out(asyncio.run(_history(thread, wanted, _columns(output))), output)
        return
    record = asyncio.run(read_record(thread))
    put_out(_timeline(record, wanted, output) if gantt else _dag(record, wanted), output)


def _dag(record: Record, form: str) -> str:
    if record.plan is None:
        name = record.thread.thread_id
        raise UsageError(
            f"The thread {name!r} has no plan to draw.",
            hint=f"See what was done when: openmanus-graph threads draw {name} --gantt",
        )
    if form == "text":
        return plan_text(record.plan, record.states)
    if form == "mermaid":
        return plan_mermaid(record.plan, record.states)
    return svg(plan_diagram(record.plan, record.states, record.timeline.critical))


def _timeline(record: Record, form: str, output: Path | None) -> str:
    timeline = record.timeline
    if not any(row.stretches for row in timeline.rows):
        raise UsageError(f"The thread {record.thread.thread_id!r} has done nothing yet that could be drawn.")
    if form == "text":
        return gantt_text(timeline, _columns(output))
    return gantt_mermaid(timeline) if form == "mermaid" else gantt_svg(timeline)


def _columns(output: Path | None) -> int:
    """Characters of a line of text: those of the terminal, or 100 in a file."""
    return 100 if output else shutil.get_terminal_size((100, 24)).columns


async def _history(name: str, form: str, columns: int) -> str:
    async with open_checkpointer() as saver:
        thread = await find_thread(saver, name)
        moments = await thread_history(saver, thread.thread_id)
    tree = history_tree(moments, thread.title or thread.thread_id)
    if form == "text":
        return tree_text(tree, columns)
    return tree_mermaid(tree) if form == "mermaid" else tree_svg(tree)


async def read_record(name: str, *, whole: bool = False) -> Record:
    """Stored record of the thread of that name."""
    async with open_checkpointer() as saver:
        return await record_of(saver, await find_thread(saver, name), whole=whole)


def report(thread: str, output: Path | None, junit: Path | None) -> None:
    """Write a run as one HTML page: plan, timeline, messages, tool calls, files and costs; or its assertions."""
    record = asyncio.run(read_record(thread, whole=True))
    if junit is not None:
        put_out(junit_xml(record), junit)
    if junit is None or output is not None:
        put_out(report_html(record), output)
