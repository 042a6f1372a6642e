"""Mermaid: a diagram as the text of a Mermaid flowchart, for pages that draw it themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from openmanus_graph.drawing.diagram import Box, Diagram, Link
from openmanus_graph.drawing.label import plain
from openmanus_graph.drawing.style import SIGNS

_RESERVED = frozenset(
    {"call", "class", "classdef", "click", "default", "direction", "end", "flowchart", "graph", "href", "linkstyle"}
    | {"style", "subgraph", "tb", "td", "bt", "rl", "lr"}
)
_COLOURS = {
    "next": "fill:#fff1e5,stroke:#bc4c00,color:#1f2328,stroke-width:3px",
    "running": "fill:#ddf4ff,stroke:#0969da,color:#1f2328,stroke-width:3px",
    "waiting": "fill:#fff8c5,stroke:#8a5d00,color:#1f2328",
    "completed": "fill:#dafbe1,stroke:#1a7f37,color:#1f2328",
    "failed": "fill:#ffebe9,stroke:#cf222e,color:#1f2328",
    "blocked": "fill:#eaeef2,stroke:#6e7781,color:#1f2328",
    "skipped": "fill:#eaeef2,stroke:#6e7781,color:#1f2328",
    "pending": "stroke-dasharray:4 3",
}


def mermaid(diagram: Diagram, *, down: bool = True) -> str:
    """The diagram as a Mermaid flowchart; states are told by sign and colour.

    Args:
        diagram: What to draw.
        down: Whether it flows downwards; else to the right.
    """
    lines = [f"flowchart {'TD' if down else 'LR'}"]
    numbers: dict[str, str] = {}
    links: list[Link] = []
    lines += _boxes(diagram, "    ", numbers, links, down)
    marked: list[int] = []
    for index, link in enumerate(links):
        label = f'|"{mermaid_label(link.label)}"|' if link.label else ""
        lines.append(f"    {numbers[link.source]} {'-.->' if link.dashed else '-->'}{label} {numbers[link.target]}")
        marked += [index] if link.marked else []
    states = sorted({box.state for box in _all(diagram) if box.state})
    lines += [f"    classDef {state} {_COLOURS[state]}" for state in states]
    for state in states:
        named = ",".join(numbers[box.key] for box in _all(diagram) if box.state == state and box.key in numbers)
        lines.append(f"    class {named} {state}")
    if marked:
        lines.append(f"    linkStyle {','.join(map(str, marked))} stroke:#8250df,stroke-width:3px")
    return "\n".join(lines)


def mermaid_words(text: str, longest: int = 80) -> str:
    """Text that Mermaid shows and does not read: what means something to it is written as an entity."""
    line = plain(text)
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return "".join(char if char.isalnum() or char in " _-.,:/()…→" else f"#{ord(char)};" for char in line)


def mermaid_label(text: str) -> str:
    """The same for a label, which Mermaid does not take empty."""
    return mermaid_words(text) or "#160;"


def _all(diagram: Diagram) -> Iterator[Box]:
    for box in diagram.boxes:
        yield box
        if box.inside:
            yield from _all(box.inside)


def _boxes(diagram: Diagram, indent: str, numbers: dict[str, str], links: list[Link], down: bool) -> Iterator[str]:
    links += diagram.links
    for box in diagram.boxes:
        name = numbers.setdefault(box.key, _identifier(box.key, numbers))
        if box.shape != "box":
            yield f"{indent}{name}{'((start))' if box.shape == 'start' else '(((end)))'}"
        elif box.inside:
            yield f'{indent}subgraph {name}["{mermaid_label(box.label)}"]'
            if down:
                yield f"{indent}    direction TD"
            yield from _boxes(box.inside, indent + "    ", numbers, links, down)
            yield f"{indent}end"
        else:
            rows = ["<br/>".join(_row(member) for member in box.members or (box,))]
            yield f'{indent}{name}["{rows[0]}"]'


def _identifier(key: str, taken: dict[str, str]) -> str:
    """The key itself where Mermaid can read it, else a number; so that the text can be read too."""
    name = re.sub(r"[\W_]+", "_", key, flags=re.ASCII).strip("_")
    name += "_" if name.lower() in _RESERVED else ""
    usable = re.match("[A-Za-z]", name) and len(name) <= 60 and name not in taken.values()
    return name if usable else f"n_{len(taken)}"


def _row(box: Box) -> str:
    words = mermaid_label(box.label)
    sign = f"{SIGNS[box.state]} " if box.state else ""
    return f"{sign}{words}" + (f"<br/>{mermaid_words(box.note)}" if box.note else "")
