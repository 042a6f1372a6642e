"""Protocols: the three kinds of memory, as the roles see them.

Episodic memory is in Postgres, or in the store of a plug-in. Procedural memory is in Neo4j where one is configured,
else in Postgres. Semantic memory is in Postgres, with an index of vectors beside it, unless a graph is given another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypedDict, runtime_checkable

from openmanus_graph.memory.procedural.template import KnownTemplate, Template, TemplateRun


class Episode(TypedDict):
    """One request of one thread, and how it went."""

    thread_id: str
    request: int
    """Which request of the thread, from 1."""
    task: str
    """The person's words."""
    outline: str
    """The plan in a few lines."""
    outcome: str
    """`completed`, `failed` or `partial`."""
    failures: str
    """What failed and why, a line each."""
    answer: str
    """The beginning of the answer."""


@runtime_checkable
class EpisodicMemory(Protocol):
    """Stores episodes and finds similar ones."""

    async def remember(self, episode: Episode) -> None:
        """Store an episode; the same one again replaces it."""
        ...

    async def recall(self, task: str, *, limit: int = 3, not_thread: str = "") -> list[Episode]:
        """Episodes like a task, best first, those of `not_thread` left out."""
        ...


class SemanticMemory(Protocol):
    """Remembers passages by meaning."""

    async def recall(self, query: str, *, limit: int = 5) -> list[str]:
        """Passages near a query, best first."""
        ...


class ProceduralMemory(Protocol):
    """Remembers how kinds of tasks are done."""

    async def recall(self, task: str, *, limit: int = 2) -> list[str]:
        """Procedures for tasks like this, best first, in words."""
        ...


class ForgetfulTemplates(Protocol):
    """Something with templates of one owner that can be removed."""

    async def templates(self) -> list[KnownTemplate]:
        """Every template, the last used first."""
        ...

    async def forget(self, key: str) -> bool:
        """Remove a template with its runs; gives whether there was one."""
        ...

    async def forget_thread(self, thread_id: str) -> int:
        """Remove the runs of a thread, and templates that no other thread has run; gives how many templates."""
        ...


@runtime_checkable
class TemplateMemory(ProceduralMemory, Protocol):
    """Remembers how kinds of tasks are done as templates of plans, those of one owner."""

    async def remember(self, template: Template, run: TemplateRun, *, replaces: bool = False) -> None:
        """Store a template and a run that counts for it; the same run again replaces it, and counts once.

        Where there is one of the same key that has worked, it stays, unless `replaces` is set.
        """
        ...

    async def offered(self, task: str, *, limit: int = 1) -> list[KnownTemplate]:
        """Templates that fit a task and have not failed too often, best first."""
        ...

    async def templates(self) -> list[KnownTemplate]:
        """Every template, those that are not offered too, the last used first."""
        ...

    async def template(self, key: str) -> KnownTemplate | None:
        """The template with this key, or the one whose key begins so; `None` if there is none, or several."""
        ...

    async def rate(self, thread_id: str, *, good: bool, why: str = "", request: int | None = None) -> str | None:
        """Say how the last run of a thread really went; gives the key of its template, or `None` without one.

        With `request` only the run of that request is meant.
        """
        ...

    async def correct(self, key: str, template: Template) -> bool:
        """Put a person's correction in the place of a template and keep its runs; gives whether it was there.

        The person's word counts as one run that worked. The correction may have another key: the one before is gone
        then, and where there is a template of the new key, the correction takes its place too, and keeps its runs.
        """
        ...

    async def forget(self, key: str) -> bool:
        """Remove a template with its runs; gives whether there was one."""
        ...

    async def forget_thread(self, thread_id: str) -> int:
        """Remove the runs of a thread, and templates that no other thread has run; gives how many templates."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors whose nearness is nearness of meaning."""

    @property
    def name(self) -> str:
        """The model and its version: vectors of different names are not compared."""
        ...

    @property
    def dimensions(self) -> int:
        """How many numbers each vector has; 0 if that is not known before the first ones are made."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The vector of each text, in the order of the texts."""
        ...
