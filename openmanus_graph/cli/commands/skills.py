"""Skills commands: list, which looks at the folders of skills that the settings name."""

from __future__ import annotations

import click

from openmanus_graph.cli.commands.lazy import LazyCommand
from openmanus_graph.cli.commands.options import as_json


@click.group()
def skills() -> None:
    """Look at the skills that agents are told of."""


@skills.command("list", cls=LazyCommand, body="openmanus_graph.cli.skills:list_skills")
@as_json
def skills_list() -> None:
    """List the skills of the settings; exit 1 if one cannot be used."""
