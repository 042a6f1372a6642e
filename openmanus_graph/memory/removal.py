"""Removal: what of an owner's memory, and of the threads themselves, is to go for good, and its going."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openmanus_graph.checkpoints.reuse.tool_results import ToolResults
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread, delete_thread, get_thread
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ThreadBusyError
from openmanus_graph.memory.forgetting import Forgotten, forget_episodes
from openmanus_graph.memory.procedural.stores import template_stores
from openmanus_graph.memory.procedural.template import KnownTemplate, texts_in
from openmanus_graph.memory.procedural.waiting_lessons import WaitingLessons
from openmanus_graph.memory.protocols import ForgetfulTemplates
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.memory.semantic.passages import Selection
from openmanus_graph.memory.thread_texts import is_of
from openmanus_graph.values.storable_json import storable_text

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
    templates: tuple[tuple[ForgetfulTemplates, str], ...]
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
            EncryptionKeyError: If threads are chosen by words, and the key of one is not set.
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
            ThreadBusyError: If a thread has begun to run meanwhile; it stays, and so do those after it. The folders of
            those before it are removed.
        """
        chosen, owner = removal.chosen, self._settings.owner
        names = [thread.thread_id for thread in removal.threads]
        if removal.is_of_thread and chosen.thread not in names:
            names.append(chosen.thread or "")
        templates = 0
        for store, key in removal.templates:
            templates += await store.forget(key)
        if chosen == Selection():
            await WaitingLessons(self._saver, owner).clear()  # also what only names the template that it counts for
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
        gone, left = await self._remove_threads(removal.threads)
        return Removed(Forgotten(passages, episodes, templates, gone), tuple(left))

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
                    SELECT thread_id, owner = '' AND %(thread)s::text IS NULL AS is_unowned,
                           encrypted_with <> '{}' AND %(matching)s::text IS NOT NULL AS is_hidden
                    FROM threads t
                    WHERE owner IN ('', %(owner)s)
                      AND (%(thread)s::text IS NULL OR thread_id = %(thread)s)
                      AND (%(before)s::timestamptz IS NULL OR updated_at < %(before)s)
                      AND (%(matching)s::text IS NULL OR encrypted_with <> '{}'
                          OR to_tsvector('english', left(concat_ws(' ',
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
        rows = [
            row
            for row in rows
            if not row["is_hidden"] or await is_of(self._saver, str(row["thread_id"]), chosen.matching or "")
        ]
        unowned = [str(row["thread_id"]) for row in rows if row["is_unowned"] and chosen != Selection()]
        names = [str(row["thread_id"]) for row in rows if not row["is_unowned"]]
        found = [await get_thread(self._saver, name, locked_too=True) for name in names]
        return [thread for thread in found if thread is not None], unowned

    async def _remove_threads(self, threads: Sequence[Thread]) -> tuple[int, list[str]]:
        """Remove threads, then the folders that were made for them; how many went, and what is left, in words."""
        gone: list[Thread] = []
        left: list[str] = []
        try:
            for thread in threads:
                if await delete_thread(self._saver, thread, unless_changed=True, settings=self._settings):
                    gone.append(thread)
                else:
                    left.append(f"the thread {thread.thread_id!r}, which has gone on meanwhile")
        finally:
            left += await self._remove_folders(gone)
        return len(gone), left

    async def _remove_folders(self, gone: Sequence[Thread]) -> list[str]:
        """Remove folders of removed threads that were made for them and that no thread works in; what is left."""
        if not gone:
            return []
        async with self._saver.connection() as connection:
            query = "SELECT DISTINCT workspace FROM threads WHERE workspace IS NOT NULL"
            rows = await (await connection.execute(query)).fetchall()
        return await asyncio.to_thread(_without_folders, gone, [str(row["workspace"]) for row in rows])

    # ---------------------------------------------------------------- templates

    async def _fitting(self, store: ForgetfulTemplates, chosen: Selection, *, everywhere: bool) -> list[KnownTemplate]:
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


def _without_folders(gone: Sequence[Thread], used: Sequence[str]) -> list[str]:
    """Remove the folders of threads; what is left of them, in words.

    Args:
        gone: The threads.
        used: Folders that other threads have.
    """
    stay = {os.path.realpath(folder) for folder in used}
    left: list[str] = []
    for thread in gone:
        said: dict[str, Any] = thread.settings.get("said") or {}
        if said.get("record"):
            left.append(f"the recording {said['record']!r}")
        if not thread.workspace or not os.path.lexists(thread.workspace):
            continue
        real = os.path.realpath(thread.workspace)
        is_used = any(folder == real or folder.startswith(f"{real}/") for folder in stay)
        if not thread.made_workspace or is_used:
            left.append(f"the folder {thread.workspace!r}")
            continue
        try:
            shutil.rmtree(thread.workspace)
        except OSError as error:
            left.append(f"the folder {thread.workspace!r} ({error.strerror or error})")
    return left
