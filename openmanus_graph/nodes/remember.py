"""Remember: the node that stores a request, its outcome and how it was done, for later requests and other threads."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import REMEMBER
from openmanus_graph.memory.memory import Memory
from openmanus_graph.memory.protocols import Episode
from openmanus_graph.nodes.brief import clipped
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.material.prompt_context import ANSWER_CHARACTERS, and_this, failures_text, plan_outline
from openmanus_graph.nodes.planning.learning import remember_procedure
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.turn import Turn
from openmanus_graph.state import ManusState


def _episode(turn: Turn, answer: str, status: str) -> Episode:
    """The request of a visit, and how it went."""
    state = turn.state
    return Episode(
        thread_id=turn.thread_id,
        request=state.get("request") or 1,
        task=state.get("task", ""),
        outline=plan_outline(state.get("plan")),
        outcome=status,
        failures=failures_text(state) if state.get("plan") else "",
        answer=answer,
    )


def remember_node(roles: Roles, memory: Memory) -> Node[ManusState]:
    """The gated node that remembers."""

    async def remember(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        turn = Turn(roles, state, config, runtime)
        answer = clipped(state.get("answer", ""), ANSWER_CHARACTERS)
        status = state.get("status") or "failed"
        if roles.settings.memory:
            await memory.episodes(turn).remember(_episode(turn, answer, status))
            await remember_procedure(turn, memory)
            turn.tell("remembered")
        return {"earlier": and_this(state, answer, status)}

    return gated(remember, REMEMBER)
