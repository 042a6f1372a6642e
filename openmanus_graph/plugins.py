"""Plug-ins: the documented import path of `openmanus_graph.loading.plugins`."""

from openmanus_graph.loading.plugins import Agent, find_agents, find_event_sinks, find_tools

__all__ = ["Agent", "find_agents", "find_event_sinks", "find_tools"]
