"""Progress: the subtasks and questions of a thread, read from its checkpoints, whether or not it runs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, cast

from langgraph.checkpoint.base import WRITES_IDX_MAP, CheckpointTuple
from langgraph.types import Interrupt

from openmanus_graph.checkpoints.answered import answered_ids
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.serializer import stand_ins
from openmanus_graph.errors import PlanError
from openmanus_graph.langgraph_internals import INTERRUPT, RETURN, call_in
from openmanus_graph.namespaces import SUBTASKS, SubtaskTask, dispatched
from openmanus_graph.plan import Plan, Subtask
from openmanus_graph.questions import Question, question_of
from openmanus_graph.state import SubtaskResult, SubtaskStatus


@dataclass(frozen=True)
class SubtaskProgress:
    """How far one subtask is."""

    subtask: Subtask
    """Its definition."""
    status: SubtaskStatus
    """What it is now."""
    result: SubtaskResult | None
    """Its committed end, if it has one."""


async def _root(saver: ThreadSaver, thread_id: str) -> CheckpointTuple | None:
    with stand_ins():
        return await saver.aget_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}})


async def state_values(saver: ThreadSaver, thread_id: str) -> dict[str, Any]:
    """The values of the thread's newest checkpoint that need no graph to be read; messages are not among them."""
    root = await _root(saver, thread_id)
    return dict(root.checkpoint["channel_values"]) if root else {}


def ended_tasks(stored: CheckpointTuple) -> set[str]:
    """Ids of the tasks that have ended after a checkpoint: what they wrote is stored, and they do not run again."""
    return {task for task, channel, _ in stored.pending_writes or [] if channel not in WRITES_IDX_MAP}


def questions_in(root: CheckpointTuple | None, answered_before: Collection[str] = ()) -> list[Question]:
    """The questions that are open after a thread's newest checkpoint.

    Args:
        root: The checkpoint.
        answered_before: Ids of questions whose answer is stored although their task has not ended.
    """
    if root is None:
        return []
    ended = ended_tasks(root)
    raised: dict[str, Interrupt] = {}
    answered = set(answered_before)
    # The dispatcher's own write comes first: it has the questions in plan order.
    for task, channel, value in sorted(root.pending_writes or [], key=_fewer_interrupts):
        if channel == INTERRUPT:
            interrupts = {item.id: item for item in cast("list[Interrupt]", value)}
            raised |= interrupts
            answered |= interrupts.keys() if task in ended else set()
    return [question_of(item) for key, item in raised.items() if key not in answered]


def _fewer_interrupts(write: tuple[str, str, Any]) -> int:
    return -len(write[2]) if write[1] == INTERRUPT else 0


async def open_questions(saver: ThreadSaver, thread_id: str) -> list[Question]:
    """The questions a thread waits for, also while other branches of it still run or after they were killed."""
    root = await _root(saver, thread_id)
    return questions_in(root, await answered_ids(saver, thread_id) if questions_in(root) else ())


async def asked_at(saver: ThreadSaver, thread_id: str, checkpoint_id: str) -> set[str]:
    """The ids of all questions that were asked at a checkpoint of the thread, answered or not."""
    place = {"thread_id": thread_id, "checkpoint_ns": "", "checkpoint_id": checkpoint_id}
    stored = await saver.aget_tuple({"configurable": place})
    writes = (stored.pending_writes if stored else None) or []
    asked = [value for _, channel, value in writes if channel == INTERRUPT]
    return {item.id for value in asked for item in cast("list[Interrupt]", value)}


async def committed_results(saver: ThreadSaver, thread_id: str) -> dict[str, SubtaskResult]:
    """Results that subtask graphs have stored, by task name, of all rounds, in one query."""
    results = await saver.latest_values(thread_id, SUBTASKS, "result")
    tasks = ((dispatched(namespace), result) for namespace, result in results.items() if result is not None)
    return {task.name: result for task, result in tasks if task is not None}


@dataclass(frozen=True)
class AskingCall:
    """A call of the dispatcher that has asked and is not known to be over."""

    task_id: str
    """Under which its question is stored."""
    path: str
    """Its path."""


