"""Tree: the history of a thread, with the branches that forks made, as SVG, Mermaid or text.

A row a point, newest last; a point whose parent has another child already begins a new lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openmanus_graph.display_text import counted
from openmanus_graph.drawing.diagram import State
from openmanus_graph.drawing.label import clipped, escaped, number, plain, width_of
from openmanus_graph.drawing.mermaid import mermaid_label, mermaid_words
from openmanus_graph.drawing.style import LABEL_SIZE, NOTE_SIZE, SIGNS, TITLE_SIZE, Theme, icon
from openmanus_graph.drawing.svg import MARGIN, document

ROW = 26.0
LANE = 20.0
LONGEST = 420.0
SLACK = 1.12
"""How much more room a line gets than the estimate, as nothing cuts it."""
MOST_ROWS = 2000


@dataclass(frozen=True)
class HistoryNode:
    """One point of a thread's history."""

    key: str
    """What names it, unique in the history."""
    parent: str | None
    """The key of the point it came from; `None` for the first."""
    label: str
    """What happened there, in a line."""
    note: str = ""
    """More of it, such as the moment."""
    state: State = ""
    """What it stands at."""
    current: bool = False
    """Whether the thread goes on from here."""
    line: str = ""
    """What it is a part of; points of the same line stay in one lane, whatever branches off between them."""


@dataclass(frozen=True)
class HistoryTree:
    """The points of a history, each after its parent."""

    nodes: Sequence[HistoryNode]
    title: str = ""
    """What it is of."""


def _lanes(nodes: Sequence[HistoryNode]) -> dict[str, int]:
    """The lane of each point: its parent's for the child that goes on with the line, a free one for others."""
    last_use: dict[int, int] = {}
    children: dict[str, list[int]] = {}
    for index, node in enumerate(nodes):
        if node.parent is not None:
            children.setdefault(node.parent, []).append(index)
    index_of = {node.key: index for index, node in enumerate(nodes)}
    goes_on: dict[str, int] = {}
    for node in nodes:
        after = children.get(node.key, [])
        same = [index for index in after if nodes[index].line == node.line]
        goes_on[node.key] = (same or after or [-1])[0]
    lanes: dict[str, int] = {}
    for index, node in enumerate(nodes):
        if node.parent in lanes and goes_on[node.parent] == index:
            lane = lanes[node.parent]
        else:
            begun = index_of.get(node.parent or "", index)
            lane = next(candidate for candidate in range(len(nodes) + 1) if last_use.get(candidate, -1) < begun)
        lanes[node.key] = lane
        # A lane is taken until the last child of the points on it.
        last_use[lane] = max([last_use.get(lane, -1), index, *children.get(node.key, [])])
    return lanes


def tree_svg(tree: HistoryTree, *, theme: Theme = "auto") -> str:
    """The history as SVG.

    Args:
        tree: The history.
        theme: Its colours; by default those that the reader's system prefers.
    """
    nodes = list(tree.nodes[-MOST_ROWS:])
    lanes = _lanes(nodes)
    top = MARGIN + (TITLE_SIZE + 12 if tree.title else 0)
    left = MARGIN + LANE * (max(lanes.values(), default=0) + 1) + 8
    places = {
        node.key: (MARGIN + LANE / 2 + lanes[node.key] * LANE, top + ROW * (index + 0.5))
        for index, node in enumerate(nodes)
    }
    parts: list[str] = []
    if tree.title:
        title = escaped(clipped(plain(tree.title), LONGEST + left, TITLE_SIZE))
        parts.append(f'<text class="t" x="{number(MARGIN)}" y="{number(MARGIN + TITLE_SIZE)}">{title}</text>')
    for node in nodes:
        if node.parent in places:
            (x, y), (below, end) = places[node.parent], places[node.key]
            bend = f"C{number(x)} {number(y + ROW / 2)} {number(below)} {number(y + ROW / 2)} {number(below)}"
            turn = f"{bend} {number(y + ROW)}" if x != below else ""
            parts.append(f'<path class="k" d="M{number(x)} {number(y)}{turn}V{number(end)}"/>')
    widest = 0.0
    for node in nodes:
        row, wide = _row(node, places[node.key], left)
        parts.append(row)
        widest = max(widest, wide)
    width = max(left + widest * SLACK + MARGIN, 200.0)
    height = top + ROW * len(nodes) + MARGIN
    branches = max(lanes.values(), default=0)
    description = f"{counted(len(tree.nodes), 'point')} in {counted(branches + 1, 'lane')}."
    return document(parts, width, height, tree.title or "History", description, theme)


