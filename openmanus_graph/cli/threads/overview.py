"""Overview: threads show, with requests, subtasks, questions and usage."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, cast

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.history.checkpoint_ref import find_place
from openmanus_graph.checkpoints.lease import describe_runner
from openmanus_graph.checkpoints.progress import SubtaskProgress, subtask_progress
from openmanus_graph.checkpoints.ratings import Rating, ratings_of
from openmanus_graph.checkpoints.standing import Standing, standing_of
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.checkpoints.usage import Spent, spent_in
from openmanus_graph.cli.lines import LONGEST_ERROR
from openmanus_graph.cli.report import as_text, next_step
from openmanus_graph.cli.terminal import print_json, print_table, with_program
from openmanus_graph.cli.threads.point import show_point
from openmanus_graph.display_text import ago, call_line, clean, cost, duration, one_line, usage_line, work_line
from openmanus_graph.errors import DamagedValueError, ThreadUnreadableError
from openmanus_graph.events import Usage, seconds_between
from openmanus_graph.questions import handle_of
from openmanus_graph.usage import NO_USAGE, add_usage


@dataclass(frozen=True)
class ThreadFacts:
    """Facts about a thread."""

    thread: Thread
    progress: list[SubtaskProgress]
    spent: list[Spent]
    standing: Standing
    """Where it stands, with the state's values, messages left out."""
    ratings: list[Rating]
    """What a person said of its requests."""
    unreadable: ThreadUnreadableError | DamagedValueError | None = None
    """Why its state, or that of its subtasks, cannot be read; the values or the progress are missing then."""

    @property
    def values(self) -> Mapping[str, Any]:
        """The state's values, messages left out."""
        return self.standing.values

    @property
    def total(self) -> Usage:
        """Usage of all requests together."""
        return reduce(add_usage, (call.usage for call in self.spent), NO_USAGE)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests of the conversation, each with its task, status and answer; the last one may be open."""
        earlier = cast("list[dict[str, Any]]", self.values.get("earlier") or [])
        requests = [{key: request.get(key) for key in ("task", "status", "answer")} for request in earlier]
        task = self.values.get("task")
        answer = self.values.get("answer") if self.thread.finished else None
        if task and not (requests and requests[-1]["task"] == task and self.thread.finished):
            requests.append({"task": task, "status": self.thread.status, "answer": answer})
        elif requests and self.thread.finished and answer:
            requests[-1]["answer"] = answer  # whole, where the earlier ones are clipped
        return requests


def show(thread: str, as_json: bool) -> None:
    """Show a thread: its requests and subtasks, what it used, what it waits for, and how to go on."""
    facts = asyncio.run(_facts(thread, as_json))
    if facts is None:
        return
    shown = facts.thread
    goes_on = shown.status != "running" and facts.standing.kind not in ("unreadable", "empty")
    hint = next_step(shown) if goes_on else None
    if as_json:
        _print_as_json(facts, hint)
        return
    _print_thread(shown, facts.standing)
    for rating in facts.ratings:
        click.echo(f"{'rated:':<11}request {rating.request} {one_line(rating.text, 1000)}")
    _print_requests(facts.requests)
    if facts.progress:
        click.echo("")
        spent = _by_subtask(facts.spent)
        headings = ["SUBTASK", "STATUS", "CHECKED", "TIME", "TRIES", "USED", "WHAT"]
        print_table(headings, [_row(item, spent.get(item.subtask.id)) for item in facts.progress])
        for line in filter(None, map(_more, facts.progress)):
            click.echo(line)
    if facts.spent:
        click.echo("")
        print_table(["ROLE", "MODEL", "CALLS", "TOKENS IN", "OUT", "TIME", "COST"], _by_role(facts.spent))
        click.echo(f"In all {usage_line(facts.total)}.")
    if shown.allowed_sites:
        click.echo(f"\nA person lets its calls be made on {', '.join(map(one_line, shown.allowed_sites))}.")
    for question in shown.questions:
        click.echo(f"\n{handle_of(question, shown.questions)} asks: {clean(question['question'])}")
    if facts.unreadable:
        click.echo(with_program(f"\n{facts.unreadable.message}\n{facts.unreadable.hint}"))
    if hint:
        click.echo(f"\nGo on with: {with_program(hint)}")


def _print_as_json(facts: ThreadFacts, hint: str | None) -> None:
    subtasks = [{"id": item.subtask.id, "status": item.status, "result": item.result} for item in facts.progress]
    more = {
        "subtasks": subtasks,
        "requests": facts.requests,
        "ratings": [vars(rating) for rating in facts.ratings],
        "answer": facts.values.get("answer") if facts.thread.finished else None,
        "usage": {"total": facts.total, "calls": [call.as_json() for call in facts.spent]},
        "next": hint and with_program(hint),
        "standing": facts.standing.kind,
        "unreadable": _unreadable(facts.unreadable),
    }
    print_json({**facts.thread.as_json(), **more})


def _unreadable(error: ThreadUnreadableError | DamagedValueError | None) -> dict[str, Any] | None:
    """Which checkpoint cannot be read, why, and the last good one, as far as they are known."""
    if error is None:
        return None
    known = error if isinstance(error, ThreadUnreadableError) else None
    return {
        "checkpoint": known and known.checkpoint_id,
        "why": error.message,
        "last_good": known and known.good,
    }


def _print_thread(thread: Thread, standing: Standing) -> None:
    lines: list[tuple[str, str | None]] = [
        ("thread", thread.thread_id),
        ("title", one_line(thread.title)),
        ("status", thread.status),
        ("stands", standing.text if thread.status in ("stopped", "paused") else None),
        (
            "runner",
            describe_runner(thread.runner, thread.runner_since) if thread.status == "running" else None,
        ),
        ("error", thread.error),
        ("plan", thread.plan_file),
        ("workspace", thread.workspace),
        ("sandbox", thread.sandbox),
        ("created", f"{thread.created_at.astimezone():%Y-%m-%d %H:%M:%S}"),
        ("touched", f"{thread.updated_at.astimezone():%Y-%m-%d %H:%M:%S} ({ago(thread.updated_at)})"),
    ]
    for name, value in lines:
        if value:
            click.echo(f"{name + ':':<11}{value}")


def _print_requests(requests: Sequence[dict[str, Any]]) -> None:
    for number, request in enumerate(requests, 1):
        click.echo(f"\nRequest {number} ({request['status']}): {one_line(str(request['task']), 1000)}")
        if request["answer"]:
            answer = clean(str(request["answer"])) if number == len(requests) else one_line(str(request["answer"]), 200)
            click.echo(answer)


def _by_subtask(spent: Sequence[Spent]) -> dict[str, Usage]:
    usages: dict[str, Usage] = {}
    for call in spent:
        if call.subtask:
            usages[call.subtask] = add_usage(usages.get(call.subtask), call.usage)
    return usages


def _by_role(spent: Sequence[Spent]) -> list[list[str]]:
    groups: dict[tuple[str, str], list[Spent]] = {}
    for call in spent:
        groups.setdefault((call.role, call.model), []).append(call)
    rows: list[list[str]] = []
    for (role, model), group in groups.items():
        usage = reduce(add_usage, (call.usage for call in group), NO_USAGE)
        took = duration(sum(call.elapsed_s for call in group))
        tokens = [f"{usage['input_tokens']:,}", f"{usage['output_tokens']:,}"]
        rows.append([role, model, str(usage["calls"]), *tokens, took, cost(usage["cost_usd"])])
    return rows


def _row(item: SubtaskProgress, usage: Usage | None) -> list[str]:
    used = f"{usage['input_tokens'] + usage['output_tokens']:,} tok" if usage is not None else ""
    result, work = item.result, work_line(item.subtask.goal, item.subtask.tool, item.subtask.args)
    if result is None:
        return [item.subtask.id, item.status, "", "", "", used, work]
    started = result["started_at"]
    took = f"{seconds_between(started, result['finished_at']):.1f} s" if started else ""
    verified = result.get("verified")
    checked = "" if verified is None else "yes" if verified else "no"
    failed = item.status == "failed"  # said below, where there is room
    what = one_line(work if failed else result["error"] or as_text(result["output"]), 300)
    return [item.subtask.id, item.status, checked, took, str(result["attempts"]), used, what]


def _more(item: SubtaskProgress) -> str:
    """What a row has no room for: why a subtask failed, and what was called where it is not what the plan says."""
    result, name = item.result, item.subtask.id
    if result is None:
        return ""
    lines: list[str] = []
    if (args := result.get("args")) is not None:
        called = call_line(str(item.subtask.tool), args, whole=True)
        lines.append(f"{name}: {result.get('args_by') or 'a person'} changed the arguments; called was {called}")
    if item.status == "failed":
        lines.append(f"{name} failed: {one_line(str(result['error']), LONGEST_ERROR)}")
    return "\n".join(lines)


async def _facts(name: str, as_json: bool) -> ThreadFacts | None:
    """Facts about a thread; `None` if a point was named, which has been printed."""
    async with open_checkpointer() as saver:
        thread, point = await find_place(saver, name)
        if point is not None:
            await show_point(saver, point, as_json=as_json)
            return None
        standing = await standing_of(saver, thread)
        if standing.questions:
            thread = replace(thread, questions=list(standing.questions))
        ratings = await ratings_of(saver, thread.thread_id)
        facts = ThreadFacts(thread, [], await spent_in(saver, thread), standing, ratings, standing.error)
        if standing.error is not None:
            return facts
        try:
            progress = await subtask_progress(saver, thread.thread_id, live=thread.status == "running")
            return replace(facts, progress=progress)
        except (ThreadUnreadableError, DamagedValueError) as error:  # what else is known of it is shown all the same
            return replace(facts, unreadable=error)
