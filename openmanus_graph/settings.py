"""Settings: the documented import path of `openmanus_graph.config.settings`."""

from openmanus_graph.config.settings import Settings

__all__ = ["Settings"]
