"""Flowchart: reads a Mermaid flowchart into a diagram, so that the site can draw it without Mermaid.

It reads what `openmanus_graph.drawing.mermaid` writes and what people write by hand in its manner: boxes, links with
labels, chains, subgraphs, states as classes. Anything else is an error with its line, not a gap in the picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import cast, get_args

from openmanus_graph.drawing.diagram import Box, Diagram, Link, State
from openmanus_graph.drawing.label import width_of
from openmanus_graph.drawing.style import LABEL_SIZE
from openmanus_graph.drawing.svg import LONGEST

_HEADER = re.compile(r"(?:flowchart|graph) +(TD|TB|BT|LR|RL)$")
_NAME = re.compile(r"[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*")
# Longest first: `(((` begins with `((`.
_BRACKETS = (("(((", ")))"), ("((", "))"), ("([", "])"), ("[(", ")]"), ("[[", "]]"), ("{{", "}}"))
_BRACKETS += (("[", "]"), ("(", ")"), ("{", "}"))
_ARROW = re.compile(
    r"\s*(?:(?P<plain><?-->|---|==>)|(?P<dashed>-\.->|-\.-)"
    r'|-- *"?(?P<said>[^"|>]+?)"? *-->|-\. *"?(?P<dashed_said>[^"|>]+?)"? *\.->)'
    r'(?:\|"?(?P<label>[^|]*?)"?\|)?\s*'
)
_ONLY_LOOKS = ("classDef ", "linkStyle ", "style ", "direction ", "%%")


class FlowchartError(ValueError):
    """A flowchart that is not understood; the message names the line."""


@dataclass(eq=False)
class _Group:
    """A subgraph being read, or the whole."""

    key: str = ""
    label: str = ""
    boxes: dict[str, Box] = field(default_factory=dict[str, Box])
    inner: dict[str, _Group] = field(default_factory=dict[str, "_Group"])


def flowchart(text: str) -> tuple[Diagram, bool]:
    """The diagram, and whether it flows downwards.

    Raises:
        FlowchartError: If a line is not understood.
    """
    lines = [line.strip().rstrip(";") for line in text.strip().splitlines()]
    header = _HEADER.match(lines[0])
    if header is None:
        raise FlowchartError(f"{lines[0]!r} begins no flowchart: only flowcharts can be drawn here.")
    stack = [_Group()]
    home: dict[str, list[_Group]] = {}
    links: list[Link] = []
    states: dict[str, State] = {}
    for line in filter(None, lines[1:]):
        if line.startswith(_ONLY_LOOKS):
            continue
        if line.startswith("subgraph "):
            _open(line, stack, home)
        elif line == "end" and len(stack) > 1:
            stack.pop()
        elif line.startswith("class "):
            names, _, state = line.removeprefix("class ").rpartition(" ")
            states |= {name: cast("State", state) for name in names.split(",") if state in get_args(State)}
        else:
            links += _statement(line, stack, home)
    if len(stack) > 1:
        raise FlowchartError(f"subgraph {stack[-1].label!r} has no end.")
    _dissolve_crossed(links, home)
    return _diagram(stack[0], links).with_states(states), header[1] in ("TD", "TB", "BT")


def _open(line: str, stack: list[_Group], home: dict[str, list[_Group]]) -> None:
    found = re.match(r'subgraph +(?P<name>[\w-]+)? *(?:\[?"(?P<quoted>[^"]*)"\]?|\[(?P<bare>[^\]]*)\])?$', line)
    if found is None:
        raise FlowchartError(f'{line!r} is no subgraph that is understood: write subgraph NAME["title"].')
    label = _plain(found["quoted"] or found["bare"] or found["name"] or "")
    group = _Group(found["name"] or f"subgraph {len(home)}", label)
    stack[-1].inner[group.key] = group
    stack[-1].boxes[group.key] = Box(group.key, label)
    home[group.key] = list(stack)
    stack.append(group)


def _statement(line: str, stack: list[_Group], home: dict[str, list[_Group]]) -> Iterator[Link]:
    """Read `a["A"] & b -->|label| c --> d`: boxes go to the innermost group, links are returned."""
    sources, rest = _nodes(line, line, stack, home)
    while rest:
        arrow = _ARROW.match(rest)
        if arrow is None:
            raise FlowchartError(f"{rest!r} is not understood in the line {line!r}.")
        targets, rest = _nodes(rest[arrow.end() :], line, stack, home)
        label = _plain(arrow["label"] or arrow["said"] or arrow["dashed_said"] or "")
        dashed = bool(arrow["dashed"] or arrow["dashed_said"])
        yield from (Link(one, other, dashed=dashed, label=label) for one in sources for other in targets)
        sources = targets


def _nodes(rest: str, line: str, stack: list[_Group], home: dict[str, list[_Group]]) -> tuple[list[str], str]:
    keys: list[str] = []
    while True:
        found = _NAME.match(rest)
        if found is None:
            raise FlowchartError(f"{rest!r} is not understood in the line {line!r}: a box is expected.")
        key, rest = found[0], rest[found.end() :]
        keys.append(key)
        opening = next((pair for pair in _BRACKETS if rest.startswith(pair[0])), None)
        inside = ""
        if opening:
            inside, closed, rest = rest[len(opening[0]) :].partition(opening[1])
            if not closed:
                raise FlowchartError(f"{opening[0]!r} is not closed in the line {line!r}.")
        if key not in home:
            home[key] = list(stack)
            stack[-1].boxes[key] = Box(key, key)
        if opening and key not in home[key][-1].inner:
            home[key][-1].boxes[key] = _box(key, opening[0], inside.strip().strip('"'))
        if not (more := re.match(r"\s*&\s*", rest)):
            return keys, rest
        rest = rest[more.end() :]


def _box(key: str, opening: str, text: str) -> Box:
    if (opening, text) in (("((", "start"), ("(((", "end")):
        return Box(key, text, shape="start" if text == "start" else "end")
    first, *rest = [_plain(row) for row in re.split(r"<br ?/?>", text)]
    if rest and all(_NAME.fullmatch(row) for row in (first, *rest)):
        return Box(key, "", members=tuple(Box(f"{key}:{row}", row) for row in (first, *rest)))
    if not rest and width_of(first, LABEL_SIZE) > LONGEST:
        first, *rest = _halves(first)
    return Box(key, first, " ".join(rest))


def _halves(label: str) -> list[str]:
    """A label that would be cut, as a label and a note: after a colon, or at the blank nearest to its middle."""
    if ": " in label:
        return label.split(": ", 1)
    blanks = [place for place, char in enumerate(label) if char == " "]
    middle = min(blanks, key=lambda place: abs(place - len(label) / 2), default=len(label))
    return [label[:middle], label[middle + 1 :]]


def _plain(text: str) -> str:
    return re.sub(r"#(\d+);", lambda code: chr(int(code[1])), re.sub(r"<br ?/?>", " ", text)).strip()


def _dissolve_crossed(links: list[Link], home: dict[str, list[_Group]]) -> None:
    """Take away the frames that a link crosses: links are drawn on one level, and they say more than a frame."""
    for link in links:
        here, there = home[link.source], home[link.target]
        for around, other in ((here, there), (there, here)):
            while around[-1] not in other:
                _dissolve(around[-1], around[-2], home)
    for link in links:
        if gone := [key for key in (link.source, link.target) if key not in home[key][-1].boxes]:
            raise FlowchartError(f"{gone[0]!r} has links to itself and into itself: only one of both can be drawn.")


def _dissolve(group: _Group, outer: _Group, home: dict[str, list[_Group]]) -> None:
    del outer.boxes[group.key], outer.inner[group.key]
    for key, box in group.boxes.items():
        framed = box.shape == "box" and not box.members and key not in group.inner
        outer.boxes[key] = replace(box, note=box.note or group.label) if framed else box
    outer.inner |= group.inner
    for around in home.values():
        if group in around:
            around.remove(group)


def _diagram(group: _Group, links: list[Link]) -> Diagram:
    boxes = [
        replace(box, inside=_diagram(group.inner[key], links)) if key in group.inner else box
        for key, box in group.boxes.items()
    ]
    return Diagram(boxes, [link for link in links if link.source in group.boxes and link.target in group.boxes])
