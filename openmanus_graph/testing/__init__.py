"""Testing: helpers for tests of agents: a scripted model provider over real HTTP, and recordings of models."""

from openmanus_graph.models.recorded_model import record_model, replay_model
from openmanus_graph.testing.replay import Replayed, replaying, write_recording
from openmanus_graph.testing.script import Fault, Raw, Received, Reply, Script, ToolUse
from openmanus_graph.testing.server import ScriptedServer

__all__ = [
    "Fault",
    "Raw",
    "Received",
    "Replayed",
    "Reply",
    "Script",
    "ScriptedServer",
    "ToolUse",
    "record_model",
    "replay_model",
    "replaying",
    "write_recording",
]
