"""run and resume: start a plan, and go on with it."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import re
import secrets
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from openmanus_graph.checkpoints.threads import Thread
    from openmanus_graph.plan import Plan

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

SANDBOXES = ["auto", "bubblewrap", "landlock", "none"]
_THREAD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@-]{0,127}")


def _viewing(command: CommandT) -> CommandT:
    command = click.option("--json", "as_json", is_flag=True, help="One JSON event a line on stdout.")(command)
    return click.option("--quiet", "-q", is_flag=True, help="No progress, only the result.")(command)


@click.command()
@click.option("--plan", "plan_file", required=True, metavar="FILE", help="The plan, YAML or JSON.")
@click.option(
    "--tools",
    "places",
    multiple=True,
    metavar="MODULE_OR_FILE.py",
    help="Your own tools, besides the built-in ones.",
)
@click.option("--thread", "thread_id", metavar="ID", help="Name the thread; by default after the plan.")
@click.option(
    "--workspace",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="The thread's folder; by default ./openmanus-work/<thread>.",
)
@click.option("--max-parallel", type=click.IntRange(1), metavar="N", help="Subtasks at the same time.")
@click.option("--sandbox", type=click.Choice(SANDBOXES), help="Confinement of shell and Python tools.")
@_viewing
def run(
    plan_file: str,
    places: tuple[str, ...],
    thread_id: str | None,
    workspace: str | None,
    max_parallel: int | None,
    sandbox: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run a plan as a durable DAG.

    Ctrl-C pauses it; even after kill -9, `resume` goes on where it was.
    """
    options = {"workspace": workspace, "max_parallel": max_parallel, "sandbox": sandbox}
    return asyncio.run(_run(Path(plan_file), places, thread_id, options, as_json, quiet))


