"""Layout: coordinates of boxes and routes of links, in ranks along the direction of flow.

Sugiyama's method (K. Sugiyama, S. Tagawa, M. Toda, IEEE Trans. SMC 11(2), 1981). `fast-sugiyama` finds the ranks and
the order within each; it knows nodes of one size only, so coordinates are found here: every box goes where its
neighbours pull it, as far as the order and the gaps within its rank let it, which is an isotonic regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

from openmanus_graph.drawing.cycles import along_flow

Position = tuple[float, float]

GAP = 22.0
"""Pixels between two boxes of a rank."""
LINE_GAP = 11.0
"""Pixels between a link that passes a rank and its neighbours there."""
DOWN_GAP = 46.0
"""Pixels between ranks one below the other."""
RIGHT_GAP = 60.0
"""Pixels between ranks side by side."""
PORT = 13.0
"""Pixels between two links at the side of a box, where there is room."""
MOST_PASSING = 4000
"""Points where links pass a rank; the longest links of a picture with more run along its side instead."""
BUS = 18.0
"""Pixels between a picture and the links along its side."""
SWEEPS = 10
"""How often every rank is pulled towards its neighbours."""
COMFORTABLE_WIDTH = 900.0
"""Pixels up to which a picture flows down rather than to the right."""
REMEMBERED = 32
"""Layouts that are kept: what is drawn again, with other states, has its places already."""


@dataclass(frozen=True)
class Layout:
    """Coordinates of a diagram, in pixels from the upper left corner."""

    width: float
    height: float
    centres: list[Position]
    """The centre of each box, in the order given."""
    routes: list[list[Position]]
    """For each link the points it passes, from box to box; with every second stretch straight. Empty for a link
    from a box to itself."""
    down: bool
    """Whether it flows downwards; else to the right."""


@dataclass
class _Ranks:
    """Nodes, and the points where links pass a rank, in order; nodes are numbered first."""

    ranks: list[list[int]]
    chains: dict[tuple[int, int], list[int]]
    """For each pair of linked nodes what lies on the way, both included."""
    count: int
    """How many nodes and points there are."""
    neighbours: list[list[tuple[int, float]]] = field(default_factory=list[list[tuple[int, float]]])
    """For each its neighbours with their weights."""
    weights: list[float] = field(default_factory=list[float])
    """For each the weights of all its neighbours together."""


def laid_out(
    sizes: Sequence[tuple[float, float]], links: Sequence[tuple[int, int]], down: bool | None = None
) -> Layout:
    """Find a place for every box and a route for every link.

    Args:
        sizes: Width and height of each box, in pixels.
        links: Pairs of box numbers; cycles, repetitions and links from a box to itself may be among them.
        down: Whether it flows downwards or to the right; `None` takes what is easier to read.
    """
    return _laid_out(tuple(sizes), tuple(links), down)


@lru_cache(REMEMBERED)
def _laid_out(sizes: tuple[tuple[float, float], ...], links: tuple[tuple[int, int], ...], down: bool | None) -> Layout:
    forward = along_flow(len(sizes), links)
    pairs = sorted({(a, b) if forward[a, b] else (b, a) for a, b in links if a != b})
    ranked = _ranked(len(sizes), _short_enough(len(sizes), pairs))
    if down is None:
        down = _better_down(sizes, ranked)
    across = [size[0 if down else 1] for size in sizes] + [0.0] * (ranked.count - len(sizes))
    along = [size[1 if down else 0] for size in sizes]
    cross = _crosswise(ranked, across, len(sizes))
    bands, depth = _bands(ranked, along, DOWN_GAP if down else RIGHT_GAP)
    low = min((cross[i] - across[i] / 2 for i in range(len(cross))), default=0.0)
    high = max((cross[i] + across[i] / 2 for i in range(len(cross))), default=0.0)
    cross = [value - low for value in cross]
    rank_of = {item: number for number, rank in enumerate(ranked.ranks) for item in rank}
    middles = [sum(bands[rank_of[item]]) / 2 for item in range(len(sizes))]
    routes = _routes(ranked, cross, across, along, bands, rank_of)
    aside = [pair for pair in pairs if pair not in routes]
    for pair in aside:
        routes[pair] = _along_side(pair, cross, middles, along, high - low + BUS)
    high += 2 * BUS if aside else 0.0

    def turned(point: Position) -> Position:
        return point if down else (point[1], point[0])

    all_routes: list[list[Position]] = []
    for a, b in links:
        route = [] if a == b else routes[a, b] if forward[a, b] else routes[b, a][::-1]
        all_routes.append([turned(point) for point in route])
    size = turned((high - low, depth))
    centres = [turned(point) for point in zip(cross, middles, strict=False)]
    return Layout(size[0], size[1], centres, all_routes, down)


def _ranked(count: int, pairs: list[tuple[int, int]]) -> _Ranks:
    """Ranks of nodes and passing points, from `fast-sugiyama`, with nodes that have no links in rows of their own."""
    linked = sorted({node for pair in pairs for node in pair})
    ranks: list[list[tuple[float, int]]] = []
    chains: dict[tuple[int, int], list[int]] = {}
    total = count
    # The order of the answer differs from process to process, the coordinates do not: sorted, it is always the same.
    for component in _components(pairs):
        start = max((rank[-1][0] + 1 for rank in ranks if rank), default=0.0)
        component.face_in_order()
        points: list[tuple[int, float, float]] = [(node, *component.places[node]) for node in component.nodes]
        for pair, places in component.chains:
            numbers = range(total, total + len(places))
            total += len(places)
            chains[pair] = [pair[0], *numbers, pair[1]]
            points += [(item, *place) for item, place in zip(numbers, places, strict=True)]
        for item, x, rank in points:
            while len(ranks) <= rank:
                ranks.append([])
            ranks[int(rank)].append((start + x, item))
        ranks = [sorted(rank) for rank in ranks]
    order = [[item for _, item in rank] for rank in ranks]
    alone = sorted(set(range(count)) - set(linked))
    if alone:
        side = max(len(order), round(len(alone) ** 0.5), 1)
        order += [[] for _ in range(side - len(order))]
        for position, node in enumerate(alone):
            order[position % side].append(node)
    return _with_neighbours(_Ranks(order, chains, total))


@dataclass
class _Component:
    """A connected component."""

    nodes: list[int]
    places: dict[int, tuple[float, int]]
    """For each node its coordinate within the rank, and the rank from 0."""
    chains: list[tuple[tuple[int, int], list[tuple[float, int]]]]
    """For each pair the places where its link passes a rank."""

    def face_in_order(self) -> None:
        """Turn it left for right if that brings more neighbours within a rank into the order they were given in."""
        ranks: dict[int, list[tuple[float, int]]] = {}
        for node, (x, rank) in self.places.items():
            ranks.setdefault(rank, []).append((x, node))
        turns = 0
        for rank in ranks.values():
            turns += sum(1 if a[1] > b[1] else -1 for a, b in pairwise(sorted(rank)))
        if turns > 0:
            everything = [*self.places.values(), *(place for _, passed in self.chains for place in passed)]
            end = max(x for x, _ in everything)
            self.places = {node: (end - x, rank) for node, (x, rank) in self.places.items()}
            self.chains = [(pair, [(end - x, rank) for x, rank in passed]) for pair, passed in self.chains]


def _components(pairs: list[tuple[int, int]]) -> list[_Component]:
    """Ranks and coordinates of each connected component."""
    group: dict[int, int] = {}
    neighbours: dict[int, list[int]] = {}
    for a, b in pairs:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    for root in sorted(neighbours):
        if root in group:
            continue
        stack = [root]
        while stack:
            node = stack.pop()
            if node not in group:
                group[node] = root
                stack += neighbours[node]
    by_group: dict[int, list[tuple[int, int]]] = {}
    for pair in pairs:
        by_group.setdefault(group[pair[0]], []).append(pair)
    return [_component(by_group[root]) for root in sorted(by_group)]


def _component(pairs: list[tuple[int, int]]) -> _Component:
    from fast_sugiyama import from_edges

    nodes = sorted({node for pair in pairs for node in pair})
    number = {node: index for index, node in enumerate(nodes)}
    # One group at a time and numbers without gaps: the library numbers the points where links pass a rank on from the
    # nodes of a group, so that in a second group they would be taken for nodes. And no cycle: it would end the process.
    drawn = from_edges([(number[a], number[b]) for a, b in pairs], vertex_spacing=1, dummy_vertices=True)
    positions, _, _, edges = cast("tuple[Any, Any, Any, Any]", drawn.to_list()[0])
    top = max(y for _, (_, y) in positions)
    places = {int(item): (float(x), round(top - y)) for item, (x, y) in positions}
    after: dict[int, list[int]] = {}
    for a, b in edges:
        after.setdefault(int(a), []).append(int(b))
    chains: list[tuple[tuple[int, int], list[tuple[float, int]]]] = []
    for node in nodes:
        for step in after.get(number[node], []):
            passed: list[tuple[float, int]] = []
            item = step
            while item >= len(nodes):
                passed.append(places[item])
                item = after[item][0]
            chains.append(((node, nodes[item]), passed))
    return _Component(nodes, {node: places[number[node]] for node in nodes}, sorted(chains))


def _with_neighbours(ranked: _Ranks) -> _Ranks:
    """Straight long links matter more than short ones (as in Gansner et al., IEEE Trans. SE 19(3), 1993)."""
    ranked.neighbours = [[] for _ in range(ranked.count)]
    for chain in ranked.chains.values():
        ends = (chain[0], chain[-1])
        for a, b in pairwise(chain):
            weight = (1.0, 2.0, 6.0)[(a not in ends) + (b not in ends)]
            ranked.neighbours[a].append((b, weight))
            ranked.neighbours[b].append((a, weight))
    ranked.weights = [sum(pull for _, pull in near) for near in ranked.neighbours]
    return ranked


def _better_down(sizes: Sequence[tuple[float, float]], ranked: _Ranks) -> bool:
    count = len(sizes)
    ranks = [[item for item in rank if item < count] for rank in ranked.ranks]
    wide = max((sum(sizes[item][0] + GAP for item in rank) for rank in ranks), default=0.0)
    long = sum(max((sizes[item][0] for item in rank), default=0.0) + RIGHT_GAP for rank in ranks)
    return wide <= COMFORTABLE_WIDTH or wide <= long


def _crosswise(ranked: _Ranks, across: list[float], count: int) -> list[float]:
    """A coordinate within the rank for each item."""
    cross = [0.0] * ranked.count
    gaps: list[list[float]] = []
    for rank in ranked.ranks:
        between = [
            (across[a] + across[b]) / 2 + (GAP if a < count and b < count else LINE_GAP) for a, b in pairwise(rank)
        ]
        gaps.append(between)
        place = -sum(between) / 2
        for item, gap in zip(rank, [*between, 0.0], strict=True):
            cross[item] = place
            place += gap
    order = list(zip(ranked.ranks, gaps, strict=True))
    for sweep in range(SWEEPS):
        for rank, between in order if sweep % 2 == 0 else order[::-1]:
            _pull(rank, between, cross, ranked)
    return cross


def _pull(rank: list[int], between: list[float], cross: list[float], ranked: _Ranks) -> None:
    """Move a rank as near to its neighbours as order and gaps allow: least squares, by pooling adjacent violators."""
    blocks: list[tuple[float, float, int]] = []  # weighted sum of wishes, weight, how many items
    offset = 0.0
    for position, item in enumerate(rank):
        offset += between[position - 1] if position else 0.0
        weight = ranked.weights[item]
        if weight:
            wish = 0.0
            for other, pull in ranked.neighbours[item]:
                wish += cross[other] * pull
            wish /= weight
        else:
            wish, weight = cross[item], 0.1
        total, mass, size = (wish - offset) * weight, weight, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / mass:
            before = blocks.pop()
            total, mass, size = total + before[0], mass + before[1], size + before[2]
        blocks.append((total, mass, size))
    offset = 0.0
    position = 0
    for total, mass, size in blocks:
        for _ in range(size):
            offset += between[position - 1] if position else 0.0
            cross[rank[position]] = total / mass + offset
            position += 1


def _bands(ranked: _Ranks, along: list[float], gap: float) -> tuple[list[tuple[float, float]], float]:
    """Begin and end of each rank along the flow, and the end of all; many links make more room."""
    place = 0.0
    bands: list[tuple[float, float]] = []
    for rank in ranked.ranks:
        thick = max((along[item] for item in rank if item < len(along)), default=0.0)
        bands.append((place, place + thick))
        crowd = sum(len(ranked.neighbours[item]) for item in rank)
        place += thick + gap + min(crowd, 40) * 0.6
    return bands, bands[-1][1] if bands else 0.0


def _short_enough(count: int, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs, without the longest where all together would pass too many ranks to be laid out soon."""
    waits = [0] * count
    targets: list[list[int]] = [[] for _ in range(count)]
    for a, b in pairs:
        targets[a].append(b)
        waits[b] += 1
    rank = [0] * count
    ready = [node for node in range(count) if not waits[node]]
    while ready:
        node = ready.pop()
        for target in targets[node]:
            rank[target] = max(rank[target], rank[node] + 1)
            waits[target] -= 1
            if not waits[target]:
                ready.append(target)
    passing = 0
    kept: list[tuple[int, int]] = []
    for a, b in sorted(pairs, key=lambda pair: (rank[pair[1]] - rank[pair[0]], pair)):
        passing += rank[b] - rank[a] - 1
        if passing > MOST_PASSING:
            break
        kept.append((a, b))
    return sorted(kept)


