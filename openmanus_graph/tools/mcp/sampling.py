"""Sampling: a server's request to a model, as the run's own model is asked it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from openmanus_graph.context import Sample
from openmanus_graph.errors import ToolError

MOST_CHARACTERS = 200_000
"""Characters of a request; a longer one is refused."""


async def sampled(params: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    """Ask the model; its answer as the protocol has it.

    Args:
        params: The request: `messages` and perhaps `systemPrompt`; only text is taken.
        sample: Asks the run's model, within its budget.

    Raises:
        ToolError: If the request cannot be asked, or the model gives no answer.
    """
    listed: Any = params.get("messages")
    said: list[tuple[str, str]] = []
    for given in cast("list[Any]", listed) if isinstance(listed, list) else []:
        fields = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        said.append(("assistant" if fields.get("role") == "assistant" else "user", _text(fields.get("content"))))
    if not said:
        raise ToolError("The request to the model has no messages.")
    told = str(params.get("systemPrompt") or "")
    if sum(len(text) for _, text in said) + len(told) > MOST_CHARACTERS:
        raise ToolError(f"The request to the model has more than {MOST_CHARACTERS:,} characters.")
    text = await sample(told, said)
    return {
        "role": "assistant",
        "content": {"type": "text", "text": text},
        "model": "executor",
        "stopReason": "endTurn",
    }


def _text(content: Any) -> str:
    blocks = cast("list[Any]", content) if isinstance(content, list) else [content]
    texts: list[str] = []
    for block in blocks:
        fields = cast("dict[str, Any]", block) if isinstance(block, dict) else {}
        if fields.get("type") != "text":
            raise ToolError(f"The request to the model has {str(fields.get('type'))[:40]!r}, and only text is taken.")
        texts.append(str(fields.get("text") or ""))
    return "\n".join(texts)
