"""Panels: contents of the tabs of a widget, in JSON types."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from openmanus_graph.agent_nodes import COORDINATOR, EXECUTOR, PLANNER, READ_BY_GRAPH, VERIFIER
from openmanus_graph.checkpoints.events import stored_events
from openmanus_graph.checkpoints.history.diff import state_as_json
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.display_text import work_line
from openmanus_graph.drawing.artefacts import image_at
from openmanus_graph.drawing.tree import HistoryNode, HistoryTree, tree_svg
from openmanus_graph.events import Event
from openmanus_graph.stepping.stepper import Stepper
from openmanus_graph.stepping.view import HistoryItem, ValueChange

TABS = {
    "changes": "Changes",
    "state": "State",
    "messages": "Messages",
    "calls": "Tool calls",
    "files": "Files",
    "history": "History",
    "timings": "Timings",
    "edit": "Edit",
}
"""The tabs with their titles, in order."""
LONGEST = 4_000
"""Characters of one text that are shown."""
LINE = 100
"""Characters of JSON that is shown in one line."""
MOST_IMAGES = 6
"""Images among the files that are shown."""
MOST = 300
"""Messages, calls, files and steps that are shown, the newest."""


async def panel_of(stepper: Stepper, tab: str) -> dict[str, Any]:
    """Content of a tab.

    Args:
        stepper: What it is about.
        tab: One of `TABS`.
    """
    if tab in ("messages", "calls"):
        events = await _events(stepper)
        entries = list(_messages(stepper, events) if tab == "messages" else _calls(stepper, events))
        return {"tab": tab, "entries": entries[-MOST:], "left_out": max(len(entries) - MOST, 0)}
    panels: dict[str, Callable[[Stepper], dict[str, Any]]] = {
        "changes": _changes,
        "state": lambda stepper: {"text": _text(stepper.state)},
        "files": _files,
        "history": _history,
        "timings": _timings,
        "edit": _edit,
    }
    return {"tab": tab, **panels[tab](stepper)}


async def _events(stepper: Stepper) -> list[Event]:
    """Events of the thread, stored and not stored yet."""
    saver = cast("Any", stepper.app).checkpointer
    stored = await stored_events(saver, stepper.thread_id) if isinstance(saver, ThreadSaver) else []
    by_id = {str(event.get("id", index)): event for index, event in enumerate(stored)}
    own = [event for event in stepper.events if event.get("thread_id") == stepper.thread_id]
    by_id |= {str(event["id"]): event for event in own if "id" in event and event.get("type") != "model_tokens"}
    return list(by_id.values())


def _changes(stepper: Stepper) -> dict[str, Any]:
    difference = cast("dict[str, list[ValueChange]]", stepper.diff())
    groups = {"Results": "results", "Messages": "messages", "State": "state", "Subtasks": "branches"}
    changes = [
        {
            "group": title,
            "name": change["name"],
            "kind": change["kind"],
            "before": _text(change["before"]),
            "after": _text(change["after"]),
            "lines": cut(change.get("lines", "")),
        }
        for title, key in groups.items()
        for change in difference[key]
    ]
    return {"changes": changes[:MOST], "left_out": max(len(changes) - MOST, 0)}


def _messages(stepper: Stepper, events: list[Event]) -> Iterator[dict[str, Any]]:
    """Messages of the conversation, then replies and decisions of the thread's roles and subtasks."""
    for message in cast("list[Any]", state_as_json(stepper.state.get("messages")) or []):
        yield _message(message)
    for event in events:
        if talk := _talk_of(event):
            yield {"who": talk[0], "text": cut(talk[1]), "time": event.get("time", "")}
    if not any(event.get("type") == "model_finished" for event in events):
        for branch in stepper.branches:
            for message in (
                cast("list[Any]", state_as_json(branch["state"].get("messages")) or []) if branch["name"] else ()
            ):
                yield {**_message(message), "who": f"{branch['name']}: {_message(message)['who']}"}


