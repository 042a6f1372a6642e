"""Outcomes: what a run came to, however it got there."""

from __future__ import annotations

from typing import Any

from langgraph.types import Command

from openmanus_graph.graphs.durable import DurableGraph
from tests.engine.plans import thread


async def finish(app: DurableGraph, name: str, given: Any) -> tuple[dict[str, Any], int]:
    """Run a thread to its end, answering what it asks; its results, and how many questions there were."""
    asked = 0
    await app.ainvoke(given, thread(name))
    for _ in range(3):
        questions = await app.questions(name)
        asked += len(questions)
        answers = {one["id"]: {"kind": one["kind"], "value": f"to {one['subtask']}"} for one in questions}
        if answers:
            await app.ainvoke(Command(resume=answers), thread(name))
    return (await app.snapshot(name)).values["results"], asked


def outputs(results: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on when it was done."""
    return {key: (result["status"], result["output"]) for key, result in results.items()}
