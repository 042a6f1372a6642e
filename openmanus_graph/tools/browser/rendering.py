"""Rendering: a page's tree as the few lines that a model reads, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

from openmanus_graph.tools.browser.tree import FIELDS, Node

BUDGET = 4_000
"""Tokens that a page may cost."""
LONGEST_LINE = 240
"""Characters of a line."""
MOST_FOUND = 20
"""Places that a search in the page tells."""

Label = Callable[[Node], str]
"""Gives the ref that a node is shown with."""

_WRAPPERS = frozenset({"generic", "group", "rowgroup", "none", "presentation", "page", "main", "region", "article"})
_LISTS = frozenset({"table", "list", "grid", "rowgroup", "treegrid", "menu", "listbox", "tree"})
_CELLS = frozenset({"cell", "gridcell"})
_ROWS = frozenset({"row", "listitem", "option", "article", "paragraph", "heading", "cell", "gridcell"})


@dataclass(frozen=True)
class Cut:
    """How much of a page is shown."""

    screens: float
    """How far below the window it goes, in heights of the window."""
    alike: int
    """Siblings of one kind that are shown."""


CUTS = (Cut(2.0, 40), Cut(1.0, 20), Cut(1.0, 8), Cut(0.5, 3))
"""From the fullest to the shortest; the first that fits the budget is taken."""


def tokens(text: str) -> int:
    """Tokens of a text, rather too many than too few: three characters of ASCII are one, any other is one by itself."""
    other = sum(1 for character in text if ord(character) > 127)
    return other + (len(text) - other) // 3 + 1


def render(root: Node, height: int, label: Label, budget: int = BUDGET) -> str:
    """The lines of a page: what the window shows first, long lists folded with a count.

    Args:
        root: The page.
        height: The window's height in pixels.
        label: Gives the ref of a node; called for what is shown only.
        budget: Tokens it may cost.
    """
    lines: list[str] = []
    for cut in CUTS:
        # Refs are given out for what is shown in the end.
        lines = list(_lines(root, 0, _View(height, cut, lambda _: "e00000")))
        if tokens("\n".join(lines)) <= budget:
            lines = list(_lines(root, 0, _View(height, cut, label)))
            break
    else:
        lines = list(_lines(root, 0, _View(height, CUTS[-1], label)))
        lines = _first(lines, budget - 30)
    above, below = _outside(root, height)
    if above:
        lines.insert(0, f"[{above} elements above: scroll_up, or find]")
    if below:
        lines.append(f"[{below} elements further down: scroll_down, or find]")
    return "\n".join(lines)


def _first(lines: list[str], budget: int) -> list[str]:
    kept: list[str] = []
    for number, line in enumerate(lines):
        budget -= tokens(line) + 1
        if budget < 0:
            return [*kept, f"[{len(lines) - number} lines more: scroll_down, or find]"]
        kept.append(line)
    return kept


@dataclass(frozen=True)
class _View:
    height: int
    cut: Cut
    label: Label

    def shows(self, node: Node) -> bool:
        """Whether a part of it is in the window or not far below."""
        if node.box is None or node.role == "option":
            return True
        _, top, width, height = node.box
        if not width or not height:
            return bool(node.children)
        return top + height > 0 and top < self.height * (1 + self.cut.screens)


def _outside(root: Node, height: int) -> tuple[int, int]:
    """How many elements with a ref are above the window, and how many far below it."""
    above = below = 0
    for node in root.walk():
        if node.box is not None and node.box[3] and node.effect is not None:
            above += node.box[1] + node.box[3] <= 0
            below += node.box[1] >= height
    return above, below


def _lines(node: Node, depth: int, view: _View) -> Iterator[str]:
    shown = [child for child in node.children if view.shows(child)]
    for _, run in groupby(shown, _kind):
        alike = list(run)
        most = view.cut.alike if alike[0].role != "text" else len(alike)
        for child in alike[:most]:
            yield from _node_lines(child, depth, view)
        if len(alike) > most:
            role = alike[0].role
            yield f"{' ' * depth}[{len(alike) - most} more of {role!r} like these: scroll_down, or find]"


def _kind(node: Node) -> tuple[object, ...]:
    return node.role, tuple(child.role for child in node.children[:4])


def _node_lines(node: Node, depth: int, view: _View) -> Iterator[str]:
    if node.children and all(child.role == "option" for child in node.children):
        yield _line(node, _chosen(node), depth, view)
        return
    bare = node.effect is None and not node.name and not node.text
    if bare and (node.role in _WRAPPERS or (node.role in _ROWS and len(node.children) == 1)):
        yield from _lines(node, depth, view)
        return
    acting = any(child.effect is not None for one in node.children for child in one.walk())
    if acting or (node.role in _LISTS and len(node.children) > 1):
        yield _line(node, node.text, depth, view)
        yield from _lines(node, depth + 1, view)
        return
    words = f"{node.text} {_joined(node)}".strip() if node.children else node.text
    if words or node.name or node.effect is not None:
        yield _line(node, words, depth, view)


def _chosen(node: Node) -> str:
    """What is chosen of a list, and of how many."""
    chosen = [option.name for option in node.children if "selected" in option.states]
    return f"{', '.join(chosen) or 'nothing'} (of {len(node.children)})"


def _joined(node: Node) -> str:
    parts = [child.words() for child in node.children]
    between = " | " if node.role in ("row", "table", "list", "rowgroup") else " "
    text = between.join(part for part in parts if part)
    return "" if text == node.name else text


def _line(node: Node, words: str, depth: int, view: _View) -> str:
    parts = [f"[{view.label(node)}]"] if node.effect is not None else []
    if node.role not in ("text", "generic", "paragraph"):
        parts.append(node.role)
    if node.name:
        parts.append(f'"{node.name}"')
    parts += [f"({state})" for state in node.states if state != "active"]
    if words and words != node.name:
        parts.append(f"= {words}" if node.role in FIELDS else words)
    text = " ".join(" ".join(parts).split())
    if len(text) > LONGEST_LINE:
        text = f"{text[:LONGEST_LINE]} …"
    return f"{' ' * depth}{text}"


def found(root: Node, wanted: str, label: Label) -> list[str]:
    """The places of a page in which a text stands, each with the lines around it.

    Args:
        root: The page.
        wanted: The text, in any case.
        label: Gives the ref of a node.
    """
    view = _View(2**31, Cut(1.0, 8), label)
    sought = wanted.casefold()
    told: list[str] = []
    covered: set[int] = set()
    for node, parents in _with_parents(root):
        if id(node) in covered or sought not in f"{node.name} {node.text}".casefold():
            continue
        around = [one for one in reversed([*parents, node]) if one.role in _ROWS and len(one.children) < 20]
        # A cell says little without the others of its row.
        place = next((one for one in around if one.role not in _CELLS), next(iter(around), node))
        covered.update(id(one) for one in place.walk())
        if len(told) == MOST_FOUND:
            told.append("[more places follow: look for a longer text]")
            break
        told.append("\n".join(list(_node_lines(place, 0, view))[:12]))
    return told


def _with_parents(root: Node) -> Iterator[tuple[Node, list[Node]]]:
    waiting: list[tuple[Node, list[Node]]] = [(root, [])]
    while waiting:
        node, parents = waiting.pop()
        yield node, parents
        waiting += [(child, [*parents[-6:], node]) for child in reversed(node.children)]
