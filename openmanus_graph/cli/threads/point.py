"""Point: the state of a thread at one of its points."""

from __future__ import annotations

import json
from typing import Any

import click

from openmanus_graph.checkpoints.forking.fork import files_at
from openmanus_graph.checkpoints.history.checkpoint_ref import Point
from openmanus_graph.checkpoints.history.diff import state_as_json
from openmanus_graph.checkpoints.history.values import next_nodes, values_at
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.cli.terminal import print_json, with_program
from openmanus_graph.display_text import clean, one_line

LONGEST_VALUE = 600
"""Characters of one value that are shown; all of it is in the JSON."""
LAST_MESSAGES = 12


async def show_point(saver: ThreadSaver, point: Point, *, as_json: bool) -> None:
    """Print the state at a point, its files, and what runs after it."""
    values = await values_at(saver, point)
    nodes = await next_nodes(saver, point)
    files = await files_at(saver, point)
    if as_json:
        shown = {
            "thread_id": point.thread_id,
            "number": point.number,
            "id": point.id,
            "namespace": point.namespace,
            "subtask": point.subtask,
            "step": point.step,
            "time": point.made_at.isoformat(),
            "next": nodes,
            "values": state_as_json(values),
            "files": {
                path: {"size": file.size, "digest": file.digest, "link": file.link} for path, file in files.items()
            },
        }
        print_json(shown)
        return
    click.echo(f"point:     {point.address} ({point.id})")
    if point.namespace:
        click.echo(f"in:        {point.namespace}")
    click.echo(f"step:      {point.step}, {point.made_at.astimezone():%Y-%m-%d %H:%M:%S}")
    click.echo(f"next:      {', '.join(nodes) or 'nothing'}")
    for name, value in values.items():
        _print_value(name, state_as_json(value))
    own = [path for path in files if not path.startswith(".openmanus/")]
    if own:
        click.echo(f"\nfiles: {one_line(', '.join(own), 2000)}")
    click.echo(with_program(f"\nGo on from here in a new thread: openmanus-graph threads rerun {point.address}"))


def _print_value(name: str, value: Any) -> None:
    if value in (None, "", [], {}):
        return
    if name == "messages":
        messages: list[dict[str, Any]] = value
        click.echo(f"\nmessages: {len(messages)}")
        for message in messages[-LAST_MESSAGES:]:
            click.echo(f"  {message['type']}: {one_line(as_line(message), LONGEST_VALUE)}")
        return
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    text = clean(text)
    cut = f"\n… {len(text) - LONGEST_VALUE:,} characters more, see --json" if len(text) > LONGEST_VALUE else ""
    click.echo(f"\n{name}: {text[:LONGEST_VALUE]}{cut}")


def as_line(message: dict[str, Any]) -> str:
    """Text and tool calls of a message, in a line."""
    made: list[dict[str, Any]] = message.get("calls") or []
    calls = [f"{call['name']}({json.dumps(call['args'], ensure_ascii=False)})" for call in made]
    return " ".join(filter(None, [str(message.get("text") or ""), *calls]))
