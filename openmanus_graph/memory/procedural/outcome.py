"""Outcome: what the results of a request say of the template that it was done by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from openmanus_graph.memory.procedural.template import TemplateRun, task_digest
from openmanus_graph.state import SubtaskResult

_OF_THE_MOMENT = re.compile(
    "|".join(
        [
            # A status counts only as one: other numbers are those of rows, lines and files.
            r"\b(?:answered|answers with status|status(?: code)?:?|HTTP(?:/[\d.]+)?(?: error)?|"
            r"(?:server|client|returned) error:?) ['\"]?(?:408|425|429|50[0234]|52\d)\b",
            r"\b(?:408 Request Time-?out|429 Too Many Requests|500 Internal Server Error|502 Bad Gateway|"
            r"503 Service (?:Temporarily )?Unavailable|504 Gateway Time-?out)\b",
            r"\btoo many requests\b|\brate[- ]limit(?:ed| exceeded| reached| hit)\b|\blimits the rate\b",
            r"\b(?:time[ds] out|ran into its time limit|did not answer in full within|not done within its limit)\b",
            r"\b(?:host|server|model|page|site) (?:'[^'\n]*'|\"[^\"\n]*\"|\S+) cannot be (?:reached|found)\b",
            r"\bconnection (?:to \S+ )?(?:was )?(?:refused|reset|aborted|closed|lost|failed|broken|error)\b",
            r"\b(?:failed to connect|failed to establish a new connection|could not connect|cannot connect) to\b|"
            r"\bconnection attempts failed\b|\bserver disconnected\b|\bbreaks its reply off\b",
            r"\b(?:network|host|destination|server) (?:is )?unreachable\b|\bnetwork (?:is down|error)\b|"
            r"\bno route to host\b",
            r"\bname resolution\b|\bcould not resolve host\b|\bname or service not known\b|\bgetaddrinfo failed\b",
            r"\btemporarily unavailable\b|\btemporary failure\b|\bservice unavailable\b",
            r"(?-i:\b(?:Connection(?:Refused|Reset|Aborted)?Error|(?:Connect|Read|Write|Pool)Timeout(?:Error)?|TimeoutError)\b)",
        ]
    ),
    re.IGNORECASE,
)
"""Failures that another try might not meet, in the words in which they are said: no way of doing a task is to blame."""


def blames_nobody(results: Mapping[str, SubtaskResult]) -> bool:
    """Whether a request ended without success for a reason that says nothing about its plan.

    That is a person who stopped it, a budget that was used up, or a network that did not answer.
    """
    failed = [one for one in results.values() if one["status"] == "failed"]
    if not failed or any(one["status"] == "skipped" for one in results.values()):
        return True
    return all(_OF_THE_MOMENT.search(one["error"] or "") for one in failed)


def run_of(
    thread_id: str,
    request: int,
    task: str,
    results: Mapping[str, SubtaskResult],
    names: Mapping[str, str],
    *,
    has_succeeded: bool,
) -> TemplateRun:
    """The run of a request.

    Args:
        thread_id: Its thread.
        request: Which request of the thread, from 1.
        task: The person's words.
        results: What came of its subtasks.
        names: The step of the template that each subtask is; of several the longest counts.
        has_succeeded: Whether all of it was completed.
    """
    seconds: dict[str, float] = {}
    for name, one in results.items():
        if (took := _seconds(one)) is not None and name in names:
            seconds[names[name]] = max(took, seconds.get(names[name], 0.0))
    failed = [names[name] for name, one in results.items() if one["status"] == "failed" and name in names]
    return TemplateRun(
        thread_id=thread_id,
        request=request,
        succeeded=has_succeeded,
        ended_at=max((_moment(one["finished_at"]) for one in results.values()), default=0.0),
        seconds=seconds,
        failed=tuple(dict.fromkeys(failed)),
        task_digest=task_digest(task),
    )


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _seconds(result: SubtaskResult) -> float | None:
    """What a completed subtask took; `None` of any other."""
    if result["status"] != "completed" or result["started_at"] is None:
        return None
    return max(_moment(result["finished_at"]) - _moment(result["started_at"]), 0.0)
