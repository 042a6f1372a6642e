"""Timeline: the points of a thread as a tree, with the threads that were forked off."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.history.checkpoint_ref import Point
from openmanus_graph.checkpoints.history.history import Moment, thread_history
from openmanus_graph.checkpoints.threads import Thread, find_thread
from openmanus_graph.cli.terminal import print_json, print_table, with_program
from openmanus_graph.display_text import amount, cost, one_line


def history(thread: str, as_json: bool) -> None:
    """List the points of a thread: what each step did, when and at what cost, and the forks."""
    found, moments = asyncio.run(_read(thread))
    if as_json:
        print_json({"thread": found.thread_id, "origin": found.origin, "points": [one.as_json() for one in moments]})
        return
    if found.origin is not None:
        everything = " with all it had" if found.origin["everything"] else ""
        click.echo(f"Forked from {found.origin['thread']}@{found.origin['number']}{everything}.")
    if not moments:
        click.echo("Nothing of it was committed.")
        return
    rows = [_row(one, depth) for one, depth in _tree(moments)]
    print_table(["POINT", "TIME", "STEP", "WHAT", "FILES", "TOKENS", "COST"], rows)
    for one in moments:
        for name in one.forks:
            click.echo(f"Forked off at {one.point.number}: {name}")
    click.echo(with_program(f"Look at one: openmanus-graph threads show {found.thread_id}@NUMBER"), err=True)


async def _read(name: str) -> tuple[Thread, list[Moment]]:
    async with open_checkpointer() as saver:
        thread = await find_thread(saver, name)
        return thread, await thread_history(saver, thread.thread_id)


def _tree(moments: Sequence[Moment]) -> Iterator[tuple[Moment, int]]:
    """The points such that what ran inside a step comes behind the point it began at, with the depth of each."""
    keys = {(one.point.namespace, one.point.id) for one in moments}
    inside: dict[tuple[str, str], dict[str, list[Moment]]] = defaultdict(dict)
    outer: list[Moment] = []
    for one in moments:
        around = _around(one.point, keys)
        if around is None:
            outer.append(one)
        else:
            inside[around].setdefault(one.point.namespace, []).append(one)
    yield from _below(outer, inside, 0)


def _around(point: Point, keys: set[tuple[str, str]]) -> tuple[str, str] | None:
    """The innermost checkpoint around a point."""
    found = [key for key in point.parents.items() if key in keys and key[0] != point.namespace]
    return max(found, key=lambda key: (key[0] != "", key[0].count("|"))) if found else None


def _below(
    moments: Sequence[Moment], inside: Mapping[tuple[str, str], Mapping[str, list[Moment]]], depth: int
) -> Iterator[tuple[Moment, int]]:
    for one in moments:
        yield one, depth
        for group in inside.get((one.point.namespace, one.point.id), {}).values():
            yield from _below(group, inside, depth + 1)


def _row(one: Moment, depth: int) -> list[str]:
    point = one.point
    inside = point.namespace.rpartition("|")[2].split(":")[0].split(" ")
    place = (inside[1] if inside[0] == "subtask" else inside[0]) if point.namespace else ""
    step = f"{place}:{point.step}" if place else str(point.step)
    nodes = ", ".join(dict.fromkeys(one.nodes))
    what = ": ".join(filter(None, [nodes, one.what])) + (f" (asks: {one.asks})" if one.asks else "")
    files = f"{one.files[0]}{f' +{len(one.files) - 1}' if len(one.files) > 1 else ''}" if one.files else ""
    tokens = amount(one.tokens) if one.tokens else ""
    paid = cost(one.cost_usd) if one.tokens else ""
    time = f"{point.made_at.astimezone():%H:%M:%S}"
    return [str(point.number), time, "  " * depth + step, one_line(what, 100), one_line(files, 40), tokens, paid]
