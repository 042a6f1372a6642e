"""View: a run from its event stream, live on a terminal, as lines in a pipe, as JSON, or not at all."""

from __future__ import annotations

import sys
from typing import Protocol

import click
from rich.console import Console

from openmanus_graph.cli.lines import LineView
from openmanus_graph.cli.live import LiveView
from openmanus_graph.cli.run_view_model import RunViewModel
from openmanus_graph.cli.terminal import print_json_line
from openmanus_graph.events import Event


class View(Protocol):
    """Display of events."""

    def start(self) -> None:
        """Begin."""

    def show(self, event: Event) -> None:
        """Take one event."""

    def say(self, text: str) -> None:
        """Show a text that is not an event."""

    def stop(self) -> None:
        """Restore the terminal."""


class QuietView:
    """Shows nothing."""

    def __init__(self, view_model: RunViewModel) -> None:
        """Keep `view_model` up to date all the same."""
        self._view_model = view_model

    def start(self) -> None:
        """Nothing."""

    def show(self, event: Event) -> None:
        """Nothing to see."""
        self._view_model.take(event)

    def say(self, text: str) -> None:
        """Print it on stderr."""
        click.echo(text, err=True)

    def stop(self) -> None:
        """Nothing."""


class JsonView(QuietView):
    """One JSON event a line, on stdout."""

    def show(self, event: Event) -> None:
        """Print it."""
        self._view_model.take(event)
        print_json_line(event)


def choose_view(view_model: RunViewModel, *, as_json: bool, quiet: bool) -> View:
    """The view that fits: JSON if asked, nothing if quiet, live on a terminal that can, else lines."""
    if as_json:
        return JsonView(view_model)
    if quiet:
        return QuietView(view_model)
    if not sys.stderr.isatty():
        return LineView(view_model)

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        return LineView(view_model)

    return LiveView(view_model, console)
