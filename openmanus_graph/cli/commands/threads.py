"""Thread commands: threads list, show, history and all the others."""

from __future__ import annotations

from pathlib import Path

import click

from openmanus_graph.cli.commands.lazy import LazyCommand
from openmanus_graph.cli.commands.options import age, as_json, budgeting, forcing, format_option, output_option, viewing

STATUSES = ["running", "waiting", "paused", "stopped", "partial", "completed", "failed"]
PRUNABLE = [status for status in STATUSES if status != "running"]


@click.group()
def threads() -> None:
    """List threads; show, move, prune or remove one."""


@threads.command("list", cls=LazyCommand, body="openmanus_graph.cli.threads.listing:list_all")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--status", type=click.Choice(STATUSES), help="Only those of this status.")
@as_json
def threads_list() -> None:
    """List the newest threads."""


@threads.command("delete", cls=LazyCommand, body="openmanus_graph.cli.threads.listing:delete")
@click.argument("thread")
@click.option("--files", is_flag=True, help="Its workspace too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def threads_delete() -> None:
    """Remove a thread and its checkpoints."""


@threads.command("show", cls=LazyCommand, body="openmanus_graph.cli.threads.overview:show")
@click.argument("thread")
@as_json
def threads_show() -> None:
    """Show a thread: its requests and subtasks, what it used, what it waits for, and how to go on.

    THREAD@POINT shows the state at one of its points, see `threads history`.
    """


@threads.command("history", cls=LazyCommand, body="openmanus_graph.cli.threads.timeline:history")
@click.argument("thread")
@as_json
def threads_history() -> None:
    """List the points of a thread: what each step did, when and at what cost, and the forks.

    What runs inside a step is indented below it. Any point can be named as THREAD@NUMBER.
    """


@threads.command("events", cls=LazyCommand, body="openmanus_graph.cli.threads.events:events")
@click.argument("thread")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends.")
@click.option("--json", "as_json", is_flag=True, help="One JSON event a line.")
def threads_events() -> None:
    """Print what happened in a thread, event by event, also of processes that are gone.

    The tokens of replies are not kept; a reply is whole in its `model_finished`.
    """


@threads.command("effects", cls=LazyCommand, body="openmanus_graph.cli.threads.effects:effects")
@click.argument("thread")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with results.")
def threads_effects() -> None:
    """List the calls of a thread that had effects outside, oldest first.

    A call that is `claimed` was begun, and nobody knows how it ended; see what a resume does about it with
    `resume THREAD --dry-run`.
    """


@threads.command("diff", cls=LazyCommand, body="openmanus_graph.cli.threads.comparison:diff")
@click.argument("before")
@click.argument("after")
@as_json
def threads_diff() -> None:
    """Say what differs between two points: state, plan, results, messages and files.

    BEFORE and AFTER are THREAD or THREAD@POINT, of one thread or of two.
    """


@threads.command("playback", cls=LazyCommand, body="openmanus_graph.cli.threads.playback:playback")
@click.argument("thread")
@click.option("--fast", is_flag=True, help="Without the pauses.")
@click.option("--json", "as_json", is_flag=True, help="One JSON event a line.")
def threads_playback() -> None:
    """Show a thread's run once more, at its pace; nothing is called.

    THREAD may be THREAD@POINT, to stop there. No pause is longer than 3 seconds.
    """


@threads.command("rerun", cls=LazyCommand, body="openmanus_graph.cli.threads.rerun:rerun")
@click.argument("point", metavar="THREAD@POINT")
@click.option("--set", "edits", multiple=True, metavar="PATH=VALUE", help="Change the state there, such as task=...")
@click.option("--plan", "plan_file", metavar="FILE", help="Go on with this plan; what is unchanged is kept.")
@click.option("--as", "new_id", metavar="NEW", help="The new thread's id; by default the old one with a number.")
@click.option(
    "--workspace", type=click.Path(file_okay=False), metavar="DIR", help="Its folder; by default beside the old one's."
)
@click.option("--no-run", is_flag=True, help="Only make the thread; resume runs it.")
@click.option("--model", metavar="NAME", help="Another model for every role.")
@budgeting
@forcing
@viewing
def threads_rerun() -> None:
    """Go on from a point in a new thread; the old one never changes.

    What came after the point is done again, with real calls: the step at the point, what followed from it, and
    subtasks that build on it. The new thread gets the files as of the point. THREAD alone copies all it has
    committed, also while it runs.
    """


@threads.command("size", cls=LazyCommand, body="openmanus_graph.cli.threads.retention:size")
@click.argument("threads", nargs=-1, metavar="[THREAD]...")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@as_json
def threads_size() -> None:
    """Say how much threads take: their points, results of steps, events and files, the largest first."""


@threads.command("prune", cls=LazyCommand, body="openmanus_graph.cli.threads.retention:prune")
@click.argument("threads", nargs=-1, metavar="[THREAD]...")
@click.option("--keep-last", default=1, show_default=True, type=click.IntRange(1), metavar="N", help="Points to keep.")
@click.option("--older-than", callback=age, metavar="AGE", help="Only threads not touched for such as 30d.")
@click.option("--status", type=click.Choice(PRUNABLE), help="Only threads of this status.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def threads_prune() -> None:
    """Remove older points of threads, all threads if none is named.

    The newest points stay, and all that a resume needs: results, questions, messages. What goes is the way back to
    earlier moments. Events, files and what was spent stay. Running threads are left alone.
    """


@threads.command("export", cls=LazyCommand, body="openmanus_graph.cli.threads.transfer:export")
@click.argument("threads", nargs=-1, metavar="THREAD...")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["archive", "sft", "preference"]),
    default="archive",
    show_default=True,
    help="What to write.",
)
@click.option("--all", "every", is_flag=True, help="All your completed threads, as training data.")
@as_json
def threads_export() -> None:
    """Write a thread with all its steps, events and files into FILE, which must be new.

    Nobody may run it meanwhile. The thread stays; go on with it here or there, not in both places: each would make the
    calls that are left.

    With --format sft or preference FILE is training data of one or more threads instead, without secrets: a line of
    JSON for each conversation that went well, or for each answer that was refused with the better one.
    """


