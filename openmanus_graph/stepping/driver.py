"""Driver: does the work of a stepper's verbs: releases held nodes, waits until nothing runs, and reads the result."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langgraph.pregel import Pregel
from langgraph.types import Command

from openmanus_graph.checkpoints.history.values import values_at
from openmanus_graph.errors import UsageError
from openmanus_graph.events import Event
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.stepping.answering import answer_to, deliver
from openmanus_graph.stepping.background import BackgroundRun
from openmanus_graph.stepping.branch_selection import (
    chosen,
    in_order,
    note_statuses,
    statuses,
    subtask_name,
    why_nothing,
)
from openmanus_graph.stepping.breakpoints import Breakpoints, KnownNames
from openmanus_graph.stepping.hold_point import GatedNode, HoldPoint, hold_all
from openmanus_graph.stepping.idle_branches import head_of, waiting
from openmanus_graph.stepping.problem import failure, stop_text
from openmanus_graph.stepping.record import StoredThread, read_record
from openmanus_graph.stepping.rerun_target import step_to_rerun
from openmanus_graph.stepping.steppable import known_names
from openmanus_graph.stepping.thread_reading import ThreadReading
from openmanus_graph.stepping.travel import Edits, destination, fork_of, fork_text, forked
from openmanus_graph.stepping.view import Branch, Problem, Reason, Stop

KEPT_EVENTS = 2000
"""Events that `events` holds, the newest."""


class Driver:
    """One thread under a stepper, with the run of it if there is one.

    What a stepper's verb awaits gives the `Stop` at which it ends; what goes wrong in it is raised, or is the `error`
    of that stop if it went wrong in the run.
    """

    def __init__(
        self,
        app: Pregel[Any, Any, Any, Any],
        thread_id: str,
        given: Any,
        configurable: Mapping[str, Any],
        on_change: Callable[[], None],
    ) -> None:
        """Take a thread; nothing is read and nothing runs.

        Args:
            app: Its compiled graph, whose nodes pass the gate.
            thread_id: The thread.
            given: The input of the run that begins next, if one does.
            configurable: More of the config.
            on_change: Called whenever what is shown may have changed.
        """
        self.app = app
        self.thread_id = thread_id
        self.threads = [thread_id]
        """The threads that it has been on, the present one last."""
        self.input = given
        """What the next run is to be given; `None` once it was."""
        self.cursor: int | None = None
        """The point that is looked at; `None`: the head."""
        self.past: dict[str, Any] | None = None
        """The values there; `None` at the head."""
        self.events: list[Event] = []
        """The newest events of the run, oldest first."""
        self.breakpoints = Breakpoints(self._known_names)
        self.hold_point = HoldPoint()
        self.hold_point.on_change = on_change
        self.reading = ThreadReading()
        self._on_change = on_change
        self._configurable = configurable
        self._run: BackgroundRun | None = None
        self._given: Any = None
        self._overlay: Mapping[str, Any] = {}
        self._branches_at_stop: list[Branch] = []
        self._statuses: dict[str, str] = {}
        self._current: tuple[str, str] | None = None
        self._branched: str | None = None
        self._pausing = False
        self.last = self.stop("ready", text=f"The thread {thread_id!r} is being read.")
        """Where the last verb ended."""

    @property
    def record(self) -> StoredThread:
        """The thread as it was last read."""
        return self.reading.record

    @property
    def live(self) -> bool:
        """Whether a run of this process has the thread."""
        return self._run is not None and self._run.live

    @property
    def state(self) -> dict[str, Any]:
        """The values at the cursor; at the head with the results of a dispatch that has not ended."""
        return self.past if self.past is not None else {**self.record.values, **self._overlay}

    @property
    def branches(self) -> list[Branch]:
        """The branches of the run; without one, those that the thread goes on with."""
        return self._live_branches() if self.live else self._branches_at_stop

    @property
    def status(self) -> str:
        """`new`, `running`, `standing`, `waiting`, or how the thread ended."""
        if self.live:
            return "standing" if self.hold_point.quiet else "running"
        if not self.record.exists:
            return "new"
        return "standing" if self.record.status in ("paused", "stopped") else self.record.status

    @property
    def subtasks(self) -> dict[str, str]:
        """The status of each subtask of the plan."""
        if self.past is not None:
            return statuses(self.record.plan, self.past)
        known = statuses(self.record.plan, self.state, self.record.ended) | self._statuses
        return known | {branch["name"]: branch["status"] for branch in self.branches if branch["name"] in known}

    @property
    def _standing(self) -> list[GatedNode]:
        """The nodes that stand, in the order in which `step()` takes them."""
        return in_order(self.hold_point.standing, self.record.plan)

    @property
    def _was_cut(self) -> bool:
        """Whether the last run ended in the midst of a step: a node raised, or its process died."""
        if self.live or not self.record.goes_on:
            return False
        return self.record.status == "stopped" if self._run is None else self._run.error is not None

    # What the verbs do.

    async def refresh(self) -> Stop:
        """Read the thread again.

        Raises:
            ThreadBusyError: If another process runs it.
        """
        await self.read()
        if not self.live:
            self.record.refuse_busy(self.thread_id)
        return self.stop("ready")

    async def go(self, subtask: str | None, act: Callable[[GatedNode], None], *, current: bool = False) -> Stop:
        """Let something go, and wait until nothing runs.

        Args:
            subtask: Only in this subtask.
            act: Lets it go, given the node that is next.
            current: Whether the branch that was stepped last comes first.
        """
        stop = await self._stand()
        if stop is not None:
            return stop
        node = chosen(self._standing, subtask, self._current if current else None, self._branched)
        if node is None:
            text = why_nothing(subtask, self.record, self.subtasks)
            return self.stop("waiting" if self.record.questions else "error", text=text)
        self._current, self._branched, self.breakpoints.trouble = (node.namespace, node.node), None, ""
        act(node)
        self._on_change()
        await self.hold_point.until_quiet()
        return await self._settled(node)

    def hold(self) -> None:
        """Let each branch stop before its next node."""
        self._pausing = self.live and not self.hold_point.quiet
        self.hold_point.hold_from_now()

    async def pause(self) -> Stop:
        """Wait until what runs has come to its end, after `hold()`."""
        if not self.live:
            return self.stop("paused", text="Nothing runs.")
        await self.hold_point.until_quiet()
        return await self._settled(None) if self.last["reason"] != "paused" else self.last

    async def move(self, point: int | str | None, steps: int) -> Stop:
        """Move the cursor.

        Args:
            point: Where to, as `Stepper.goto` takes it.
            steps: How many points further instead; 0: `point` says it.
        """
        saver = fork_of(self.app, "Going back")
        if not self.reading.history.moments:
            raise UsageError("Nothing of the thread is stored yet, so there is no point to go to.")
        points = [moment.point for moment in self.reading.history.moments]
        there = await destination(saver, points, self.cursor, point, steps)
        at_head = there is points[-1]
        self.cursor = None if at_head else there.number
        self.past = None if at_head else await values_at(saver, there)
        return self.stop("moved")

    async def fork(self, edits: Edits, *, at: int | None = None) -> Stop:
        """Go on in a fork.

        Args:
            edits: What is to be different in it.
            at: The number of the point to fork at; `None`: the cursor.
        """
        await self.park()
        source, cursor = self.thread_id, self.cursor if at is None else at
        fork = await forked(self.app, self.thread_id, self.record, cursor, edits)
        self.thread_id = fork.thread_id
        self.threads.append(fork.thread_id)
        self.hold_point.forget()
        self.reading.restart()
        self.cursor, self.past, self.input, self._run = None, None, fork.given, None
        self._current, self._branched = None, fork.subtask
        await self.read()
        self._overlay = fork.overlay
        return self.stop("forked", text=fork_text(fork, source, cursor))

    async def answer(self, value: Any, interrupt: str | None) -> Stop:
        """Answer an open question, and begin the run that takes the answer up.

        Args:
            value: The answer.
            interrupt: Which question is meant, as `Stepper.answer` takes it.
        """
        self.reading.record = await read_record(self.app, self.thread_id)
        question, answer = answer_to(self.record.questions, value, interrupt)
        if isinstance(self.app, DurableGraph):
            self.app.check_answer(question, answer, str(self.record.values.get("workspace") or "") or None)
        given = await deliver(self.app, self.thread_id, question, answer, value)
        if self.record.runner is not None and not self.live:
            return self.stop("ready", text=f"The answer is with {self.record.runner}, which runs the thread.")
        await self.park()
        self.reading.record = await read_record(self.app, self.thread_id)
        self._start(given)
        await self.hold_point.until_quiet()
        return await self._settled(None)

    async def rerun(self, subtask: str | None, values: Mapping[str, Any] | None) -> Stop:
        """Run the last step again.

        Args:
            subtask: The last step of this subtask.
            values: What is to be different in the state before it.
        """
        at, failed = self.cursor, self.hold_point.failed
        cut = at is None and self._was_cut
        points = [moment.point for moment in self.reading.history.moments if at is None or moment.point.number <= at]
        if not points:
            if values or not cut:
                fork_of(self.app, "Running a step again")
            return await self._first(None)
        if at is None and not values and self._branched is not None:  # nothing has run since something was changed
            return await self._first(subtask)
        error = self.last["error"]
        last = error["subtask"] if error else subtask_name(self._current)
        last = points[-1].subtask or "" if at is not None else last if not cut else failed and failed.subtask
        target = step_to_rerun(points, self.record, subtask=subtask, last=last, cut=cut)
        if target.committed or values:
            await self.fork(Edits(values=values), at=target.before)
        return await self._first(target.subtask or None)

    async def park(self) -> None:
        """Let the thread go: nodes that run finish, none begins."""
        if self._run is not None and self._run.live:
            await self._run.park()
            self.reading.record = await read_record(self.app, self.thread_id)

    async def interrupt(self) -> None:
        """End the run at once: whoever waited for it no longer does."""
        self.hold_point.hold_from_now()
        if self._run is not None:
            await self._run.cancel()

    async def read(self) -> None:
        """Read what is stored of the thread."""
        await self.reading.read(self.app, self.thread_id, self._run, self.hold_point)
        self._branches_at_stop = self._live_branches() if self.live else head_of(self.record)

    def stop(
        self, reason: Reason, *, text: str = "", node: GatedNode | None = None, problem: Problem | None = None
    ) -> Stop:
        """Build the stop at which a verb ends.

        Args:
            reason: Why.
            text: It in a line; by default it follows from the rest.
            node: The node that it is about.
            problem: What went wrong.
        """
        standing = [f"{gated.subtask} {gated.node}".strip() for gated in self._standing] if self.live else []
        stop = Stop(
            reason=reason,
            text=text,
            thread_id=self.thread_id,
            branch=None if node is None else node.subtask,
            node="" if node is None else node.node,
            standing=standing,
            questions=self.record.questions,
            error=problem,
        )
        if not text:
            asking = node is not None and self.hold_point.asks(node)
            stop["text"] = stop_text(stop, self.record, self.cursor, asking=asking)
        return stop

    # The run.

    async def _stand(self) -> Stop | None:
        """Have a run whose branches stand; `None` if there is one now."""
        if self.cursor is not None:
            await self.fork(Edits())
        if self.live:
            await self.hold_point.until_quiet()
        if self.live:
            return None
        self.reading.record = await read_record(self.app, self.thread_id)
        self.record.refuse_busy(self.thread_id)
        if self.record.over and self.input is None:
            return self.stop("finished")
        if not self.record.exists and self.input is None:
            raise UsageError(
                f"There is no thread {self.thread_id!r} yet, and no input to begin it with.",
                hint='Give one: Stepper(app, input={"task": "..."}, thread_id=...)',
            )
        self._start(None if self.record.goes_on else self.input)
        await self.hold_point.until_quiet()
        return None if self.live and self.hold_point.standing else await self._settled(None)

    def _start(self, given: Any) -> None:
        """Begin a run that holds every node."""
        if isinstance(self.input, Command):
            given = self.input
        fresh = given is not None and given is self.input
        self.hold_point.open(begun=self.record.reentered, asking=self.record.asking, fresh=fresh)
        configurable = {**self._configurable, "thread_id": self.thread_id}
        self._run = BackgroundRun(self.app, given, configurable, self.hold_point, self._take_event)
        self._given, self.input, self._overlay = given, None, {}

    async def _settled(self, node: GatedNode | None) -> Stop:
        """The stop where nothing runs any more, after a node was let go or a run begun."""
        if self._run is not None and not self.hold_point.places:
            await self._run.ended()
        before = self.record
        await self.read()
        self._statuses.clear()
        self.reading.mark_stop(self.hold_point.standing)
        ended_by = None if self._run is None or self._run.live else self._run.error
        problem = failure(
            ended_by, self.thread_id, before, self.record, self.hold_point.failed or node, self.breakpoints.trouble
        )
        if ended_by is not None and not self.record.exists:
            self.input = self._given  # nothing was begun
        pausing, self._pausing = self._pausing, False
        hit = self.hold_point.hit if self.live else None
        if self.live:
            reason: Reason = hit[1] if hit else "paused" if pausing else "step"
        elif ended_by is not None:
            reason = "error"
        else:
            reason = "waiting" if self.record.questions else "finished" if self.record.over else "paused"
        return self.stop(reason, node=hit[0] if hit else node, problem=problem)

    async def _first(self, subtask: str | None) -> Stop:
        """One step, of the node that raised if that stands again."""
        if self.hold_point.failed is not None:
            self._current = (self.hold_point.failed.namespace, self.hold_point.failed.node)
        return await self.go(subtask, lambda node: self.hold_point.let_go(node, hold_all), current=True)

    def _live_branches(self) -> list[Branch]:
        branches = [node.branch() for node in in_order(self.hold_point.places, self.record.plan)]
        return branches + waiting(self.record)

    def _known_names(self) -> KnownNames:
        return known_names(self.app, self.record.plan, self.input)

    def _take_event(self, event: Event) -> None:
        self.events.append(event)
        del self.events[:-KEPT_EVENTS]
        note_statuses(self._statuses, event)
        self._on_change()
