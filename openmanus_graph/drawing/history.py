"""History: a thread's points as a tree: its own line, a lane for each subtask that runs beside it, and its forks."""

from __future__ import annotations

from collections.abc import Sequence

from openmanus_graph.checkpoints.history.checkpoint_ref import Point
from openmanus_graph.checkpoints.history.history import Moment
from openmanus_graph.drawing.tree import HistoryNode, HistoryTree


def history_tree(moments: Sequence[Moment], title: str = "") -> HistoryTree:
    """The points of a thread as a tree that can be drawn.

    Args:
        moments: What `thread_history` found, oldest first.
        title: What it is of.
    """
    keys = {(one.point.namespace, one.point.id) for one in moments}
    newest = next((one for one in reversed(moments) if not one.point.namespace), None)
    nodes: list[HistoryNode] = []
    for one in moments:
        key = _key(one.point.namespace, one.point.id)
        nodes.append(
            HistoryNode(
                key,
                _parent(one.point, keys),
                _label(one),
                f"@{one.point.number} {one.point.made_at.astimezone():%H:%M:%S}",
                state="waiting" if one.asks and one is newest else "",
                current=one is newest,
                line=one.point.namespace,
            )
        )
        nodes += [HistoryNode(f"{key} {name}", key, f"fork {name}", line=name) for name in one.forks]
    return HistoryTree(nodes, title)


def _key(namespace: str, checkpoint_id: str) -> str:
    return f"{namespace}@{checkpoint_id}"


def _parent(point: Point, keys: set[tuple[str, str]]) -> str | None:
    """The point before it; of the first in a subtask, the one it was started at."""
    if point.parent is not None and (point.namespace, point.parent) in keys:
        return _key(point.namespace, point.parent)
    around = [key for key in point.parents.items() if key in keys and key[0] != point.namespace]
    return _key(*max(around, key=lambda key: (key[0] != "", key[0].count("|")))) if around else None


def _label(one: Moment) -> str:
    where = f"{one.point.subtask}: " if one.point.subtask else ""
    nodes = ", ".join(dict.fromkeys(one.nodes))
    what = ": ".join(filter(None, [nodes, one.what])) or one.point.source
    return f"{where}{what}{f' (asks: {one.asks})' if one.asks else ''}"
