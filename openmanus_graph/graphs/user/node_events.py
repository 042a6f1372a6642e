"""Node events: events of a user graph's nodes, made from LangGraph's own stream."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, cast

from langchain_core.messages import AIMessageChunk, BaseMessage
from langgraph.types import Interrupt

from openmanus_graph.events import Event, now, seconds_between
from openmanus_graph.langgraph_internals import RETURN
from openmanus_graph.questions import question_of
from openmanus_graph.scope import Scope
from openmanus_graph.values.storable_json import UNREADABLE, storable

EVENT_MODES = ("tasks", "custom")
"""LangGraph's stream modes that events are made of, besides `messages` for tokens."""

_WHOLE = (RETURN, "__end__")
"""Where LangGraph has the one value that a `@task` or an `@entrypoint` returns."""

_EMPTY = (str, list, dict, tuple, set, int, float)
"""Types whose empty values are not shown."""

PREVIEW = 300
"""Characters of a node's output that an event shows."""


class NodeEvents:
    """Turns chunks of one run's stream into events, and has them stored."""

    def __init__(self, scope: Scope, recorded: Collection[str] = ()) -> None:
        """Make the events of a run.

        Args:
            scope: The run's scope.
            recorded: Ids of tasks whose writes are stored already; LangGraph names them as if they started.
        """
        self._scope = scope
        self._recorded = set(recorded)
        self._started: dict[str, str] = {}
        self._running: dict[tuple[str, ...], dict[str, str]] = {}
        self._written = 0

    def of(self, mode: str, namespace: tuple[str, ...], data: Any) -> list[Event]:
        """The events of a chunk; they are stored, too.

        Args:
            mode: The chunk's stream mode.
            namespace: The nodes it is inside of, `name:task` each.
            data: What LangGraph says.
        """
        if mode == "custom" and self._is_sent(data):
            return [cast("Event", data)]  # by a node with a sender of the scope's, which had it stored
        match mode:
            case "tasks":
                found = self._of_task(namespace, cast("dict[str, Any]", data))
            case "custom":
                found = self._of_writer(namespace, data)
            case "messages":
                found = self._of_message(namespace, data)
            case _:
                return []
        completed = [self._completed(event) for event in found]
        for event in completed:
            self._scope.keep(event)
        return completed

    def _is_sent(self, data: Any) -> bool:
        """Whether what a node wrote is an event of this run that is complete."""
        fields = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        ours = fields.get("thread_id") == self._scope.thread_id and {"type", "id", "time"} <= fields.keys()
        return ours and str(fields["id"]).startswith(f"{self._scope.thread_id}/")

    def _completed(self, event: Event) -> Event:
        event.setdefault("time", now())
        event["thread_id"] = self._scope.thread_id
        event["id"] = f"{self._scope.thread_id}/{event.get('id')}"
        return event

    def _of_task(self, namespace: tuple[str, ...], task: dict[str, Any]) -> Iterator[Event]:
        name, task_id = str(task["name"]), str(task["id"])
        node = _path(namespace, name)
        if "result" not in task:
            if task_id in self._recorded:
                return
            moment = now()
            self._started[task_id] = moment
            self._running.setdefault(namespace, {})[task_id] = node
            yield Event(type="node_started", id=f"{task_id}/started", node=node, time=moment)
            return
        self._running.get(namespace, {}).pop(task_id, None)
        interrupts = cast("list[Any]", task.get("interrupts") or [])
        if not namespace:
            for interrupt in interrupts:
                raised = (
                    Interrupt(**_fields(interrupt)) if isinstance(interrupt, dict) else cast("Interrupt", interrupt)
                )
                question = cast("dict[str, Any]", question_of(raised))
                yield Event(type="question_asked", id=f"{task_id}/{raised.id}/asked", node=node, question=question)
        error = task.get("error")
        status = "failed" if error else "waiting" if interrupts else "completed"
        moment = now()
        event = Event(type="node_finished", id=f"{task_id}/{status}", node=node, status=status, time=moment)
        event["error"] = str(error) if error else None
        event["elapsed_s"] = round(seconds_between(self._started.pop(task_id, moment), moment), 3)
        event["preview"] = preview_of(task.get("result"))
        yield event

    def _of_writer(self, namespace: tuple[str, ...], data: Any) -> Iterator[Event]:
        self._written += 1
        # LangGraph says which graph wrote, not which node; that is clear where only one runs.
        running = set(self._running.get(namespace, {}).values())
        node = running.pop() if len(running) == 1 else _path(namespace, "") or "graph"
        event = Event(type="node_progress", id=f"{now()}/{self._written}", node=node)
        plain = storable(data)
        event["data"] = plain
        event["text"] = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)[:PREVIEW]
        yield event

    def _of_message(self, namespace: tuple[str, ...], data: Any) -> Iterator[Event]:
        message, metadata = cast("tuple[BaseMessage, dict[str, Any]]", data)
        text = str(message.text)
        if not isinstance(message, AIMessageChunk) or not text:
            return
        name = str(metadata.get("langgraph_node") or "")
        self._written += 1
        event = Event(type="model_tokens", id=f"{message.id}/{self._written}", node=_path(namespace, name), text=text)
        event["role"] = name
        if metadata.get("ls_model_name"):
            event["model"] = str(metadata["ls_model_name"])
        yield event


def _path(namespace: tuple[str, ...], name: str) -> str:
    return "/".join([*(part.partition(":")[0] for part in namespace), *([name] if name else [])])


def _fields(raised: dict[str, Any]) -> dict[str, Any]:
    return {key: raised[key] for key in ("value", "id") if key in raised}


def answer_in(values: Any) -> str | None:
    """The answer that a graph's output holds: the last message of its model, or `answer`; `None` if neither is there.

    Args:
        values: The graph's output.
    """
    if isinstance(values, str):
        return values
    if isinstance(values, BaseMessage):
        return str(values.text)
    if not isinstance(values, dict):
        return None
    fields = cast("dict[str, Any]", values)
    messages = fields.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, BaseMessage) and last.type == "ai" and str(last.text):
        return str(last.text)
    answer = fields.get("answer")
    return answer if isinstance(answer, str) and answer else None


def preview_of(values: Any) -> str:
    """The beginning of an output, in a line."""
    if isinstance(values, dict):
        (name, only), *others = cast("dict[str, Any]", values).items() or [("", None)]
        values = only if name in _WHOLE and not others else cast("Any", values)
    text = answer_in(values)
    if text is None:
        text = "" if values is None or (isinstance(values, _EMPTY) and not values) else _shown(values)
    return " ".join(text.split())[:PREVIEW]


def _shown(value: Any) -> str:
    try:
        return json.dumps(storable(_short(value)), ensure_ascii=False)
    except Exception:  # noqa: BLE001 - as in `storable`
        return UNREADABLE


def _short(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        return f"{value.type}: {value.text}"
    if isinstance(value, dict):
        return {str(key): _short(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_short(item) for item in cast("list[Any]", value)]
    return value
