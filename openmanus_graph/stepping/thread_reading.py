"""Thread reading: record and history as a stepper last read them, and their changes between two stops."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.pregel import Pregel

from openmanus_graph.checkpoints.history.history import Growth
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.stepping.background import BackgroundRun
from openmanus_graph.stepping.difference import Side, difference
from openmanus_graph.stepping.hold_point import GatedNode, HoldPoint
from openmanus_graph.stepping.record import StoredThread, read_history, read_record, read_standing
from openmanus_graph.stepping.view import Difference


class ThreadReading:
    """A thread as it was last read, and as it was at the stop before."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self.record = StoredThread()
        """The thread at its newest checkpoint."""
        self.history = Growth()
        """Its points."""
        self.was_read = False
        """Whether anything has been read."""
        self._followed: BackgroundRun | None = None
        self._subtask_states: dict[str, dict[str, Any]] = {}
        self._before: Side = ({}, {})
        self._at_stop: Side = ({}, {})

    def restart(self) -> None:
        """Forget history and changes: the next reading is of another thread."""
        self.history, self.was_read, self._subtask_states = Growth(), False, {}

    async def read(
        self, app: Pregel[Any, Any, Any, Any], thread_id: str, run: BackgroundRun | None, hold_point: HoldPoint
    ) -> None:
        """Read what is stored; of a run whose branches stand, only what it has added.

        Args:
            app: The thread's graph.
            thread_id: The thread.
            run: The run of it in this process, if there was one.
            hold_point: What holds the nodes of that run.
        """
        saver, is_followed = app.checkpointer, False
        if run is not None and run.live and isinstance(app, DurableGraph) and isinstance(saver, ThreadSaver):
            new = None
            if self._followed is run:
                new = await self.history.follow(saver, thread_id, hold_point.asking)
            self.record = await read_standing(app, saver, thread_id, self.record, hold_point.asked, new)
            is_followed = new is not None
        else:
            self.record = await read_record(app, thread_id)
        if not is_followed:
            self.history = await read_history(app, thread_id, self.history) if self.record.exists else Growth()
            self._followed = run if run is not None and run.live else None
        if not self.was_read:
            self._before = self._at_stop = (self.record.values, {})
        self.was_read = True

    def mark_stop(self, standing: Sequence[GatedNode]) -> None:
        """Note a stop: changes are counted from the one before it.

        Args:
            standing: The nodes that stand there; what they are given is the state of their subtasks.
        """
        for node in standing:
            if node.subtask:
                values = {key: value for key, value in node.state.items() if key != "call"}
                self._subtask_states[node.subtask] = {**self._subtask_states.get(node.subtask, {}), **values}
        self._before, self._at_stop = self._at_stop, (self.record.values, dict(self._subtask_states))

    def changes(self) -> Difference:
        """What changed since the stop before."""
        return difference(self._before, (self.record.values, self._subtask_states))
