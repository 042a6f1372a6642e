"""Problem: failures of a run as values, and stops in words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from openmanus_graph.errors import OpenManusGraphError
from openmanus_graph.loading.user_modules import described
from openmanus_graph.stepping.hold_point import GatedNode
from openmanus_graph.stepping.idle_branches import head_of
from openmanus_graph.stepping.record import StoredThread
from openmanus_graph.stepping.view import Problem, Stop

_NODE = re.compile(r"During task with name '([^']*)'")
INTACT = "The thread is intact: what was committed stays, and the step in flight runs again."


def problem_of(error: BaseException, thread_id: str, gated: GatedNode | None = None) -> Problem:
    """The problem that an exception is.

    Args:
        error: What was raised.
        thread_id: The thread.
        gated: The node that was let go.
    """
    noted = _NODE.search(" ".join(getattr(error, "__notes__", [])))
    node = noted[1] if noted else gated.node if gated is not None else ""
    can: list[Literal["rerun", "edit"]] = ["rerun", "edit"] if gated is not None or noted else []
    if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt)):
        message, hint = f"The step was interrupted. {INTACT}", "step() goes on."
        can = ["rerun", "edit"]
    elif isinstance(error, OpenManusGraphError):
        message, hint = error.message, error.hint or ""
    else:
        where = f"The node {node!r}" if node else f"The run of {thread_id!r}"
        message, hint = f"{where} failed: {described(error)}.", "rerun() tries the step again." if can else ""
    return Problem(message=message, hint=hint, node=node, subtask="" if gated is None else gated.subtask, can=can)


def failure(
    error: BaseException | None,
    thread_id: str,
    before: StoredThread,
    now: StoredThread,
    gated: GatedNode | None,
    trouble: str = "",
) -> Problem | None:
    """The failure since the last stop, of the run, a subtask or a condition; `None` without one.

    Args:
        error: What ended the run; `None` if that goes on, or ended by itself.
        thread_id: The thread.
        before: What was stored of it at the last stop.
        now: What is stored.
        gated: The node that was let go.
        trouble: What went wrong with a condition.
    """
    if error is not None:
        return problem_of(error, thread_id, gated)
    if trouble:
        return Problem(
            message=trouble, hint="Set it anew; the run stands where it could not be told.", node="", subtask="", can=[]
        )
    had = cast("Mapping[str, Any]", before.values.get("results") or {})
    for key, result in cast("Mapping[str, Any]", now.values.get("results") or {}).items():
        if result["status"] == "failed" and had.get(key) != result:
            return Problem(
                message=f"The subtask {key!r} failed: {result['error']}",
                hint="rerun() runs its last step again, in a fork.",
                node=gated.node if gated is not None and gated.subtask == key else "",
                subtask=key,
                can=["rerun", "edit"],
            )
    return None


def stop_text(stop: Stop, record: StoredThread, cursor: int | None, *, asking: bool = False) -> str:
    """A stop in a line.

    Args:
        stop: It, without its text.
        record: What is stored of the thread.
        cursor: The point that is looked at.
        asking: Whether the node that was let go asks a person.
    """
    thread, problem = stop["thread_id"], stop["error"]
    at = f"{stop['node']!r}" + (f" of {stop['branch']}" if stop["branch"] else "")
    standing = f"Next: {', '.join(stop['standing'])}." if stop["standing"] else ""
    if stop["reason"] == "error" or (problem is not None and not stop["standing"]):
        return f"{problem['message']} {problem['hint']}".strip() if problem else "Nothing could be done."
    trouble = f"{problem['message']} " if problem else ""
    asked = "; ".join(
        f"{question['subtask'] + ': ' if question['subtask'] else ''}{question['question']}"
        for question in stop["questions"]
    )
    asks = f" Asked: {asked}" if asked else ""
    match stop["reason"]:
        case "ready":
            return _ready_text(stop, record, asks)
        case "step":
            return f"{trouble}{_ran(stop, at, asking=asking)} {standing}{asks}".strip()
        case "breakpoint":
            return f"{trouble}Breakpoint at {at}. {standing}{asks}".strip()
        case "reached":
            return f"{trouble}Reached {at}. {standing}{asks}".strip()
        case "paused":
            return f"{trouble}Paused. {standing}{asks}".strip()
        case "waiting":
            return f"{trouble}Only a person can go on.{asks} answer(...) does.".strip()
        case "finished":
            return f"{trouble}The thread {thread!r} is {record.status}; nothing is left to run.".strip()
        case "moved":
            where = "the head" if cursor is None else f"point {cursor}"
            fork = "" if cursor is None else " Nothing ran; a step from here goes on in a fork."
            return f"At {where} of {thread!r}.{fork}"
        case _:
            return f"The thread {thread!r} goes on from here."


def _ran(stop: Stop, at: str, *, asking: bool) -> str:
    """A step in a sentence."""
    if not stop["node"]:
        return "The answer is taken up."
    if not asking:
        return f"{at} ran."
    if any(question["subtask"] == (stop["branch"] or "") for question in stop["questions"]):
        return f"{at} asks."
    return f"{at} asks; that can be answered once what stands beside it in {stop['branch']} has run."


def _ready_text(stop: Stop, record: StoredThread, asks: str) -> str:
    """The line about a thread that was read and does not run."""
    thread = stop["thread_id"]
    if not record.exists:
        return f"The thread {thread!r} has not begun; step() begins it."
    if record.over:
        return f"The thread {thread!r} is {record.status}; nothing runs next."
    following = [
        f"{branch['name']} {branch['node']}".strip() for branch in head_of(record) if branch["status"] == "next"
    ]
    nodes = ", ".join(stop["standing"] or following)
    if not nodes and not asks and record.stands:
        return f"The thread {thread!r} is {record.status}; nothing runs. {record.stands}"
    return f"The thread {thread!r} stands before {nodes or 'nothing that could go on by itself'}; nothing runs.{asks}"
