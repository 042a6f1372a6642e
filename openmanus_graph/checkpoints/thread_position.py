"""Thread position: the next nodes, the channels and the tool calls of a thread, read from its rows without its graph.

It is asked for when the graph has changed, so it goes by what LangGraph stores and not by what a graph would make of
that: a node that is gone would simply not be run, in silence.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.types import Overwrite, Send

from openmanus_graph.checkpoints.progress import committed_results, plan_in
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.langgraph_internals import JOIN, SENDS, START_CHANNEL, TO_NODE, DeltaSnapshot, is_inner
from openmanus_graph.namespaces import SubtaskTask, innermost_subtask, levels_of, subtask_at, task_of


@dataclass(frozen=True)
class Use:
    """One call of a tool by the thread."""

    tool: str
    """The tool."""
    args: Mapping[str, Any]
    """Its arguments."""
    open: bool
    """Whether it is still to be made."""
    by: str
    """Who makes it, in words."""


@dataclass
class Level:
    """The newest checkpoint of the graph, or of one that runs inside it."""

    namespace: str
    """Where it is; empty for the graph itself."""
    due: set[str] = field(default_factory=set[str])
    """Nodes that are next."""
    channels: dict[str, Any] = field(default_factory=dict[str, Any])
    """Non-empty channels with their values; delta channels count as non-empty, value unknown."""
    uses: list[Use] = field(default_factory=list[Use])
    """Calls of tools in its messages."""

    @property
    def path(self) -> tuple[str, ...]:
        """The nodes and tasks it is inside of."""
        return levels_of(self.namespace)


class Unknown:
    """A value that is held and was not read."""


UNKNOWN = Unknown()


@dataclass
class ThreadPosition:
    """The position of a thread: its levels and its plan."""

    levels: list[Level]
    """The graph itself first; empty if it has no checkpoint."""
    plan: dict[str, Any] | None = None
    """The plan that goes on, as it is stored."""


async def position_of(
    saver: ThreadSaver, thread_id: str, fingerprint: Mapping[str, Any], *, going_on: bool
) -> ThreadPosition:
    """The position of a thread.

    Args:
        saver: The store.
        thread_id: The thread.
        fingerprint: That of the graph that ran it last; it says which channels are stored as changes, and which nodes
            are started in unusual ways.
        going_on: Whether what was begun goes on; a new input drops it.
    """
    root = await _tuple(saver, thread_id, "")
    if root is None:
        return ThreadPosition([])
    structure: Mapping[str, Any] = fingerprint.get("graph") or {}
    values = root.checkpoint["channel_values"]
    plan = cast("dict[str, Any] | None", values.get("plan")) if isinstance(values.get("plan"), dict) else None
    levels = [await _level(saver, thread_id, "", root, structure, going_on=going_on)]
    if going_on:
        live = await _live(saver, thread_id, str(root.checkpoint["id"]), await _open_tasks(saver, thread_id, values))
        for namespace in live:
            stored = await _tuple(saver, thread_id, namespace)
            if stored is not None:
                inner = structure_at(structure, namespace)
                levels.append(await _level(saver, thread_id, namespace, stored, inner or {}, going_on=True))
    return ThreadPosition(levels, plan)


def structure_at(structure: Mapping[str, Any], namespace: str) -> Mapping[str, Any] | None:
    """The structure that a fingerprint has of the graph in a namespace; `None` if it knows none there."""
    graph: Mapping[str, Any] | None = structure
    for name in levels_of(namespace):
        if task_of(name) is not None:  # a task of the dispatcher, whose graph is the dispatcher's
            continue
        node = cast("Mapping[str, Any] | None", (graph or {}).get("nodes", {}).get(name))
        if node is None:
            return None
        graph = cast("Mapping[str, Any] | None", node.get("graph"))
    return graph


async def _tuple(saver: ThreadSaver, thread_id: str, namespace: str) -> CheckpointTuple | None:
    return await saver.aget_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}})


async def _open_tasks(saver: ThreadSaver, thread_id: str, values: Mapping[str, Any]) -> set[str]:
    """The names of the subtasks of the present plan that have no result yet."""
    plan = plan_in(dict(values))
    if plan is None:
        return set()
    ended = await committed_results(saver, thread_id)
    number = int(values.get("round") or 0) + 1
    hashes = plan.definition_hashes()
    names = {SubtaskTask(subtask.id, hashes[subtask.id], number).name for subtask in plan.subtasks}
    return names - ended.keys()


_NEWEST = """
SELECT DISTINCT ON (checkpoint_ns) checkpoint_ns, checkpoint_id, coalesce(metadata -> 'parents', '{}') AS parents
FROM checkpoints WHERE thread_id = %s AND checkpoint_ns <> '' ORDER BY checkpoint_ns, checkpoint_id DESC
"""


async def _live(saver: ThreadSaver, thread_id: str, root: str, tasks: Collection[str]) -> list[str]:
    """Namespaces of graphs that go on: those called from the newest checkpoint of a graph that goes on itself."""
    async with saver.connection() as connection:
        rows = await (await connection.execute(_NEWEST, (thread_id,))).fetchall()
    newest = {"": root}
    for row in sorted(rows, key=lambda row: str(row["checkpoint_ns"]).count("|")):
        namespace, parents = str(row["checkpoint_ns"]), cast("dict[str, str]", row["parents"])
        task = subtask_at(namespace)
        if task is not None:  # it goes on wherever the dispatcher is, as long as it has no result
            live = task.name in tasks
        else:
            # Tasks are among the parents, too; only graphs have checkpoints of their own.
            graphs = (name for name in parents if not name or namespace.startswith(f"{name}|"))
            around = max(graphs, key=len, default=None)
            live = around is not None and newest.get(around) == parents[around]
        if live:
            newest[namespace] = str(row["checkpoint_id"])
    return [namespace for namespace in newest if namespace]


async def _level(
    saver: ThreadSaver,
    thread_id: str,
    namespace: str,
    stored: CheckpointTuple,
    structure: Mapping[str, Any],
    *,
    going_on: bool,
) -> Level:
    level = Level(namespace)
    checkpoint = stored.checkpoint
    known = cast("Mapping[str, Any]", structure.get("channels") or {})
    growing = [name for name, channel in known.items() if channel["kind"] == "DeltaChannel"]
    for name, value in checkpoint["channel_values"].items():
        if not is_inner(name) and value not in (None, "", [], {}, set()):
            level.channels[name] = value
    for name in growing:
        if name in checkpoint["channel_versions"]:
            level.channels[name] = UNKNOWN
    if not going_on:
        return level
    level.due = {*sent_nodes(stored), *pulled_nodes(stored, structure), *_following(stored)} - {START_CHANNEL}
    for _, channel, value in stored.pending_writes or []:
        if not is_inner(channel) and value is not None:
            level.channels.setdefault(channel, UNKNOWN)
    if level.due:
        values: list[Any] = [*checkpoint["channel_values"].values()]
        values += await _grown(saver, thread_id, namespace, str(checkpoint["id"]), growing)
        level.uses = list(_uses(values, _who(namespace)))
    return level


def sent_nodes(stored: CheckpointTuple) -> list[str]:
    """The nodes that `Send`s in a checkpoint start, in the order that the paths of their tasks count."""
    return list(_sent(stored.checkpoint["channel_values"].get(SENDS)))


def pulled_nodes(stored: CheckpointTuple, structure: Mapping[str, Any]) -> Iterator[str]:
    """Nodes that edges of the step after a checkpoint start, whether or not they have run since; some may come twice.

    Args:
        stored: The checkpoint.
        structure: The structure of its graph, as a fingerprint has it; without one, only edges are known.
    """
    checkpoint = stored.checkpoint
    versions, seen = checkpoint["channel_versions"], checkpoint["versions_seen"]
    values = checkpoint["channel_values"]

    def starts(channel: str, node: str) -> bool:
        version = versions.get(channel)
        before = seen.get(node, {}).get(channel)
        newer = version is not None and (before is None or cast("Any", version) > before)
        return newer and channel in values and _is_available(channel, values[channel])

    if starts(START_CHANNEL, START_CHANNEL):
        yield START_CHANNEL
    for channel in values:
        node = channel.rpartition(":")[2] if channel.startswith(JOIN) else channel.removeprefix(TO_NODE)
        if node != channel and starts(channel, node):
            yield node
    nodes = cast("Mapping[str, Mapping[str, Any]]", structure.get("nodes") or {})
    for node, facts in nodes.items():
        if any(starts(channel, node) for channel in facts.get("triggers", ())):
            yield node


def _is_available(channel: str, value: Any) -> bool:
    """Whether a channel that starts nodes does so with a value: a join once all are there, a deferred one at the end.

    A join's name has those that it waits for, and its value those that have come.
    """
    finished = True
    if channel.startswith((JOIN, TO_NODE)) and isinstance(value, (list, tuple)):
        pair = cast("Sequence[Any]", value)
        if len(pair) == 2 and isinstance(pair[1], bool):
            value, finished = pair
    if not channel.startswith(JOIN):
        return finished
    awaited = channel.removeprefix(JOIN).rpartition(":")[0]
    return finished and len(awaited) == len("+".join(map(str, cast("Collection[Any]", value))))


def _sent(sends: Any) -> Iterator[str]:
    """Nodes that `Send`s start."""
    for send in cast("list[Any]", sends) if isinstance(sends, list) else [sends]:
        if isinstance(send, Send):
            yield send.node


def _following(stored: CheckpointTuple) -> Iterator[str]:
    """Nodes that tasks which have ended after the checkpoint will start."""
    for _, channel, value in stored.pending_writes or []:
        if channel == SENDS:
            yield from _sent(value)
        elif channel.startswith(TO_NODE):
            yield channel.removeprefix(TO_NODE)


async def _grown(
    saver: ThreadSaver, thread_id: str, namespace: str, checkpoint_id: str, channels: list[str]
) -> list[Any]:
    """The items put into growing lists; where the lists were shortened, also the removed ones."""
    if not channels:
        return []
    place = {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}
    histories = await saver.aget_delta_channel_history(config={"configurable": place}, channels=channels)
    return [
        part
        for history in histories.values()
        for part in (history.get("seed"), *(write[2] for write in history["writes"]))
    ]


def _uses(values: list[Any], by: str) -> Iterator[Use]:
    """The calls of tools in messages among values."""
    messages = list(_messages(values))
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    for message in messages:
        if isinstance(message, AIMessage):
            for made in message.tool_calls:
                yield Use(made["name"], made["args"], made["id"] not in answered, by)


def _messages(value: Any) -> Iterator[BaseMessage]:
    if isinstance(value, BaseMessage):
        yield value
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _messages(item)
    elif isinstance(value, (Overwrite, DeltaSnapshot)):
        yield from _messages(cast("Any", value).value)


def _who(namespace: str) -> str:
    task = innermost_subtask(namespace)
    return f"the subtask {task.subtask!r}" if task else "the thread"
