"""Diff: the differences between two points of one thread or of two: state, plan, results, messages and files."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from langchain_core.messages import BaseMessage

from openmanus_graph.checkpoints.forking.fork import cut_at, files_at
from openmanus_graph.checkpoints.history.checkpoint_ref import Point, find_place, newest_point, points_of
from openmanus_graph.checkpoints.history.values import values_at
from openmanus_graph.checkpoints.progress import committed_results, plan_in
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.workspace.snapshots import FileState, contents_of, files_of
from openmanus_graph.namespaces import SubtaskTask
from openmanus_graph.values.storable_json import storable

LARGEST_TEXT = 200_000
"""Bytes of a file above which its lines are not compared."""
APART = ("plan", "results", "messages", "workspace")
"""Channels that are not compared as values: the folder is always another one."""


@dataclass(frozen=True)
class StateChange:
    """One difference: a value, a subtask, a result, a message or a file."""

    name: str
    """A channel, a subtask or a file."""
    kind: str
    """`added`, `removed` or `changed`."""
    before: Any = None
    """What it was: a value, or a file's digest."""
    after: Any = None
    """What it became."""
    lines: str | None = None
    """For a text: what changed, as a unified diff."""


@dataclass(frozen=True)
class PointDifference:
    """The differences between two points."""

    before: Point
    """The one."""
    after: Point
    """The other."""
    state: list[StateChange]
    """Values of the state."""
    plan: list[StateChange]
    """Subtasks of the plan."""
    results: list[StateChange]
    """Results of subtasks."""
    messages: list[StateChange]
    """Messages that only one of them has, by their position."""
    files: list[StateChange]
    """Files of the workspace that steps have changed."""

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return bool(self.state or self.plan or self.results or self.messages or self.files)

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON types."""
        parts = ("state", "plan", "results", "messages", "files")
        addresses: dict[str, Any] = {"before": self.before.address, "after": self.after.address}
        return addresses | {name: [asdict(change) for change in getattr(self, name)] for name in parts}


async def diff_points(saver: ThreadSaver, before: str, after: str) -> PointDifference:
    """Compare two points.

    Args:
        saver: The store.
        before: `THREAD` or `THREAD@POINT`, see `find_point`; a thread alone means its newest state.
        after: The other one.

    Raises:
        UnknownThreadError: If there is no such thread.
        UnknownPointError: If a thread has no such point.
    """
    old_side, new_side = await _side(saver, before), await _side(saver, after)
    if bool(old_side.point.namespace) == bool(new_side.point.namespace):
        states = old_side.values, new_side.values
    else:  # a step of a subtask has another state than the graph itself
        states = old_side.outer, new_side.outer
    compared = [{key: state_as_json(value) for key, value in state.items() if key not in APART} for state in states]
    return PointDifference(
        before=old_side.point,
        after=new_side.point,
        state=_changes(*compared),
        plan=_changes(_subtasks(old_side.outer), _subtasks(new_side.outer)),
        results=_changes(
            *({key: _outcome(value) for key, value in side.results.items()} for side in (old_side, new_side))
        ),
        messages=_message_changes(*(state.get("messages") for state in states)),
        files=await _file_changes(saver, old_side.files, new_side.files),
    )


@dataclass(frozen=True)
class _Side:
    point: Point
    values: dict[str, Any]
    """The state at the point."""
    outer: dict[str, Any]
    """The state of the graph itself then."""
    results: Mapping[str, Any]
    files: Mapping[str, FileState]


async def _side(saver: ThreadSaver, address: str) -> _Side:
    thread, point = await find_place(saver, address)
    points = await points_of(saver, thread.thread_id)
    here = point or newest_point(points, thread.thread_id)
    values = await values_at(saver, here)
    if point is None:
        results = await _running_results(
            saver, thread.thread_id, values, {stored_point.namespace for stored_point in points}
        )
        return _Side(here, values, values, results, await files_of(saver, thread.thread_id))
    cut = await cut_at(saver, point, points)
    outer = await values_at(saver, cut.root) if point.namespace else values
    newest = {stored_point.namespace: stored_point.id for stored_point in points}
    ended = {namespace for namespace, checkpoint in newest.items() if (namespace, checkpoint) in cut.kept}
    results = await _running_results(saver, thread.thread_id, outer, ended if point.namespace else set())
    return _Side(here, values, outer, results, await files_at(saver, point))


async def _running_results(
    saver: ThreadSaver, thread_id: str, values: Mapping[str, Any], ended: Collection[str]
) -> dict[str, Any]:
    """The results in a state, and those of a dispatch that has not ended, of subtasks in some namespaces."""
    results = dict(cast("Mapping[str, Any]", values.get("results") or {}))
    plan = plan_in(values)
    if plan is None or not ended:
        return results
    committed = await committed_results(saver, thread_id)
    number = int(values.get("round") or 0) + 1
    definitions = plan.definition_hashes()
    for subtask in plan.subtasks:
        task = SubtaskTask(subtask.id, definitions[subtask.id], number)
        if task.name in committed and task.namespace in ended:
            results[subtask.id] = committed[task.name]
    return results


def _subtasks(values: Mapping[str, Any]) -> dict[str, Any]:
    plan = cast("Mapping[str, Any]", values.get("plan") or {})
    return {str(subtask.get("id")): subtask for subtask in cast("list[dict[str, Any]]", plan.get("subtasks") or [])}


def _outcome(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result without its times and its usage, which are never the same twice."""
    left_out = ("started_at", "finished_at", "usage")
    return {key: value for key, value in result.items() if key not in left_out}


