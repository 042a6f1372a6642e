"""Foresight: what `resume --dry-run` prints: what would be kept, run, repeated and asked."""

from __future__ import annotations

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.threads import find_thread
from openmanus_graph.cli.options import RunOptions
from openmanus_graph.cli.terminal import print_json, print_table, with_program
from openmanus_graph.display_text import clean, one_line
from openmanus_graph.graphs.rebuild import graph_again
from openmanus_graph.graphs.resume_preview import EffectPreview, ResumePreview, SubtaskPreview, resume_preview
from openmanus_graph.graphs.user.user_graph import own_graph_again, runs_own_graph

EFFECTS = {
    "recorded": "is recorded, and not called again",
    "repeated": "is called again with its key",
    "verified": "is looked up by the tool itself",
    "asked": "is asked about: nobody knows whether it happened",
    "waits": "begins again with a person's answer",
    "left": "is left as it is: its subtask has ended",
}


async def print_foresight(name: str | None, options: RunOptions) -> int:
    """Print what a resume would do.

    Args:
        name: The thread's id or its beginning; `None` means the last one.
        options: What the command line said.

    Returns:
        The exit code.
    """
    async with open_checkpointer(settings=options.effective_settings()) as saver:
        thread = await find_thread(saver, name)
        settings = options.effective_settings(thread)
        if runs_own_graph(thread):
            app = await own_graph_again(thread, saver, settings)
        else:
            app = graph_again(thread, settings, model=options.model).compile(checkpointer=saver)
        if not thread.finished and thread.status != "running":
            await app.check_version(thread.thread_id, force=options.force)
        found = await resume_preview(app, thread.thread_id)
    if options.as_json:
        print_json(found.as_json())
        return 0
    _print(found)
    return 0


def _print(found: ResumePreview) -> None:
    click.echo(f"{_where(found)} Nothing was written or run.")
    if found.subtasks:
        click.echo("")
        print_table(["SUBTASK", "A RESUME", "WHY"], [_subtask_row(one) for one in found.subtasks])
    if found.effects:
        click.echo("")
        print_table(["CALL OF", "IN", "KEY", "A RESUME", "ARGUMENTS"], [_effect_row(one) for one in found.effects])
    for question in found.questions:
        click.echo(f"\n{question['subtask'] or 'The graph'} asks: {clean(question['question'])}")
    if not (found.status == "completed" and not found.nodes):
        click.echo(with_program(f"\nGo on with: openmanus-graph resume {found.thread_id}"))


def _where(found: ResumePreview) -> str:
    if found.status == "running":
        return f"The thread {found.thread_id} is running; if it stopped now, a resume would do this."
    if not found.nodes:
        again = "nothing is left to do" if found.status == "completed" else "a resume tries again what is not completed"
        return f"The thread {found.thread_id} ran to its end ({found.status}); {again}."
    return f"The thread {found.thread_id} is {found.status}; a resume goes on with {', '.join(found.nodes)}."


def _subtask_row(one: SubtaskPreview) -> list[str]:
    what: str = one.action
    if one.step is not None:
        nodes = f" ({', '.join(one.nodes)})" if one.nodes else ""
        verb = "waits for an answer at" if one.action == "waits" else "continues at"
        what = f"{verb} step {one.step}{nodes}"
    elif one.status and one.action == "kept":
        what = f"kept ({one.status})"
    return [one.id, what, one_line(one.why, 200)]


def _effect_row(one: EffectPreview) -> list[str]:
    return [one.tool, one.subtask, one.key[:8], EFFECTS[one.action], one_line(one.args, 200)]
