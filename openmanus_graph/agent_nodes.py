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
WORKERS = (EXECUTOR, KNOWLEDGE)
"""Agents of our own, which work in the executor's node; a subtask of any other has a node of its own."""
AGENT_PREFIX = "agent_"
"""Prefix of the names of nodes that run a user's own graph, so that an agent and a tool may have the same name."""


@dataclass(frozen=True, slots=True)
class AgentRole:
    """One role of the agent."""

    name: str
    """Its node's name, and the name under which its model is configured."""
    runs_in: Literal["agent", "subtask", "tool"]
    """Whose node it is: the agent's graph's, the subtask graph's, or none, where a tool asks its model."""
    is_told: str = ""
    """What its model gets to see; empty for a role that calls none."""
    acting: str = ""
    """What views show while its model replies; empty for a role that calls none."""
    prompts: tuple[str, ...] = ()
    """The files in `nodes/prompts/` that it is told."""
    is_read_by_graph: bool = False
    """Whether the graph reads its replies; views then show what comes of them instead."""
    keeps_plan: bool = True
    """Whether the plan in the state can be executed as it is after this node."""


ROLES = (
    AgentRole(
        KNOWLEDGE,
        "agent",
        "as the agent of a subtask: its goal, what memory has, its own calls with their results; else it asks no model",
        "looking for what helps",
        (KNOWLEDGE,),
    ),
    AgentRole(
        COORDINATOR,
        "agent",
        "its conversation: requests with their files, what memory has of other threads, its own replies, and what came "
        "of each call; of an output that another call has used, a line",
        "thinking",
        (COORDINATOR,),
        is_read_by_graph=True,
    ),
    AgentRole(CLARIFY, "agent"),
    AgentRole(
        PLANNER,
        "agent",
        "the task, what was asked about it, earlier requests with answers, tools and agents, memory, and the plan "
        "so far with what came of it",
        "planning",
        (PLANNER,),
        is_read_by_graph=True,
        keeps_plan=False,
    ),
    AgentRole(REVIEW, "agent"),
    AgentRole(DISPATCHER, "agent"),
    AgentRole(
        REPORTER,
        "agent",
        "the task, earlier requests with their answers, every output in its share of the window, files that were made, "
        "what is not completed and why",
        "writing the answer",
        (REPORTER,),
        keeps_plan=False,
    ),
    AgentRole(REMEMBER, "agent", keeps_plan=False),
    AgentRole(BRIEF, "subtask"),
    AgentRole(
        EXECUTOR,
        "subtask",
        "its goal with outputs filled in, what done looks like, outputs it builds on, the whole task, the workspace's "
        "files, its own calls with their results",
        "thinking",
        (EXECUTOR,),
    ),
    AgentRole(
        VERIFIER,
        "subtask",
        "the same goal and outputs, what done looks like, each call with its result, the files named, the answer, what "
        "earlier checks refused",
        "checking",
        (VERIFIER,),
        is_read_by_graph=True,
    ),
    AgentRole(VISION, "tool", "the picture and the question about it", "looking at a picture", (VISION,)),
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
    "answer", "approved", "decision", "dialogue", "draft", "knowledge", "messages", "plan", "problems", "question",
    "reason", "result", "retry_at", "task",
)  # fmt: skip
"""Fields of the agent's and the subtasks' state whose content a history shows."""
NAME_SHOWN = (
    "attachments",
    "clarifications",
    "instructions",
    "pictures",
    "proposal",
    "ran",
    "results",
    "sources",
    "status",
)
"""Fields of which a history shows that they changed."""
NOT_SHOWN = (
    "active_s", "attempts", "calls", "checks", "definition", "earlier", "failed_round", "heard", "made", "plan_tries",
    "replans", "replies", "request", "round", "sandbox", "stage", "started_at", "steps", "subtask", "template", "told",
    "turns", "usage", "workspace",
)  # fmt: skip
"""Fields that say nothing to a person."""