def _row(node: HistoryNode, place: tuple[float, float], left: float) -> tuple[str, float]:
    """A point with its label, and how wide that is."""
    x, y = place
    label = clipped(plain(node.label), LONGEST, LABEL_SIZE)
    note = clipped(plain(node.note), LONGEST / 2, NOTE_SIZE)
    here = " ◀ here" if node.current else ""
    if node.state:
        dot = f'<circle class="paper" cx="{number(x)}" cy="{number(y)}" r="8"/>{icon(node.state, number(x), number(y))}'
    else:
        dot = f'<circle class="o" cx="{number(x)}" cy="{number(y)}" r="4.5"/>'
    if node.current:
        dot = f'<circle class="m" cx="{number(x)}" cy="{number(y)}" r="9.5"/>{dot}'
    more = f'<tspan class="n" dx="8">{escaped(note)}{here}</tspan>' if note or here else ""
    hint = "\n".join(part for part in (node.label, node.note, node.key) if part)
    state = f" {node.state}" if node.state else ""
    text = f'<text x="{number(left)}" y="{number(y + 4.4)}">{escaped(label)}{more}</text>'
    row = f'<g class="b{state}" data-key="{escaped(node.key)}"><title>{escaped(hint)}</title>{dot}{text}</g>'
    return row, width_of(label, LABEL_SIZE) + width_of(note + here, NOTE_SIZE) + 16


def tree_mermaid(tree: HistoryTree) -> str:
    """The history as a Mermaid flowchart."""
    numbers = {node.key: f"p{index}" for index, node in enumerate(tree.nodes)}
    lines = ["flowchart TD"]
    for node in tree.nodes:
        sign = f"{SIGNS[node.state]} " if node.state else ""
        note = f"<br/>{mermaid_words(node.note)}" if node.note else ""
        lines.append(f'    {numbers[node.key]}["{sign}{mermaid_label(node.label)}{note}"]')
    lines += [f"    {numbers[node.parent]} --> {numbers[node.key]}" for node in tree.nodes if node.parent in numbers]
    current = [numbers[node.key] for node in tree.nodes if node.current]
    if current:
        lines += ["    classDef here stroke:#8250df,stroke-width:3px", f"    class {','.join(current)} here"]
    return "\n".join(lines)


def tree_text(tree: HistoryTree, columns: int = 100) -> str:
    """The history for a terminal: a row a point, a column a lane; `◆` is where the thread goes on from.

    Args:
        tree: The history.
        columns: Characters of a line.
    """
    nodes = list(tree.nodes[-MOST_ROWS:])
    lanes = _lanes(nodes)
    index_of = {node.key: index for index, node in enumerate(nodes)}
    begun: dict[int, list[tuple[int, int]]] = {}
    for index, node in enumerate(nodes):
        if node.parent in index_of:  # its lane is taken from its parent on
            begun.setdefault(index_of[node.parent], []).append((lanes[node.key], index))
    lines = [_cut(plain(tree.title), columns)] if tree.title else []
    if len(tree.nodes) > len(nodes):
        lines.append(f"… {counted(len(tree.nodes) - len(nodes), 'older point')}")
    until = [-1] * (max(lanes.values(), default=0) + 1)
    for index, node in enumerate(nodes):
        cells = ["│" if end > index else " " for end in until]
        for lane, end in begun.get(index, []):
            until[lane] = end
            if lane != lanes[node.key]:
                cells[lane] = "╮"
        cells[lanes[node.key]] = "◆" if node.current else SIGNS[node.state] or "●"
        note = f"  {plain(node.note)}" if node.note else ""
        drawn = " ".join(cells)
        lines.append(f"{drawn}  {_cut(plain(node.label), max(columns - len(drawn) - len(note) - 2, 20))}{note}")
    return "\n".join(lines)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
