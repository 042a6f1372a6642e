"""Options: what the commands that run graphs have in common, and the settings that come of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from openmanus_graph.checkpoints.threads import Thread
    from openmanus_graph.config.settings import Settings

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

SANDBOXES = ["auto", "bubblewrap", "landlock", "none"]
REVIEWS = ["always", "large", "never"]
_BUDGETS = ("tokens", "usd", "wall_s", "model_calls")
_TIME = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>s|m|min|h)?")
_UNITS = {None: 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def absolute(path: str | Path) -> str:
    """The path from the root."""
    return str(Path(path).expanduser().absolute())


def _seconds(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Seconds of a time as people type it."""
    if value is None:
        return None
    found = _TIME.fullmatch(value.strip())
    seconds = float(found["number"]) * _UNITS[found["unit"]] if found else 0.0
    if seconds <= 0:
        raise click.BadParameter(f"{value!r} is no time; give seconds, or such as 90s, 10m or 2h.", context, option)
    return seconds


def viewing(command: CommandT) -> CommandT:
    """Options that say what is printed."""
    command = click.option("--json", "as_json", is_flag=True, help="One JSON event a line on stdout.")(command)
    return click.option("--quiet", "-q", is_flag=True, help="No progress, only the result.")(command)


def budgeting(command: CommandT) -> CommandT:
    """Options that bound what a request may use."""
    for option in (
        click.option("--budget-calls", "budget_model_calls", type=click.IntRange(1), metavar="N", help="Model calls."),
        click.option("--budget-time", "budget_wall_s", callback=_seconds, metavar="TIME", help="Such as 90s or 10m."),
        click.option(
            "--budget-usd", type=click.FloatRange(0, min_open=True), metavar="USD", help="US dollars it may cost."
        ),
        click.option("--budget-tokens", type=click.IntRange(1), metavar="N", help="Tokens the request may use."),
    ):
        command = option(command)
    return command


def forcing(command: CommandT) -> CommandT:
    """The option that goes on with a thread whose graph no longer fits."""
    text = "Go on with a thread although its graph has changed in what it needs."
    return click.option("--force", is_flag=True, help=text)(command)


def deciding(command: CommandT) -> CommandT:
    """Options that say who decides and with which model."""
    for option in (
        click.option("--record", type=click.Path(dir_okay=False), metavar="FILE", help="Keep the model's replies."),
        click.option("--review", type=click.Choice(REVIEWS), help="Which plans you approve first."),
        click.option("--policy", metavar="allow|ask|FILE", help="Which tool calls are made, asked about or refused."),
        click.option("--model", metavar="NAME", help="The model of every role, or replay:FILE."),
    ):
        command = option(command)
    return command


def running(command: CommandT) -> CommandT:
    """Options that say where and with what a graph runs."""
    for option in (
        click.option("--sandbox", type=click.Choice(SANDBOXES), help="Confinement of shell and Python tools."),
        click.option("--max-parallel", type=click.IntRange(1), metavar="N", help="Subtasks at the same time."),
        click.option(
            "--workspace",
            type=click.Path(file_okay=False),
            metavar="DIR",
            help="The thread's folder; by default ./openmanus-work/<thread>.",
        ),
        click.option(
            "--tools",
            multiple=True,
            metavar="MODULE_OR_FILE.py",
            help="Your own tools, besides the built-in ones.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class RunOptions:
    """What the command line said about a run; `None` where it said nothing."""

    thread: str | None = None
    """The thread's id."""
    tools: tuple[str, ...] = ()
    """Modules and files with one's own tools."""
    workspace: str | None = None
    max_parallel: int | None = None
    sandbox: str | None = None
    model: str | None = None
    policy: str | None = None
    review: str | None = None
    record: str | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None
    budget_wall_s: float | None = None
    budget_model_calls: int | None = None
    attach: tuple[str, ...] = ()
    """Files for the workspace."""
    force: bool = False
    """Whether to go on with a thread whose graph no longer fits."""
    as_json: bool = False
    quiet: bool = False

    @property
    def configurable(self) -> dict[str, Any]:
        """What goes into the config of the run."""
        said: dict[str, Any] = {"workspace": self.workspace, "max_parallel": self.max_parallel, "sandbox": self.sandbox}
        said["force"] = self.force or None
        return {key: value for key, value in said.items() if value is not None}

    @property
    def budget(self) -> dict[str, Any]:
        """The budgets that were named, as in the settings."""
        said = {name: getattr(self, f"budget_{name}") for name in _BUDGETS}
        return {name: value for name, value in said.items() if value is not None}

    def said(self, thread: Thread | None) -> dict[str, Any]:
        """What these options set for the whole thread, on top of what earlier ones did; a resume takes it up.

        Args:
            thread: The thread that goes on, or `None`.
        """
        kept: dict[str, Any] = dict(thread.settings.get("said") or {}) if thread is not None else {}
        if self.budget:
            kept["budget"] = {**(kept.get("budget") or {}), **self.budget}
        if self.review:
            kept["review"] = self.review
        if self.record:
            kept["record"] = absolute(self.record)
        return kept

    def kept(self, thread: Thread | None) -> dict[str, Any]:
        """The same, as the thread's row takes it: in the config, under a key that stays out of checkpoints."""
        from openmanus_graph.run_config import SAID

        return {SAID.name: self.said(thread)}

    def settings(self, thread: Thread | None = None) -> Settings:
        """The user's settings with these options on top, and below them what the thread was started with.

        Args:
            thread: The thread that goes on, or `None`.
        """
        from openmanus_graph.config.settings import Settings

        return Settings.load(policy=self.policy, **self.said(thread))
