"""Removal: what of an owner's memory, and of the threads themselves, is to go for good, and its going."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread, delete_thread, get_thread
from openmanus_graph.checkpoints.tool_results import ToolResults
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ThreadBusyError
from openmanus_graph.memory.forgetting import Forgotten, forget_episodes
from openmanus_graph.memory.procedural.stores import template_stores
from openmanus_graph.memory.procedural.template import KnownTemplate, texts_in
from openmanus_graph.memory.protocols import TemplateMemory
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.memory.semantic.passages import Selection
from openmanus_graph.values.storable_json import storable_text
from openmanus_graph.workspace import default_workspace

MOST_CHARACTERS = 20_000
"""Characters of each task and answer that are looked at: full text has a limit."""
MOST_IN_ALL = 200_000
"""Characters of all tasks and answers of a thread that are looked at."""


@dataclass(frozen=True)
class Removal:
    """What is to go."""

    chosen: Selection
    """What is meant; without any restriction all of the owner."""
    threads: tuple[Thread, ...]
    """Threads that go with all there is of them."""
    templates: tuple[tuple[TemplateMemory, str], ...]
    """Templates that go besides those that only these threads have run: stores and keys."""
    counts: Forgotten
    """How much it is, without templates that only these threads have run."""
    everywhere: bool = False
    """Whether threads that fit go, too."""
    unowned: tuple[str, ...] = ()
    """Threads without an owner that fit as well, and stay."""

    @property
    def is_of_thread(self) -> bool:
        """Whether all of one thread is meant: its runs of templates go as well."""
        return self.chosen.thread is not None and self.chosen == Selection(thread=self.chosen.thread)


@dataclass(frozen=True)
class Removed:
    """What went, and what did not."""

    gone: Forgotten
    """How much went."""
    left: tuple[str, ...] = ()
    """Files and folders of removed threads that stay, in words."""


class Remover:
    """Finds and removes what a selection means, in every store of an owner."""

    def __init__(self, memory: PassageMemory, saver: ThreadSaver, settings: Settings) -> None:
        """Use the stores of the settings.

        Args:
            memory: The owner's passages.
            saver: The store of the threads and episodes.
            settings: The user's settings, with the owner.
        """
        self._memory = memory
        self._saver = saver
        self._settings = settings
        self._stores = template_stores(settings, saver, settings.owner)

    async def plan(self, chosen: Selection, *, everywhere: bool) -> Removal:
        """Find what a selection means.

        Args:
            chosen: What is meant; without any restriction all of the owner.
            everywhere: Whether threads that fit go, too, with templates that fit.

        Raises:
            ThreadBusyError: If somebody runs one of the threads.
            MemoryStoreError: If a store of templates does not answer.
        """
        threads, unowned = await self._threads(chosen) if everywhere else ([], [])
        running = [thread.thread_id for thread in threads if thread.status == "running"]
        if running:
            names = ", ".join(map(repr, running[:5]))
            text = f"Nothing was removed: of the threads that fit, somebody runs {names}."
            raise ThreadBusyError(text, hint="Stop that first.")
        templates = [
            (store, known.template.key)
            for store in self._stores
            for known in await self._fitting(store, chosen, everywhere=everywhere)
        ]
        counts = Forgotten(
            await self._memory.passages.count(chosen),
            await forget_episodes(self._saver, self._settings.owner, chosen, only_count=True),
            len(templates),
            len(threads),
        )
        return Removal(chosen, tuple(threads), tuple(templates), counts, everywhere, tuple(unowned))

    async def carry_out(self, removal: Removal) -> Removed:
        """Remove it: first what memory has, then thread by thread; done again it goes on.

        Raises:
            ThreadBusyError: If a thread has begun to run meanwhile; it stays, and so do those after it.
        """
        chosen, owner = removal.chosen, self._settings.owner
        names = [thread.thread_id for thread in removal.threads]
        if removal.is_of_thread and chosen.thread not in names:
            names.append(chosen.thread or "")
        templates = 0
        for store, key in removal.templates:
            templates += await store.forget(key)
        passages = await self._memory.forget(chosen)
        episodes = await forget_episodes(self._saver, owner, chosen)
        for name in names:
            templates += sum([await store.forget_thread(name) for store in self._stores])
            of_thread = Selection(thread=name)
            if of_thread != chosen:
                passages += await self._memory.forget(of_thread)
                episodes += await forget_episodes(self._saver, owner, of_thread)
        if removal.everywhere or chosen == Selection():
            # They are kept for a while only, and say nothing of the thread that they are of.
            await ToolResults(self._saver, storable_text(owner)).forget()
        left: list[str] = []
        for thread in removal.threads:
            left += await self._remove(thread, names)
        return Removed(Forgotten(passages, episodes, templates, len(removal.threads)), tuple(left))

    # ---------------------------------------------------------------- threads

    async def _threads(self, chosen: Selection) -> tuple[list[Thread], list[str]]:
        """Threads that fit, and the names of those that fit but have no owner, unless one is named.

        All of an owner does not mean those without one.
        """
        given = {
            "owner": storable_text(self._settings.owner),
            "thread": None if chosen.thread is None else storable_text(chosen.thread),
            "before": chosen.before,
            "matching": None if chosen.matching is None else storable_text(chosen.matching),
            "most": MOST_CHARACTERS,
            "all": MOST_IN_ALL,
        }
        async with self._saver.connection() as connection:
            rows = await (
                await connection.execute(
                    """
                    SELECT thread_id, owner = '' AND %(thread)s::text IS NULL AS is_unowned FROM threads t
                    WHERE owner IN ('', %(owner)s)
                      AND (%(thread)s::text IS NULL OR thread_id = %(thread)s)
                      AND (%(before)s::timestamptz IS NULL OR updated_at < %(before)s)
                      AND (%(matching)s::text IS NULL OR to_tsvector('english', left(concat_ws(' ',
                          left(title, %(most)s), left(plan ->> 'goal', %(most)s),
                          (SELECT string_agg(left(task, %(most)s) || ' ' || left(answer, %(most)s), ' ')
                           FROM episodes e WHERE e.thread_id = t.thread_id),
                          (SELECT string_agg(DISTINCT left(said, %(most)s), ' ')
                           FROM checkpoints c, LATERAL (VALUES
                               (c.checkpoint #>> '{channel_values,task}'), (c.checkpoint #>> '{channel_values,answer}')
                           ) AS v (said)
                           WHERE c.thread_id = t.thread_id AND c.checkpoint_ns = '')
                      ), %(all)s)) @@ plainto_tsquery('english', %(matching)s))
                    ORDER BY thread_id
                    """,
                    given,
                )
            ).fetchall()
        unowned = [str(row["thread_id"]) for row in rows if row["is_unowned"] and chosen != Selection()]
        found = [await get_thread(self._saver, str(row["thread_id"])) for row in rows if not row["is_unowned"]]
        return [thread for thread in found if thread is not None], unowned

    async def _remove(self, thread: Thread, going: Sequence[str]) -> list[str]:
        """Remove a thread, and its workspace if that was made for it; what is left of it, in words.

        Args:
            thread: The thread.
            going: All threads that go.
        """
        left: list[str] = []
        said: dict[str, Any] = thread.settings.get("said") or {}
        if said.get("record"):
            left.append(f"the recording {said['record']!r}")
        is_own = await self._has_own_folder(thread, going)
        if thread.workspace and not is_own and await asyncio.to_thread(Path(thread.workspace).exists):
            left.append(f"the folder {thread.workspace!r}")
        try:
            await delete_thread(self._saver, thread, files=is_own)
        except OSError as error:
            left.append(f"the folder {thread.workspace!r} ({error.strerror or error})")
        return left

    async def _has_own_folder(self, thread: Thread, going: Sequence[str]) -> bool:
        """Whether the workspace was made for the thread, and none that stays has it or what is in it."""
        own = default_workspace(thread.thread_id)
        if not thread.workspace or Path(thread.workspace).parts[-2:] != own.parts[-2:]:
            return False
        async with self._saver.connection() as connection:
            row = await (
                await connection.execute(
                    "SELECT EXISTS (SELECT 1 FROM threads WHERE thread_id <> ALL(%s)"
                    " AND (workspace = %s OR starts_with(workspace, %s))) AS shared",
                    (list(going), thread.workspace, f"{thread.workspace}/"),
                )
            ).fetchone()
        return row is not None and not row["shared"]

    # ---------------------------------------------------------------- templates

    async def _fitting(self, store: TemplateMemory, chosen: Selection, *, everywhere: bool) -> list[KnownTemplate]:
        """Templates that are meant by themselves; those of a thread go with its runs."""
        if chosen == Selection():
            return await store.templates()
        if not everywhere or chosen.thread is not None:
            return []
        known = await store.templates()
        before = None if chosen.before is None else chosen.before.timestamp()
        old = [one for one in known if before is None or (one.used_at is not None and one.used_at < before)]
        if chosen.matching is None or not old:
            return old
        query: Any = (
            "SELECT to_tsvector('english', said) @@ plainto_tsquery('english', %s) AS fits"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS t (said, place) ORDER BY place"
        )
        async with self._saver.connection() as connection:
            said = [storable_text(_said(one))[:MOST_IN_ALL] for one in old]
            rows = await (await connection.execute(query, (storable_text(chosen.matching), said))).fetchall()
        return [one for one, row in zip(old, rows, strict=True) if row["fits"]]


def _said(known: KnownTemplate) -> str:
    template = known.template
    steps = (text for step in template.steps for _, text in texts_in(dict(step.definition)))
    return "\n".join([template.task, template.goal, *steps])
