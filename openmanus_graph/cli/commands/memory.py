"""Memory commands: memory add, search, forget, templates and all the others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from openmanus_graph.cli.commands.lazy import LazyCommand
from openmanus_graph.cli.commands.options import (
    as_json,
    budgeting,
    deciding,
    format_option,
    output_option,
    running,
    viewing,
)


def _moment(context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """A moment as people type it; a date is its beginning, and without a zone it is of this machine."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError:
        raise click.BadParameter(f"{value!r} is no date; give such as 2026-11-30.", context, option) from None
    return found.astimezone(UTC)


owner: Any = click.option("--owner", metavar="NAME", help="Whose memory; by default your account's.")
_KEY = click.argument("key")


@click.group()
def memory() -> None:
    """Look into what the agent knows; add to it, correct it, remove it."""


@memory.command("status", cls=LazyCommand, body="openmanus_graph.cli.memory.overview:status")
@click.option("--deliver", is_flag=True, help="First bring what waits to the index and to Neo4j.")
@owner
@as_json
def memory_status() -> None:
    """Say what is in memory, where it is indexed, and what waits for the index or for Neo4j."""


@memory.command("add", cls=LazyCommand, body="openmanus_graph.cli.memory.adding:add")
@click.argument("places", nargs=-1, required=True, metavar="PATH|URL...")
@click.option(
    "--pages",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Of a URL, also pages below it that it leads to, so many in all.",
)
@owner
@as_json
def memory_add() -> None:
    """Take files, folders and pages into memory: text, Markdown, HTML, PDF and programs.

    What is there already is not taken twice; of a source that has changed, what it no longer says goes.
    """


@memory.command("search", cls=LazyCommand, body="openmanus_graph.cli.memory.search:search")
@click.argument("query", nargs=-1, required=True)
@click.option(
    "--kind",
    type=click.Choice(["passages", "episodes", "templates", "all"]),
    default="passages",
    show_default=True,
    help="Episodes are past requests.",
)
@click.option(
    "--limit", default=5, show_default=True, type=click.IntRange(1, 100), help="Of each kind at most so many."
)
@owner
@as_json
def memory_search() -> None:
    """Find passages by their words and their meaning, past requests and templates by their words, best first."""


@memory.command("show", cls=LazyCommand, body="openmanus_graph.cli.memory.overview:show")
@click.argument("key")
@owner
@as_json
def memory_show() -> None:
    """Print a passage; KEY is its key or the beginning of it, as `memory search` prints it."""


@memory.command("edit", cls=LazyCommand, body="openmanus_graph.cli.memory.editing:edit")
@_KEY
@click.option("--text", metavar="TEXT", help="What it is to say.")
@click.option("--file", metavar="FILE", help="What it is to say is there; - is the input.")
@owner
@as_json
def memory_edit() -> None:
    """Change the whole text of a passage, in $EDITOR unless --text or --file gives it.

    It says from then on that it was edited by hand. It stays so while its source says of it what it says now; when
    that changes, `memory add` tells what went.
    """


@memory.command("delete", cls=LazyCommand, body="openmanus_graph.cli.memory.removing:delete")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@owner
def memory_delete() -> None:
    """Remove single passages."""


@memory.command("export", cls=LazyCommand, body="openmanus_graph.cli.memory.transfer:export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@owner
@as_json
def memory_export() -> None:
    """Write all passages into FILE, one JSON object a line; FILE must be new."""


@memory.command("import", cls=LazyCommand, body="openmanus_graph.cli.memory.transfer:import_file")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@owner
@as_json
def memory_import() -> None:
    """Take the passages of an exported FILE into memory; a damaged file is refused whole."""


@memory.command("forget", cls=LazyCommand, body="openmanus_graph.cli.memory.removing:forget")
@click.option("--thread", metavar="ID", help="Of this thread: its past requests, and passages that were stored for it.")
@click.option("--before", callback=_moment, metavar="DATE", help="What is older, such as 2026-11-30.")
@click.option("--matching", metavar="QUERY", help="What has all words of QUERY.")
@click.option("--source", metavar="PATH|URL", help="What came from this file or page.")
@click.option("--everywhere", is_flag=True, help="Also threads that fit, with all there is of them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@owner
@as_json
def memory_forget() -> None:
    """Remove passages and episodes for good; several options mean what all of them fit.

    With --thread alone its runs of templates go as well, and templates that no other thread has run. With --owner
    alone all passages, episodes and templates of that owner go. Threads stay, with what they were told.

    With --everywhere threads go as well: the one of --thread, those not touched since --before, those with all words
    of --matching in title, tasks and answers, all of --owner; so do templates that fit. One that runs is refused.
    """


@memory.group()
def templates() -> None:
    """How kinds of tasks are done, learned from runs.

    KEY is the key of a template or its beginning, see `memory templates list`.
    """


@templates.command("list", cls=LazyCommand, body="openmanus_graph.cli.memory.templates:list_all")
@owner
@as_json
def templates_list() -> None:
    """List the templates, the last used first, and how often each worked."""


@templates.command("show", cls=LazyCommand, body="openmanus_graph.cli.memory.templates:show")
@_KEY
@format_option
@output_option
@owner
@as_json
def templates_show() -> None:
    """Show a template with its parameters, how its runs went, and a picture of its steps.

    With --format or --output it is the picture alone.
    """


@templates.command("run", cls=LazyCommand, body="openmanus_graph.cli.memory.templates:run")
@_KEY
@click.argument("task", nargs=-1, metavar="[TASK]")
@click.option(
    "--set", "given", multiple=True, metavar="NAME=VALUE", help="A parameter, such as p1, or a hole, such as s3.url."
)
@click.option("--thread", metavar="ID", help="Name the thread.")
@deciding
@budgeting
@running
@viewing
def templates_run() -> None:
    """Execute a template as a plan, in a thread of its own.

    TASK in the words of the template says its parameters; --set says them one by one, and fills holes.
    """


@templates.command("edit", cls=LazyCommand, body="openmanus_graph.cli.memory.template_files:edit")
@_KEY
@click.option("--file", metavar="FILE", help="The corrected plan file; - is the input.")
@owner
@as_json
def templates_edit() -> None:
    """Correct a template as the plan file that `export` writes, in $EDITOR unless --file gives it.

    Its runs still count for it, and what its unchanged steps took; that you correct it counts as one run that worked.
    The key is made of the steps: where they change, the template has a new key, and the one before is gone until a run
    does it in the former way. Where the new key is another template's, it takes the place of that one, whose runs still
    count. What cannot be stored is kept in a file, which is named.
    """


@templates.command("delete", cls=LazyCommand, body="openmanus_graph.cli.memory.templates:delete")
@_KEY
@click.option("--yes", is_flag=True, help="Do not ask.")
@owner
def templates_delete() -> None:
    """Remove a template and all that is known of its runs."""


@templates.command("export", cls=LazyCommand, body="openmanus_graph.cli.memory.template_files:export")
@_KEY
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@owner
def templates_export() -> None:
    """Write a template as a plan file into FILE, which must be new."""


@templates.command("import", cls=LazyCommand, body="openmanus_graph.cli.memory.template_files:import_file")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@owner
@as_json
def templates_import() -> None:
    """Make a template of a plan file: an exported one, or one written by hand.

    Its goal is the task in general words. That you import it counts as one run that worked. It takes the place of a
    template of the same steps, whose runs still count.
    """
