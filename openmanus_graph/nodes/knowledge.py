"""Knowledge: the node that recalls past episodes, a template of how such tasks are done, and passages.

A template that has proved itself, and whose parameters the task names, is proposed as a plan: no model is asked for it.
"""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import KNOWLEDGE
from openmanus_graph.memory.memory import Memory
from openmanus_graph.memory.protocols import Episode
from openmanus_graph.nodes.brief import clipped
from openmanus_graph.nodes.exchange import said_so_far
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.material.conversation import heard
from openmanus_graph.nodes.planning.templates import Procedure, procedure_for, proposal_of
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.transitions import anew, decided
from openmanus_graph.nodes.turn import Turn
from openmanus_graph.state import PLAN_GIVEN, TRY_AGAIN, ManusState

MOST_CHARACTERS = 4_000
MOST_PASSAGES = 3
"""Passages that are told of."""
PASSAGE_CHARACTERS = 1_500
"""Characters of each."""
GIVEN = (PLAN_GIVEN, TRY_AGAIN)
"""Stages in which what is to be done is known."""


def _episode_text(episode: Episode) -> str:
    lines = [f"Task: {clipped(episode['task'], 400)}", f"Outcome: {episode['outcome']}"]
    if episode["outline"]:
        lines.append(f"Plan:\n{clipped(episode['outline'], 600)}")
    if episode["failures"]:
        lines.append(f"What failed:\n{clipped(episode['failures'], 600)}")
    return "\n".join(lines)


def _proposed(state: ManusState, procedure: Procedure) -> dict[str, Any]:
    """The state update of a new request whose plan rules have made of a template."""
    request = {**anew(state), "dialogue": heard(state), "heard": said_so_far(state), "reason": procedure.why}
    return {**request, **decided("propose"), "proposal": proposal_of(procedure.plan or {})}


def knowledge_node(roles: Roles, memory: Memory) -> Node[ManusState]:
    """The gated node that recalls."""

    async def knowledge(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        nothing: dict[str, Any] = {"knowledge": "", "template": {}}
        if state.get("stage") == TRY_AGAIN and not (state.get("template") or {}).get("unavailable"):
            return {"knowledge": ""}  # what is tried again counts for what it was made of
        if state.get("stage") in GIVEN or not roles.settings.memory:
            return nothing
        turn = Turn(roles, state, config, runtime)
        procedure = await procedure_for(turn, memory)
        if procedure.plan is not None:
            turn.tell("recalled", text=procedure.why)
            return {**nothing, "template": procedure.kept, **_proposed(state, procedure)}
        task = state.get("task", "")
        episodes = await memory.episodes(turn).recall(task, limit=3, not_thread=turn.thread_id)
        parts = [f"## A past task that may be alike\n{_episode_text(episode)}" for episode in episodes]
        if (semantic := memory.passages(turn)) is not None:
            # A passage is what a file or page says; with all that is remembered it stands between fences in the prompt.
            passages = await semantic.recall(task, limit=MOST_PASSAGES)
            parts += [f"## A passage\n{clipped(text, PASSAGE_CHARACTERS)}" for text in passages]
        procedures = [f"## A procedure\n{procedure.text}"] if procedure.text else []
        # A template is bounded by itself; cut in the middle, its steps would be of no use.
        room = MOST_CHARACTERS - sum(map(len, procedures))
        text = "\n\n".join([*procedures, *([clipped("\n\n".join(parts), room)] if parts else [])])
        if count := len(parts) + len(procedures):
            turn.tell("recalled", text=f"{count} {'memory' if count == 1 else 'memories'} that may help")
        return {"knowledge": text, "template": procedure.kept}

    return gated(knowledge, KNOWLEDGE)