def _talk_of(event: Event) -> tuple[str, str] | None:
    """Speaker and text of an event, or `None`. Replies that the graph reads have none: the event after them has."""
    subtask = event.get("subtask", "")
    of = f" of {subtask}" if subtask else ""
    text = str(event.get("error") or event.get("text") or "")
    match event.get("type"):
        case "model_finished" if event.get("error") or (text and event.get("role") not in READ_BY_GRAPH):
            return f"{event.get('role', '')}{of}", text
        case "decided":
            return COORDINATOR, f"{event.get('decision', '')}: {text}".rstrip(": ")
        case "plan_made":
            plan = event.get("plan") or {}
            subtasks = cast("list[dict[str, Any]]", plan.get("subtasks") or [])
            works = [
                (one.get("id"), one.get("goal") or work_line(None, one.get("tool"), one.get("args")))
                for one in subtasks
            ]
            lines = [f"{name}: {work}" for name, work in works]
            return PLANNER, "\n".join([str(plan.get("goal") or "A plan"), *lines])
        case "plan_refused":
            return f"the {PLANNER}'s plan was refused", "\n".join(event.get("problems") or [])
        case "tool_called":
            return f"{EXECUTOR}{of}", f"calls {event.get('tool')} {json.dumps(event.get('args') or {}, default=str)}"
        case "subtask_verified" if event.get("verified") is not None:
            return f"{VERIFIER}{of}", f"{'verified' if event.get('verified') else 'not verified'}: {text}".rstrip(": ")
        case _:
            return None


def _message(message: Any) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        return {"who": "", "text": _text(message), "time": ""}
    fields = cast("Mapping[str, Any]", message)
    who = str(fields.get("type") or fields.get("role") or "")
    content = fields.get("content", fields.get("text", fields))
    calls = [f"calls {call.get('name')} {json.dumps(call.get('args'), default=str)}" for call in _called(fields)]
    return {"who": who, "text": cut("\n".join([_text(content), *calls]).strip()), "time": ""}


