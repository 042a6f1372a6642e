"""threads: list them, look at one, remove one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from openmanus_graph.cli.terminal import print_json, print_table, with_program

if TYPE_CHECKING:
    from openmanus_graph.checkpoints.progress import SubtaskProgress
    from openmanus_graph.checkpoints.threads import Thread


STATUSES = ["running", "waiting", "paused", "stopped", "partial", "completed", "failed"]


@click.group()
def threads() -> None:
    """List threads, look at one, remove one."""


def _ago(moment: datetime) -> str:
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


@threads.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--status", type=click.Choice(STATUSES), help="Only those of this status.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(limit: int, status: str | None, as_json: bool) -> None:
    """List the newest threads."""
    found = asyncio.run(_list(limit, status))
    if as_json:
        print_json([thread.as_json() for thread in found])
        return
    if not found:
        if status:
            click.echo(f"No thread is {status}.")
            return
        click.echo(with_program("No threads yet. Start one with: openmanus-graph run --plan FILE"))
        return
    rows = [[thread.thread_id, thread.status, _done(thread), _ago(thread.updated_at), thread.title] for thread in found]
    print_table(["THREAD", "STATUS", "DONE", "TOUCHED", "TITLE"], rows)


def _done(thread: Thread) -> str:
    progress = thread.progress
    return f"{progress.get('done', 0)}/{progress['total']}" if progress.get("total") else ""


async def _list(limit: int, status: str | None) -> list[Thread]:
    from openmanus_graph.checkpoints.database import open_checkpointer
    from openmanus_graph.checkpoints.threads import list_threads

    async with open_checkpointer() as saver:
        return await list_threads(saver, limit=limit, status=status)


@threads.command()
@click.argument("thread")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(thread: str, as_json: bool) -> None:
    """Show a thread: its subtasks, what it waits for, and how to go on."""
    from openmanus_graph.cli.report import next_step

    found, progress = asyncio.run(_show(thread))
    hint = next_step(found) if found.status != "running" else None
    if as_json:
        subtasks = [{"id": item.subtask.id, "status": item.status, "result": item.result} for item in progress]
        print_json({**found.as_json(), "subtasks": subtasks, "next": hint and with_program(hint)})
        return
    _print_thread(found)
    if progress:
        click.echo("")
        print_table(["SUBTASK", "STATUS", "TIME", "TRIES", "WHAT"], [_row(item) for item in progress])
    for question in found.questions:
        click.echo(f"\n{question['subtask']} asks: {question['question']}")
    if hint:
        click.echo(f"\nGo on with: {with_program(hint)}")


def _print_thread(thread: Thread) -> None:
    from openmanus_graph.checkpoints.lease import describe_runner

    lines: list[tuple[str, str | None]] = [
        ("thread", thread.thread_id),
        ("title", thread.title),
        ("status", thread.status),
        (
            "runner",
            describe_runner(thread.runner, thread.runner_since) if thread.status == "running" else None,
        ),
        ("error", thread.error),
        ("plan", thread.plan_file),
        ("workspace", thread.workspace),
        ("sandbox", thread.sandbox),
        ("created", f"{thread.created_at.astimezone():%Y-%m-%d %H:%M:%S}"),
        ("touched", f"{thread.updated_at.astimezone():%Y-%m-%d %H:%M:%S} ({_ago(thread.updated_at)})"),
    ]
    for name, value in lines:
        if value:
            click.echo(f"{name + ':':<11}{value}")


def _row(item: SubtaskProgress) -> list[str]:
    from openmanus_graph.cli.report import as_text
    from openmanus_graph.events import seconds_between

    result = item.result
    if result is None:
        return [item.subtask.id, item.status, "", "", item.subtask.goal]
    started = result["started_at"]
    took = f"{seconds_between(started, result['finished_at']):.1f} s" if started else ""
    what = result["error"] or as_text(result["output"]).replace("\n", " ")
    return [item.subtask.id, item.status, took, str(result["attempts"]), what[:300]]


async def _show(name: str) -> tuple[Thread, list[SubtaskProgress]]:
    from dataclasses import replace

    from openmanus_graph.checkpoints.database import open_checkpointer
    from openmanus_graph.checkpoints.progress import open_questions, subtask_progress
    from openmanus_graph.checkpoints.threads import find_thread

    async with open_checkpointer() as saver:
        thread = await find_thread(saver, name)
        progress = await subtask_progress(saver, thread.thread_id, live=thread.status == "running")
        questions = thread.questions
        if thread.status in ("running", "stopped"):
            questions = await open_questions(saver, thread.thread_id)
        return replace(thread, questions=questions), progress


@threads.command()
@click.argument("thread")
@click.option("--files", is_flag=True, help="Its workspace too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(thread: str, files: bool, yes: bool) -> None:
    """Remove a thread and its checkpoints."""
    asyncio.run(_delete(thread, files, yes))


async def _delete(name: str, files: bool, yes: bool) -> None:
    from openmanus_graph.checkpoints.database import open_checkpointer
    from openmanus_graph.checkpoints.threads import delete_thread, find_thread

    async with open_checkpointer() as saver:
        found = await find_thread(saver, name)
        what: Any = f"{found.thread_id} ({found.status})" + (f" and {found.workspace}" if files else "")
        if not yes:
            click.confirm(f"Remove the thread {what}?", abort=True, err=True)
        await delete_thread(saver, found, files=files)
    click.echo(f"Removed {what}.", err=True)
