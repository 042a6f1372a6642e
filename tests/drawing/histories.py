"""A history for pictures: a thread that was forked."""

from __future__ import annotations

from openmanus_graph.drawing.tree import HistoryNode, HistoryTree

FORKED = HistoryTree(
    [
        HistoryNode("a", None, "started", "12:00"),
        HistoryNode("b", "a", "planner", state="completed"),
        HistoryNode("c", "b", "s1"),
        HistoryNode("d", "b", "fork: plan edited"),
        HistoryNode("e", "c", "s2", state="failed"),
        HistoryNode("f", "d", "s1 <again>", current=True),
    ],
    "History",
)
