"""Standing: whether a thread has ended, has work, waits or cannot be read, and with which nodes it goes on.

It is asked wherever somebody wants to go on with a thread or to say how. LangGraph's `snapshot.next` does not tell:
it leaves out tasks whose writes are stored, so it is empty too where a run was cut off between those writes and the
checkpoint that takes them up.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.pregel import Pregel

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.answered import answered_ids
from openmanus_graph.checkpoints.pending_input import input_is_due
from openmanus_graph.checkpoints.progress import ended_tasks, questions_in
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.serializer import stand_ins
from openmanus_graph.checkpoints.thread_position import pulled_nodes, sent_nodes
from openmanus_graph.checkpoints.threads import Thread, stored_fingerprint
from openmanus_graph.errors import DamagedValueError, ThreadUnreadableError, UsageError
from openmanus_graph.langgraph_internals import INTERRUPT, NULL_TASK, RESUME, pulled_node, send_index
from openmanus_graph.questions import Question

StandingKind = Literal["ended", "has work", "waits", "unreadable", "empty"]
"""`has work`: a resume runs or records something; `waits`: every task that is left asks a person; `unreadable`: its
newest checkpoint cannot be read; `empty`: neither a checkpoint nor an input is stored."""


@dataclass(frozen=True)
class Standing:
    """Where a thread stands."""

    kind: StandingKind
    """What a resume would find."""
    begun: bool = True
    """Whether any checkpoint is stored."""
    nodes: tuple[str, ...] = ()
    """The nodes that run next, in the graph's order; those that ask are among them."""
    recorded: tuple[str, ...] = ()
    """Nodes of the same step that have run: their writes are stored, and are taken up when the step is complete."""
    questions: tuple[Question, ...] = ()
    """What is asked."""
    input_due: bool = False
    """Whether the run was cut off before a checkpoint had its input, which is stored and comes first."""
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The state at its newest checkpoint, without messages and without writes stored after it."""
    step: int = -1
    """The step that comes next."""
    error: ThreadUnreadableError | DamagedValueError | None = None
    """Why it cannot be read."""

    @property
    def goes_on(self) -> bool:
        """Whether a run without an input has something to do."""
        return self.kind in ("has work", "waits")

    def refuse(self, thread_id: str) -> None:
        """Raise where nothing can be gone on with.

        Raises:
            ThreadUnreadableError: If its newest checkpoint cannot be read.
            DamagedValueError: If that is encrypted and damaged.
            UsageError: If nothing of it is stored.
        """
        if self.error is not None:
            raise self.error
        if self.kind == "empty":
            raise UsageError(
                f"Nothing of the thread {thread_id!r} was stored before it stopped, not even its input.",
                hint=f"Remove it, then start it again: {shell_commands.delete_thread(thread_id)}",
            )

    @property
    def text(self) -> str:
        """The standing in a sentence, for people."""
        if self.kind == "unreadable" and self.error is not None:
            return self.error.message
        if self.kind == "empty":
            return "Nothing of it was stored, not even its input."
        if self.input_due:
            return (
                "It has not begun yet; its input is stored." if not self.begun else "Its newest input is to be taken."
            )
        if self.kind == "ended":
            return "It ran to its end."
        if not self.nodes:
            return f"What {_listed(self.recorded)} did is stored and comes next." if self.recorded else "It goes on."
        verb = "waits for an answer in" if self.kind == "waits" else "goes on with"
        return f"It {verb} {_listed(self.nodes)}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


async def standing_of(saver: ThreadSaver, thread: Thread, graph: Pregel[Any, Any, Any, Any] | None = None) -> Standing:
    """Where a thread stands, by its row, its newest checkpoint and the writes stored after that.

    Args:
        saver: The store.
        thread: The thread.
        graph: Its compiled graph, which says what is due as it is now; without it, the structure stored with the
            thread does.
    """
    place: Any = {"configurable": {"thread_id": thread.thread_id, "checkpoint_ns": ""}}
    try:
        with stand_ins():
            root = await saver.aget_tuple(place)
    except (ThreadUnreadableError, DamagedValueError) as error:
        return Standing("unreadable", error=error)
    if root is None:
        due = await input_is_due(saver, thread.thread_id)
        return Standing("has work" if due else "empty", begun=False, input_due=due)
    found = Standing("ended", values=root.checkpoint["channel_values"], step=int(root.metadata.get("step", -2)) + 1)
    if thread.finished:
        return found
    if await input_is_due(saver, thread.thread_id):
        return replace(found, kind="has work", input_due=True)
    answered = await answered_ids(saver, thread.thread_id) if questions_in(root) else set[str]()
    if graph is None:
        tasks = await _tasks_in_rows(saver, thread.thread_id, root, answered)
    else:
        tasks = await _tasks(graph, root, answered)
    return _with_tasks(found, root, tasks, answered)


def _with_tasks(ended: Standing, root: CheckpointTuple, tasks: Sequence[_Task], answered: Collection[str]) -> Standing:
    """The standing of a thread that goes on with these tasks, if there are any."""
    writes = root.pending_writes or []
    left = [task for task in tasks if not task.ended]
    recorded = tuple(task.node for task in tasks if task.ended)
    edited = any(task == NULL_TASK and channel != RESUME for task, channel, _ in writes)
    if not tasks and not edited:
        return ended
    waits = bool(left) and all(task.asks for task in left) and not edited
    questions = tuple(questions_in(root, answered)) if left else ()
    nodes = tuple(task.node for task in left)
    return replace(ended, kind="waits" if waits else "has work", nodes=nodes, recorded=recorded, questions=questions)


@dataclass(frozen=True)
class _Task:
    """A task of the step after a checkpoint."""

    node: str
    ended: bool
    """Whether what it wrote is stored."""
    asks: bool
    """Whether it has stopped with a question."""


def _asking(root: CheckpointTuple, answered: Collection[str]) -> set[str]:
    asked = ((task, value) for task, channel, value in root.pending_writes or [] if channel == INTERRUPT)
    open_ones = {task for task, value in asked if any(item.id not in answered for item in value)}
    return open_ones - ended_tasks(root)


async def _tasks(graph: Pregel[Any, Any, Any, Any], root: CheckpointTuple, answered: Collection[str]) -> list[_Task]:
    """The tasks of the next step, as LangGraph prepares them.

    The checkpoint is named: of an unnamed newest one LangGraph would show the state with the stored writes, whose
    merging may be just what failed.
    """
    snapshot = await graph.aget_state(root.config)
    ended, asking = ended_tasks(root), _asking(root, answered)
    return [_Task(task.name, task.id in ended, task.id in asking) for task in snapshot.tasks]


async def _tasks_in_rows(
    saver: ThreadSaver, thread_id: str, root: CheckpointTuple, answered: Collection[str]
) -> list[_Task]:
    """The tasks of the next step by the structure stored with the thread and the paths of those that wrote."""
    _, fingerprint = await stored_fingerprint(saver, thread_id)
    structure = (fingerprint or {}).get("graph") or {}
    paths = await saver.task_paths(thread_id, "", str(root.checkpoint["id"]))
    ended, asking = (
        {_place(paths.get(task, "")) for task in tasks} for tasks in (ended_tasks(root), _asking(root, answered))
    )
    places = [*enumerate(sent_nodes(root)), *((node, node) for node in dict.fromkeys(pulled_nodes(root, structure)))]
    return [_Task(node, place in ended, place in asking) for place, node in places]


def _place(path: str) -> str | int | None:
    """What a task's path says of its start: the node, or the number of the `Send`."""
    return pulled_node(path) or send_index(path)
