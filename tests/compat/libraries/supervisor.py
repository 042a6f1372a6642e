"""Supervisor: `langgraph-supervisor`, which hands over to an agent and takes back."""

from __future__ import annotations

from langchain.agents import create_agent
from langgraph_supervisor import create_supervisor
from scripted import Scripted, look

SEEKER = create_agent(
    Scripted(name="seeker", lines=[("look", {"what": "the book"}), "I have it."]), [look], name="seeker"
)
SUPERVISOR = Scripted(name="supervisor", lines=[("transfer_to_seeker", {}), "The seeker has the book."])

graph = create_supervisor([SEEKER], model=SUPERVISOR, output_mode="last_message").compile(name="supervisor")
