"""Product: everything of the package that these runs use, imported in one place."""

from openmanus_graph import Settings, ThreadSaver, make_durable, open_checkpointer
from openmanus_graph.checkpoints.server.embedded import EmbeddedServer

__all__ = ["EmbeddedServer", "Settings", "ThreadSaver", "make_durable", "open_checkpointer"]
