"""Agent nodes: the roles of the agent in one table, and what histories show of the state they write.

Views, fingerprints and the history ask here instead of naming roles themselves. Rows of old threads hold these names:
they never change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from openmanus_graph.namespaces import DISPATCHER

COORDINATOR = "coordinator"
CLARIFY = "clarify"
KNOWLEDGE = "knowledge"
PLANNER = "planner"
REVIEW = "review"
REPORTER = "reporter"
REMEMBER = "remember"
BRIEF = "brief"
EXECUTOR = "executor"
VERIFIER = "verifier"
VISION = "vision"
AGENT_PREFIX = "agent_"
"""Prefix of the names of nodes that run a user's own graph, so that an agent and a tool may have the same name."""


@dataclass(frozen=True, slots=True)
class AgentRole:
    """One role of the agent."""

    name: str
    """Its node's name, and the name under which its model is configured."""
    runs_in: Literal["agent", "subtask", "tool"]
    """Whose node it is: the agent's graph's, the subtask graph's, or none, where a tool asks its model."""
    acting: str = ""
    """What views show while its model replies; empty for a role that calls none."""
    prompts: tuple[str, ...] = ()
    """The files in `nodes/prompts/` that it is told."""
    is_read_by_graph: bool = False
    """Whether the graph reads its replies; views then show what comes of them instead."""
    keeps_plan: bool = True
    """Whether the plan in the state can be executed as it is after this node."""


ROLES = (
    AgentRole(COORDINATOR, "agent", "deciding how to go on", (COORDINATOR, "decision"), is_read_by_graph=True),
    AgentRole(CLARIFY, "agent"),
    AgentRole(KNOWLEDGE, "agent", "looking for what helps", keeps_plan=False),
    AgentRole(PLANNER, "agent", "planning", (PLANNER,), is_read_by_graph=True, keeps_plan=False),
    AgentRole(REVIEW, "agent"),
    AgentRole(DISPATCHER, "agent"),
    AgentRole(REPORTER, "agent", "writing the answer", (REPORTER,), keeps_plan=False),
    AgentRole(REMEMBER, "agent", keeps_plan=False),
    AgentRole(BRIEF, "subtask"),
    AgentRole(EXECUTOR, "subtask", "thinking", (EXECUTOR,)),
    AgentRole(VERIFIER, "subtask", "checking", (VERIFIER,), is_read_by_graph=True),
    AgentRole(VISION, "tool", "looking at a picture"),
)
"""Every role, in the order in which a request meets them."""

ACTING = {role.name: role.acting for role in ROLES if role.acting}
"""What views show while a role's model replies, by role."""
READ_BY_GRAPH = frozenset(role.name for role in ROLES if role.is_read_by_graph)
"""Roles whose replies views do not show."""
PROMPTS = tuple(sorted(prompt for role in ROLES for prompt in role.prompts))
"""The prompts of all roles; fingerprints hold a hash of each."""
PLAN_MAY_CHANGE = frozenset(role.name for role in ROLES if not role.keeps_plan)
"""Nodes after which the plan in the state is not executed as it is."""

CONTENT_SHOWN = (
    "answer", "approved", "decision", "draft", "knowledge", "messages", "plan", "problems", "question", "reason",
    "result", "retry_at", "task",
)  # fmt: skip
"""Fields of the agent's and the subtasks' state whose content a history shows."""
NAME_SHOWN = ("attachments", "clarifications", "proposal", "results", "status")
"""Fields of which a history shows that they changed."""
NOT_SHOWN = (
    "active_s", "attempts", "checks", "definition", "earlier", "plan_tries", "replans", "request", "round", "stage",
    "started_at", "steps", "subtask", "turns", "usage", "workspace", "sandbox",
)  # fmt: skip
"""Fields that say nothing to a person."""
