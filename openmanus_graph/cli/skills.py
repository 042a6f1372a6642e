"""Skills: the command skills list."""

from __future__ import annotations

import click

from openmanus_graph.cli.terminal import print_json, print_table
from openmanus_graph.config.settings import Settings
from openmanus_graph.loading.skills import find_skills

NONE = "There are no skills. Name a folder of them in `skills`, such as OPENMANUS_GRAPH_SKILLS='[\"skills\"]'."


def list_skills(as_json: bool) -> int:
    """List the skills, and say what cannot be used; the exit code."""
    found, problems = find_skills(Settings.load().skills)
    if as_json:
        listed = [
            {"name": one.name, "description": one.description, "folder": str(one.folder)} for one in found.values()
        ]
        print_json({"skills": listed, "problems": problems})
        return 1 if problems else 0
    rows = [[one.name, one.description, str(one.folder)] for one in found.values()]
    if rows:
        print_table(["SKILL", "WHAT IT DOES", "FOLDER"], rows)
    elif not problems:
        click.echo(NONE)
    for problem in problems:
        click.echo(problem, err=True)
    return 1 if problems else 0
