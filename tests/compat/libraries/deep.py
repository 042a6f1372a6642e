"""Deep: `deepagents`, with its list of things to do, its files and an agent of its own for a part."""

from __future__ import annotations

from deepagents import create_deep_agent
from scripted import Scripted, look

MAIN = Scripted(
    name="main",
    lines=[
        ("write_todos", {"todos": [{"content": "find the book", "status": "in_progress"}]}),
        ("task", {"description": "Find the book.", "subagent_type": "seeker"}),
        ("write_file", {"file_path": "/found.txt", "content": "the book"}),
        "It is in found.txt.",
    ],
)
SEEKER = Scripted(name="seeker", lines=[("look", {"what": "the book"}), "I have it."])

graph = create_deep_agent(
    model=MAIN,
    subagents=[
        {
            "name": "seeker",
            "description": "Finds books.",
            "system_prompt": "Find it.",
            "tools": [look],
            "model": SEEKER,
        }
    ],
)
