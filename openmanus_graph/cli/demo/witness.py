"""Witness: what the database and the site say of a demo, whatever its processes say of themselves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.events import stored_events
from openmanus_graph.checkpoints.progress import subtask_progress
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.cli.demo.site import Site
from openmanus_graph.events import Event
from openmanus_graph.questions import handle_of

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class WorkCount:
    """Work that a thread had done at some moment."""

    calls: Counter[str]
    """Model calls by place, from the database."""
    completed: list[str]
    """Subtasks whose results are committed."""
    pages: Counter[str]
    """Pages that the site was asked for, from its log."""


class Witness:
    """Reads one thread from the outside; while it is open, the embedded server stays."""

    def __init__(self, thread_id: str) -> None:
        """Open nothing yet.

        Args:
            thread_id: The thread.
        """
        self._thread_id = thread_id
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._saver: ThreadSaver | None = None

    @property
    def is_open(self) -> bool:
        """Whether the database could be opened."""
        return self._saver is not None

    def open(self) -> None:
        """Open the database of the user's settings.

        Raises:
            DatabaseError: If it cannot be reached.
        """
        if self._saver is None:
            self._saver = self._runner.run(self._stack.enter_async_context(open_checkpointer()))

    def close(self) -> None:
        """Leave the database."""
        self._runner.run(self._stack.aclose())
        self._runner.close()

    def _ask(self, query: Callable[[ThreadSaver], Awaitable[AnswerT]]) -> AnswerT:
        self.open()

        async def asked() -> AnswerT:
            assert self._saver is not None  # noqa: S101 - opened above
            return await query(self._saver)

        return self._runner.run(asked())

    def thread(self) -> Thread | None:
        """The thread, if there is one."""
        return self._ask(lambda saver: get_thread(saver, self._thread_id))

    def approvals(self) -> list[str]:
        """The options of `resume` that approve all that the thread asks; none if it asks what only a person can say."""
        thread = self.thread()
        questions = thread.questions if thread is not None else []
        if any(question["kind"] != "approve" for question in questions):
            return []
        if len(questions) == 1:
            return ["--answer", "yes"]
        return [word for question in questions for word in ("--answer", f"{handle_of(question, questions)}=yes")]

    def count(self, site: Site) -> WorkCount:
        """Work done so far."""
        return self._ask(lambda saver: self._counted(saver, site))

    async def _counted(self, saver: ThreadSaver, site: Site) -> WorkCount:
        progress = await subtask_progress(saver, self._thread_id, live=False)
        async with saver.connection() as connection:
            rows = await (
                await connection.execute(
                    "SELECT role, subtask, turn FROM model_calls WHERE thread_id = %s AND NOT in_flight",
                    (self._thread_id,),
                )
            ).fetchall()
        places = Counter(f"{row['role']}/{row['subtask'] or '-'}/{row['turn']}" for row in rows)
        completed = [str(item.subtask.id) for item in progress if item.status == "completed"]
        return WorkCount(places, completed, Counter(site.log.pages))

    def turns(self) -> list[str]:
        """Turning points of the run, a sentence or two each, from its stored events."""
        events = self._ask(lambda saver: stored_events(saver, self._thread_id))
        return [line for event in events if (line := _turn_in(event))]


def _turn_in(event: Event) -> str | None:
    name, text = event.get("subtask", ""), event.get("text", "")
    match event.get("type"):
        case "subtask_finished" if event.get("status") == "failed":
            return f"{name} failed. {event.get('error')}"
        case "decided" if event.get("decision") == "replan":
            return f"The coordinator had it planned again. {text}"
        case "subtask_verified" if event.get("verified") is False:
            return f"The verifier sent {name} back. {text}"
        case "subtask_waiting":
            return f"{name} waited for an approval."
        case _:
            return None
