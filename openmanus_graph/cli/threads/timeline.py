"""Timeline: the points of a thread as a tree, with the threads that were forked off."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.history.checkpoint_ref import Point
from openmanus_graph.checkpoints.history.history import Moment, thread_history
from openmanus_graph.checkpoints.standing import Standing, standing_of
from openmanus_graph.checkpoints.threads import Thread, find_thread
from openmanus_graph.cli.terminal import print_json, print_table, with_program
from openmanus_graph.display_text import amount, cost, one_line


def history(thread: str, as_json: bool) -> None:
    """List the points of a thread: what each step did, when and at what cost, and the forks."""
    shown, moments, standing = asyncio.run(_read(thread))
    if as_json:
        points = [moment.as_json() for moment in moments]
        print_json({"thread": shown.thread_id, "origin": shown.origin, "standing": standing.kind, "points": points})
        return
    if shown.origin is not None:
        everything = " with all it had" if shown.origin["everything"] else ""
        click.echo(f"Forked from {shown.origin['thread']}@{shown.origin['number']}{everything}.")
    if not moments:
        click.echo(standing.text)
        return
    rows = [_row(moment, depth) for moment, depth in _tree(moments)]
    print_table(["POINT", "TIME", "STEP", "WHAT", "FILES", "TOKENS", "COST"], rows)
    for moment in moments:
        for name in moment.forks:
            click.echo(f"Forked off at {moment.point.number}: {name}")
    if shown.status in ("stopped", "paused"):
        click.echo(f"Now: {standing.text}")
    click.echo(with_program(f"Look at one: openmanus-graph threads show {shown.thread_id}@NUMBER"), err=True)


async def _read(name: str) -> tuple[Thread, list[Moment], Standing]:
    async with open_checkpointer() as saver:
        thread = await find_thread(saver, name)
        return thread, await thread_history(saver, thread.thread_id), await standing_of(saver, thread)


def _tree(moments: Sequence[Moment]) -> Iterator[tuple[Moment, int]]:
    """Points with their depth; those of a nested graph follow the point at which it began."""
    keys = {(moment.point.namespace, moment.point.id) for moment in moments}
    inside: dict[tuple[str, str], dict[str, list[Moment]]] = defaultdict(dict)
    outer: list[Moment] = []
    for moment in moments:
        around = _around(moment.point, keys)
        if around is None:
            outer.append(moment)
        else:
            inside[around].setdefault(moment.point.namespace, []).append(moment)
    yield from _below(outer, inside, 0)


def _around(point: Point, keys: set[tuple[str, str]]) -> tuple[str, str] | None:
    """The innermost checkpoint around a point."""
    around = [key for key in point.parents.items() if key in keys and key[0] != point.namespace]
    return max(around, key=lambda key: (key[0] != "", key[0].count("|"))) if around else None


def _below(
    moments: Sequence[Moment], inside: Mapping[tuple[str, str], Mapping[str, list[Moment]]], depth: int
) -> Iterator[tuple[Moment, int]]:
    for moment in moments:
        yield moment, depth
        for group in inside.get((moment.point.namespace, moment.point.id), {}).values():
            yield from _below(group, inside, depth + 1)


def _row(moment: Moment, depth: int) -> list[str]:
    point = moment.point
    inside = point.namespace.rpartition("|")[2].split(":")[0].split(" ")
    place = (inside[1] if inside[0] == "subtask" else inside[0]) if point.namespace else ""
    step = f"{place}:{point.step}" if place else str(point.step)
    nodes = ", ".join(dict.fromkeys(moment.nodes))
    what = ": ".join(filter(None, [nodes, moment.what])) + (f" (asks: {moment.asks})" if moment.asks else "")
    files = f"{moment.files[0]}{f' +{len(moment.files) - 1}' if len(moment.files) > 1 else ''}" if moment.files else ""
    tokens = amount(moment.tokens) if moment.tokens else ""
    paid = cost(moment.cost_usd) if moment.tokens else ""
    time = f"{point.made_at.astimezone():%H:%M:%S}"
    return [str(point.number), time, "  " * depth + step, one_line(what, 100), one_line(files, 40), tokens, paid]
