"""What a thread keeps of its graph, so that another process, anywhere, builds the same."""

from __future__ import annotations

from pathlib import Path

from openmanus_graph import Settings
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.testing.replay import write_recording


def test_a_recording_named_from_one_folder_is_found_from_another(tmp_path: Path) -> None:
    write_recording("own.jsonl", {"coordinator/-/1": "Hello."})
    by_role = {"default": "replay:own.jsonl", "planner": "openai/gpt-5-mini"}
    settings = Settings.load(home=tmp_path / "home", llm_api_key="sk-scripted")
    built = [
        build_manus_graph(models, settings=settings).reference["models"] for models in ("replay:own.jsonl", by_role)
    ]
    recording = f"replay:{tmp_path / 'own.jsonl'}"
    assert built == [recording, {"default": recording, "planner": "openai/gpt-5-mini"}]
