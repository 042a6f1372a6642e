"""View: how a run looks, from the event stream alone: live on a terminal, lines in a pipe, JSON, or nothing."""

from __future__ import annotations

import json
import sys
from typing import Protocol

import click
from rich.console import Console

from openmanus_graph.cli.lines import LineView
from openmanus_graph.cli.live import LiveView
from openmanus_graph.cli.run_view_model import Board
from openmanus_graph.events import Event


class View(Protocol):
    """Something that shows events."""

    def start(self) -> None:
        """Begin."""

    def show(self, event: Event) -> None:
        """Take one event."""

    def say(self, text: str) -> None:
        """Tell the person something that is no event."""

    def stop(self) -> None:
        """Leave the terminal as it was found."""


class QuietView:
    """Shows nothing."""

    def __init__(self, board: Board) -> None:
        """Keep `board` up to date all the same."""
        self._board = board

    def start(self) -> None:
        """Nothing."""

    def show(self, event: Event) -> None:
        """Nothing to see."""
        self._board.take(event)

    def say(self, text: str) -> None:
        """Print it on stderr."""
        click.echo(text, err=True)

    def stop(self) -> None:
        """Nothing."""


class JsonView(QuietView):
    """One JSON event a line, on stdout."""

    def show(self, event: Event) -> None:
        """Print it."""
        self._board.take(event)
        click.echo(json.dumps(event, ensure_ascii=False, default=str))


def choose_view(board: Board, *, as_json: bool, quiet: bool) -> View:
    """The view that fits: JSON if asked, nothing if quiet, live on a terminal that can, else lines."""
    if as_json:
        return JsonView(board)
    if quiet:
        return QuietView(board)
    if not sys.stderr.isatty():
        return LineView(board)

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        return LineView(board)

    return LiveView(board, console)
