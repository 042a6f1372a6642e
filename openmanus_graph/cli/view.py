"""View: how a run looks, from the event stream alone: live on a terminal, lines in a pipe, or JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Protocol

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from openmanus_graph.cli.terminal import with_program
from openmanus_graph.events import Event

MARKS = {
    "pending": ("·", "dim"),
    "running": ("▸", "cyan"),
    "waiting": ("?", "yellow"),
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "blocked": ("■", "magenta"),
    "skipped": ("–", "dim"),
}
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class View(Protocol):
    """Something that shows events."""

    def start(self) -> None:
        """Begin."""

    def show(self, event: Event) -> None:
        """Take one event."""

    def stop(self) -> None:
        """Leave the terminal as it was found."""


class QuietView:
    """Shows nothing."""

    def start(self) -> None:
        """Nothing."""

    def show(self, event: Event) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""


class JsonView(QuietView):
    """One JSON event a line, on stdout."""

    def show(self, event: Event) -> None:
        """Print it."""
        click.echo(json.dumps(event, ensure_ascii=False, default=str))


class LineView(QuietView):
    """One plain line an event, on stderr, for pipes and logs."""

    def __init__(self) -> None:
        self._total = 0
        self._done = 0

    def show(self, event: Event) -> None:
        """Print what a reader of a log wants to know."""
        line = self._line(event)
        if line is not None:
            click.echo(with_program(line), err=True)

    def _line(self, event: Event) -> str | None:
        name = event.get("subtask", "")
        match event.get("type"):
            case "plan_started":
                self._total = len(event.get("subtasks", []))
                self._done = len(event.get("kept", []))
                kept = f", {self._done} kept" if self._done else ""
                return f"{event.get('goal') or 'plan'}: {self._total} subtasks{kept}"
            case "subtask_started":
                return f"  {name} started" + (
                    f" (attempt {event.get('attempt')})" if event.get("attempt", 1) > 1 else ""
                )
            case "subtask_retrying":
                return f"  {name} again in {event.get('delay_s', 0):g} s: {event.get('error')}"
            case "subtask_waiting":
                return f"  {name} asks: {event.get('question', {}).get('question')}"
            case "subtask_finished":
                self._done += 1
                why = f": {event.get('error')}" if event.get("error") else ""
                took = f" in {event.get('elapsed_s', 0.0):.1f} s" if event.get("status") == "completed" else ""
                return f"[{self._done}/{self._total}] {name} {event.get('status')}{took}{why}"
            case _:
                return None


class LiveView:
    """A table that lives on the terminal: each subtask's state, time and what it is doing, and the whole."""

    def __init__(self, thread_id: str, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._thread_id = thread_id
        self._goal = ""
        self._rows: dict[str, dict[str, Any]] = {}
        self._began = time.monotonic()
        self._live = Live(console=self._console, refresh_per_second=8, get_renderable=self._render, transient=False)

    def start(self) -> None:
        """Take the terminal."""
        self._live.start()

    def stop(self) -> None:
        """Print the last state and give the terminal back."""
        self._live.stop()

    def show(self, event: Event) -> None:
        """Take one event."""
        kind = event.get("type")
        if kind == "plan_started":
            self._plan(event)
            return
        row = self._rows.get(event.get("subtask", ""))
        if row is None:
            return
        if kind == "subtask_started":
            row.update(status="running", began=time.monotonic(), text="")
        elif kind == "subtask_progress":
            row["text"] = event.get("text", "")
        elif kind == "subtask_retrying":
            row["text"] = f"again in {event.get('delay_s', 0):g} s: {event.get('error')}"
        elif kind == "subtask_waiting":
            row.update(status="waiting", text=str(event.get("question", {}).get("question", "")))
        elif kind == "subtask_finished":
            row.update(
                status=event.get("status", "completed"),
                took=event.get("elapsed_s", 0.0),
                text=event.get("error") or "",
            )

    def _plan(self, event: Event) -> None:
        self._goal = event.get("goal", "")
        kept = set(event.get("kept", []))
        for outline in event.get("subtasks", []):
            status = "completed" if outline["id"] in kept else "pending"
            self._rows[outline["id"]] = {
                "status": status,
                "goal": outline["goal"],
                "text": "",
                "took": None,
                "kept": outline["id"] in kept,
            }

    def _render(self) -> Group:
        done = sum(row["status"] in ("completed", "failed", "blocked", "skipped") for row in self._rows.values())
        shown, hidden = self._visible()
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(no_wrap=True, max_width=24)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True)
        table.expand = True
        for name, row in shown:
            table.add_row(*self._cells(name, row))
        parts: list[Any] = [
            Text(self._goal or "plan", style="bold", overflow="ellipsis", no_wrap=True),
            table,
        ]
        if hidden:
            parts.append(Text(f"  … and {hidden} more", style="dim"))
        parts.append(self._footer(done))
        return Group(*parts)

    def _footer(self, done: int) -> Table:
        total = len(self._rows)
        footer = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(total, 1), completed=done, width=28)
        elapsed = time.monotonic() - self._began
        footer.add_row(
            bar,
            f"{done} of {total}",
            Text(f"{elapsed:.1f} s", style="dim"),
            Text(self._thread_id, style="dim"),
        )
        return footer

    def _visible(self) -> tuple[list[tuple[str, dict[str, Any]]], int]:
        room = max(self._console.size.height - 5, 5)
        rows = list(self._rows.items())
        if len(rows) <= room:
            return rows, 0
        weight = {"running": 0, "waiting": 0, "failed": 1, "pending": 2, "blocked": 3, "completed": 4}
        keep = sorted(range(len(rows)), key=lambda i: (weight.get(rows[i][1]["status"], 4), i))[:room]
        return [rows[index] for index in sorted(keep)], len(rows) - room

    def _cells(self, name: str, row: dict[str, Any]) -> list[Text]:
        status = row["status"]
        mark, style = MARKS[status]
        took = row.get("took")
        if status == "running":
            mark = _FRAMES[int(time.monotonic() * 10) % len(_FRAMES)]
            took = time.monotonic() - row["began"]
        note = row["text"] or row["goal"]
        clock = "kept" if row.get("kept") else "" if took is None else f"{took:.1f} s"
        return [
            Text(mark, style=style),
            Text(name, style=style if status != "pending" else "dim"),
            Text(
                note.replace("\n", " "),
                style="red" if status == "failed" else "" if status == "running" else "dim",
            ),
            Text(clock, style="dim"),
        ]


def choose_view(thread_id: str, *, as_json: bool, quiet: bool) -> View:
    """The view that fits: JSON if asked, nothing if quiet, live on a terminal, else lines."""
    if as_json:
        return JsonView()
    if quiet:
        return QuietView()
    return LiveView(thread_id) if sys.stderr.isatty() else LineView()
