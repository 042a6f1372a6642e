"""Svg: draws a diagram as one self-contained SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from openmanus_graph.drawing.cycles import along_flow
from openmanus_graph.drawing.diagram import Box, Diagram, Link
from openmanus_graph.drawing.label import clipped, escaped, number, plain, width_of
from openmanus_graph.drawing.layout import Layout, Position, laid_out
from openmanus_graph.drawing.style import BOLD, LABEL_SIZE, NOTE_SIZE, TITLE_SIZE, Theme, icon, style

MARGIN = 16.0
PAD = 12.0
LONGEST = 190.0
"""Pixels of a label before it is cut."""
SHORTEST = 52.0
LONGEST_NOTE = 150.0
"""Pixels of a link's label before it is cut."""
ROW = 28.0
TALL_ROW = 42.0
NOTE_ROW = 15.0
HEAD = 24.0
SIGN = 20.0
"""Pixels that the sign of a state takes."""
LOOP = 18.0
"""Pixels that a link from a box to itself takes at its side."""
WIDE_TITLE = 520.0
"""Pixels that a title may take above a smaller picture."""
ARROW = 7.0
DOT = 18.0


@dataclass
class _Sized:
    """A box with its size, and the layout inside of it."""

    box: Box
    width: float = 0.0
    height: float = 0.0
    layout: Layout | None = None
    inner: list[_Sized] = field(default_factory=list["_Sized"])
    columns: int = 1


def svg(diagram: Diagram, *, theme: Theme = "auto", down: bool | None = None, headline: bool = True) -> str:
    """The diagram as SVG: the same text for the same diagram, always.

    Args:
        diagram: What to draw.
        theme: Its colours; by default those that the reader's system prefers.
        down: Whether it flows downwards or to the right; `None` takes what is easier to read.
        headline: Whether its title is written above it; it is there for readers of the screen either way.
    """
    sized, layout = _placed(diagram, down)
    shown = plain(diagram.title) if headline else ""
    head = TITLE_SIZE + PAD if shown else 0.0
    width = max(layout.width + 2 * MARGIN, 160.0)
    title = clipped(shown, max(width - 2 * MARGIN, WIDE_TITLE), TITLE_SIZE * BOLD)
    if title:
        width = max(width, width_of(title, TITLE_SIZE * BOLD) + 2 * MARGIN)
    parts = [f'<text class="t" x="{number(MARGIN)}" y="{number(MARGIN + TITLE_SIZE)}">{escaped(title)}</text>'] * bool(
        title
    )
    _draw(parts, diagram, sized, layout, ((width - layout.width) / 2, MARGIN + head))
    height = layout.height + 2 * MARGIN + head
    return document(parts, width, height, diagram.title, diagram.description, theme)


def document(parts: Sequence[str], width: float, height: float, title: str, description: str, theme: Theme) -> str:
    """An SVG document around its parts.

    Args:
        parts: The elements.
        width: Pixels.
        height: Pixels.
        title: What it is, for readers of the screen.
        description: The same at length; empty for none.
        theme: Its colours.
    """
    size = f"{number(width)} {number(height)}"
    named = f"<title>{escaped(title)}</title>" if title else ""
    described = f"<desc>{escaped(description)}</desc>" if description else ""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="omg" role="img" viewBox="0 0 {size}"'
            f' width="{number(width)}" height="{number(height)}">{named}{described}',
            *([f"<style>{sheet}</style>"] if (sheet := style(theme)) else []),
            f'<rect class="paper" width="{number(width)}" height="{number(height)}" rx="6"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _placed(diagram: Diagram, down: bool | None) -> tuple[list[_Sized], Layout]:
    """The boxes, and a layout of them and, behind them, of the links' labels."""
    sized = [_sized(box) for box in diagram.boxes]
    index = {box.key: position for position, box in enumerate(diagram.boxes)}
    sizes = [(box.width, box.height) for box in sized]
    links: list[tuple[int, int]] = []
    for link, turned in zip(diagram.links, _turned(diagram), strict=True):
        source, target = index[link.source], index[link.target]
        if _labelled(link):
            upper, lower = (target, source) if turned else (source, target)
            links += [(upper, len(sizes)), (len(sizes), lower)]
            sizes.append((width_of(_label(link), NOTE_SIZE) + 10, NOTE_ROW))
        else:
            links.append((source, target))
    layout = laid_out(sizes, links, down)
    loops = [index[link.source] for link in diagram.links if link.source == link.target]
    right = max((layout.centres[loop][0] + sizes[loop][0] / 2 + LOOP for loop in loops), default=0.0)
    return sized, replace(layout, width=max(layout.width, right))


def _turned(diagram: Diagram) -> list[bool]:
    """For each link whether it points against the flow, so that its label lies between its boxes, as others' do."""
    index = {box.key: position for position, box in enumerate(diagram.boxes)}
    pairs = [(index[link.source], index[link.target]) for link in diagram.links]
    along = along_flow(len(diagram.boxes), pairs)
    return [not along.get(pair, True) for pair in pairs]


