"""Dry run: results kept, steps run, calls repeated and questions asked by a resume, without resuming."""

from __future__ import annotations

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.threads import find_thread
from openmanus_graph.cli.options import RunOptions
from openmanus_graph.cli.terminal import print_json, print_table, with_program
from openmanus_graph.display_text import clean, one_line
from openmanus_graph.graphs.builders import runs_user_graph
from openmanus_graph.graphs.rebuild import rebuild_graph
from openmanus_graph.graphs.resume_preview import EffectPreview, ResumePreview, SubtaskPreview, resume_preview
from openmanus_graph.graphs.user.user_graph import rebuild_user_graph

EFFECTS = {
    "recorded": "is recorded, and not called again",
    "repeated": "is called again with its key",
    "verified": "is looked up by the tool itself",
    "asked": "is asked about: nobody knows whether it happened",
    "waits": "begins again with a person's answer",
    "left": "is left as it is: its subtask has ended",
}


async def print_foresight(name: str | None, options: RunOptions) -> int:
    """Print a preview of a resume.

    Args:
        name: The thread's id or its beginning; `None` means the last one.
        options: Options of the command.

    Returns:
        The exit code.
    """
    async with open_checkpointer(settings=options.effective_settings()) as saver:
        thread = await find_thread(saver, name)
        settings = options.effective_settings(thread)
        if runs_user_graph(thread):
            app = await rebuild_user_graph(thread, saver, settings)
        else:
            app = rebuild_graph(thread, settings, model=options.model).compile(checkpointer=saver)
        if not thread.finished and thread.status != "running":
            await app.check_version(thread.thread_id, force=options.force)
        preview = await resume_preview(app, thread.thread_id)
    if options.as_json:
        print_json(preview.as_json())
        return 0
    _print(preview)
    return 0


def _print(preview: ResumePreview) -> None:
    click.echo(f"{_where(preview)} Nothing was written or run.")
    if preview.subtasks:
        click.echo("")
        print_table(["SUBTASK", "A RESUME", "WHY"], [_subtask_row(subtask) for subtask in preview.subtasks])
    if preview.effects:
        click.echo("")
        print_table(
            ["CALL OF", "IN", "KEY", "A RESUME", "ARGUMENTS"], [_effect_row(effect) for effect in preview.effects]
        )
    for question in preview.questions:
        click.echo(f"\n{question['subtask'] or 'The graph'} asks: {clean(question['question'])}")
    if preview.status != "completed":
        click.echo(with_program(f"\nGo on with: openmanus-graph resume {preview.thread_id}"))


def _where(preview: ResumePreview) -> str:
    if preview.status == "running":
        return f"The thread {preview.thread_id} is running; if it stopped now, a resume would do this."
    if preview.standing == "ended":
        completed = preview.status == "completed"
        again = "nothing is left to do" if completed else "a resume tries again what is not completed"
        if preview.status not in ("completed", "failed", "partial"):
            again = "a resume records how it ended"
        return f"The thread {preview.thread_id} ran to its end ({preview.status}); {again}."
    return f"The thread {preview.thread_id} is {preview.status}. {preview.text}"


def _subtask_row(subtask: SubtaskPreview) -> list[str]:
    what: str = subtask.action
    if subtask.step is not None:
        nodes = f" ({', '.join(subtask.nodes)})" if subtask.nodes else ""
        verb = "waits for an answer at" if subtask.action == "waits" else "continues at"
        what = f"{verb} step {subtask.step}{nodes}"
    elif subtask.status and subtask.action == "kept":
        what = f"kept ({subtask.status})"
    return [subtask.id, what, one_line(subtask.why, 200)]


def _effect_row(effect: EffectPreview) -> list[str]:
    return [effect.tool, effect.subtask, effect.key[:8], EFFECTS[effect.action], one_line(effect.args, 200)]
