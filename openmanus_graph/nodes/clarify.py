"""Clarify: the node that asks the person what the coordinator wants to know."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import CLARIFY
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.transitions import at_stage
from openmanus_graph.nodes.turn import Turn
from openmanus_graph.questions import ask, is_answered
from openmanus_graph.state import ManusState


def clarify_node(roles: Roles) -> Node[ManusState]:
    """The gated node that asks; the run is suspended until the answer comes."""

    async def clarify(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        turn = Turn(roles, state, config, runtime)
        question = state.get("question", "")
        if not is_answered():
            turn.tell("question_asked", question={"kind": "answer", "subtask": "", "question": question})
        answer = str(ask(question, subtask=""))
        asked = [*(state.get("clarifications") or []), {"question": question, "answer": answer}]
        return {
            **at_stage("clarified"),
            "question": "",
            "clarifications": asked,
            "messages": [AIMessage(question), HumanMessage(answer)],
        }

    return gated(clarify, CLARIFY)
