"""Knowledge: the node that recalls what helps: past episodes, and passages and procedures where there is a store."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import COORDINATOR, KNOWLEDGE
from openmanus_graph.memory.memory import Memory
from openmanus_graph.memory.protocols import Episode
from openmanus_graph.nodes.brief import clipped
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.prompt_context import failures_text
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.transitions import at_stage, next_node
from openmanus_graph.nodes.turn import Turn
from openmanus_graph.state import ManusState

MOST_CHARACTERS = 4_000


def _told(episode: Episode) -> str:
    lines = [f"Task: {clipped(episode['task'], 400)}", f"Outcome: {episode['outcome']}"]
    if episode["outline"]:
        lines.append(f"Plan:\n{clipped(episode['outline'], 600)}")
    if episode["failures"]:
        lines.append(f"What failed:\n{clipped(episode['failures'], 600)}")
    return "\n".join(lines)


def knowledge_node(roles: Roles, memory: Memory) -> Node[ManusState]:
    """The gated node that recalls."""

    async def knowledge(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        turn = Turn(roles, state, config, runtime)
        task = f"{state.get('task', '')}\n{failures_text(state) if state.get('plan') else ''}".strip()
        episodes = await memory.episodes(turn).recall(task, limit=3, not_thread=turn.thread_id)
        parts = [f"## A past task that may be alike\n{_told(one)}" for one in episodes]
        if memory.semantic is not None:
            parts += [f"## A passage\n{text}" for text in await memory.semantic.recall(task)]
        if memory.procedural is not None:
            parts += [f"## A procedure\n{text}" for text in await memory.procedural.recall(task)]
        text = clipped("\n\n".join(parts), MOST_CHARACTERS)
        if parts:
            turn.tell("recalled", text=f"{len(parts)} {'memory' if len(parts) == 1 else 'memories'} that may help")
        is_for_coordinator = next_node(KNOWLEDGE, state) == COORDINATOR
        return {"knowledge": text, **(at_stage("recalled") if is_for_coordinator else {})}

    return gated(knowledge, KNOWLEDGE)
