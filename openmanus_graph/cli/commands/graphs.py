"""Graph commands: plan, graph and tools, which look without running anything."""

from __future__ import annotations

import click

from openmanus_graph.cli.commands.lazy import LazyCommand
from openmanus_graph.cli.commands.options import FORMATS, as_json, format_option, output_option

_FILE = click.argument("file", metavar="FILE")
_TOOLS = click.option("--tools", "places", multiple=True, metavar="MODULE_OR_FILE.py", help="Your own tools.")
_TOOLS_TOO = click.option("--tools", "places", multiple=True, metavar="MODULE_OR_FILE.py", help="Your own tools too.")


@click.group()
def plan() -> None:
    """Check a plan file, look at its DAG, print the schema."""


@plan.command("check", cls=LazyCommand, body="openmanus_graph.cli.plan:check")
@_FILE
@_TOOLS
@click.option("--json", "as_json", is_flag=True, help="As JSON: the problems.")
def plan_check() -> None:
    """Say every problem of a plan at once; exit 2 if there are any."""


@plan.command("schema", cls=LazyCommand, body="openmanus_graph.cli.plan:schema")
def plan_schema() -> None:
    """Print the JSON Schema of plans."""


@plan.command("show", cls=LazyCommand, body="openmanus_graph.cli.plan:show")
@_FILE
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS, "json"]),
    help="By default what the output's name says, else text.",
)
@output_option
def plan_show() -> None:
    """Draw a plan's DAG."""


@click.group()
def graph() -> None:
    """Look at the graphs that run: the agent's, that of plans, and your own."""


@graph.command("show", cls=LazyCommand, body="openmanus_graph.cli.graph:show")
@click.option(
    "--graph", "which", default="manus", show_default=True, metavar="manus|plan|REF", help="Which graph; REF as in run."
)
@format_option
@output_option
@click.option("--flat", is_flag=True, help="Without the graphs inside of nodes.")
@_TOOLS
def graph_show() -> None:
    """Draw a graph with the graphs inside it, from the code."""


@graph.command("list", cls=LazyCommand, body="openmanus_graph.cli.user_graph:list_graphs")
@click.option("--json", "in_json", is_flag=True, help="As JSON.")
def graph_list() -> None:
    """List the graphs that `run --graph NAME` knows: those of the folder's langgraph.json, and built-in ones."""


@click.group()
def tools() -> None:
    """List the tools that subtasks can call, and look at one."""


@tools.command("list", cls=LazyCommand, body="openmanus_graph.cli.tools:list_tools")
@_TOOLS_TOO
@as_json
def tools_list() -> None:
    """List the tools."""


@tools.command("show", cls=LazyCommand, body="openmanus_graph.cli.tools:show")
@click.argument("name")
@_TOOLS_TOO
@as_json
def tools_show() -> None:
    """Show a tool's arguments and what the engine knows about it."""
