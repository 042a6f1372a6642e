"""Stepper: drives a durable run like a debugger, one step of one branch at a time.

The run under it is an ordinary one in the background of the same event loop; its nodes stand on a `Stage` until a verb
lets them go. A process killed there loses nothing, since nothing has run, and a stepper that is left alone lets the
thread go, so that another process may resume it.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from langgraph.types import Command

from openmanus_graph.checkpoints.history.history import Growth
from openmanus_graph.checkpoints.history.values import values_at
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import UsageError
from openmanus_graph.events import Event
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.plan import Plan
from openmanus_graph.questions import Question
from openmanus_graph.stepping.answering import answer_to, deliver
from openmanus_graph.stepping.background import BackgroundRun
from openmanus_graph.stepping.branch_selection import chosen, in_order, statuses, subtask_name, tell, why_nothing
from openmanus_graph.stepping.breakpoints import Breakpoints, Condition, KnownNames
from openmanus_graph.stepping.command import Verb
from openmanus_graph.stepping.difference import Side, difference
from openmanus_graph.stepping.hold_point import GatedNode, HoldPoint, hold_all
from openmanus_graph.stepping.idle_branches import head_of, waiting
from openmanus_graph.stepping.problem import failure, problem_of, stop_text
from openmanus_graph.stepping.record import StoredThread, read_history, read_record, read_standing
from openmanus_graph.stepping.rerun_target import step_to_rerun
from openmanus_graph.stepping.steppable import AnyGraph, Granularity, known_names, steppable
from openmanus_graph.stepping.table import history_of, table_of
from openmanus_graph.stepping.travel import Edits, checked_plan, destination, fork_of, forked
from openmanus_graph.stepping.view import Branch, Difference, HistoryItem, Problem, Reason, Row, Stop

IDLE_S = 30.0
"""Seconds after which a stepper that nobody uses lets the thread go."""
KEPT_EVENTS = 2000
"""Events that `events` holds, the newest."""


class Stepper:
    """Steps through a graph on a thread.

    Every verb (`step`, `next`, `out`, `run`, `run_to`, `pause`, `back`, `goto`, `edit`, `answer`, `rerun`, `refresh`,
    `close`) begins at once, is done in order, and can be awaited for the `Stop` at which it ends. What goes wrong in
    the run comes as `Stop.error`, never as an exception. Cancelling the wait, as an interrupt of a notebook's kernel
    does, ends the run; the thread is intact, and the step in flight runs again.
    """

    granularity: Granularity
    """`node`: branches stop before each of their nodes, also those of subtasks, and go on independently.
    `super-step`: a graph that knows nothing of this package; the nodes of one super-step are let go one by one, and the
    next ones come when all of them have run. What is inside one of its nodes runs in one step."""

    def __init__(
        self,
        app: AnyGraph,
        *,
        thread_id: str,
        input: Any = None,
        configurable: Mapping[str, Any] | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        """Open a thread; nothing runs.

        Args:
            app: A compiled graph with a checkpointer, of this package or any other.
            thread_id: The thread. A known one is taken up where it stands.
            input: What a new thread, or the next request of an ended one, begins with. A thread that has not ended
                goes on with its own.
            configurable: More of the config, such as `max_parallel`.
            idle_s: Seconds after which a stepper that nobody uses lets the thread go.

        Raises:
            UsageError: If the graph has no checkpointer; the hint says how to add one.
        """
        self.app, self.granularity = steppable(app)
        self.thread_id = thread_id
        """The thread; `edit` and going on from the past change it to the fork."""
        self.threads: list[str] = [thread_id]
        """The threads that this stepper has been on, the present one last."""
        self.input = input
        """What the next run is to be given; `None` once it was."""
        self.cursor: int | None = None
        """The point that is looked at, as in `history`; `None`: the head."""
        self.events: list[Event] = []
        """The newest events of the run, oldest first."""
        self.breakpoints = Breakpoints(self._known)
        """Where `run`, `run_to`, `next` and `out` stop on their way: `breakpoints.add("tool:bash", when=...)`."""
        self._configurable = dict(configurable or {})
        self._idle_s = idle_s
        self._prepare()
        self._opening: Verb | None = None
        self.last: Stop = self._stop("ready", text=f"The thread {thread_id!r} is being read.")
        """Where the last verb ended."""
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            self._opening = self.refresh()

    def _prepare(self) -> None:
        """Know nothing yet."""
        self._stage = HoldPoint()
        self._stage.on_change = self._changed
        self._run: BackgroundRun | None = None
        self._record = StoredThread()
        self._history = Growth()
        self._grown: BackgroundRun | None = None
        self._past: dict[str, Any] | None = None
        self._overlay: Mapping[str, Any] = {}
        self._states: dict[str, dict[str, Any]] = {}
        self._before: Side = ({}, {})
        self._base: Side = ({}, {})
        self._shown: list[Branch] = []
        self._told: dict[str, str] = {}
        self._current: tuple[str, str] | None = None
        self._branched: str | None = None
        self._opened = False
        self._given: Any = None
        self._pausing = False
        self._turn = asyncio.Lock()
        self._watchers: list[Callable[[], None]] = []
        self._idle: asyncio.TimerHandle | None = None
        self._parking: asyncio.Task[None] | None = None

    def __await__(self) -> Any:
        """`await Stepper(...)` gives the stepper once the thread has been read."""
        return self._open().__await__()

    async def _open(self) -> Stepper:
        await (self._opening or self.refresh())
        return self

    async def __aenter__(self) -> Stepper:
        return await self._open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def state(self) -> dict[str, Any]:
        """The values at the cursor; at the head with the results of a dispatch that has not ended."""
        if self._past is not None:
            return self._past
        return {**self._record.values, **self._overlay}

    @property
    def branches(self) -> list[Branch]:
        """The places where the run stands, runs or waits for a person; `step()` takes the first that stands."""
        return self._shown if not self._live else self._branches()

    @property
    def questions(self) -> list[Question]:
        """What persons are asked."""
        return self._record.questions

    @property
    def plan(self) -> Plan | None:
        """The plan being executed; `None` without one."""
        return self._record.plan

    @property
    def status(self) -> str:
        """`new`, `running` (something runs now), `standing`, `waiting`, or how the thread ended."""
        if self._live:
            return "standing" if self._stage.quiet else "running"
        if not self._record.exists:
            return "new"
        return "standing" if self._record.status in ("paused", "stopped") else self._record.status

    @property
    def subtasks(self) -> dict[str, str]:
        """The status of each subtask of the plan: `pending`, `next`, `running`, `waiting`, or how it ended."""
        if self._past is not None:
            return statuses(self.plan, self._past)
        found = statuses(self.plan, self.state, self._record.ended) | self._told
        return found | {one["name"]: one["status"] for one in self.branches if one["name"] in found}

    @property
    def error(self) -> Problem | None:
        """What went wrong last, with what can be done about it."""
        return self.last["error"]

    def diff(self) -> Difference:
        """What changed since the last stop."""
        return difference(self._before, (self._record.values, self._states))

    @property
    def history(self) -> list[HistoryItem]:
        """Every point of the thread, oldest first, with the threads forked off there."""
        return history_of(self._history.moments, self.cursor)

    @property
    def table(self) -> list[Row]:
        """Every step: node, subtask, status, attempt, seconds, tokens and cost; what stands comes last."""
        return table_of(self._history.moments, self._stage.ran, self.branches, self._record)

    def on_change(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call a function whenever what is shown may have changed, also while the run goes on.

        Returns:
            What ends that.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def refresh(self) -> Verb:
        """Read the thread again; nothing runs."""
        return self._verb(self._refreshed)

    def step(self, subtask: str | None = None) -> Verb:
        """Run one node, of the branch that is next, and stop before its next one.

        Args:
            subtask: Only in this subtask.
        """
        return self._verb(lambda: self._go(subtask, lambda place: self._stage.let_go(place, hold_all)))

    def next(self, subtask: str | None = None) -> Verb:
        """Run one node with all that is inside of it, such as the dispatcher with its subtasks.

        Args:
            subtask: Only in this subtask.
        """

        def act(place: GatedNode) -> None:
            inside = place.path
            self._stage.let_go(place, self.breakpoints.within(lambda one: one.is_in(inside)))

        return self._verb(lambda: self._go(subtask, act))

    def out(self, subtask: str | None = None) -> Verb:
        """Run to the end of the subtask that was stepped last; outside of subtasks, to the end of the run.

        Args:
            subtask: Of this subtask.
        """

        def act(place: GatedNode) -> None:
            inside = place.namespace
            decide = self.breakpoints.within(lambda one: not inside or one.is_in(inside))
            self._stage.let_all_go(decide, inside)

        return self._verb(lambda: self._go(subtask, act, current=True))

    def run(self) -> Verb:
        """Run all branches until a breakpoint, a question or the end."""
        decide = self.breakpoints.within(lambda _: True)
        return self._verb(lambda: self._go(None, lambda _: self._stage.let_all_go(decide)))

    def run_to(self, target: str | Condition) -> Verb:
        """Run all branches until one is to enter a place; breakpoints stop it on the way.

        Args:
            target: A node, `tool:NAME`, `subtask:ID`, or a function of the state that a node is given.
        """

        async def work() -> Stop:
            decide = self.breakpoints.towards(target)
            return await self._go(None, lambda _: self._stage.let_all_go(decide))

        return self._verb(work)

    def pause(self) -> Verb:
        """Stop each branch before its next node; what runs comes to its end."""
        self._pausing = self._live and not self._stage.quiet
        self._stage.hold_from_now()
        return self._verb(self._paused)

    def back(self, steps: int = 1) -> Verb:
        """Move the cursor to the point before; nothing runs, and a step from there makes a fork.

        Args:
            steps: How many points.
        """
        return self._verb(lambda: self._moved(None, -steps))

    def goto(self, point: int | str | None) -> Verb:
        """Move the cursor; nothing runs, and a step from there makes a fork.

        Args:
            point: A number of `history`, the beginning of a checkpoint's id, `SUBTASK:STEP`, or `None` or `head` for
                where the thread goes on.
        """
        return self._verb(lambda: self._moved(point, 0))

    def edit(
        self,
        *,
        plan: Plan | Mapping[str, Any] | None = None,
        results: Mapping[str, Any] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> Verb:
        """Go on in a fork of the thread at the cursor with something changed; nothing runs.

        Args:
            plan: A plan to go on with; what it leaves unchanged is kept.
            results: Outputs by subtask id, in place of what they gave or will give.
            values: Values of the state by path.
        """

        async def work() -> Stop:
            checked = None if plan is None else checked_plan(self.app, plan)
            if checked is None and not results and not values:
                raise UsageError("Nothing is to be changed.", hint="Give plan=, results= or values=.")
            return await self._forked(Edits(checked, results, values))

        return self._verb(work)

    def answer(self, value: Any, interrupt: str | None = None) -> Verb:
        """Answer an open question; the node that asked goes on with it, and its branch stands after it.

        Args:
            value: The answer: words, or for an approval `True`, `False`, or as on the command line.
            interrupt: The question's id or its beginning, or its subtask; needed when several are open.
        """
        return self._verb(lambda: self._answered(value, interrupt))

    def rerun(self, subtask: str | None = None, *, values: Mapping[str, Any] | None = None) -> Verb:
        """Run the last step again: one that failed in its thread, one that was committed in a fork before it.

        Args:
            subtask: The last step of this subtask; by default the one that failed, else the one that was stepped last,
                and from an earlier point the step that led to it.
            values: What is to be different in the state before it, by path, as `edit` takes them; always in a fork.
        """
        return self._verb(lambda: self._again(subtask, values))

    def close(self) -> Verb:
        """Let the thread go; another process can resume it, and so can the next verb."""

        async def work() -> Stop:
            await self._park()
            return self.last

        return self._verb(work, keep=True)

    @property
    def _standing(self) -> list[GatedNode]:
        """The nodes that stand, in the order in which `step()` takes them."""
        return in_order(self._stage.standing, self.plan)

    @property
    def _was_cut(self) -> bool:
        """Whether the last run ended in the midst of a step: a node raised, or its process died."""
        if self._live or not self._record.next:
            return False
        return self._record.status == "stopped" if self._run is None else self._run.error is not None

    @property
    def _live(self) -> bool:
        return self._run is not None and self._run.live

    def _verb(self, work: Callable[[], Awaitable[Stop]], *, keep: bool = False) -> Verb:
        return Verb(self._in_turn(work, keep=keep), self._interrupted)

    async def _in_turn(self, work: Callable[[], Awaitable[Stop]], *, keep: bool) -> Stop:
        """Do one thing after the other; failures become stops."""
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
            try:
                if not self._opened:
                    await self._read()
                stop = await work()
            except Exception as error:  # noqa: BLE001 - shown to the person, with what can be done
                stop = self._stop("error", problem=problem_of(error, self.thread_id))
            if not keep:
                self.last = stop
            if self._live:
                self._idle = asyncio.get_running_loop().call_later(self._idle_s, self.close)
            self._changed()
            return stop

    async def _interrupted(self) -> None:
        """End the run at once: whoever waited for it no longer does."""
        self._stage.hold_from_now()
        if self._run is not None:
            await self._run.cancel()

    async def _park(self) -> None:
        if self._run is not None and self._run.live:
            await self._run.park()
            self._record = await read_record(self.app, self.thread_id)

    async def _read(self) -> None:
        """Read what is stored; of a run that stands, only what it has added."""
        app, saver, known = self.app, self.app.checkpointer, self._record
        if self._live and isinstance(app, DurableGraph) and isinstance(saver, ThreadSaver):
            new = None
            if self._grown is self._run:
                new = await self._history.follow(saver, self.thread_id, self._stage.asking)
            self._record = await read_standing(app, saver, self.thread_id, known, self._stage.asked, new)
            read = new is not None
        else:
            self._record, read = await read_record(app, self.thread_id), False
        if not read:
            self._history = await read_history(app, self.thread_id, self._history) if self._record.exists else Growth()
            self._grown = self._run if self._live else None
        self._shown = self._branches() if self._live else head_of(self._record)
        if not self._opened:
            self._before = self._base = (self._record.values, {})
        self._opened = True

    async def _refreshed(self) -> Stop:
        await self._read()
        if not self._live:
            self._record.refuse_busy(self.thread_id)
        return self._stop("ready")

    async def _go(self, subtask: str | None, act: Callable[[GatedNode], None], *, current: bool = False) -> Stop:
        """Let something go, and wait until nothing runs."""
        stop = await self._stand()
        if stop is not None:
            return stop
        place = chosen(self._standing, subtask, self._current if current else None, self._branched)
        if place is None:
            text = why_nothing(subtask, self._record, self.subtasks)
            return self._stop("waiting" if self.questions else "error", text=text)
        self._current, self._branched, self.breakpoints.trouble = (place.namespace, place.node), None, ""
        act(place)
        self._changed()
        await self._stage.until_quiet()
        return await self._settled(place)

    async def _stand(self) -> Stop | None:
        """Have a run whose branches stand; `None` if there is one now."""
        if self.cursor is not None:
            await self._forked(Edits())
        if self._live:
            await self._stage.until_quiet()
        if self._live:
            return None
        self._record = await read_record(self.app, self.thread_id)
        self._record.refuse_busy(self.thread_id)
        if self._record.over and self.input is None:
            return self._stop("finished")
        if not self._record.exists and self.input is None:
            raise UsageError(
                f"There is no thread {self.thread_id!r} yet, and no input to begin it with.",
                hint='Give one: Stepper(app, input={"task": "..."}, thread_id=...)',
            )
        self._start(None if self._record.next else self.input)
        await self._stage.until_quiet()
        return None if self._live and self._stage.standing else await self._settled(None)

    def _start(self, given: Any) -> None:
        """Begin a run that holds every node."""
        if isinstance(self.input, Command):
            given = self.input
        fresh = given is not None and given is self.input
        self._stage.open(begun=self._record.reentered, asking=self._record.asking, fresh=fresh)
        configurable = {**self._configurable, "thread_id": self.thread_id}
        self._run = BackgroundRun(self.app, given, configurable, self._stage, self._heard)
        self._given, self.input, self._overlay = given, None, {}

    async def _settled(self, place: GatedNode | None) -> Stop:
        """Where the run stands now that nothing runs."""
        if self._run is not None and not self._stage.places:
            await self._run.ended()
        before = self._record
        await self._read()
        self._told.clear()
        for one in self._stage.standing:
            if one.subtask:
                known = {key: value for key, value in one.state.items() if key != "call"}
                self._states[one.subtask] = {**self._states.get(one.subtask, {}), **known}
        self._before, self._base = self._base, (self._record.values, dict(self._states))
        ended_by = None if self._run is None or self._run.live else self._run.error
        problem = failure(
            ended_by, self.thread_id, before, self._record, self._stage.failed or place, self.breakpoints.trouble
        )
        if ended_by is not None and not self._record.exists:
            self.input = self._given  # nothing was begun
        pausing, self._pausing = self._pausing, False
        if self._live:
            reason: Reason = self._stage.hit[1] if self._stage.hit else "paused" if pausing else "step"
        elif ended_by is not None:
            reason = "error"
        else:
            reason = "waiting" if self.questions else "finished" if self._record.over else "paused"
        at = self._stage.hit[0] if self._live and self._stage.hit else place
        return self._stop(reason, place=at, problem=problem)

    async def _paused(self) -> Stop:
        if not self._live:
            return self._stop("paused", text="Nothing runs.")
        await self._stage.until_quiet()
        return await self._settled(None) if self.last["reason"] != "paused" else self.last

    async def _moved(self, point: int | str | None, steps: int) -> Stop:
        saver = fork_of(self.app, "Going back")
        if not self._history.moments:
            raise UsageError("Nothing of the thread is stored yet, so there is no point to go to.")
        points = [one.point for one in self._history.moments]
        there = await destination(saver, points, self.cursor, point, steps)
        at_head = there is points[-1]
        self.cursor = None if at_head else there.number
        self._past = None if at_head else await values_at(saver, there)
        return self._stop("moved")

    async def _forked(self, edits: Edits, *, at: int | None = None) -> Stop:
        """Go on in a fork, at the cursor or at another point."""
        await self._park()
        source, cursor = self.thread_id, self.cursor if at is None else at
        fork = await forked(self.app, self.thread_id, self._record, cursor, edits)
        self.thread_id = fork.thread_id
        self.threads.append(fork.thread_id)
        self._stage.forget()
        self.cursor, self._past, self.input, self._run = None, None, fork.given, None
        self._states, self._history, self._current, self._branched = {}, Growth(), None, fork.subtask
        await self._read()
        self._overlay = fork.overlay
        self._before = self._base = (self._record.values, {})
        where = f"{source}@{cursor}" if cursor is not None else f"{source}, where that stands"
        text = f"The thread {self.thread_id} goes on from {where}; {source} stays as it is."
        if fork.missing:
            text += f" Not there, because their contents were not kept: {', '.join(fork.missing[:5])}."
        return self._stop("forked", text=text)

    async def _answered(self, value: Any, interrupt: str | None) -> Stop:
        self._record = await read_record(self.app, self.thread_id)
        question, answer = answer_to(self._record.questions, value, interrupt)
        given = await deliver(self.app, self.thread_id, question, answer, value)
        if self._record.runner is not None and not self._live:
            return self._stop("ready", text=f"The answer is with {self._record.runner}, which runs the thread.")
        await self._park()
        self._record = await read_record(self.app, self.thread_id)
        self._start(given)
        await self._stage.until_quiet()
        return await self._settled(None)

    async def _again(self, subtask: str | None, values: Mapping[str, Any] | None) -> Stop:
        at, failed = self.cursor, self._stage.failed
        cut = at is None and self._was_cut
        points = [one.point for one in self._history.moments if at is None or one.point.number <= at]
        if not points:
            if values or not cut:
                fork_of(self.app, "Running a step again")
            return await self._first(None)
        if at is None and not values and self._branched is not None:  # nothing has run since something was changed
            return await self._first(subtask)
        last = self.error["subtask"] if self.error else subtask_name(self._current)
        last = points[-1].subtask or "" if at is not None else last if not cut else failed and failed.subtask
        again = step_to_rerun(points, self._record, subtask=subtask, last=last, cut=cut)
        if again.committed or values:
            await self._forked(Edits(values=values), at=again.before)
        return await self._first(again.subtask or None)

    async def _first(self, subtask: str | None) -> Stop:
        """One step, of the node that raised if that stands again."""
        if self._stage.failed is not None:
            self._current = (self._stage.failed.namespace, self._stage.failed.node)
        return await self._go(subtask, lambda place: self._stage.let_go(place, hold_all), current=True)

    def _branches(self) -> list[Branch]:
        shown = [place.branch() for place in in_order(self._stage.places, self.plan)]
        return shown + waiting(self._record)

    def _known(self) -> KnownNames:
        return known_names(self.app, self.plan, self.input)

    def _heard(self, event: Event) -> None:
        self.events.append(event)
        del self.events[:-KEPT_EVENTS]
        tell(self._told, event)
        self._changed()

    def _changed(self) -> None:
        for watcher in list(self._watchers):
            watcher()

    def _stop(
        self, reason: Reason, *, text: str = "", place: GatedNode | None = None, problem: Problem | None = None
    ) -> Stop:
        standing = [f"{one.subtask} {one.node}".strip() for one in self._standing] if self._live else []
        stop = Stop(
            reason=reason,
            text=text,
            thread_id=self.thread_id,
            branch=None if place is None else place.subtask,
            node="" if place is None else place.node,
            standing=standing,
            questions=self.questions,
            error=problem,
        )
        if not text:
            asking = place is not None and self._stage.asks(place)
            stop["text"] = stop_text(stop, self._record, self.cursor, asking=asking)
        return stop
