"""Layout: boxes do not overlap, links run from box to box, whatever the graph looks like."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmanus_graph.drawing.cycles import along_flow
from openmanus_graph.drawing.layout import Layout, laid_out

Sizes = list[tuple[float, float]]
Links = list[tuple[int, int]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Sizes, Links]:
    """Any graph: cycles, repeated links, links to itself, nodes without links."""
    count = draw(st.integers(0, 12))
    sizes = draw(st.lists(st.tuples(st.floats(10, 300), st.floats(10, 90)), min_size=count, max_size=count))
    node = st.integers(0, max(count - 1, 0))
    links = draw(st.lists(st.tuples(node, node), max_size=24)) if count else []
    return sizes, links


def overlap(layout: Layout, sizes: Sizes, one: int, two: int) -> bool:
    (x, y), (other_x, other_y) = layout.centres[one], layout.centres[two]
    wide = (sizes[one][0] + sizes[two][0]) / 2 - abs(x - other_x)
    tall = (sizes[one][1] + sizes[two][1]) / 2 - abs(y - other_y)
    return wide > 0.01 and tall > 0.01


@given(graphs(), st.sampled_from([True, False, None]))
@settings(max_examples=120, deadline=None)
def test_boxes_never_overlap_and_lie_within_the_picture(graph: tuple[Sizes, Links], down: bool | None) -> None:
    sizes, links = graph
    layout = laid_out(sizes, links, down)

    assert not [pair for pair in combinations(range(len(sizes)), 2) if overlap(layout, sizes, *pair)]
    for (x, y), (width, height) in zip(layout.centres, sizes, strict=True):
        assert x - width / 2 >= -0.01
        assert y - height / 2 >= -0.01
        assert x + width / 2 <= layout.width + 0.01
        assert y + height / 2 <= layout.height + 0.01


@given(graphs(), st.booleans())
@settings(max_examples=120, deadline=None)
def test_every_link_begins_and_ends_at_the_side_of_its_box(graph: tuple[Sizes, Links], down: bool) -> None:
    sizes, links = graph
    layout = laid_out(sizes, links, down)
    along = 1 if down else 0
    for (source, target), route in zip(links, layout.routes, strict=True):
        if source == target:
            assert route == []
            continue
        for node, end in ((source, route[0]), (target, route[-1])):
            assert abs(end[along] - layout.centres[node][along]) == pytest.approx(sizes[node][along] / 2)
            assert abs(end[1 - along] - layout.centres[node][1 - along]) <= sizes[node][1 - along] / 2


@given(graphs())
@settings(max_examples=120, deadline=None)
def test_links_along_the_flow_make_no_cycle(graph: tuple[Sizes, Links]) -> None:
    sizes, links = graph
    along = along_flow(len(sizes), links)
    left = {(a, b) if forward else (b, a) for (a, b), forward in along.items()}
    assert set(along) == {pair for pair in links if pair[0] != pair[1]}
    nodes = set(range(len(sizes)))
    while nodes:
        first = {node for node in nodes if not any(b == node for _, b in left)}
        assert first
        nodes -= first
        left = {pair for pair in left if pair[0] not in first}


def test_a_graph_without_cycles_is_drawn_along_its_links() -> None:
    links = [(0, 1), (1, 2), (0, 2), (2, 3), (4, 3)]
    assert all(along_flow(5, links).values())

    layout = laid_out([(60, 30)] * 5, links, down=True)
    assert all(layout.centres[a][1] < layout.centres[b][1] for a, b in links)


def test_the_layout_is_the_same_in_every_process() -> None:
    program = (
        "from openmanus_graph.drawing.layout import laid_out\n"
        "links = [(i * 7 % 40, i * 11 % 40) for i in range(90)]\n"
        "print(laid_out([(60.0 + i, 30.0) for i in range(44)], links))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_many_steps_side_by_side_flow_to_the_right() -> None:
    fan = [(0, step) for step in range(1, 40)]
    assert not laid_out([(120, 40)] * 40, fan).down
    chain = [(step, step + 1) for step in range(8)]
    assert laid_out([(120, 40)] * 9, chain).down


def test_groups_that_do_not_hang_together_keep_their_links_apart() -> None:
    links = [(1, 4), (2, 8), (2, 11), (8, 9), (9, 11)]
    layout = laid_out([(60, 30)] * 12, links, down=True)

    assert all(len(route) >= 4 for route in layout.routes)
    assert len(set(layout.centres)) == 12
    for (source, target), route in zip(links, layout.routes, strict=True):
        assert abs(route[0][0] - layout.centres[source][0]) <= 30
        assert abs(route[-1][0] - layout.centres[target][0]) <= 30


def test_links_over_very_many_ranks_run_along_the_side() -> None:
    count = 300
    links = [(step, step + 1) for step in range(count - 1)] + [(step, count - 1) for step in range(count - 2)]
    began = time.perf_counter()
    layout = laid_out([(60, 30)] * count, links, down=True)

    assert time.perf_counter() - began < 5  # minutes, if each passed every rank between
    assert all(layout.routes)
    right = max(x for x, _ in layout.centres) + 30
    first = layout.routes[links.index((0, count - 1))]
    assert max(x for x, _ in first) > right
    assert max(x for x, _ in first) < layout.width
