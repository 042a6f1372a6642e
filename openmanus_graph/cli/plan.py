"""Plan: plan check, show and schema."""

from __future__ import annotations

import json
from pathlib import Path

import click

from openmanus_graph.cli.picture import format_of, put_out
from openmanus_graph.cli.terminal import print_json
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import counted
from openmanus_graph.drawing.plan import plan_mermaid, plan_svg, plan_text
from openmanus_graph.errors import PlanError
from openmanus_graph.plan import Plan
from openmanus_graph.tools.rebuild import available_tools

_FILE = click.argument("file", metavar="FILE")
_TOOLS = click.option("--tools", "places", multiple=True, metavar="MODULE_OR_FILE.py", help="Your own tools.")


def check(file: str, places: tuple[str, ...], as_json: bool) -> int:
    """Say every problem of a plan at once; exit 2 if there are any."""
    try:
        most = Settings.load().max_subtasks
        parsed = Plan.from_file(file, tools=available_tools(places), agents=(), max_subtasks=most)
    except PlanError as error:
        if not as_json:
            raise
        print_json({"valid": False, "problems": error.problems})
        return error.exit_code
    if as_json:
        print_json({"valid": True, "problems": []})
    else:
        click.echo(f"{file} is a valid plan of {counted(len(parsed.subtasks), 'subtask')}.")
    return 0


def schema() -> None:
    """Print the JSON Schema of plans."""
    print_json(Plan.json_schema())


def show(file: str, form: str | None, output: Path | None) -> None:
    """Draw a plan's DAG."""
    parsed = Plan.from_file(file)
    if form == "json":
        put_out(json.dumps(parsed.to_dict(), indent=2, ensure_ascii=False), output)
        return
    draw = {"text": plan_text, "mermaid": plan_mermaid, "svg": plan_svg}[format_of(form, output)]
    put_out(draw(parsed), output)
