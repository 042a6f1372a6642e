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
_RESULT = re.compile(r'\{"passed": (true|false|null), "why": (".*)', re.DOTALL)
_KINDS = {"true": "", "false": "failure", "null": "skipped"}
"""What a test case has below it, by what an assertion gave; `null` of one that had nothing to compare with."""

Ended = tuple[str, str]
"""What a test case has below it, `failure`, `skipped` or nothing, and its words."""


def junit_xml(record: Record) -> str:
    """The assertions of a thread's newest plan.

    Args:
        record: The thread, read whole.

    Returns:
        XML: a `testsuite` with a `testcase` for each subtask that is an assertion, or whose agent made some.
    """
    by_agents = _made_by_agents(record)
    cases = [item for item in record.progress if _is_assertion(item) or item.subtask.id in by_agents]
    suite = Element("testsuite", name=clean(record.thread.title or record.thread.thread_id))
    counts = {"failure": 0, "skipped": 0}
    for item in cases:
        case = SubElement(suite, "testcase", classname=record.thread.thread_id, name=item.subtask.id)
        case.set("time", f"{_seconds(item):.3f}")
        kind, words = _ended(item, list(by_agents.get(item.subtask.id, {}).values()))
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


def _ended(item: SubtaskProgress, made: list[Ended]) -> Ended:
    """What came of a test case.

    Args:
        item: Its subtask.
        made: The assertions of the subtask's agent.
    """
    error = clean(str((item.result or {}).get("error") or ""))
    failed = [words for kind, words in made if kind == "failure"]
    if item.status == "failed":
        return "failure", "\n".join([*failed, error] if error else failed)
    if item.status != "completed":
        return "skipped", error or f"It is {item.status}."
    if failed:
        return "failure", "\n".join(failed)
    output: Any = (item.result or {}).get("output")
    if _is_assertion(item) and isinstance(output, Mapping) and output.get("passed") is None:  # pyright: ignore[reportUnknownMemberType] - an output is JSON
        made = [("skipped", clean(str(output.get("why"))))]  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - as above
    skipped = [words for kind, words in made if kind == "skipped"]
    return ("skipped", "\n".join(skipped)) if skipped else ("", "")


def _seconds(item: SubtaskProgress) -> float:
    result = item.result
    if result is None or not result["started_at"]:
        return 0.0
    began, ended = (datetime.fromisoformat(str(result[key])) for key in ("started_at", "finished_at"))
    return max((ended - began).total_seconds(), 0.0)


def _made_by_agents(record: Record) -> dict[str, dict[str, Ended]]:
    """By subtask, what came of each assertion of its agent: of one made again, the last time.

    Those of earlier requests of the thread are none of its newest plan's, whose subtasks may be named alike.
    """
    asked: dict[tuple[str, str], str] = {}
    found: dict[str, dict[str, Ended]] = {}
    for event in newest_request(record.events):
        subtask, call = str(event.get("subtask")), str(event.get("call"))
        args: Any = event.get("args")
        if event.get("type") == "tool_called" and event.get("tool") == TOOL and isinstance(args, Mapping):
            asked.pop((subtask, call), None)
            if str(args.get("action", "")).startswith(_BEGINNING):  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - an event's arguments are JSON
                asked[subtask, call] = json.dumps(args, sort_keys=True)
        elif event.get("type") == "tool_returned" and (subtask, call) in asked:
            found.setdefault(subtask, {})[asked.pop((subtask, call))] = _gave(event)
    return found


def _gave(event: Mapping[str, Any]) -> Ended:
    if event.get("error"):
        return "failure", clean(str(event["error"]))
    result = _RESULT.match(str(event.get("preview") or ""))
    if result is None:
        return "", ""
    try:
        words = clean(str(json.JSONDecoder().raw_decode(result[2])[0]))
    except ValueError:  # a long one is cut
        words = f"{clean(result[2][1:])} …"
    return _KINDS[result[1]], words