async def asking_calls(
    saver: ThreadSaver, thread_id: str, namespace: str, checkpoint_id: str
) -> dict[str, list[AskingCall]]:
    """The calls that have asked at a checkpoint, by the id of their subtask, whatever made them and in which process.

    Args:
        saver: The store.
        thread_id: The thread.
        namespace: Of the graph that has the dispatcher.
        checkpoint_id: Its checkpoint.
    """
    async with saver.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT task_id, task_path, type, blob FROM checkpoint_writes w WHERE thread_id = %(thread)s"
                " AND checkpoint_ns = %(ns)s AND checkpoint_id = %(id)s AND channel = %(asked)s AND NOT EXISTS ("
                " SELECT FROM checkpoint_writes o WHERE o.thread_id = w.thread_id AND o.checkpoint_ns = w.checkpoint_ns"
                " AND o.checkpoint_id = w.checkpoint_id AND o.task_id = w.task_id AND o.channel = %(over)s)",
                {"thread": thread_id, "ns": namespace, "id": checkpoint_id, "asked": INTERRUPT, "over": RETURN},
            )
        ).fetchall()
    found: dict[str, list[AskingCall]] = {}
    for row in rows:
        if call_in(row["task_path"]) is None:  # the dispatcher itself, which has the questions of all
            continue
        asked = cast("list[Interrupt]", saver.load(INTERRUPT, str(row["type"]), row["blob"], in_writes=True))
        for name in {question_of(one)["subtask"] for one in asked}:
            found.setdefault(str(name), []).append(AskingCall(str(row["task_id"]), str(row["task_path"])))
    return found


def plan_in(values: Any) -> Plan | None:
    """The plan that a state holds; `None` if there is none, as where a user's own graph calls something else so."""
    given = cast("dict[str, Any]", values).get("plan") if isinstance(values, dict) else None
    try:
        return Plan.parse(cast("Any", given)) if isinstance(given, dict) and given else None
    except PlanError:
        return None


def progress_in(values: Any) -> dict[str, int] | None:
    """Progress of a state whose plan was run, for lists: `done` and `total` subtasks; `None` if it holds no plan."""
    plan = plan_in(values)
    if plan is None:
        return None
    results: dict[str, Any] = values.get("results") or {}
    return {"done": sum(str(subtask.id) in results for subtask in plan.subtasks), "total": len(plan.subtasks)}


async def subtask_progress(
    saver: ThreadSaver, thread_id: str, *, live: bool, known: Plan | None = None
) -> list[SubtaskProgress]:
    """How far every subtask of the thread's plan is, in plan order.

    Args:
        saver: The store.
        thread_id: The thread.
        live: Whether a runner holds the thread, so that what has begun counts as running.
        known: The thread's plan, where it need not be read and validated again.
    """
    root = await _root(saver, thread_id)
    values: dict[str, Any] = root.checkpoint["channel_values"] if root else {}
    plan = known or plan_in(values)
    if plan is None:
        return []
    results: dict[str, SubtaskResult] = values.get("results") or {}
    committed = await committed_results(saver, thread_id)
    begun = await saver.latest_values(thread_id, SUBTASKS, "subtask")
    waiting = {question["subtask"] for question in questions_in(root)}
    number = int(values.get("round") or 0) + 1
    definitions = plan.definition_hashes()
    progress: list[SubtaskProgress] = []
    for subtask in plan.subtasks:
        definition = definitions[subtask.id]
        task = SubtaskTask(subtask.id, definition, number)
        old = results.get(subtask.id)
        result = committed.get(task.name) or (old if old and old["definition"] == definition else None)
        status: SubtaskStatus = "pending"
        if result is not None:
            status = result["status"]
        elif subtask.id in waiting:
            status = "waiting"
        elif live and task.namespace in begun:
            status = "running"
        progress.append(SubtaskProgress(subtask, status, result))
    return _with_blocked(plan, progress)


def _with_blocked(plan: Plan, progress: list[SubtaskProgress]) -> list[SubtaskProgress]:
    """Mark subtasks that can no longer start as blocked, also while the rest of the plan still goes on."""
    status = {item.subtask.id: item.status for item in progress}
    for subtask in plan.in_order():
        stopped = any(status[need] in ("failed", "blocked", "skipped") for need in plan.prerequisites(subtask))
        if stopped and status[subtask.id] == "pending":
            status[subtask.id] = "blocked"
    return [replace(item, status=status[item.subtask.id]) for item in progress]


async def results_so_far(saver: ThreadSaver, thread_id: str, known: Plan | None = None) -> dict[str, SubtaskResult]:
    """The results that subtasks of the thread's plan have, by subtask id, also while others wait or run."""
    progress = await subtask_progress(saver, thread_id, live=False, known=known)
    return {str(item.subtask.id): item.result for item in progress if item.result is not None}
