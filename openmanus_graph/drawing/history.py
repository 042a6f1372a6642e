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
    keys = {(moment.point.namespace, moment.point.id) for moment in moments}
    newest = next((moment for moment in reversed(moments) if not moment.point.namespace), None)
    nodes: list[HistoryNode] = []
    for moment in moments:
        key = _key(moment.point.namespace, moment.point.id)
        nodes.append(
            HistoryNode(
                key,
                _parent(moment.point, keys),
                _label(moment),
                f"@{moment.point.number} {moment.point.made_at.astimezone():%H:%M:%S}",
                state="waiting" if moment.asks and moment is newest else "",
                current=moment is newest,
                line=moment.point.namespace,
            )
        )
        nodes += [HistoryNode(f"{key} {name}", key, f"fork {name}", line=name) for name in moment.forks]
    return HistoryTree(nodes, title)


def _key(namespace: str, checkpoint_id: str) -> str:
    return f"{namespace}@{checkpoint_id}"


def _parent(point: Point, keys: set[tuple[str, str]]) -> str | None:
    """The point before it; of the first in a subtask, the one it was started at."""
    if point.parent is not None and (point.namespace, point.parent) in keys:
        return _key(point.namespace, point.parent)
    around = [key for key in point.parents.items() if key in keys and key[0] != point.namespace]
    return _key(*max(around, key=lambda key: (key[0] != "", key[0].count("|")))) if around else None


def _label(moment: Moment) -> str:
    where = f"{moment.point.subtask}: " if moment.point.subtask else ""
    nodes = ", ".join(dict.fromkeys(moment.nodes))
    what = ": ".join(filter(None, [nodes, moment.what])) or moment.point.source
    return f"{where}{what}{f' (asks: {moment.asks})' if moment.asks else ''}"
