"""Cycles: finds links that point against the flow of a diagram, so that the rest has no cycle.

Two ways are tried, a search in depth and the distance from the start, and the one that turns fewer links is taken;
finding the fewest of all is NP-hard (R. M. Karp, 1972).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

Pair = tuple[int, int]


def along_flow(count: int, links: Sequence[Pair]) -> dict[Pair, bool]:
    """For each link whether it points along the flow; links from a node to itself are left out.

    Args:
        count: How many nodes there are, numbered from 0.
        links: Pairs of node numbers.
    """
    pairs = list(dict.fromkeys(pair for pair in links if pair[0] != pair[1]))
    targets: list[list[int]] = [[] for _ in range(count)]
    entered = [False] * count
    for a, b in pairs:
        targets[a].append(b)
        entered[b] = True
    roots = [*(node for node in range(count) if not entered[node]), *range(count)]
    deep, finished = _in_depth(roots, targets)
    turned = sum(not along for along in deep.values())
    if not turned:
        return deep
    position = _by_distance(roots, targets, pairs)
    group = _strong_groups(finished, pairs)
    wide = {(a, b): group[a] != group[b] or position[a] < position[b] for a, b in pairs}
    return wide if sum(not along for along in wide.values()) <= turned else deep


def _in_depth(roots: list[int], targets: list[list[int]]) -> tuple[dict[Pair, bool], list[int]]:
    """Links that lead back to the path from the root are against the flow; and the nodes as they were left."""
    state = [0] * len(targets)  # 1: on the path from the root, 2: left
    along: dict[Pair, bool] = {}
    finished: list[int] = []
    for root in roots:
        if state[root]:
            continue
        path = [(root, iter(targets[root]))]
        state[root] = 1
        while path:
            node, rest = path[-1]
            target = _next_new(node, rest, state, along)
            if target is None:
                state[node] = 2
                finished.append(node)
                path.pop()
            else:
                state[target] = 1
                path.append((target, iter(targets[target])))
    return along, finished


def _next_new(node: int, rest: Iterator[int], state: list[int], along: dict[Pair, bool]) -> int | None:
    for target in rest:
        along[node, target] = state[target] != 1
        if not state[target]:
            return target
    return None


def _by_distance(roots: list[int], targets: list[list[int]], pairs: list[Pair]) -> list[int]:
    """Position of each node: by distance from the start, then by links that leave less those that enter."""
    surplus = [0] * len(targets)
    for a, b in pairs:
        surplus[a] += 1
        surplus[b] -= 1
    distance = [-1] * len(targets)
    for root in roots:
        if distance[root] >= 0:
            continue
        distance[root] = 0
        queue = deque([root])
        while queue:
            node = queue.popleft()
            for target in targets[node]:
                if distance[target] < 0:
                    distance[target] = distance[node] + 1
                    queue.append(target)
    order = sorted(range(len(targets)), key=lambda node: (distance[node], -surplus[node], node))
    position = [0] * len(targets)
    for place, node in enumerate(order):
        position[node] = place
    return position


def _strong_groups(finished: list[int], pairs: list[Pair]) -> dict[int, int]:
    """For each node the number of its strongly connected component (S. R. Kosaraju's algorithm)."""
    sources: dict[int, list[int]] = {}
    for a, b in pairs:
        sources.setdefault(b, []).append(a)
    group: dict[int, int] = {}
    for number, root in enumerate(reversed(finished)):
        if root in group:
            continue
        group[root] = number
        stack = [root]
        while stack:
            for source in sources.get(stack.pop(), []):
                if source not in group:
                    group[source] = number
                    stack.append(source)
    return group
