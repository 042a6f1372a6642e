"""Testing: what tests of agents need: a model provider that says what a script says, over real HTTP."""

from openmanus_graph.testing.script import Fault, Received, Reply, Script, ToolUse
from openmanus_graph.testing.server import ScriptedServer

__all__ = ["Fault", "Received", "Reply", "Script", "ScriptedServer", "ToolUse"]
