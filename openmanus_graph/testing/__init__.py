"""Testing: what users' own tests run graphs with: recordings of models, and a scripted model server."""

from openmanus_graph.models.recorded_model import record_model, replay_model
from openmanus_graph.testing.replay import Replayed, replaying, write_recording

__all__ = ["Replayed", "record_model", "replay_model", "replaying", "write_recording"]
