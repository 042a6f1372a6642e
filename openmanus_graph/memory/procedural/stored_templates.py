"""Stored templates: what the stores of an owner's templates have in common, whatever server they are in."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openmanus_graph.memory.procedural.ranking import CANDIDATES, described, ranked, words_of
from openmanus_graph.memory.procedural.template import (
    HALF_LIFE_S,
    KnownTemplate,
    Template,
    TemplateRun,
    TemplateStep,
    spread,
)
from openmanus_graph.values.storable_json import storable_text

Row = Mapping[str, Any]
Values = dict[str, Any]


class StoredTemplates(ABC):
    """Templates of one owner in a server that answers statements with rows."""

    WORDS_BETWEEN: str = " "
    """What stands between words that are looked for, any of them."""

    def __init__(self, owner: str, clock: Callable[[], float] = time.time) -> None:
        """Remember in a store.

        Args:
            owner: Whose templates are stored and found.
            clock: The present moment, Unix time in seconds, by which older runs weigh less.
        """
        self._owner = storable_text(owner)
        self._clock = clock

    async def recall(self, task: str, *, limit: int = 1) -> list[str]:
        """Templates for a task in words, as `offered` finds them.

        Raises:
            MemoryStoreError: If the store does not answer.
        """
        return [described(known) for known in await self.offered(task, limit=limit)]

    async def offered(self, task: str, *, limit: int = 1) -> list[KnownTemplate]:
        """Templates that fit a task and have not failed too often, best first.

        Raises:
            MemoryStoreError: If the store does not answer.
        """
        words = words_of(storable_text(task))
        if not words or limit <= 0:
            return []
        found = await self._found({"text": self.WORDS_BETWEEN.join(words), "candidates": CANDIDATES})
        return ranked(task, map(known_of, found), limit)

    async def templates(self) -> list[KnownTemplate]:
        """Every template, those that are not offered too, the last used first.

        Raises:
            MemoryStoreError: If the store does not answer.
        """
        return [known_of(row) for row in await self._all()]

    async def template(self, key: str) -> KnownTemplate | None:
        """The template with this key, or the one whose key begins so; `None` if there is none, or several.

        Raises:
            MemoryStoreError: If the store does not answer.
        """
        found: Sequence[Row] = await self._by_key({"key": storable_text(key)}) if key else []
        return known_of(found[0]) if len(found) == 1 else None

    @abstractmethod
    async def _found(self, values: Values) -> Sequence[Row]:
        """Rows of templates with one of these words, those that have most of them first."""

    @abstractmethod
    async def _all(self) -> Sequence[Row]:
        """Rows of all templates, the last used first."""

    @abstractmethod
    async def _by_key(self, values: Values) -> Sequence[Row]:
        """Rows of at most two templates whose keys begin so."""

    def _given(self, values: Row) -> Values:
        """The values of a statement, with those that each may use."""
        return {**values, "owner": self._owner, "now": self._clock(), "half_life": HALF_LIFE_S}

    def _content(self, template: Template, run: TemplateRun) -> Values:
        """The fields of a template, whose steps are those of a run."""
        return {
            "task": storable_text(template.task),
            "goal": storable_text(template.goal),
            "parameters": dict(template.parameters),
            "words": template.words,
            "proven": run.succeeded,
        }

    def _went(self, run: TemplateRun) -> Values:
        """The fields of a run."""
        return {
            "thread": run.thread,
            "request": run.request,
            "replaced": run.was_replaced,
            "task": run.task_digest,
            "succeeded": run.succeeded,
            "seconds": float(sum(run.seconds.values())),
            "ended_at": run.ended_at,
        }


def steps_of(template: Template) -> list[Values]:
    """The fields of a template's steps, in order."""
    return [
        {"step": step.id, "position": position, "definition": step.definition}
        for position, step in enumerate(template.steps)
    ]


def needs_of(template: Template) -> list[dict[str, str]]:
    """Which step needs which."""
    return [{"step": step.id, "needs": name} for step in template.steps for name in step.needs]


def known_of(row: Row) -> KnownTemplate:
    """The template of a row, whose steps are rows of their own."""
    steps: list[Values] = row["steps"] or []
    return KnownTemplate(
        Template(
            str(row["key"]),
            str(row["task"]),
            tuple(map(_step_of, steps)),
            str(row["goal"]),
            dict(row["parameters"]),
        ),
        runs=int(row["runs"]),
        successes=float(row["successes"]),
        failures=float(row["failures"]),
        worked=int(row["worked"]),
        tasks=int(row["tasks"]),
        mean_s=float(row["mean_s"]),
        is_proven=bool(row["proven"]),
        used_at=float(row["last"]) if row["last"] else None,
    )


def _step_of(row: Row) -> TemplateStep:
    return TemplateStep(
        str(row["step"]),
        dict(row["definition"]),
        tuple(sorted(map(str, row["needs"]))),
        runs=int(row["runs"]),
        failures=int(row["failures"]),
        mean_s=float(row["mean_s"]),
        spread_s=spread(int(row["runs"]), float(row["m2_s"])),
    )
