"""Lesson: what a request that is over has taught, whatever the store of templates knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openmanus_graph.memory.procedural.signature import places_in
from openmanus_graph.memory.procedural.template import Template, TemplateRun, TemplateStep
from openmanus_graph.memory.protocols import TemplateMemory


@dataclass(frozen=True)
class Lesson:
    """A run, and the template that it counts for."""

    run: TemplateRun
    """How the request went; its steps have the ids of the template's."""
    key: str
    """The template's key."""
    template: Template | None = None
    """The way in which it was done; `None` means that of the key, so that nothing is learned where that is gone."""


async def learn(store: TemplateMemory, lesson: Lesson) -> None:
    """Let a lesson count in a store; the same one again counts once.

    Raises:
        MemoryStoreError: If the store does not answer.
    """
    known = await store.template(lesson.key)
    if known is not None and known.template.key != lesson.key:
        known = None  # one whose key begins so
    if lesson.template is None:
        if known is not None:
            await store.remember(known.template, lesson.run)
        return
    stays = known is not None and (known.is_proven or not lesson.run.succeeded)
    stored = known.template if known is not None and stays else lesson.template
    await store.remember(stored, lesson.run.renamed(places_in(lesson.template.steps, stored.steps)))


# ---------------------------------------------------------------- as plain data


def template_data(template: Template) -> dict[str, Any]:
    """A template as plain data, without what was counted of it."""
    steps = [{"id": step.id, "definition": step.definition, "needs": list(step.needs)} for step in template.steps]
    return {
        "task": template.task,
        "goal": template.goal,
        "parameters": dict(template.parameters),
        "steps": steps,
    }


def template_from(key: str, data: Mapping[str, Any]) -> Template:
    """The template of plain data."""
    steps = tuple(TemplateStep(str(one["id"]), dict(one["definition"]), tuple(one["needs"])) for one in data["steps"])
    return Template(key, str(data["task"]), steps, str(data["goal"]), dict(data["parameters"]))


def run_data(run: TemplateRun) -> dict[str, Any]:
    """How a run went as plain data, without what names it."""
    return {
        "succeeded": run.succeeded,
        "ended_at": run.ended_at,
        "seconds": dict(run.seconds),
        "failed": list(run.failed),
        "task": run.task_digest,
    }


def run_from(data: Mapping[str, Any], thread: str, request: int, *, was_replaced: bool) -> TemplateRun:
    """The run of plain data.

    Args:
        data: How it went.
        thread: What names its thread.
        request: Which request of it.
        was_replaced: Whether another plan was made in its place.
    """
    return TemplateRun(
        thread_id="",
        request=request,
        succeeded=bool(data["succeeded"]),
        ended_at=float(data["ended_at"]),
        seconds={str(name): float(seconds) for name, seconds in data["seconds"].items()},
        failed=tuple(map(str, data["failed"])),
        task_digest=str(data["task"]),
        was_replaced=was_replaced,
        digest_of_thread=thread,
    )
