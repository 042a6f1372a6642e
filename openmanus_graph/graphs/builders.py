"""Builders: the names under which threads' rows keep what builds their graph again.

The names are import paths of an early layout, and old rows have them: modules and functions move, these strings never
change. `rebuild.py` says what each stands for now.
"""

from __future__ import annotations

from openmanus_graph.checkpoints.threads import Thread

PLAN_BUILDER = "openmanus_graph.graphs.plan:build_plan_graph"
"""Threads that execute a given plan."""
AGENT_BUILDER = "openmanus_graph.graphs.manus:build_manus_graph"
"""Threads that are conversations with the agent."""
USER_BUILDER = "openmanus_graph.graphs.own:own_graph_again"
"""Threads that run a user's own graph."""


def runs_agent(thread: Thread) -> bool:
    """Whether the thread is a conversation with the agent."""
    return thread.graph.get("builder") == AGENT_BUILDER


def runs_user_graph(thread: Thread) -> bool:
    """Whether the thread runs a user's own graph."""
    return thread.graph.get("builder") == USER_BUILDER
