"""Report: the end of a run for people, with the result on stdout and the rest on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import click

from openmanus_graph.checkpoints.progress import plan_in
from openmanus_graph.checkpoints.standing import Standing
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.cli.lines import LONGEST_ERROR
from openmanus_graph.cli.terminal import program, with_program
from openmanus_graph.display_text import clean, one_line, usage_line
from openmanus_graph.events import Usage
from openmanus_graph.plan import Plan
from openmanus_graph.plans.accepted import AcceptedPlans
from openmanus_graph.questions import handle_of

EXIT_CODES = {"completed": 0, "failed": 1, "waiting": 3, "partial": 4}
"""Exit code by the status a thread ends with; a stopped one ends with 128 and the signal's number."""

WORDS = {
    "completed": "completed",
    "failed": "failed; what completed is kept",
    "waiting": "waits for an answer",
    "paused": "is paused",
    "partial": "ended at a budget or token limit; what completed is kept",
}


def next_step(thread: Thread) -> str | None:
    """The command that goes on with a thread, or `None` where nothing is left to do."""
    name = thread.thread_id
    if thread.status == "completed":
        return None
    if thread.status == "waiting" and thread.questions:
        first = thread.questions[0]
        value = {"approve": "yes", "effect": "happened"}.get(first["kind"], "…")
        shown = f"{handle_of(first, thread.questions)}={value}" if len(thread.questions) > 1 else value
        return f"openmanus-graph resume {name} --answer {shown}"
    return f"openmanus-graph resume {name}"


def note_not_begun(standing: Standing, thread_id: str) -> None:
    """Tell, on stderr, that a run was cut off before anything of it had begun, and begins now."""
    if standing.input_due:
        what = "the newest request of" if standing.begun else "the thread"
        click.echo(f"Nothing of {what} {thread_id} had begun; it begins now, with the input it was given.", err=True)


def sinks(plan: Plan, results: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs of completed subtasks that no other subtask needs."""
    needed = {need for subtask in plan.subtasks for need in plan.prerequisites(subtask)}
    return {
        subtask.id: results[subtask.id]["output"]
        for subtask in plan.subtasks
        if subtask.id not in needed and results.get(subtask.id, {}).get("status") == "completed"
    }


def as_text(output: Any) -> str:
    """An output for people: text as it is, a flat dict as `key: value` lines, anything else as JSON."""
    if isinstance(output, str):
        return output
    if isinstance(output, dict):
        fields = cast("dict[str, Any]", output)
        if fields and all(isinstance(value, (str, int, float, bool)) for value in fields.values()):
            return "\n".join(f"{key}: {value}" for key, value in fields.items())
    return json.dumps(output, indent=2, ensure_ascii=False)


def print_result(text: str) -> None:
    """Print a result on stdout; on a terminal without what could take it over."""
    click.echo(clean(text) if sys.stdout.isatty() else text.encode("utf-8", "replace").decode())


def current_plan(thread: Thread, values: Mapping[str, Any], accepted: AcceptedPlans | None = None) -> Plan | None:
    """The plan in the thread's state, else in its row; `None` if neither has one.

    Args:
        thread: The thread as it is now.
        values: The graph's state.
        accepted: Plans that the graph has accepted; one of them is not validated again.
    """
    known = None if accepted is None else accepted.find(values.get("plan"))
    return known or plan_in(values) or plan_in({"plan": thread.plan})


def current_results(thread: Thread, values: Mapping[str, Any], plan: Plan | None) -> dict[str, Any]:
    """The results of the thread's present plan; of what is not completed only once nobody works on it any more."""
    if plan is None:
        return {}
    everything = cast("dict[str, Any]", values.get("results") or {})
    planned = {subtask.id for subtask in plan.subtasks}
    return {
        key: result
        for key, result in everything.items()
        if key in planned and (thread.finished or result["status"] == "completed")
    }


def report(
    thread: Thread,
    values: Mapping[str, Any],
    *,
    hint: str | None,
    usage: Usage | None = None,
    plan: Plan | None = None,
    told: Collection[str] = (),
) -> None:
    """Print the end of a run: its answer or results on stdout, the rest on stderr.

    Args:
        thread: The thread as it is now.
        values: The graph's state.
        hint: The command that goes on, or `None`.
        usage: What the request has used, or `None` if nothing is said of it.
        plan: What `current_plan` gives, where it is known already.
        told: Subtasks whose failure was said already.
    """
    plan = plan or current_plan(thread, values)
    results = current_results(thread, values, plan)
    answer = values.get("answer")
    if isinstance(answer, str) and answer and thread.finished:
        print_result(answer)
    elif thread.plan and "task" not in values:
        for name, output in sinks(Plan.parse(thread.plan, known=plan), results).items():
            print_result(as_text(output) if output is not None else f"{name}: done")
    for name, result in results.items():
        if result["status"] == "failed" and name not in told:
            click.echo(f"{name} failed: {one_line(str(result['error']), LONGEST_ERROR)}", err=True)
    if thread.sandbox == "none":
        click.echo("It ran without a sandbox (--sandbox none).", err=True)
    if usage is not None and usage["calls"]:
        click.echo(f"Used {usage_line(usage)}.", err=True)
    click.echo(f"Thread {thread.thread_id} {WORDS.get(thread.status, thread.status)}.", err=True)
    for question in thread.questions:
        who = handle_of(question, thread.questions)
        click.echo(f"  {who} asks: {clean(question['question'])}", err=True)
    if hint:
        again = thread.status in ("failed", "partial") and bool(results)
        budget = ", with a larger budget or token limit," if thread.status == "partial" else ""
        verb = f"Try again what is not completed{budget}" if again else "Go on"
        click.echo(f"{verb} with: {with_program(hint)}", err=True)
    elif thread.workspace and Path(thread.workspace).is_dir():
        click.echo(
            f"Files are in {thread.workspace}; look back with: {program()} threads show {thread.thread_id}",
            err=True,
        )
    sys.stdout.flush()
