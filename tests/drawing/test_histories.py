"""Histories: forks get lanes of their own, and no line crosses a point that it does not belong to."""

from __future__ import annotations

from openmanus_graph.drawing import svg_of
from openmanus_graph.drawing.tree import HistoryNode, HistoryTree, tree_mermaid, tree_text
from tests.drawing.svgs import box, keys, parsed

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


def test_a_fork_has_a_lane_of_its_own() -> None:
    root = parsed(svg_of(FORKED))
    assert keys(root) == ["a", "b", "c", "d", "e", "f"]
    lanes = {key: next(part.attrib["cx"] for part in box(root, key).iter() if "cx" in part.attrib) for key in "acdf"}
    assert lanes["a"] == lanes["c"]
    assert lanes["d"] == lanes["f"] != lanes["a"]


def test_the_same_for_a_terminal_and_for_a_page() -> None:
    assert tree_text(FORKED).splitlines() == [
        "History",
        "●    started  12:00",
        "✓ ╮  planner",
        "● │  s1",
        "│ ●  fork: plan edited",
        "✗ │  s2",
        "  ◆  s1 <again>",
    ]
    drawn = tree_mermaid(FORKED)
    assert "p1 --> p3" in drawn
    assert "<again>" not in drawn


def test_an_empty_history_is_still_a_picture() -> None:
    parsed(svg_of(HistoryTree([])))
    assert tree_text(HistoryTree([])) == ""