@threads.command("import", cls=LazyCommand, body="openmanus_graph.cli.threads.transfer:import_file")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--as", "new_id", metavar="NEW", help="The thread's id here; by default the one it had.")
@click.option(
    "--workspace",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Its folder here; by default ./openmanus-work/<thread>.",
)
@as_json
def threads_import() -> None:
    """Make a thread of an exported FILE, to go on with it here.

    A file that is damaged, or holds what it must not, is refused whole. Resuming runs the thread's plan, with the
    tools and the graph that it names: import only what you would run.
    """


@threads.command("rate", cls=LazyCommand, body="openmanus_graph.cli.threads.rating:rate")
@click.argument("thread")
@click.argument("verdict", type=click.Choice(["good", "bad"]))
@click.argument("why", nargs=-1, metavar="[WHY]")
def threads_rate() -> None:
    """Say how a thread's last request really went, however it ended.

    It is kept, and weighs what is learned from the request: a bad one is recalled as a failure with WHY, and the
    template that it counts for is offered more or less for it, see `memory templates list`.
    """


@threads.command("draw", cls=LazyCommand, body="openmanus_graph.cli.threads.pictures:draw")
@click.argument("thread")
@click.option("--gantt", is_flag=True, help="What was done when, instead of the plan's DAG.")
@click.option("--history", is_flag=True, help="Its points, with the subtasks beside each other and the forks.")
@format_option
@output_option
def threads_draw() -> None:
    """Draw a thread's plan with what its subtasks stand at, its timeline, or its history."""


@threads.command("report", cls=LazyCommand, body="openmanus_graph.cli.threads.pictures:report")
@click.argument("thread")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Write there, instead of to stdout.",
)
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.xml",
    help="Write the assertions of its browser there, in JUnit's XML; the page only with -o.",
)
def threads_report() -> None:
    """Write a run as one HTML page: plan, timeline, messages, tool calls, files and costs.

    The page needs nothing else: no network, no script, no font.
    """
