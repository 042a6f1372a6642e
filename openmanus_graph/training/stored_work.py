"""Stored work: the requests of a thread and the work of its agents, each with its conversation as it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, LiteralString, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from openmanus_graph.checkpoints.history.checkpoint_ref import Point, points_of
from openmanus_graph.checkpoints.history.values import values_at
from openmanus_graph.checkpoints.ratings import Rating, ratings_of
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.namespaces import dispatched, subtask_at
from openmanus_graph.nodes.material.conversation import MEMORY
from openmanus_graph.state import SubtaskResult

_REQUESTS: LiteralString = """
SELECT (state ->> 'request')::int AS request, max(checkpoint_id) AS last,
       (array_agg(state ->> 'task' ORDER BY checkpoint_id))[1] AS task,
       (array_agg(CASE WHEN state ->> 'round' ~ '^[0-9]{1,9}$' THEN (state ->> 'round')::int ELSE 0 END
                  ORDER BY checkpoint_id))[1] AS round
FROM (
    SELECT checkpoint_id, checkpoint -> 'channel_values' AS state FROM checkpoints
    WHERE thread_id = %s AND checkpoint_ns = '' AND NOT metadata ? 'pruned'
) points
WHERE state ->> 'request' ~ '^[0-9]{1,9}$' AND state ? 'stage' AND state ? 'decision'
GROUP BY 1 ORDER BY 1
"""
"""The points of each request: one behind the last begins the next request, with another task."""


@dataclass(frozen=True)
class StoredRequest:
    """One request of a conversation."""

    number: int
    """Which one of the thread, from 1."""
    task: str
    """The person's words."""
    status: str
    """How it ended; empty as long as it has not."""
    answer: str
    """The answer; empty without one."""
    rating: Rating | None
    """What a person said of it."""
    messages: list[BaseMessage]
    """The coordinator's dialogue since the person asked; empty where that is not kept."""


@dataclass(frozen=True)
class AgentWork:
    """One subtask that an agent worked on."""

    subtask: dict[str, Any]
    """Its definition."""
    result: SubtaskResult | None
    """How it ended; `None` as long as it has not."""
    rating: Rating | None
    """What a person said of the request that it belongs to."""
    messages: list[BaseMessage]
    """What the agent was told, said, and got back from tools."""


@dataclass(frozen=True)
class StoredWork:
    """All that a thread has to train with."""

    requests: list[StoredRequest]
    """Its requests, the earliest first."""
    agents: list[AgentWork]
    """The work of its agents, in the order of their namespaces."""


async def stored_work(saver: ThreadSaver, thread: Thread) -> StoredWork:
    """Read a thread, of any graph: what is not the agent's has no requests.

    Args:
        saver: The store.
        thread: The thread.

    Raises:
        ThreadUnreadableError: If one of its checkpoints cannot be read.
    """
    ratings = {rating.request: rating for rating in await ratings_of(saver, thread.thread_id)}
    points = [point for point in await points_of(saver, thread.thread_id) if not point.pruned]
    async with saver.connection() as connection:
        rows = await (await connection.execute(_REQUESTS, (thread.thread_id,))).fetchall()
    roots = {point.id: point for point in points if not point.namespace}
    requests = [
        _request(int(row["request"]), str(row["task"] or ""), await values_at(saver, roots[row["last"]]), ratings)
        for row in rows
        if row["last"] in roots
    ]
    begun = [(int(row["round"]), int(row["request"])) for row in rows]
    newest = {point.namespace: point for point in points if subtask_at(point.namespace) is not None}
    agents = [await _agent_work(saver, newest[name], begun, ratings) for name in sorted(newest)]
    return StoredWork(requests, [work for work in agents if work is not None])


def _request(number: int, task: str, values: Mapping[str, Any], ratings: Mapping[int, Rating]) -> StoredRequest:
    said: list[BaseMessage] = list(values.get("messages") or [])
    # What another role answered comes into the dialogue only with the next request.
    unheard = list(takewhile(lambda message: isinstance(message, AIMessage), said[int(values.get("heard") or 0) :]))
    own = own_messages(cast("list[BaseMessage]", values.get("dialogue") or []), task)
    return StoredRequest(
        number=number,
        task=task,
        status=str(values.get("status") or ""),
        answer=str(values.get("answer") or ""),
        rating=ratings.get(number),
        messages=[*own, *unheard] if own else [],
    )


def own_messages(dialogue: Sequence[BaseMessage], task: str) -> list[BaseMessage]:
    """The end of a dialogue, from where a person asked for a task; what memory said of it comes along.

    Args:
        dialogue: The coordinator's messages.
        task: The person's words.
    """
    asked = [
        place
        for place, message in enumerate(dialogue)
        if isinstance(message, HumanMessage) and message.name is None and str(message.text).strip().startswith(task)
    ]
    if not asked or not task:
        return []
    begin = asked[-1]
    return list(dialogue[begin - 1 if begin and dialogue[begin - 1].name == MEMORY else begin :])


async def _agent_work(
    saver: ThreadSaver, point: Point, begun: Sequence[tuple[int, int]], ratings: Mapping[int, Rating]
) -> AgentWork | None:
    """The work of a subtask's agent; `None` for a direct call."""
    values = await values_at(saver, point)
    subtask = cast("dict[str, Any]", values.get("subtask") or {})
    if not subtask.get("agent"):
        return None
    task = dispatched(point.namespace)
    rounds = [request for before, request in begun if task is not None and before < task.round]
    rating = ratings.get(rounds[-1] if rounds else 1)
    return AgentWork(subtask, values.get("result"), rating, list(values.get("messages") or []))
