"""Swarm: `langgraph-swarm`, whose agents hand over to one another."""

from __future__ import annotations

from langchain.agents import create_agent
from langgraph_swarm import create_handoff_tool, create_swarm
from scripted import Scripted, look

CLERK = create_agent(
    Scripted(name="clerk", lines=[("transfer_to_seeker", {})]), [create_handoff_tool(agent_name="seeker")], name="clerk"
)
SEEKER = create_agent(
    Scripted(name="seeker", lines=[("look", {"what": "the book"}), "I have it."]),
    [look, create_handoff_tool(agent_name="clerk")],
    name="seeker",
)

graph = create_swarm([CLERK, SEEKER], default_active_agent="clerk").compile(name="swarm")