def _labelled(link: Link) -> bool:
    """Whether it has a label with a place of its own, through which it runs."""
    return bool(link.label) and link.source != link.target


def _label(link: Link) -> str:
    return clipped(plain(link.label), LONGEST_NOTE, NOTE_SIZE)


def _sized(box: Box) -> _Sized:
    if box.shape != "box":
        return _Sized(box, DOT, DOT)
    if box.inside is not None:
        inner, layout = _placed(box.inside, None)
        width = max(layout.width + 2 * PAD, width_of(_headline(box), LABEL_SIZE) + 2 * PAD + SIGN)
        return _Sized(box, width, layout.height + HEAD + 2 * PAD, layout, inner)
    if box.members:
        members = [_sized(member) for member in box.members]
        columns = 1 if len(members) <= 4 else 2 if len(members) <= 10 else 3
        rows = -(-len(members) // columns)
        wide, tall = max(member.width for member in members), max(member.height for member in members)
        for member in members:
            member.width, member.height = wide, tall
        return _Sized(box, columns * (wide + 6) + 6, rows * (tall + 6) + 6, inner=members, columns=columns)
    text = max(min(width_of(box.label, LABEL_SIZE), LONGEST), min(width_of(box.note, NOTE_SIZE), LONGEST))
    width = max(text + 21 + (SIGN if box.state else 0), SHORTEST)
    return _Sized(box, width, TALL_ROW if box.note else ROW)


def _draw(parts: list[str], diagram: Diagram, sized: list[_Sized], layout: Layout, corner: Position) -> None:
    """Links first, so that boxes lie over them."""
    index = {box.key: position for position, box in enumerate(diagram.boxes)}
    routes = iter([[(x + corner[0], y + corner[1]) for x, y in route] for route in layout.routes])
    labels = iter(layout.centres[len(sized) :])
    drawn: dict[tuple[str, str], bool] = {}
    plain_links: list[str] = []
    marked: list[str] = []
    for link, turned in zip(diagram.links, _turned(diagram), strict=True):
        # Two links against each other take one way: the second adds only its head, or their dashes would mix.
        there = drawn.get((link.target, link.source)) == link.dashed
        route = next(routes)
        if _labelled(link):
            ways = [route, next(routes)]
            first, second = [way[::-1] for way in ways[::-1]] if turned else ways
            line = _link(link, first, layout.down, there=False, head=False)
            line += _link(link, second, layout.down, there=False)
            x, y = next(labels)
            where = f'x="{number(x + corner[0])}" y="{number(y + corner[1] + 3.6)}"'
            line += f'<text class="n c" {where}><title>{escaped(link.label)}</title>{escaped(_label(link))}</text>'
        elif route:
            drawn[link.source, link.target] = link.dashed
            line = _link(link, route, layout.down, there=there)
        else:
            looped = sized[index[link.source]]
            x, y = layout.centres[index[link.source]]
            line = _loop(link, (x + corner[0] + looped.width / 2, y + corner[1]))
            line = f"<g><title>{escaped(link.label)}</title>{line}</g>" if link.label else line
        (marked if link.marked else plain_links).append(line)
    parts += [*plain_links, *marked]
    for sized_box, (x, y) in zip(sized, layout.centres, strict=False):
        _draw_box(parts, sized_box, (x + corner[0] - sized_box.width / 2, y + corner[1] - sized_box.height / 2))


def _draw_box(parts: list[str], sized_box: _Sized, corner: Position) -> None:
    box = sized_box.box
    x, y = corner
    if box.shape != "box":
        parts.append(_dot(box, (x + DOT / 2, y + DOT / 2)))
    elif box.members:
        parts.append(f'<rect class="g" {_rect(x, y, sized_box.width, sized_box.height)} rx="7"/>')
        for position, member in enumerate(sized_box.inner):
            row, column = divmod(position, sized_box.columns)
            _draw_box(parts, member, (x + 6 + column * (member.width + 6), y + 6 + row * (member.height + 6)))
    elif sized_box.layout is not None and box.inside is not None:
        sign = icon(box.state, number(x + PAD + 6), number(y + PAD + 3))
        left = x + PAD + (SIGN if sign else 0)
        label = escaped(clipped(plain(_headline(box)), sized_box.width - 2 * PAD - (SIGN if sign else 0), LABEL_SIZE))
        parts.append(
            f'<g class="{_classes(box)}" data-key="{escaped(box.key)}">{_hint(box)}'
            f'<rect class="r" {_rect(x, y, sized_box.width, sized_box.height)} rx="9"/>'
            f'{sign}<text class="q" x="{number(left)}" y="{number(y + PAD + 8)}">{label}</text>{_stop(box, x, y)}</g>'
        )
        inner_x = x + (sized_box.width - sized_box.layout.width) / 2
        _draw(parts, box.inside, sized_box.inner, sized_box.layout, (inner_x, y + HEAD + PAD))
    else:
        parts.append(_plain_box(sized_box, corner))


def _plain_box(sized_box: _Sized, corner: Position) -> str:
    box = sized_box.box
    x, y = corner
    middle = y + sized_box.height / 2
    sign = icon(box.state, number(x + 15), number(middle))
    room = sized_box.width - 20 - (SIGN if sign else 0)
    where = f'x="{number(x + 10 + SIGN)}"' if sign else f'class="c" x="{number(x + sized_box.width / 2)}"'
    first = middle - 3 if box.note else middle + 4.4
    label = f'<text {where} y="{number(first)}">{escaped(clipped(plain(box.label), room, LABEL_SIZE))}</text>'
    note = ""
    if box.note:
        where = where.replace('class="c"', 'class="n c"') if not sign else f'class="n" {where}'
        note = f'<text {where} y="{number(middle + 12)}">{escaped(clipped(plain(box.note), room, NOTE_SIZE))}</text>'
    return (
        f'<g class="{_classes(box)}" data-key="{escaped(box.key)}">{_hint(box)}'
        f'<rect class="r" {_rect(x, y, sized_box.width, sized_box.height)} rx="6"/>{sign}{label}{note}'
        f"{_stop(box, x, y)}</g>"
    )


def _stop(box: Box, x: float, y: float) -> str:
    """The dot of a place where a run is to stop, at the box's corner."""
    return f'<circle class="h" cx="{number(x + 2)}" cy="{number(y + 2)}" r="6"/>' if box.stop else ""


def _headline(box: Box) -> str:
    return f"{box.label} · {box.note}" if box.note else box.label


def _classes(box: Box) -> str:
    return " ".join(["b", *([box.state] if box.state else []), *(["mark"] if box.marked else [])])


def _hint(box: Box) -> str:
    """Tooltip of a box, also for screen readers: all of its text, uncut."""
    state = f" ({box.state})" if box.state else ""
    state += " (stops here)" if box.stop else ""
    lines = [f"{box.label or box.key}{state}", box.note, box.hint]
    return f"<title>{escaped(chr(10).join(line for line in lines if line))}</title>"


def _dot(box: Box, centre: Position) -> str:
    x, y = number(centre[0]), number(centre[1])
    ring = f'<circle class="y" cx="{x}" cy="{y}" r="8"/>' if box.shape == "end" else ""
    radius = 4.5 if box.shape == "end" else 6.5
    return (
        f'<g class="b" data-key="{escaped(box.key)}"><title>{escaped(box.shape)}</title>{ring}'
        f'<circle class="o" cx="{x}" cy="{y}" r="{number(radius)}"/></g>'
    )


def _rect(x: float, y: float, width: float, height: float) -> str:
    return f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'


def _link(link: Link, points: list[Position], down: bool, *, there: bool, head: bool = True) -> str:
    """A link along its way, without the line where it is `there`, and without a head where it leads to its label."""
    end, before = points[-1], next(point for point in reversed(points) if point != points[-1])
    sign = 1.0 if (end[1] - before[1] if down else end[0] - before[0]) >= 0 else -1.0
    length = ARROW if head else 0.0
    base = (end[0], end[1] - sign * length) if down else (end[0] - sign * length, end[1])
    points = [*points[:-1], base]
    commands = [f"M{_at(points[0])}"]
    for position, (a, b) in enumerate(pairwise(points)):
        if a == b:
            continue
        if position % 2 == 0 or abs(a[0] - b[0]) < 0.05 or abs(a[1] - b[1]) < 0.05:
            commands.append(f"L{_at(b)}")
            continue
        middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
        bend_in, bend_out = ((a[0], middle[1]), (b[0], middle[1])) if down else ((middle[0], a[1]), (middle[0], b[1]))
        commands.append(f"C{_at(bend_in)} {_at(bend_out)} {_at(b)}")
    side = (3.5, 0.0) if down else (0.0, 3.5)
    corners = [end, (base[0] - side[0], base[1] - side[1]), (base[0] + side[0], base[1] + side[1])]
    return _arrow(link, "" if there else "".join(commands), corners if head else [])


def _loop(link: Link, side: Position) -> str:
    """A link from a box to itself, at its right side."""
    x, y = side
    path = f"M{_at((x, y - 6))}C{_at((x + 22, y - 14))} {_at((x + 22, y + 14))} {_at((x + ARROW, y + 6))}"
    return _arrow(link, path, [(x, y + 6), (x + ARROW, y + 2.5), (x + ARROW, y + 9.5)])


def _arrow(link: Link, path: str, corners: list[Position]) -> str:
    more = f"{' d' if link.dashed else ''}{' mark' if link.marked else ''}"
    head = "L".join(_at(corner) for corner in corners)
    marked = " mark" if link.marked else ""
    line = f'<path class="k{more}" d="{path}"/>' if path else ""
    return line + (f'<path class="a{marked}" d="M{head}Z"/>' if head else "")


def _at(point: Position) -> str:
    return f"{number(point[0])} {number(point[1])}"
