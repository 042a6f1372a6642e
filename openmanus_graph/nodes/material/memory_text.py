"""Memory text: what the agent `knowledge` is told of memory, and what its conversation keeps of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from openmanus_graph.memory.memory import Memory
from openmanus_graph.memory.semantic.passage import Hit
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.nodes.material.untrusted_text import fenced, in_one_line
from openmanus_graph.nodes.subtask_runtime import SubtaskScope

MEMORY_HEADING = "# What memory has"
MOST_PASSAGES = 8
"""Passages that the agent is told of."""
PASSAGE_CHARACTERS = 1_500
"""Characters of each."""
LEAST_COVERAGE = 0.3
"""Share of the question's words from which a passage is told; the agent was asked for it, and judges itself."""
SOURCE_CHARACTERS = 2_000
_RECALLED = "recalled"
"""Under which a message keeps what it tells of memory."""


@dataclass(frozen=True)
class ToldOfMemory:
    """What an agent was told of memory."""

    text: str
    """The passages."""
    sources: tuple[str, ...]
    """Where they are from, each once."""


def told_of_memory(messages: Sequence[BaseMessage]) -> list[ToldOfMemory]:
    """What an agent was told of memory, where that has something.

    Args:
        messages: Its conversation.
    """
    kept: list[dict[str, Any] | None] = [message.additional_kwargs.get(_RECALLED) for message in messages]
    return [ToldOfMemory(str(one["text"]), tuple(one["sources"])) for one in kept if one and one["text"]]


async def recalled(question: str, run: SubtaskScope, memory: Memory | None) -> tuple[str, dict[str, Any]]:
    """What memory has of a question: a section of a prompt, and what its message keeps of it; empty without a memory.

    Args:
        question: What is to be answered.
        run: The subtask's run.
        memory: The run's memory; `None` if there is none.

    Raises:
        DatabaseError: If the store of the passages does not answer.
    """
    semantic = memory.passages(run) if memory is not None and run.settings.memory else None
    if semantic is None:
        return "", {}
    if isinstance(semantic, PassageMemory):
        hits = await semantic.worth_telling(question, limit=MOST_PASSAGES, least=LEAST_COVERAGE)
        texts, sources = [_passage(hit) for hit in hits], [hit.passage.source for hit in hits]
    else:
        texts, sources = await semantic.recall(question, limit=MOST_PASSAGES), list[str]()
    found = "\n\n".join(text[:PASSAGE_CHARACTERS] for text in texts)
    section = f"{MEMORY_HEADING}\n{fenced(found) if found else 'nothing of this'}"
    return section, {_RECALLED: {"text": found, "sources": list(dict.fromkeys(sources))}}


def _passage(hit: Hit) -> str:
    passage = hit.passage
    source = in_one_line(passage.source, SOURCE_CHARACTERS)
    return f"Source: {source} (stored {passage.created_at:%Y-%m-%d})\n{passage.text}"
