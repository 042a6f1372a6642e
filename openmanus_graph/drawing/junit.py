"""JUnit: the assertions of a thread as the XML that build servers read, one test case for each subtask with some."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from openmanus_graph.checkpoints.progress import SubtaskProgress
from openmanus_graph.display_text import clean
from openmanus_graph.drawing.label import without_forbidden
from openmanus_graph.drawing.record import Record, newest_request

TOOL = "browser_use"
_BEGINNING = "assert_"
_RESULT = re.compile(r'\{"passed": (true|false), "why": (".*)', re.DOTALL)


def junit_xml(record: Record) -> str:
    """The assertions of a thread's newest plan.

    Args:
        record: The thread, read whole.

    Returns:
        XML: a `testsuite` with a `testcase` for each subtask that is an assertion, or whose agent made some.
    """
    failed = _failed_by_agents(record)
    cases = [item for item in record.progress if _is_assertion(item) or item.subtask.id in failed]
    suite = Element("testsuite", name=clean(record.thread.title or record.thread.thread_id))
    counts = {"failure": 0, "skipped": 0}
    for item in cases:
        case = SubElement(suite, "testcase", classname=record.thread.thread_id, name=item.subtask.id)
        case.set("time", f"{_seconds(item):.3f}")
        told = list(failed.get(item.subtask.id, {}).values())
        kind, words = _ended(item, [why for why in told if why])
        if kind:
            counts[kind] += 1
            SubElement(case, kind, message=words.splitlines()[0][:500] if words else kind).text = words
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", "0")
    suite.set("skipped", str(counts["skipped"]))
    indent(suite)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{without_forbidden(tostring(suite, encoding="unicode"))}\n'


def _is_assertion(item: SubtaskProgress) -> bool:
    args = item.subtask.args or {}
    return item.subtask.tool == TOOL and str(args.get("action", "")).startswith(_BEGINNING)


def _ended(item: SubtaskProgress, told: list[str]) -> tuple[str, str]:
    """What a test case has below it, and its words; nothing for one that has passed."""
    error = clean(str((item.result or {}).get("error") or ""))
    if item.status == "failed":
        return "failure", "\n".join([*told, error] if error else told)
    if item.status == "completed":
        return ("failure", "\n".join(told)) if told else ("", "")
    return "skipped", error or f"It is {item.status}."


def _seconds(item: SubtaskProgress) -> float:
    result = item.result
    if result is None or not result["started_at"]:
        return 0.0
    began, ended = (datetime.fromisoformat(str(result[key])) for key in ("started_at", "finished_at"))
    return max((ended - began).total_seconds(), 0.0)


def _failed_by_agents(record: Record) -> dict[str, dict[str, str]]:
    """By subtask, why each assertion of its agent did not hold, empty if it did: of one made again, the last time.

    Those of earlier requests of the thread are none of its newest plan's, whose subtasks may be named alike.
    """
    asked: dict[tuple[str, str], str] = {}
    found: dict[str, dict[str, str]] = {}
    for event in newest_request(record.events):
        subtask, call = str(event.get("subtask")), str(event.get("call"))
        args: Any = event.get("args")
        if event.get("type") == "tool_called" and event.get("tool") == TOOL and isinstance(args, Mapping):
            asked.pop((subtask, call), None)
            if str(args.get("action", "")).startswith(_BEGINNING):  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - an event's arguments are JSON
                asked[subtask, call] = json.dumps(args, sort_keys=True)
        elif event.get("type") == "tool_returned" and (subtask, call) in asked:
            found.setdefault(subtask, {})[asked.pop((subtask, call))] = _why(event)
    return found


def _why(event: Mapping[str, Any]) -> str:
    if event.get("error"):
        return clean(str(event["error"]))
    result = _RESULT.match(str(event.get("preview") or ""))
    if result is None or result[1] == "true":
        return ""
    try:
        return clean(str(json.JSONDecoder().raw_decode(result[2])[0]))
    except ValueError:  # a long one is cut
        return f"{clean(result[2][1:])} …"
