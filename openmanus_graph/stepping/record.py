"""Record: reads a thread at its newest checkpoint for a stepper, and runs nothing."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langgraph.checkpoint.serde.types import INTERRUPT
from langgraph.pregel import Pregel

from openmanus_graph.checkpoints.history.checkpoint_ref import Point
from openmanus_graph.checkpoints.history.history import Growth
from openmanus_graph.checkpoints.lease import describe_runner
from openmanus_graph.checkpoints.progress import committed_results, ended_tasks, plan_in
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import get_thread
from openmanus_graph.errors import ThreadBusyError
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.namespaces import DISPATCHER, LEVEL, SUBTASKS, SubtaskTask, dispatched, home_of, task_of
from openmanus_graph.plan import Plan
from openmanus_graph.questions import Question, question_of
from openmanus_graph.state import SubtaskResult

STORING_TRIES, STORING_S = 50, 0.02
"""How often, and every how many seconds, is looked for a question that was asked a moment ago."""
FEW = 4
"""Up to so many subtasks are read one by one; beyond that all are read at once."""


@dataclass
class StoredThread:
    """A thread at its newest checkpoint."""

    exists: bool = False
    """Whether anything of it is stored."""
    status: str = "new"
    """The thread's status; `new` as long as nothing is stored."""
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    """The state; results of a dispatch that has not ended are among its `results`."""
    next: tuple[str, ...] = ()
    """The nodes that run next."""
    stands: str = ""
    """Where it stands, in a sentence."""
    goes_on: bool = False
    """Whether a run without an input has something to do; also where only stored writes are to be taken up."""
    questions: list[Question] = field(default_factory=list[Question])
    """What it asks."""
    plan: Plan | None = None
    """The plan it executes."""
    asking: set[str] = field(default_factory=set[str])
    """LangGraph's ids of the tasks that ask them."""
    begun: set[str] = field(default_factory=set[str])
    """Subtasks of the dispatch at hand that have begun."""
    runner: str | None = None
    """Who runs it, since when, in words; `None`: nobody."""
    error: str | None = None
    """What ended its last run, if it did not end by itself."""
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Subtasks of the dispatch at hand by the names of their tasks."""
    ended: set[str] | None = None
    """Subtasks that have ended in the dispatch at hand; `None` outside of one."""

    @property
    def round(self) -> int:
        """The number of the dispatch at hand."""
        task = task_of(next(iter(self.names), ""))
        return task.round if task else 0

    def refuse_busy(self, thread_id: str) -> None:
        """Raise if somebody else runs the thread.

        Raises:
            ThreadBusyError: Who, and since when.
        """
        if self.runner is not None:
            raise ThreadBusyError(
                f"The thread {thread_id!r} is already running: {self.runner} holds it.",
                hint="Wait for it or stop that process; then refresh().",
            )

    @property
    def over(self) -> bool:
        """Whether nothing is left to run."""
        return self.exists and not self.goes_on

    @property
    def reentered(self) -> set[str]:
        """Nodes that had been let go and have not finished: the dispatcher, once a subtask of its has begun."""
        return {DISPATCHER} if self.begun else set()


async def read_record(app: Pregel[Any, Any, Any, Any], thread_id: str) -> StoredThread:
    """Read a thread.

    Args:
        app: Its compiled graph.
        thread_id: The thread; it need not exist.
    """
    if not isinstance(app, DurableGraph) or not isinstance(app.checkpointer, ThreadSaver):
        return await _foreign(app, thread_id)
    saver = app.checkpointer
    thread = await get_thread(saver, thread_id)
    if thread is None:
        return StoredThread()
    standing = await app.standing(thread)
    if standing.kind == "empty" and thread.status != "running":  # refused before anything was stored
        return StoredThread(error=thread.error)
    if standing.error is not None:
        raise standing.error
    snapshot = await app.snapshot(thread_id)
    values = dict(cast("Mapping[str, Any]", snapshot.values or {}))
    plan = plan_in(values)
    goes_on = standing.goes_on or thread.status == "running"
    record = StoredThread(True, str(thread.status), values, standing.nodes, standing.text, goes_on, [], plan)
    record.error = thread.error
    if thread.status == "running":
        record.runner = describe_runner(thread.runner, thread.runner_since)
    if plan is not None and DISPATCHER in record.next:
        await _add_dispatch(saver, thread_id, record, plan)
    if record.next:
        await _add_questions(saver, thread_id, record, await app.questions(thread_id))
    return record


async def read_standing(
    app: DurableGraph,
    saver: ThreadSaver,
    thread_id: str,
    known: StoredThread,
    asked: Collection[str],
    new: Collection[Point] | None = None,
) -> StoredThread:
    """Read what a step can have changed of a thread that this process runs and whose branches are held.

    Args:
        app: Its compiled graph.
        saver: Where it is kept.
        thread_id: The thread.
        known: What was read before.
        asked: Questions that its nodes have asked in this run.
        new: The points that have come since; `None` if that is not known.
    """
    if new is None or any(not point.namespace for point in new):
        snapshot = await app.snapshot(thread_id)
        values, following = dict(cast("Mapping[str, Any]", snapshot.values or {})), tuple(snapshot.next)
        homes = None
    else:
        values, following = dict(known.values), known.next
        homes = {home for point in new if (home := home_of(point.namespace))}
    record = StoredThread(True, "running", values, following, goes_on=True)
    same = bool(values.get("plan")) and (homes is not None or values.get("plan") == known.values.get("plan"))
    record.plan, record.names = (known.plan, known.names) if same else (plan_in(values), {})
    if record.plan is not None and DISPATCHER in following:
        _add_results(record, record.plan, await _committed(saver, thread_id, homes))
        if homes is not None and record.ended is not None:
            record.ended |= known.ended or set()
    if asked or known.questions:
        await _add_questions(saver, thread_id, record, await _questions(app, thread_id, asked), asked)
    return record


def _task_in(namespace: str) -> str:
    """The name of the task that the thread's own graph dispatched; empty outside of any."""
    task = dispatched(namespace)
    return task.name if task else ""


