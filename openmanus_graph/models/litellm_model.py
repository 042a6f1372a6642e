"""LiteLLM model: LiteLLM's LangChain chat model, with detection of streams that end before their reply.

This module imports LiteLLM; only `providers` imports it, on first use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain_litellm import ChatLiteLLMRouter

from openmanus_graph.models.faults import BrokenReplyError, ServerSaidError
from openmanus_graph.models.wire import heard


class LiteLLMModel(ChatLiteLLMRouter):
    """A chat model behind LiteLLM's Router."""

    async def acompletion_with_retry(self, run_manager: Any = None, **kwargs: Any) -> Any:
        """Call the model; a stream is watched to its end."""
        said: list[ServerSaidError] = []
        token = heard.set(said)
        try:
            answer: Any = await super().acompletion_with_retry(run_manager=run_manager, **kwargs)
        except Exception as error:
            if said:
                raise said[0] from error
            raise
        finally:
            heard.reset(token)
        return _watched(answer, said) if kwargs.get("stream") else answer


async def _watched(stream: Any, said: list[ServerSaidError]) -> AsyncIterator[Any]:
    """The stream; what the server said in it goes before what its clients made of that.

    One that a proxy cut politely has no finish reason, and LiteLLM makes one up for it. Its `chunks` hold only chunks
    of the provider, so the invented reason is not there.
    """
    try:
        async for chunk in stream:
            yield chunk
    except Exception as error:
        if said:
            raise said[0] from error
        raise
    if said:
        raise said[0]
    kept: Any = getattr(stream, "chunks", None)
    if isinstance(kept, list) and kept and not any(_ends(chunk) for chunk in kept):  # pyright: ignore[reportUnknownVariableType] - LiteLLM's own classes
        raise BrokenReplyError("breaks its reply off")


def _ends(chunk: Any) -> bool:
    if getattr(chunk, "usage", None) is not None:
        return True
    return any(getattr(choice, "finish_reason", None) for choice in getattr(chunk, "choices", None) or ())
