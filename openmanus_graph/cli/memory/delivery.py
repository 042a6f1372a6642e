"""Delivery: brings the index up to the passages, with a bar for a person who waits."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.cli.memory.opening import warn
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import counted
from openmanus_graph.errors import MemoryStoreError
from openmanus_graph.memory.deliverer import Delivery
from openmanus_graph.memory.procedural.outbox_templates import OutboxTemplates
from openmanus_graph.memory.procedural.stores import template_store
from openmanus_graph.memory.procedural.waiting_lessons import WaitingLessons
from openmanus_graph.memory.semantic.passage_memory import PassageMemory


async def deliver(memory: PassageMemory) -> Delivery:
    """Deliver all that is due; what cannot be delivered stays for another time."""
    columns = (TextColumn("Indexing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Indexing", total=None)
        done = await memory.deliver(
            progress=lambda delivered, left: bar.update(task, completed=delivered, total=delivered + left)
        )
    if done.waiting and done.elsewhere:
        warn(f"Another process is indexing. {_waiting(done.waiting)}")
    elif done.error:
        warn(f"{done.error} {_waiting(done.waiting) if done.waiting else 'Words alone find passages.'}")
    return done


async def lessons_standing(settings: Settings, saver: ThreadSaver, *, delivering: bool) -> Delivery:
    """What waits for Neo4j of what runs have taught, after it has been brought there, if it is to be.

    Args:
        settings: The user's settings, with the owner.
        saver: The store of what waits.
        delivering: Whether it is to be brought there first.
    """
    lessons = WaitingLessons(saver, settings.owner)
    error: str | None = None
    store = template_store(settings, saver, settings.owner) if delivering else None
    if isinstance(store, OutboxTemplates):
        try:
            done = await store.deliver()
        except MemoryStoreError as failure:
            error = f"{failure.message} {failure.hint or ''}".strip()
        else:
            if done.elsewhere:
                warn("Another process is bringing lessons to Neo4j.")
    return Delivery(0, await lessons.count(), error or await lessons.last_error())


def _waiting(number: int) -> str:
    verbs = ("waits", "is") if number == 1 else ("wait", "are")
    return f"{counted(number, 'passage')} {verbs[0]} for the index, and {verbs[1]} found by words meanwhile."
