"""Ready: the graphs of `langgraph.json`, for servers that keep steps in their own store.

They are made when a server first asks, in a thread, because settings are read from files.
"""

from __future__ import annotations

import asyncio
from functools import cache

from openmanus_graph.graphs.durable import DurableGraph


@cache
def _plan() -> DurableGraph:
    from openmanus_graph.graphs.plan import build_plan_graph

    return build_plan_graph().compile(name="plan")


@cache
def _manus() -> DurableGraph:
    from openmanus_graph.graphs.manus import build_manus_graph
    from openmanus_graph.loading.plugins import find_agents

    agents = {name: agent.graph for name, agent in find_agents().items()}
    return build_manus_graph(agents=agents).compile(name="manus")


async def plan() -> DurableGraph:
    """The graph that executes a given plan."""
    return await asyncio.to_thread(_plan)


async def manus() -> DurableGraph:
    """The agent's graph.

    Raises:
        NoModelError: If no model is configured.
    """
    return await asyncio.to_thread(_manus)
