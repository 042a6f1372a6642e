"""Commands: options and help are declared apart from the function that does the work, and the two fit."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click
import pytest

from openmanus_graph.cli import cli
from openmanus_graph.cli.commands.lazy import LazyCommand


def leaves(group: click.Group, words: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{words}{name} ")
        else:
            yield f"{words}{name}", command


COMMANDS = dict(leaves(cli))


@pytest.mark.parametrize("words", COMMANDS)
def test_the_body_of_a_command_takes_its_options(words: str) -> None:
    command = COMMANDS[words]
    assert isinstance(command, LazyCommand)
    names = [parameter.name for parameter in command.params]
    values = {name: None for name in names if name}

    inspect.signature(command.load()).bind(**values)  # raises for an option too many, or a parameter that has none


def test_no_two_commands_share_a_body() -> None:
    bodies = [command.body for command in COMMANDS.values() if isinstance(command, LazyCommand)]

    assert sorted(bodies) == sorted(set(bodies))
