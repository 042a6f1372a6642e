"""The command line: verbs per noun, progress on stderr, results on stdout.

`commands/` has every command's options and help and imports nothing of the engine, so that `--help` is quick; the
module with a command's body is imported when the command runs, and imports what it needs at its top.
"""

from __future__ import annotations

import sys

import click

from openmanus_graph.cli.commands import cli
from openmanus_graph.cli.terminal import print_error, refuse_undecodable

__all__ = ["cli", "main"]


def main() -> None:
    """Run the command line, and end with the exit code of what went wrong."""
    debug = "--debug" in sys.argv[1:]
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
