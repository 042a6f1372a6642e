"""Diagram: boxes and the links between them, without coordinates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Shape = Literal["box", "start", "end"]
"""How a box is drawn: with its label, or as the dot where a graph begins or ends."""

State = Literal["", "pending", "next", "running", "waiting", "completed", "failed", "blocked", "skipped"]
"""What a box stands at; `next` is stepped next; empty where there is nothing to say."""


@dataclass(frozen=True)
class Box:
    """A node in a picture."""

    key: str
    """What names it, unique in its diagram; `data-key` in the SVG."""
    label: str
    """Its first line."""
    note: str = ""
    """Its second, smaller line; empty for none."""
    hint: str = ""
    """What is shown when it is pointed at, besides label and note."""
    state: State = ""
    """What it stands at."""
    shape: Shape = "box"
    inside: Diagram | None = None
    """What runs within it; drawn inside of it."""
    members: tuple[Box, ...] = ()
    """Boxes with the same links, drawn as one block; it has then no label of its own."""
    marked: bool = False
    """Whether it is on the critical path."""
    stop: bool = False
    """Whether a run is to stop there."""


@dataclass(frozen=True)
class Link:
    """An arrow."""

    source: str
    """The key of the box it leaves."""
    target: str
    """The key of the box it leads to."""
    dashed: bool = False
    """Whether it is taken on a condition."""
    marked: bool = False
    """Whether it is on the critical path."""
    label: str = ""
    """On which answer it is taken; empty where that says no more than its target."""


@dataclass(frozen=True)
class Diagram:
    """Boxes and links."""

    boxes: Sequence[Box]
    links: Sequence[Link]
    title: str = ""
    """What it shows, in a line; for readers of the page and of the screen alike."""
    description: str = ""
    """The same in words, for who cannot see it."""

    def alike_joined(self) -> Diagram:
        """The diagram with boxes that have the very same links drawn as one block.

        An agent's tools all lie between the same nodes; one block of them says what two hundred arrows would hide.
        """
        sources: dict[str, set[tuple[str, bool, str]]] = {box.key: set() for box in self.boxes}
        targets: dict[str, set[tuple[str, bool, str]]] = {box.key: set() for box in self.boxes}
        for link in self.links:
            targets[link.source].add((link.target, link.dashed, link.label))
            sources[link.target].add((link.source, link.dashed, link.label))
        groups: dict[object, list[Box]] = {}
        for box in self.boxes:
            alone = box.inside is not None or box.shape != "box" or not (sources[box.key] or targets[box.key])
            links = box.key if alone else (frozenset(sources[box.key]), frozenset(targets[box.key]))
            groups.setdefault(links, []).append(box)
        if all(len(group) == 1 for group in groups.values()):
            return self
        joined: dict[str, str] = {}
        boxes: list[Box] = []
        for group in groups.values():
            joined |= {box.key: group[0].key for box in group}
            block = Box(group[0].key, "", members=tuple(group), state="")
            boxes.append(group[0] if len(group) == 1 else block)
        links = dict.fromkeys(
            replace(link, source=joined[link.source], target=joined[link.target]) for link in self.links
        )
        return replace(self, boxes=boxes, links=list(links))

    def with_states(self, states: Mapping[str, State], stops: Collection[str] = ()) -> Diagram:
        """The diagram with the states of its boxes set by key, also inside of others.

        Args:
            states: What boxes stand at, by key; the others keep what they have.
            stops: Keys of boxes where a run is to stop.
        """

        def stated(box: Box) -> Box:
            inside = box.inside.with_states(states, stops) if box.inside else None
            return replace(
                box,
                state=states.get(box.key, box.state),
                stop=box.stop or box.key in stops,
                inside=inside,
                members=tuple(stated(member) for member in box.members),
            )

        return replace(self, boxes=[stated(box) for box in self.boxes])
