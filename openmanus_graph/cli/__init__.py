"""The command line: verbs per noun, progress on stderr, results on stdout.

Nothing here imports the engine before a command needs it, so that `--help` is quick.
"""

from __future__ import annotations

import logging
import sys

import click

from openmanus_graph._version import __version__
from openmanus_graph.cli.chat import chat
from openmanus_graph.cli.database import db
from openmanus_graph.cli.demo import demo
from openmanus_graph.cli.doctor import doctor
from openmanus_graph.cli.graph import graph
from openmanus_graph.cli.new import new
from openmanus_graph.cli.plan import plan
from openmanus_graph.cli.resume import resume
from openmanus_graph.cli.run import run
from openmanus_graph.cli.step import step
from openmanus_graph.cli.terminal import print_error, refuse_undecodable
from openmanus_graph.cli.threads import threads
from openmanus_graph.cli.tools import tools


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="openmanus-graph")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """An agent as a durable graph: kill a run at any moment and resume it by its thread id."""
    context.obj = {"debug": debug}


for command in (run, chat, resume, step, threads, plan, graph, tools, new, demo, db, doctor):
    cli.add_command(command)


def main() -> None:
    """Run the command line, and end with the exit code of what went wrong."""
    debug = "--debug" in sys.argv[1:]
    if not debug:  # what the pool of connections mutters, the error says in a sentence
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    try:
        refuse_undecodable(sys.argv[1:])
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        sys.exit(print_error(error))
    sys.exit(code if isinstance(code, int) else 0)