def state_as_json(value: Any) -> Any:
    """A value of a state in JSON types, messages as their type, text and calls."""
    if isinstance(value, BaseMessage):
        return _message(value)
    if isinstance(value, dict):
        return {str(key): state_as_json(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [state_as_json(item) for item in cast("list[Any]", value)]
    return storable(value if value is None or isinstance(value, (str, int, float, bool)) else repr(value))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[StateChange]:
    changes: list[StateChange] = []
    for name in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        kind = "added" if name not in before else "removed" if name not in after else "changed"
        lines = _lines(old, new) if isinstance(old, str) and isinstance(new, str) else None
        changes.append(StateChange(name, kind, old, new, lines))
    return changes


def _message_changes(before: Any, after: Any) -> list[StateChange]:
    """Messages after the beginning that both states share."""
    old, new = ([_message(item) for item in cast("list[Any]", side or [])] for side in (before, after))
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    removed = [StateChange(str(number), "removed", before=item) for number, item in enumerate(old[same:], same + 1)]
    return removed + [StateChange(str(number), "added", after=item) for number, item in enumerate(new[same:], same + 1)]


def _message(item: Any) -> dict[str, Any]:
    if not isinstance(item, BaseMessage):
        return {"type": "unknown", "text": str(item)}
    fields: dict[str, Any] = {"type": item.type, "text": str(item.text)}
    calls = getattr(item, "tool_calls", None)
    if calls:
        fields["calls"] = [{"name": made["name"], "args": made["args"]} for made in calls]
    return fields


async def _file_changes(
    saver: ThreadSaver, before: Mapping[str, FileState], after: Mapping[str, FileState]
) -> list[StateChange]:
    different = [
        path
        for path in sorted({*before, *after})
        if not path.startswith(".openmanus/") and _content(before.get(path)) != _content(after.get(path))
    ]
    states = [side[path] for path in different for side in (before, after) if path in side]
    contents = await contents_of(
        saver, {state.digest for state in states if state.digest and state.size <= LARGEST_TEXT}
    )
    return [_file_change(path, before.get(path), after.get(path), contents) for path in different]


def _content(file: FileState | None) -> Any:
    if file is None:
        return None
    return (file.digest or (file.size, file.mtime_ns), file.mode, file.link)


def _file_change(
    path: str, before: FileState | None, after: FileState | None, contents: Mapping[str, bytes]
) -> StateChange:
    kind = "added" if before is None else "removed" if after is None else "changed"
    texts = [_text(side, contents) for side in (before, after)]
    lines = None if texts[0] is None or texts[1] is None else _lines(texts[0], texts[1], path)
    return StateChange(path, kind, before and before.digest, after and after.digest, lines)


def _text(file: FileState | None, contents: Mapping[str, bytes]) -> str | None:
    """A file's text; empty where there is none, `None` where it is no text or not kept."""
    if file is None:
        return ""
    data = contents.get(file.digest or "")
    if data is None or b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _lines(before: str, after: str, path: str = "") -> str:
    names = (f"a/{path}", f"b/{path}") if path else ("before", "after")
    diff = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    return "\n".join(diff)
