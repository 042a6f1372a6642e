"""Histories: forks get lanes of their own, and no line crosses a point that it does not belong to."""

from __future__ import annotations

import pytest

from openmanus_graph import ThreadSaver, build_plan_graph
from openmanus_graph.checkpoints.history.history import thread_history
from openmanus_graph.drawing import svg_of
from openmanus_graph.drawing.history import history_tree
from openmanus_graph.drawing.tree import HistoryNode, HistoryTree, tree_mermaid, tree_text
from tests.drawing.histories import FORKED
from tests.drawing.svgs import box, keys, parsed
from tests.engine.plans import plan, subtask, thread
from tests.engine.sample_tools import TOOLS


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


def test_what_runs_beside_a_line_has_its_own_lane_and_the_line_keeps_its() -> None:
    tree = HistoryTree(
        [
            HistoryNode("1", None, "review"),
            HistoryNode("2", "1", "a begins", line="a"),
            HistoryNode("3", "1", "b begins", line="b"),
            HistoryNode("4", "2", "a ends", line="a"),
            HistoryNode("5", "1", "dispatcher"),
        ]
    )
    assert tree_text(tree).splitlines() == [
        "● ╮ ╮  review",
        "│ ● │  a begins",
        "│ │ ●  b begins",
        "│ ●    a ends",
        "●      dispatcher",
    ]


def test_a_long_history_is_drawn_soon_and_cut() -> None:
    nodes = [HistoryNode(str(number), str(number - 1), f"step {number}" * 40) for number in range(5000)]
    lines = tree_text(HistoryTree(nodes), 80).splitlines()
    assert lines[0] == "… 3,000 older points"
    assert all(len(line) <= 80 for line in lines)
    assert len(keys(parsed(svg_of(HistoryTree(nodes))))) == 2000


@pytest.mark.postgres
async def test_the_points_of_a_thread_make_a_tree(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("a"), subtask("b"))}, thread("t"))
    tree = history_tree(await thread_history(saver, "t"), "t")

    roots = [node for node in tree.nodes if node.parent is None]
    assert len(roots) == 1
    assert {node.label.split(":")[0] for node in tree.nodes if node.line} == {"a", "b"}
    assert [node.key for node in tree.nodes if node.current] == [[node.key for node in tree.nodes if not node.line][-1]]
    assert len(keys(parsed(svg_of(tree)))) == len(tree.nodes)
