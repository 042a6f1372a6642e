"""Coordinator: the node in which a model takes a request, sees what comes of its work, and answers.

Its reply is an answer, a question, or work: calls of tools and agents. Where a rule suffices, no model is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import COORDINATOR
from openmanus_graph.errors import UsageError
from openmanus_graph.nodes.exchange import Exchange, concluded, conversation_limit, reports_apart, said_so_far
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.material.conversation import (
    clarified,
    compacted,
    heard,
    note,
    refused,
    tokens_at_most,
    told_results,
)
from openmanus_graph.nodes.material.prompt_context import all_completed, sole_answer
from openmanus_graph.nodes.planning.coordinator_calls import PLAN
from openmanus_graph.nodes.planning.learning import failure_of_rules
from openmanus_graph.nodes.reply import open_calls
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.transitions import anew, decided
from openmanus_graph.nodes.turn import CHARACTERS_PER_TOKEN, MOST_CHARACTERS, Turn
from openmanus_graph.state import ManusState

SHARE_FOR_RESULTS = 0.5
"""Share of the room left in the conversation that the results of one dispatch may take."""
LEAST_CHARACTERS = 8_000
"""What the results of a dispatch may take at least; with less room, the reporter answers."""
GO_ON = "What is left has been tried again; all that came of it is above."


def coordinator_node(roles: Roles) -> Node[ManusState]:
    """The gated node that coordinates."""

    async def coordinator(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        turn = Turn(roles, state, config, runtime)
        update = await _decide(turn)
        if update["decision"] != "look":
            shown = update["decision"]
            if shown == "propose":
                shown = "replan" if update["replans"] > (state.get("replans") or 0) else "plan"
            turn.tell("decided", decision=shown, text=update.get("reason", ""))
        return turn.with_usage(update)

    return gated(coordinator, COORDINATOR)


async def _decide(turn: Turn) -> dict[str, Any]:
    state = turn.state
    stage = state.get("stage", "new")
    if stage == "new":
        fresh = anew(state)
        return {**fresh, **await Exchange(_seeing(turn, {**fresh, "results": {}}), heard(state)).take()}
    if stage == "planned":
        given = {**anew(state), "plan": state.get("plan"), "dialogue": heard(state), "heard": said_so_far(state)}
        return {**given, **decided("dispatch"), "reason": "The plan is given."}
    if stage == "again":
        return await _again(turn)
    if stage == "dispatched":
        return await _dispatched(turn)
    return await Exchange(turn, _new_at(stage, state)).take()


def _new_at(stage: str, state: ManusState) -> list[AnyMessage]:
    """What the model has not been told at a stage."""
    if stage == "clarified" and not state.get("dialogue") and state.get("plan"):  # in a thread of an earlier version
        return [*heard(state), *told_results(state, LEAST_CHARACTERS)[0]]
    new = {"clarified": clarified, "refused": refused, "recalled": heard}.get(stage)
    return [] if new is None else new(state)


def _seeing(turn: Turn, changes: Mapping[str, Any]) -> Turn:
    """The visit with changes of its state that are not written yet."""
    turn.state = cast("ManusState", {**turn.state, **changes})
    return turn


async def _again(turn: Turn) -> dict[str, Any]:
    """Try again what an ended request left undone."""
    state = turn.state
    if not state.get("request"):
        raise UsageError("The thread has no request, so there is nothing to try again.", hint='Give {"task": ...}.')
    again: dict[str, Any] = {"status": "", "answer": "", "replans": 0, "plan_tries": 0, "replies": 0}
    if (state.get("plan") or {}).get("subtasks"):
        return {**again, **decided("dispatch"), "reason": "What is not completed is tried again."}
    new = [*heard(state), note("Try the request again.")]
    return {**again, **await Exchange(_seeing(turn, again), new).take()}


async def _dispatched(turn: Turn) -> dict[str, Any]:
    """Go on after a dispatch, by rule where one suffices."""
    room, least = await _room(turn)
    is_planners = [call["name"] for call in open_calls(turn.state.get("dialogue") or [])] == [PLAN]
    results, told = told_results(turn.state, max(room, least))
    messages = [*heard(turn.state), *results] or [note(GO_ON)]
    kept: dict[str, Any] = {"told": told, "plan_tries": 0, "problems": [], "proposal": "", **failure_of_rules(turn)}
    state = _seeing(turn, kept).state
    said = {**kept, "dialogue": messages, "heard": said_so_far(state)}
    apart = reports_apart(turn.roles)
    answer = sole_answer(state) if all_completed(state) and not apart else None
    if answer is not None:
        said |= {"dialogue": [*messages, AIMessage(answer)], "heard": said_so_far(state) + 1}
        return {**said, **concluded(turn, answer, is_whole=True)}
    if all_completed(state) and apart and is_planners:  # all that was to be done is in the planner's plan
        return {**said, **decided("report"), "reason": ""}
    if (closing := _closing(turn, is_full=room < least)) is not None:
        return {**said, **closing}
    return {**kept, **await Exchange(turn, messages).take()}


def _closing(turn: Turn, *, is_full: bool) -> dict[str, Any] | None:
    """The decision that the request is over and the answer the reporter's, where a rule says so."""
    state = turn.state
    is_done, most = all_completed(state), turn.roles.settings.max_replans
    reached = turn.spending.reached()
    if reached is not None and not is_done:
        text = turn.spending.describe(reached)
        turn.tell("budget_reached", budget=reached, text=text)
        return {**decided("stop"), "reason": text}
    if reached is not None:
        return {**decided("report"), "reason": ""}
    if not is_done and (state.get("replans") or 0) >= most:
        return {**decided("report"), "reason": f"It was planned again {most} times, and still not all of it worked."}
    if is_full:
        return {**decided("report"), "reason": "" if is_done else "The conversation is full."}
    return None


async def _room(turn: Turn) -> tuple[int, int]:
    """Characters that the results of a dispatch may take in the conversation, compacted if need be, and the least."""
    dialogue = turn.state.get("dialogue") or []
    limit = await conversation_limit(turn.roles, dialogue)

    def count(messages: Sequence[BaseMessage]) -> int:
        return turn.roles.models.count_tokens(COORDINATOR, messages)

    def room(tokens: int) -> int:
        return min(int((limit - tokens) * SHARE_FOR_RESULTS * CHARACTERS_PER_TOKEN), MOST_CHARACTERS)

    least = min(LEAST_CHARACTERS, room(limit // 4))
    found = room(tokens_at_most(dialogue))
    found = found if found == MOST_CHARACTERS else room(count(dialogue))
    return (found if found >= least else room(count(compacted(dialogue, limit_tokens=limit // 4, count=count)))), least