async def _run(
    plan_file: Path,
    places: tuple[str, ...],
    thread_id: str | None,
    options: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> int:
    from openmanus_graph.checkpoints.database import open_checkpointer
    from openmanus_graph.checkpoints.threads import get_thread
    from openmanus_graph.cli.execution import execute
    from openmanus_graph.errors import ThreadUnfinishedError
    from openmanus_graph.graphs.plan import build_plan_graph
    from openmanus_graph.plan import Plan
    from openmanus_graph.settings import Settings
    from openmanus_graph.tools.reference import available_tools

    settings = Settings.load()
    tools = available_tools(places)
    graph = build_plan_graph(list(tools.values()), settings=settings)
    plan = Plan.from_file(plan_file, tools=graph.tools, agents=(), max_subtasks=settings.max_subtasks)
    name = _checked(thread_id) if thread_id else new_thread_id(plan_file.stem)
    async with open_checkpointer(settings=settings) as saver:
        known = await get_thread(saver, name) if thread_id else None
        if known is not None and not known.finished:
            raise ThreadUnfinishedError(
                f"The thread {name!r} is {known.status} and has not ended.",
                hint=f"Go on with it: openmanus-graph resume {name}\n"
                f"Or start anew: {_anew(plan_file, places, options, new_thread_id(name))}",
            )
        app = graph.compile(checkpointer=saver)
        configurable = {key: value for key, value in options.items() if value is not None}
        configurable["plan_file"] = _absolute(plan_file)
        return await execute(
            app, {"plan": plan}, thread_id=name, configurable=configurable, as_json=as_json, quiet=quiet
        )


def _anew(plan_file: Path, places: tuple[str, ...], options: dict[str, Any], name: str) -> str:
    """The command that runs the same plan in the same way in another thread; a workspace is never shared."""
    words = ["--plan", str(plan_file), *(word for place in places for word in ("--tools", place))]
    for option in ("max_parallel", "sandbox"):
        if options[option] is not None:
            words += [f"--{option.replace('_', '-')}", str(options[option])]
    return "openmanus-graph run " + shlex.join([*words, "--thread", name])


def _absolute(path: str | Path) -> str:
    return str(Path(path).absolute())


def new_thread_id(stem: str) -> str:
    """A readable id that nobody else has: the plan's name and six random hexadecimal digits."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-").lower()[:40] or "plan"
    return f"{slug}-{secrets.token_hex(3)}"


def _checked(thread_id: str) -> str:
    from openmanus_graph.errors import UsageError

    if not _THREAD.fullmatch(thread_id):
        raise UsageError(
            f"{thread_id!r} cannot be a thread's id.",
            hint="Use letters, digits and . _ : @ -, at most 128, a letter or digit first.",
        )
    return thread_id


@click.command()
@click.argument("thread", required=False)
@click.option("--last", is_flag=True, help="The thread that was touched last.")
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="VALUE|SUBTASK=VALUE",
    help="Answer a question; name the subtask when several are open.",
)
@click.option("--plan", "plan_file", metavar="FILE", help="Go on with an edited plan; what is unchanged is kept.")
@click.option("--max-parallel", type=click.IntRange(1), metavar="N", help="Subtasks at the same time.")
@_viewing
def resume(
    thread: str | None,
    last: bool,
    answers: tuple[str, ...],
    plan_file: str | None,
    max_parallel: int | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Go on with a thread: after a crash, a pause, a failure, or with an answer.

    THREAD is an id or its beginning.
    """
    if (thread is None) == (not last):
        raise click.UsageError("Name a thread, or give --last.")
    return asyncio.run(_resume(thread, answers, plan_file, max_parallel, as_json, quiet))


async def _resume(
    name: str | None,
    answers: tuple[str, ...],
    plan_file: str | None,
    max_parallel: int | None,
    as_json: bool,
    quiet: bool,
) -> int:
    from openmanus_graph.checkpoints.database import open_checkpointer
    from openmanus_graph.checkpoints.threads import find_thread
    from openmanus_graph.cli.execution import execute
    from openmanus_graph.cli.report import report
    from openmanus_graph.graphs.plan import build_plan_graph
    from openmanus_graph.plan import Plan
    from openmanus_graph.settings import Settings
    from openmanus_graph.tools.reference import tools_again

    settings = Settings.load()
    async with open_checkpointer(settings=settings) as saver:
        thread = await find_thread(saver, name)
        tools = tools_again(thread.graph.get("tools") or [], thread.thread_id)
        graph = build_plan_graph(tools, settings=settings)
        app = graph.compile(checkpointer=saver)
        most = settings.max_subtasks
        edited = Plan.from_file(plan_file, tools=graph.tools, agents=(), max_subtasks=most) if plan_file else None
        if edited is None:
            _note_changed_plan(thread)
        if thread.status == "running" and answers:
            return await _deliver(saver, app, thread, answers)
        if thread.status == "completed" and edited is None and not answers:
            values = (await app.snapshot(thread.thread_id)).values
            report(thread, values, hint=None)
            return 0
        given = await _next_input(app, thread, answers, edited)
        configurable: dict[str, Any] = {
            "max_parallel": max_parallel or thread.settings.get("max_parallel") or settings.max_parallel,
            "sandbox": thread.sandbox,
            "workspace": thread.workspace,
            "plan_file": _absolute(plan_file) if plan_file else thread.plan_file,
        }
        return await execute(
            app, given, thread_id=thread.thread_id, configurable=configurable, as_json=as_json, quiet=quiet
        )


async def _next_input(app: Any, thread: Thread, answers: tuple[str, ...], edited: Plan | None) -> Any:
    """What the graph is resumed with: nothing, answers, an edited plan, or its plan for another round."""
    from langgraph.types import Command

    from openmanus_graph.questions import answers_for

    snapshot = await app.snapshot(thread.thread_id)
    given = None
    if answers:
        given = dict(answers_for(await app.questions(thread.thread_id), list(answers), _subtask_ids(thread)))
    if snapshot.next:
        if edited is None:
            return None if given is None else Command(resume=given)
        return Command(update={"plan": edited}, resume=given)
    return {"plan": edited if edited is not None else snapshot.values.get("plan") or thread.plan}


def _subtask_ids(thread: Thread) -> list[str]:
    return [str(subtask["id"]) for subtask in (thread.plan or {}).get("subtasks", [])]


async def _deliver(saver: Any, app: Any, thread: Thread, answers: tuple[str, ...]) -> int:
    """Leave an answer for the process that runs the thread."""
    from openmanus_graph.checkpoints.lease import describe_runner
    from openmanus_graph.checkpoints.progress import open_questions
    from openmanus_graph.checkpoints.threads import get_thread, store_answers
    from openmanus_graph.cli.terminal import with_program
    from openmanus_graph.questions import answers_for

    questions = await open_questions(saver, thread.thread_id)
    await store_answers(saver, thread.thread_id, answers_for(questions, list(answers), _subtask_ids(thread)))
    now = await get_thread(saver, thread.thread_id)
    if now is not None and now.status != "running":
        command = with_program(f"openmanus-graph resume {thread.thread_id}")
        click.echo(f"The answer is kept, but the thread has stopped meanwhile. Go on with: {command}", err=True)
        return 0
    who = describe_runner(thread.runner, thread.runner_since)
    click.echo(f"The answer is with {who}, which runs the thread and goes on with it.", err=True)
    return 0


def _note_changed_plan(thread: Thread) -> None:
    from openmanus_graph.cli.terminal import with_program
    from openmanus_graph.errors import PlanError
    from openmanus_graph.plan import Plan

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