def _called(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    calls = fields.get("tool_calls")
    return [call for call in cast("list[Any]", calls) if isinstance(call, Mapping)] if isinstance(calls, list) else []


def _calls(stepper: Stepper, events: list[Event]) -> Iterator[dict[str, Any]]:
    """Calls that ended: the plan's own, then those of agents; last the calls that are next."""
    results = cast("Mapping[str, Any]", stepper.state.get("results") or {})
    for subtask in stepper.plan.subtasks if stepper.plan is not None else ():
        result = results.get(subtask.id)
        if subtask.tool and result is not None:
            shown = result["error"] or _text(result["output"])
            args = result.get("args") or subtask.args
            yield _call(subtask.id, str(subtask.tool), args, str(result["status"]), shown)
    returned = {str(event.get("call")): event for event in events if event.get("type") == "tool_returned"}
    for event in events:
        if event.get("type") != "tool_called":
            continue
        end = returned.get(str(event.get("call")))
        status = "running" if end is None else "failed" if end.get("error") else "completed"
        shown = "" if end is None else end.get("error") or end.get("preview") or ""
        yield _call(event.get("subtask", ""), event.get("tool", ""), event.get("args"), status, shown)
    for question in stepper.questions:
        if question.get("tool"):
            yield _call(question["subtask"], question.get("tool", ""), question.get("args"), "waiting", "")
    for branch in stepper.branches:
        if (call := branch.get("call")) is not None:
            yield _call(branch["name"], call["tool"], call["args"], branch["status"], "")


def _call(subtask: str, tool: str, args: Any, status: str, result: str) -> dict[str, Any]:
    return {"subtask": subtask, "tool": tool, "args": _text(args or {}), "status": status, "result": cut(result)}


def _files(stepper: Stepper) -> dict[str, Any]:
    files = [
        {"number": point["number"], "subtask": point["subtask"] or "", "file": file}
        for point in stepper.history
        for file in point["files"]
    ]
    folder = str(stepper.state.get("workspace") or "")
    kept = files[-MOST:]
    return {"files": _with_images(kept, folder), "left_out": max(len(files) - MOST, 0), "folder": folder}


def _with_images(files: list[dict[str, Any]], folder: str) -> list[dict[str, Any]]:
    """Changes of files, with an image, as it is now, beside the last change of it."""
    told: list[dict[str, Any]] = []
    images: dict[str, str | None] = {}
    for change in reversed(files):
        path = change["file"]
        image = None
        if folder and path not in images and len([one for one in images.values() if one]) < MOST_IMAGES:
            image = images[path] = image_at(Path(folder), path)
        told.append({**change, "image": image})
    return told[::-1]


def _history(stepper: Stepper) -> dict[str, Any]:
    history = stepper.history
    drawn = tree_svg(_tree(history[-MOST:], stepper.thread_id), theme="host")
    return {"svg": drawn, "left_out": max(len(history) - MOST, 0)}


def _tree(history: list[HistoryItem], title: str) -> HistoryTree:
    """The points as a tree whose keys are their numbers, with the threads that were forked off."""
    numbers = {(point["namespace"], point["id"]): point["number"] for point in history}
    nodes: list[HistoryNode] = []
    for index, point in enumerate(history):
        parent = numbers.get((point["namespace"], point["parent"] or ""))
        if parent is None and index and point["namespace"]:  # the first of a subtask, begun by the graph around it
            before = reversed(history[:index])
            parent = next((earlier["number"] for earlier in before if not earlier["namespace"]), None)
        key = str(point["number"])
        nodes.append(
            HistoryNode(
                key,
                None if parent is None else str(parent),
                _label(point),
                f"@{point['number']}",
                current=point["current"],
                line=point["namespace"],
            )
        )
        nodes += [HistoryNode(f"{key} {fork}", key, f"fork {fork}", line=fork) for fork in point["forks"]]
    return HistoryTree(nodes, title)


def _label(point: HistoryItem) -> str:
    where = f"{point['subtask']}: " if point["subtask"] else ""
    return where + (": ".join(filter(None, [", ".join(point["nodes"]), point["what"]])) or point["source"])


def _timings(stepper: Stepper) -> dict[str, Any]:
    rows = stepper.table
    seconds = sum(row["seconds"] or 0.0 for row in rows)
    costs = [row["cost_usd"] for row in rows]
    cost = None if None in costs else sum(amount for amount in costs if amount is not None)
    total = {"seconds": seconds, "tokens": sum(row["tokens"] for row in rows), "cost_usd": cost}
    return {"rows": state_as_json(rows[-MOST:]), "left_out": max(len(rows) - MOST, 0), "total": total}


def _edit(stepper: Stepper) -> dict[str, Any]:
    """Values that can be edited; after a failure the input of the failed step comes first."""
    plan = stepper.plan
    values = {key: _json(value) for key, value in stepper.state.items() if key not in ("plan", "results")}
    definition = stepper.state.get("subtask")
    error = stepper.error
    if error is not None and plan is not None:
        failed = next((subtask for subtask in plan.subtasks if subtask.id == error["subtask"]), None)
        definition = definition if failed is None else failed.model_dump()
    suggested = ""
    if isinstance(definition, Mapping):
        given = cast("Mapping[str, Any]", definition)
        name = "args" if given.get("tool") else "goal"
        suggested = f"subtask.{name}"
        values = {suggested: _json(given.get(name)), **values}
    results = cast("Mapping[str, Any]", stepper.state.get("results") or {})
    outputs = {str(subtask.id): "" for subtask in plan.subtasks} if plan is not None else {}
    outputs |= {key: _json(result.get("output")) for key, result in results.items()}
    at = f"{stepper.thread_id}" if stepper.cursor is None else f"{stepper.thread_id}@{stepper.cursor}"
    text = plan.to_yaml() if plan is not None else ""
    return {"at": at, "values": values, "plan": text, "results": outputs, "suggested": suggested}


def _json(value: Any) -> str:
    """A value as JSON, in one line where that is short."""
    given = state_as_json(value)
    line = json.dumps(given, ensure_ascii=False, default=str)
    return line if len(line) <= LINE else json.dumps(given, indent=2, ensure_ascii=False, default=str)


def _text(value: Any) -> str:
    """A value for a reader: text as it is, the rest as JSON."""
    if value is None:
        return ""
    return cut(value if isinstance(value, str) else _json(value))


def cut(text: str) -> str:
    """A text that is short enough to be shown."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… {len(text) - LONGEST:,} more characters"
