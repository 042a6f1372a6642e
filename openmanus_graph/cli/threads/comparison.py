"""Comparison: two points of threads side by side."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.history.diff import PointDifference, StateChange, diff_points
from openmanus_graph.cli.terminal import print_json
from openmanus_graph.cli.threads.point import as_line
from openmanus_graph.display_text import clean, one_line

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def diff(before: str, after: str, as_json: bool) -> None:
    """Say what differs between two points: state, plan, results, messages and files."""
    difference = asyncio.run(_compare(before, after))
    if as_json:
        print_json(difference.as_json())
        return
    click.echo(f"--- {difference.before.address}\n+++ {difference.after.address}")
    if not difference.any:
        click.echo("Nothing differs.")
    for name in ("state", "plan", "results", "messages", "files"):
        changes: list[StateChange] = getattr(difference, name)
        if changes:
            click.echo(f"\n{name}")
        for change in changes:
            _print(name, change)


async def _compare(before: str, after: str) -> PointDifference:
    async with open_checkpointer() as saver:
        return await diff_points(saver, before, after)


def _print(name: str, change: StateChange) -> None:
    click.echo(f"  {_SIGNS[change.kind]} {clean(change.name)}{_value_line(name, change)}")
    if change.lines:
        for line in clean(change.lines).splitlines():
            click.echo(f"      {line}")


def _value_line(name: str, change: StateChange) -> str:
    if name == "messages":
        message: dict[str, Any] = change.after or change.before
        return f" {message['type']}: {one_line(as_line(message), 200)}"
    if change.lines:
        return ""
    if name == "files":
        return "" if change.kind != "changed" else " (not text, or not kept)"
    if change.kind == "changed":
        return f": {_short(change.before)} → {_short(change.after)}"
    return f": {_short(change.after if change.kind == 'added' else change.before)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return one_line(text, 160)
