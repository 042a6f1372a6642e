"""Commands: every command's options and help, which import nothing of the engine."""

from __future__ import annotations

import click

from openmanus_graph._version import __version__
from openmanus_graph.cli.commands.agent import chat, demo, resume, run, step
from openmanus_graph.cli.commands.graphs import graph, plan, tools
from openmanus_graph.cli.commands.machine import db, doctor, new
from openmanus_graph.cli.commands.mcp import mcp
from openmanus_graph.cli.commands.memory import memory
from openmanus_graph.cli.commands.openapi import openapi
from openmanus_graph.cli.commands.skills import skills
from openmanus_graph.cli.commands.threads import threads
from openmanus_graph.cli.logging_setup import JSON_VARIABLE, LEVEL_VARIABLE, LEVELS, set_up_logging


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="openmanus-graph")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    envvar=LEVEL_VARIABLE,
    show_envvar=True,
    help="Log the engine's steps on stderr, from this level on.",
)
@click.option("--log-json", is_flag=True, envvar=JSON_VARIABLE, show_envvar=True, help="Log one JSON object a line.")
def cli(debug: bool, log_level: str | None, log_json: bool) -> None:
    """An agent as a durable graph: kill a run at any moment and resume it by its thread id."""
    set_up_logging(log_level, as_json=log_json, debug=debug)


for command in (
    run,
    chat,
    resume,
    step,
    threads,
    memory,
    plan,
    graph,
    tools,
    mcp,
    openapi,
    skills,
    new,
    demo,
    db,
    doctor,
):
    cli.add_command(command)
