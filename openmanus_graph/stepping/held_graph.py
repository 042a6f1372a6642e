"""Held graph: puts the nodes of any LangGraph graph behind the gate while it is stepped."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from copy import copy
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.constants import START
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime

from openmanus_graph.langgraph_internals import RUNTIME_KEY
from openmanus_graph.nodes.gate import passing
from openmanus_graph.run_config import configurable_of


class HeldNode(Runnable[Any, Any]):
    """A node that passes the gate before it runs."""

    def __init__(self, name: str, bound: Runnable[Any, Any]) -> None:
        """Wrap what a node runs.

        Args:
            name: The node's name.
            bound: What it runs.
        """
        self.name = name
        self.bound = bound

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run without a gate: nothing can be held where nothing may be awaited."""
        return self.bound.invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Pass the gate, then run."""
        runtime = configurable_of(config).get(RUNTIME_KEY)
        if not isinstance(runtime, Runtime):
            return await self.bound.ainvoke(input, config, **kwargs)
        async with passing(str(self.name), input, config or {}, runtime):
            return await self.bound.ainvoke(input, config, **kwargs)


def held(graph: Pregel[Any, Any, Any, Any]) -> Pregel[Any, Any, Any, Any]:
    """A copy of a compiled graph whose nodes wait at the gate; the graph itself is unchanged.

    A node's own time limit is left out: the time for which it stands would count.
    """
    made = copy(graph)
    made.nodes = {
        name: node
        if name == START
        else node.copy({"bound": HeldNode(name, node.bound), "timeout": None, "subgraphs": node.subgraphs})
        for name, node in graph.nodes.items()
    }
    return made
