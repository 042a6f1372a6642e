"""Scope: budgets, events and file recorders that the nodes of one run share.

A `DurableGraph` makes one per run and hands it down in `configurable`, under a key that LangGraph keeps out of
checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig

from openmanus_graph.budget import Spending
from openmanus_graph.checkpoints.consents.allowed_sites import AllowedSites
from openmanus_graph.checkpoints.events import EventLog
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.workspace.file_change_recorder import FileChangeRecorder
from openmanus_graph.config.settings import Settings
from openmanus_graph.event_sinks import EventSinks
from openmanus_graph.events import Emit, Event, now
from openmanus_graph.run_config import SCOPE, thread_id_of


@dataclass
class Changes:
    """What was said of values that change when they are stored."""

    fields: set[str] = field(default_factory=set[str])
    """The fields that it was said of."""
    events: list[Event] = field(default_factory=list[Event])
    """The warnings that nobody has streamed yet."""

    def taken(self) -> list[Event]:
        """The warnings to stream, which are then none any more."""
        events, self.events = self.events, []
        return events


@dataclass
class Scope:
    """One run of a thread."""

    thread_id: str
    """The thread."""
    settings: Settings
    """The user's settings."""
    saver: ThreadSaver | None
    """The store; `None` when the graph runs on another saver, or none: then nothing outlives the process."""
    sinks: EventSinks | None = None
    """Plug-ins that receive the events; `None` where no run of ours is there to close them."""
    owner: str = field(init=False)
    """Whose memory the run uses: the thread's owner, by default that of the settings."""
    spending: Spending = field(init=False)
    """Usage of the request, and its budgets."""
    log: EventLog = field(init=False)
    """The log that keeps events."""
    recorders: dict[Path, FileChangeRecorder] = field(init=False, default_factory=dict["Path", "FileChangeRecorder"])
    """Recorders of file changes, by workspace."""
    sites: AllowedSites = field(init=False)
    """Where a person lets the request's calls be made."""
    changes: Changes = field(init=False)
    """Fields of which it was said that they change when they are stored."""

    def __post_init__(self) -> None:
        self.owner = self.settings.owner
        self.spending = Spending(self.thread_id, self.settings.budget, self.saver)
        self.log = EventLog(self.thread_id, self.saver)
        self.sites = AllowedSites(self.thread_id, self.saver)
        self.changes = Changes()

    def recorder(self, workspace: Path) -> FileChangeRecorder:
        """The recorder of the file changes that steps make in a workspace."""
        if workspace not in self.recorders:
            self.recorders[workspace] = FileChangeRecorder(self.saver, self.thread_id, workspace, self.settings)
        return self.recorders[workspace]

    def emitter(self, write: Callable[[Any], None], prefix: str) -> Emit:
        """A sender for the events of one node: it completes, streams and stores them.

        Args:
            write: The node's stream writer.
            prefix: Prefix of its events' ids, the same at every resume.
        """

        def emit(event: Event) -> None:
            event.setdefault("time", now())
            event["thread_id"] = self.thread_id
            event["id"] = f"{self.thread_id}/{prefix}/{event.get('id', event.get('type'))}"
            write(event)
            self.keep(event)

        return emit

    def tell_change(self, field: str, text: str) -> None:
        """Warn, once, that what is in a field of the state comes back as something else than it was.

        Args:
            field: The field.
            text: What is in it, and what comes back.
        """
        if field not in self.changes.fields:
            self.changes.fields.add(field)
            name = f"{self.thread_id}/changes/{field}"
            event = Event(type="warned", id=name, thread_id=self.thread_id, time=now(), text=text)
            self.keep(event)
            self.changes.events.append(event)

    def keep(self, event: Event) -> None:
        """Have a complete event stored, and hand it to the sinks."""
        self.log.add(event)
        if self.sinks is not None:
            self.sinks.add(event)


class NodeScope(Scope):
    """A run's scope as one node has it: the same budgets, events and recorders, with a sender for the node's events."""

    def __init__(self, run: Scope, emit: Emit) -> None:
        """Share budgets, events and recorders of a run.

        Args:
            run: The run's scope.
            emit: Sends an event of the node to the views.
        """
        # Not by `super().__init__`, which would begin to count anew.
        self.thread_id, self.settings, self.saver, self.sinks = run.thread_id, run.settings, run.saver, run.sinks
        self.spending, self.log, self.recorders = run.spending, run.log, run.recorders
        self.changes, self.owner, self.sites = run.changes, run.owner, run.sites
        self.emit = emit

    def tell(self, kind: Any, **fields: Any) -> None:
        """Send an event made of a type and fields."""
        event = Event(type=kind)
        event.update(fields)  # pyright: ignore[reportArgumentType, reportCallIssue] - the caller names fields of Event
        self.emit(event)


def scope_of(config: RunnableConfig, settings: Settings) -> Scope:
    """The scope of the run that `config` belongs to; one without a store where no run of ours is around it."""
    scope = SCOPE.of(config)
    if isinstance(scope, Scope):
        return scope
    return Scope(thread_id_of(config), settings, None)
