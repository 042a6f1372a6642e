"""Stepper: drives a durable run like a debugger, one step of one branch at a time.

The run under it is an ordinary one in the background of the same event loop; its nodes wait at a `HoldPoint` until a
verb releases them. A process killed there loses nothing, since nothing has run, and a stepper that is left alone lets
the thread go, so that another process may resume it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from openmanus_graph.errors import UsageError
from openmanus_graph.plan import Plan
from openmanus_graph.questions import Question
from openmanus_graph.stepping.breakpoints import Condition
from openmanus_graph.stepping.command import Verb
from openmanus_graph.stepping.driver import Driver
from openmanus_graph.stepping.hold_point import GatedNode, HoldPoint, hold_all
from openmanus_graph.stepping.problem import problem_of
from openmanus_graph.stepping.steppable import AnyGraph, Granularity, steppable
from openmanus_graph.stepping.table import history_of, table_of
from openmanus_graph.stepping.travel import Edits, checked_plan
from openmanus_graph.stepping.view import Branch, Difference, HistoryItem, Problem, Row, Stop

IDLE_S = 30.0
"""Seconds after which a stepper that nobody uses lets the thread go."""


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
        self._driver = Driver(self.app, thread_id, input, dict(configurable or {}), self._changed)
        self.threads = self._driver.threads
        """The threads that this stepper has been on, the present one last."""
        self.events = self._driver.events
        """The newest events of the run, oldest first."""
        self.breakpoints = self._driver.breakpoints
        """Where `run`, `run_to`, `next` and `out` stop on their way: `breakpoints.add("tool:bash", when=...)`."""
        self._watchers: list[Callable[[], None]] = []
        self._turn = asyncio.Lock()
        self._idle_s = idle_s
        self._idle: asyncio.TimerHandle | None = None
        self._opening: Verb | None = None
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            self._opening = self.refresh()

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
    def thread_id(self) -> str:
        """The thread; `edit` and going on from the past change it to the fork."""
        return self._driver.thread_id

    @property
    def input(self) -> Any:
        """What the next run is to be given; `None` once it was."""
        return self._driver.input

    @input.setter
    def input(self, given: Any) -> None:
        self._driver.input = given

    @property
    def cursor(self) -> int | None:
        """The point that is looked at, as in `history`; `None`: the head."""
        return self._driver.cursor

    @property
    def last(self) -> Stop:
        """Where the last verb ended."""
        return self._driver.last

    @property
    def state(self) -> dict[str, Any]:
        """The values at the cursor; at the head with the results of a dispatch that has not ended."""
        return self._driver.state

    @property
    def branches(self) -> list[Branch]:
        """The places where the run stands, runs or waits for a person; `step()` takes the first that stands."""
        return self._driver.branches

    @property
    def questions(self) -> list[Question]:
        """What persons are asked."""
        return self._driver.record.questions

    @property
    def plan(self) -> Plan | None:
        """The plan being executed; `None` without one."""
        return self._driver.record.plan

    @property
    def status(self) -> str:
        """`new`, `running` (something runs now), `standing`, `waiting`, or how the thread ended."""
        return self._driver.status

    @property
    def subtasks(self) -> dict[str, str]:
        """The status of each subtask of the plan: `pending`, `next`, `running`, `waiting`, or how it ended."""
        return self._driver.subtasks

    @property
    def error(self) -> Problem | None:
        """What went wrong last, with what can be done about it."""
        return self.last["error"]

    def diff(self) -> Difference:
        """What changed since the last stop."""
        return self._driver.reading.changes()

    @property
    def history(self) -> list[HistoryItem]:
        """Every point of the thread, oldest first, with the threads forked off there."""
        return history_of(self._driver.reading.history.moments, self.cursor)

    @property
    def table(self) -> list[Row]:
        """Every step: node, subtask, status, attempt, seconds, tokens and cost; what stands comes last."""
        driver = self._driver
        return table_of(driver.reading.history.moments, driver.hold_point.ran, self.branches, driver.record)

    def on_change(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call a function whenever what is shown may have changed, also while the run goes on.

        Returns:
            What ends that.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def refresh(self) -> Verb:
        """Read the thread again; nothing runs."""
        return self._verb(self._driver.refresh)

    def step(self, subtask: str | None = None) -> Verb:
        """Run one node, of the branch that is next, and stop before its next one.

        Args:
            subtask: Only in this subtask.
        """
        return self._verb(lambda: self._driver.go(subtask, lambda node: self._hold_point.let_go(node, hold_all)))

    def next(self, subtask: str | None = None) -> Verb:
        """Run one node with all that is inside of it, such as the dispatcher with its subtasks.

        Args:
            subtask: Only in this subtask.
        """

        def act(node: GatedNode) -> None:
            inside = node.path
            self._hold_point.let_go(node, self.breakpoints.within(lambda arriving: arriving.is_in(inside)))

        return self._verb(lambda: self._driver.go(subtask, act))

    def out(self, subtask: str | None = None) -> Verb:
        """Run to the end of the subtask that was stepped last; outside of subtasks, to the end of the run.

        Args:
            subtask: Of this subtask.
        """

        def act(node: GatedNode) -> None:
            inside = node.namespace
            decide = self.breakpoints.within(lambda arriving: not inside or arriving.is_in(inside))
            self._hold_point.let_all_go(decide, inside)

        return self._verb(lambda: self._driver.go(subtask, act, current=True))

    def run(self) -> Verb:
        """Run all branches until a breakpoint, a question or the end."""
        decide = self.breakpoints.within(lambda _: True)
        return self._verb(lambda: self._driver.go(None, lambda _: self._hold_point.let_all_go(decide)))

    def run_to(self, target: str | Condition) -> Verb:
        """Run all branches until one is to enter a place; breakpoints stop it on the way.

        Args:
            target: A node, `tool:NAME`, `subtask:ID`, or a function of the state that a node is given.
        """

        async def work() -> Stop:
            decide = self.breakpoints.towards(target)
            return await self._driver.go(None, lambda _: self._hold_point.let_all_go(decide))

        return self._verb(work)

    def pause(self) -> Verb:
        """Stop each branch before its next node; what runs comes to its end."""
        self._driver.hold()
        return self._verb(self._driver.pause)

    def back(self, steps: int = 1) -> Verb:
        """Move the cursor to the point before; nothing runs, and a step from there makes a fork.

        Args:
            steps: How many points.
        """
        return self._verb(lambda: self._driver.move(None, -steps))

    def goto(self, point: int | str | None) -> Verb:
        """Move the cursor; nothing runs, and a step from there makes a fork.

        Args:
            point: A number of `history`, the beginning of a checkpoint's id, `SUBTASK:STEP`, or `None` or `head` for
                where the thread goes on.
        """
        return self._verb(lambda: self._driver.move(point, 0))

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
            return await self._driver.fork(Edits(checked, results, values))

        return self._verb(work)

    def answer(self, value: Any, interrupt: str | None = None) -> Verb:
        """Answer an open question; the node that asked goes on with it, and its branch stands after it.

        Args:
            value: The answer: words, or for an approval `True`, `False`, or as on the command line.
            interrupt: The question's id or its beginning, or its subtask; needed when several are open.
        """
        return self._verb(lambda: self._driver.answer(value, interrupt))

    def rerun(self, subtask: str | None = None, *, values: Mapping[str, Any] | None = None) -> Verb:
        """Run the last step again: one that failed in its thread, one that was committed in a fork before it.

        Args:
            subtask: The last step of this subtask; by default the one that failed, else the one that was stepped last,
                and from an earlier point the step that led to it.
            values: What is to be different in the state before it, by path, as `edit` takes them; always in a fork.
        """
        return self._verb(lambda: self._driver.rerun(subtask, values))

    def close(self) -> Verb:
        """Let the thread go; another process can resume it, and so can the next verb."""

        async def work() -> Stop:
            await self._driver.park()
            return self.last

        return self._verb(work, keep=True)

    @property
    def _hold_point(self) -> HoldPoint:
        return self._driver.hold_point

    def _verb(self, work: Callable[[], Awaitable[Stop]], *, keep: bool = False) -> Verb:
        return Verb(self._in_turn(work, keep=keep), self._driver.interrupt)

    async def _in_turn(self, work: Callable[[], Awaitable[Stop]], *, keep: bool) -> Stop:
        """Do one thing after the other; failures become stops."""
        driver = self._driver
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
            try:
                if not driver.reading.was_read:
                    await driver.read()
                stop = await work()
            except Exception as error:  # noqa: BLE001 - shown to the person, with what can be done
                stop = driver.stop("error", problem=problem_of(error, self.thread_id))
            if not keep:
                driver.last = stop
            if driver.live:
                self._idle = asyncio.get_running_loop().call_later(self._idle_s, self.close)
            self._changed()
            return stop

    def _changed(self) -> None:
        for watcher in list(self._watchers):
            watcher()