def _along_side(
    pair: tuple[int, int], cross: list[float], middles: list[float], along: list[float], side: float
) -> list[Position]:
    """The way of a link that passes no rank: out, along the side of the picture, and in again."""
    (a, b), sign = pair, 1 if middles[pair[1]] >= middles[pair[0]] else -1
    start, end = middles[a] + sign * along[a] / 2, middles[b] - sign * along[b] / 2
    out, back = (cross[a], start), (cross[b], end)
    return [out, out, (side, start + sign * BUS), (side, end - sign * BUS), back, back]


def _routes(
    ranked: _Ranks,
    cross: list[float],
    across: list[float],
    along: list[float],
    bands: list[tuple[float, float]],
    rank_of: dict[int, int],
) -> dict[tuple[int, int], list[Position]]:
    """The points of each link along the flow: `(within the rank, along the flow)`."""
    leaving: dict[int, list[tuple[float, int]]] = {}
    entering: dict[int, list[tuple[float, int]]] = {}
    chains = list(ranked.chains.items())
    for index, ((a, b), chain) in enumerate(chains):
        leaving.setdefault(a, []).append((cross[chain[1]], index))
        entering.setdefault(b, []).append((cross[chain[-2]], index))
    ports: dict[tuple[int, bool], float] = {}
    for side, first in ((leaving, True), (entering, False)):
        for node, found in side.items():
            step = min(PORT, across[node] * 0.8 / max(len(found), 1))
            for position, (_, index) in enumerate(sorted(found)):
                ports[index, first] = cross[node] + (position - (len(found) - 1) / 2) * step
    routes: dict[tuple[int, int], list[Position]] = {}
    for index, ((a, b), chain) in enumerate(chains):
        start, end = bands[rank_of[a]], bands[rank_of[b]]
        points = [(ports[index, True], sum(start) / 2 + along[a] / 2)]
        if points[0][1] < start[1]:
            points.append((ports[index, True], start[1]))  # out of a rank that others make thicker
        else:
            points.append(points[0])
        for item in chain[1:-1]:
            band = bands[rank_of[item]]
            points += [(cross[item], band[0]), (cross[item], band[1])]
        points += [(ports[index, False], end[0]), (ports[index, False], sum(end) / 2 - along[b] / 2)]
        routes[a, b] = points
    return routes
