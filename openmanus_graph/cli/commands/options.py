"""Options: those that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

SANDBOXES = ["auto", "bubblewrap", "landlock", "none"]
REVIEWS = ["always", "large", "never"]
FORMATS = ["text", "mermaid", "svg"]
_TIME = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>s|m|min|h)?")
_UNITS = {None: 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_AGE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>m|min|h|d|w)")
_AGE_UNITS = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _seconds(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Seconds of a time as people type it."""
    if value is None:
        return None
    match = _TIME.fullmatch(value.strip())
    seconds = float(match["number"]) * _UNITS[match["unit"]] if match else 0.0
    if seconds <= 0:
        raise click.BadParameter(f"{value!r} is no time; give seconds, or such as 90s, 10m or 2h.", context, option)
    return seconds


def age(context: click.Context, option: click.Parameter, value: str | None) -> timedelta | None:
    """An age as people type it."""
    if value is None:
        return None
    match = _AGE.fullmatch(value.strip())
    if match is None:
        raise click.BadParameter(f"{value!r} is no age; give such as 90m, 12h, 30d or 4w.", context, option)
    try:
        return timedelta(**{_AGE_UNITS[match["unit"]]: float(match["number"])})
    except OverflowError as error:
        raise click.BadParameter(f"{value!r} is longer than time itself.", context, option) from error


as_json: Any = click.option("--json", "as_json", is_flag=True, help="As JSON.")
format_option: Any = click.option(
    "--format", "form", type=click.Choice(FORMATS), help="By default what FILE's name says, else text."
)
output_option: Any = click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write there."
)


def viewing(command: CommandT) -> CommandT:
    """Options about the output."""
    command = click.option("--json", "as_json", is_flag=True, help="One JSON event a line on stdout.")(command)
    return click.option("--quiet", "-q", is_flag=True, help="No progress, only the result.")(command)


def budgeting(command: CommandT) -> CommandT:
    """Options that limit the usage of a request."""
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
    """Option to go on with a thread whose graph no longer fits."""
    text = "Go on with a thread although its graph has changed in what it needs."
    return click.option("--force", is_flag=True, help=text)(command)


def deciding(command: CommandT) -> CommandT:
    """Options about models, policy, review and recording."""
    for option in (
        click.option("--owner", metavar="NAME", help="Whose memory it uses; by default your account's."),
        click.option("--record", type=click.Path(dir_okay=False), metavar="FILE", help="Keep the model's replies."),
        click.option("--review", type=click.Choice(REVIEWS), help="Which plans you approve first."),
        click.option("--policy", metavar="allow|ask|FILE", help="Which tool calls are made, asked about or refused."),
        click.option("--model", metavar="NAME", help="The model of every role, or replay:FILE."),
    ):
        command = option(command)
    return command


def remembering(command: CommandT) -> CommandT:
    """Option to do without memory."""
    text = "Recall nothing of other threads, and remember nothing for them."
    return click.option("--no-memory", is_flag=True, help=text)(command)


def running(command: CommandT) -> CommandT:
    """Options about tools, workspace, parallelism and sandbox."""
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
