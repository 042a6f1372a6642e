"""Resume: go on with a thread of a plan, of the agent or of a user graph."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click
from langgraph.types import Command

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.lease import describe_runner
from openmanus_graph.checkpoints.progress import open_questions, state_values
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.standing import standing_of
from openmanus_graph.checkpoints.threads import Thread, find_thread, get_thread, store_answers
from openmanus_graph.cli.dry_run import print_foresight
from openmanus_graph.cli.execution import execute
from openmanus_graph.cli.options import RunOptions, absolute
from openmanus_graph.cli.report import note_not_begun, report
from openmanus_graph.cli.terminal import with_program
from openmanus_graph.cli.user_graph import UserGraphOptions, resume_user_graph
from openmanus_graph.errors import PlanError, UsageError
from openmanus_graph.graphs.builders import runs_agent, runs_user_graph
from openmanus_graph.graphs.rebuild import rebuild_app, rebuild_graph
from openmanus_graph.plan import Plan
from openmanus_graph.questions import Answer, answers_for

HANDED_ON = 5
"""Exit code where an answer was left with the process that runs the thread, which has not ended."""


def resume(
    thread: str | None, last: bool, answers: tuple[str, ...], plan_file: str | None, dry_run: bool, **option_values: Any
) -> int:
    """Go on with a thread: after a crash, a pause, a failure, a budget, or with an answer."""
    if (thread is None) == (not last):
        raise click.UsageError("Name a thread, or give --last.")
    if dry_run:
        if answers or plan_file:
            raise click.UsageError("--dry-run says what a plain resume does, without --answer and --plan.")
        return asyncio.run(print_foresight(thread, RunOptions(**option_values)))
    return asyncio.run(_resume(thread, answers, plan_file, RunOptions(**option_values)))


async def _resume(name: str | None, answers: tuple[str, ...], plan_file: str | None, options: RunOptions) -> int:
    async with open_checkpointer(settings=options.effective_settings()) as saver:
        return await resume_thread(await find_thread(saver, name), saver, answers, plan_file, options)


async def resume_thread(
    thread: Thread, saver: ThreadSaver, answers: tuple[str, ...], plan_file: str | None, options: RunOptions
) -> int:
    """Go on with a thread of a plan, of the agent or of a user graph.

    Args:
        thread: The thread.
        saver: The store.
        answers: Answers as they were typed.
        plan_file: An edited plan to go on with, or `None`.
        options: Options of the command.

    Returns:
        The exit code.
    """
    if plan_file is not None and runs_user_graph(thread):
        raise UsageError(f"The thread {thread.thread_id!r} runs a graph of your own, which takes no plan.")
    if thread.status == "running" and answers:
        stopped = await deliver(saver, thread, answers, options)
        if stopped is None:
            return HANDED_ON
        thread, answers = stopped, ()  # they are stored, and the run takes them up
    if runs_user_graph(thread):
        return await _resume_user_graph(thread, saver, answers, options)
    return await _resume_built_in(thread, saver, answers, plan_file, options)


async def _resume_built_in(
    thread: Thread, saver: ThreadSaver, answers: tuple[str, ...], plan_file: str | None, options: RunOptions
) -> int:
    if plan_file is None:
        _note_changed_plan(thread)
        if thread.status == "completed" and not answers:  # no graph is needed to say it again, and no model
            report(thread, await state_values(saver, thread.thread_id), hint=None)
            return 0
    settings = options.effective_settings(thread)
    graph: Any = rebuild_graph(thread, settings, model=options.model)
    app = graph.compile(checkpointer=saver)
    if not thread.finished and thread.status != "running":  # what is next is known only to a graph that fits
        replaced = None if plan_file is None else Command(update={"plan": {}})
        await app.check_version(thread.thread_id, replaced, force=options.force)
    edited = None if plan_file is None else graph.plans.from_file(plan_file)
    given = await next_input(app, thread, answers, edited)
    kept = thread.settings
    configurable: dict[str, Any] = {
        **options.stored_settings(thread),
        "force": options.force or None,
        "max_parallel": options.max_parallel or kept.get("max_parallel") or settings.max_parallel,
        "sandbox": thread.sandbox,
        "workspace": thread.workspace,
        "plan_file": absolute(plan_file) if plan_file else thread.plan_file,
    }
    return await execute(
        app,
        given,
        thread_id=thread.thread_id,
        configurable={key: value for key, value in configurable.items() if value is not None},
        as_json=options.as_json,
        quiet=options.quiet,
        task=thread.title,
    )


async def _resume_user_graph(thread: Thread, saver: ThreadSaver, answers: tuple[str, ...], options: RunOptions) -> int:
    own = UserGraphOptions(thread.thread_id, options.configurable, options.as_json, options.quiet)
    return await resume_user_graph(thread, saver, answers, own, options.effective_settings(thread))


async def next_input(app: Any, thread: Thread, answers: tuple[str, ...] = (), edited: Plan | None = None) -> Any:
    """Input of the resumed graph: nothing, answers, an edited plan, or the unfinished work once more.

    Args:
        app: The thread's compiled graph.
        thread: The thread.
        answers: Answers as they were typed.
        edited: An edited plan to go on with.

    Raises:
        ThreadUnreadableError: If the thread's newest checkpoint cannot be read.
        UsageError: If nothing of the thread is stored.
        UnknownQuestionError: If an answer fits no open question, or is an edit that cannot be taken.
    """
    # Which nodes are next as the graph is now matters only to an edited plan; the rest is in the rows.
    standing = await standing_of(app.checkpointer, thread, None if edited is None else app)
    if standing.kind != "empty" or not thread.plan:
        standing.refuse(thread.thread_id)
    note_not_begun(standing, thread.thread_id)
    given = None
    if answers:
        plan = standing.values.get("plan") or thread.plan
        given = dict(answers_for(standing.questions, list(answers), _subtask_ids(plan)))
        for question in standing.questions:
            app.check_answer(question, given.get(question["id"]), thread.workspace)
    if edited is not None:
        # Without a node that is still to run, it would come too late for the step that is being recorded.
        return Command(update={"plan": edited}, resume=given) if standing.nodes else {"plan": edited}
    if given is not None:
        return Command(resume=given)
    if not thread.finished and standing.kind != "empty":  # to go on, or to record that nothing is left
        return None
    return {"again": True} if runs_agent(thread) else {"plan": standing.values.get("plan") or thread.plan}


def _subtask_ids(plan: Mapping[str, Any] | None) -> list[str]:
    return [str(subtask["id"]) for subtask in (plan or {}).get("subtasks", [])]


async def deliver(saver: ThreadSaver, thread: Thread, answers: tuple[str, ...], options: RunOptions) -> Thread | None:
    """Store an answer for the process that runs the thread; the thread, if that process has stopped meanwhile.

    Args:
        saver: The store.
        thread: The thread, which runs.
        answers: Answers as they were typed.
        options: Options of the command.

    Raises:
        UnknownQuestionError: If an answer fits no open question, or is an edit that cannot be taken.
    """
    questions = await open_questions(saver, thread.thread_id)
    plan = (await state_values(saver, thread.thread_id)).get("plan") or thread.plan
    given = answers_for(questions, list(answers), _subtask_ids(plan))
    if any(_is_edit(answer) for answer in given.values()):
        app = await rebuild_app(thread, saver, options.effective_settings(thread))
        for question in questions:
            app.check_answer(question, given.get(question["id"]), thread.workspace)
    await store_answers(saver, thread.thread_id, given)
    now = await get_thread(saver, thread.thread_id)
    if now is not None and now.status != "running":
        return now
    who = describe_runner(thread.runner, thread.runner_since)
    click.echo(f"The answer is with {who}, which runs the thread and goes on with it.", err=True)
    return None


def _is_edit(answer: Answer) -> bool:
    value = answer["value"]
    return isinstance(value, dict) and cast("dict[str, Any]", value).get("action") == "edit"


def _note_changed_plan(thread: Thread) -> None:
    if not thread.plan_file or not Path(thread.plan_file).is_file():
        return
    try:
        changed = Plan.from_file(thread.plan_file).to_dict() != thread.plan
    except PlanError:
        changed = True
    if changed and thread.status != "completed":
        command = f"openmanus-graph resume {thread.thread_id} --plan {thread.plan_file}"
        click.echo(
            f"The plan file {thread.plan_file!r} has changed; the thread goes on with its own plan. "
            f"To take up the change: {with_program(command)}",
            err=True,
        )