async def _committed(saver: ThreadSaver, thread_id: str, homes: Collection[str] | None) -> Mapping[str, SubtaskResult]:
    """Results of the subtasks at these namespaces, or of all, by the names of their tasks."""
    if homes is None or len(homes) > FEW:
        return await committed_results(saver, thread_id)
    results: dict[str, SubtaskResult] = {}
    for home in homes:
        values = await saver.latest_values(thread_id, home, "result")
        if values.get(home) is not None:
            results[_task_in(home)] = values[home]
    return results


async def _questions(app: DurableGraph, thread_id: str, asked: Collection[str]) -> list[Question]:
    """The open questions, once all that were asked are stored: LangGraph stores them behind the run."""
    for _ in range(STORING_TRIES):
        questions = await app.questions(thread_id)
        if set(asked) <= {question["id"] for question in questions}:
            return questions
        await asyncio.sleep(STORING_S)
    return await app.questions(thread_id)


async def _add_questions(
    saver: ThreadSaver, thread_id: str, record: StoredThread, questions: Sequence[Question], asked: Collection[str] = ()
) -> None:
    """Add the questions that are open.

    LangGraph keeps one among those of the graph until the whole subtask has ended; whether it was answered is told by
    the subtask's own newest checkpoint.
    """
    homes = {subtask: f"{DISPATCHER}{LEVEL}{name}" for name, subtask in record.names.items()}
    tasks: dict[str, dict[str, str]] = {}
    for home in dict.fromkeys(homes.get(question["subtask"], "") for question in questions):
        tasks[home] = await _asking(saver, thread_id, home)
    for question in questions:
        known = tasks[homes.get(question["subtask"], "")]
        if question["id"] in known or question["id"] in asked:
            record.questions.append(question)
            record.asking |= {known[question["id"]]} if question["id"] in known else set()


async def _asking(saver: ThreadSaver, thread_id: str, namespace: str) -> dict[str, str]:
    """The open questions of a graph's newest checkpoint, each with the task that asks."""
    config: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}}
    newest = await saver.aget_tuple(config)
    if newest is None:
        return {}
    ended = ended_tasks(newest)
    return {
        interrupt.id: task
        for task, channel, value in newest.pending_writes or []
        if channel == INTERRUPT and task not in ended
        for interrupt in value
    }


async def _add_dispatch(saver: ThreadSaver, thread_id: str, record: StoredThread, plan: Plan) -> None:
    """Add results and begun subtasks of the dispatch at hand."""
    names = _add_results(record, plan, await committed_results(saver, thread_id))
    begun = await saver.latest_values(thread_id, SUBTASKS, "subtask")
    record.begun = {names[key] for name in begun if (key := _task_in(name)) in names}


def _add_results(record: StoredThread, plan: Plan, committed: Mapping[str, SubtaskResult]) -> Mapping[str, str]:
    """Add the results of the dispatch at hand; return its subtasks by the names of their tasks."""
    number = int(record.values.get("round") or 0) + 1
    if not record.names or number != record.round:
        definitions = plan.definition_hashes()
        record.names = {
            SubtaskTask(subtask.id, definitions[subtask.id], number).name: str(subtask.id) for subtask in plan.subtasks
        }
    results = {record.names[name]: result for name, result in committed.items() if name in record.names}
    record.ended = set(results)
    if results:
        record.values["results"] = {**(record.values.get("results") or {}), **results}
    return record.names


async def _foreign(app: Pregel[Any, Any, Any, Any], thread_id: str) -> StoredThread:
    snapshot = await app.aget_state(cast("Any", {"configurable": {"thread_id": thread_id}}))
    if not snapshot.created_at:
        return StoredThread()
    values = snapshot.values if isinstance(snapshot.values, dict) else {"output": snapshot.values}
    asked = [question_of(interrupt) for interrupt in snapshot.interrupts]
    status = "waiting" if asked else "paused" if snapshot.tasks else "completed"
    asking = {task.id for task in snapshot.tasks if task.interrupts}
    left = tuple(snapshot.next), "", bool(snapshot.tasks)
    return StoredThread(True, status, cast("dict[str, Any]", values), *left, asked, asking=asking)


async def read_history(app: Pregel[Any, Any, Any, Any], thread_id: str, known: Growth) -> Growth:
    """Points of a thread in a saver of ours, oldest first.

    Args:
        app: Its compiled graph.
        thread_id: The thread, which exists.
        known: What was read of it before.
    """
    if not isinstance(app.checkpointer, ThreadSaver):
        return Growth()
    return await Growth.read(app.checkpointer, thread_id, known=known.moments)
