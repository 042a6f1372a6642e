"""Model: a chat model that takes no time: it calls `noop` once per subtask, then ends, and agrees to what was done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

CALL: dict[str, Any] = {"name": "noop", "args": {}, "id": "call-1", "type": "tool_call"}
ENDED = {"status": "success", "answer": "done"}
END: dict[str, Any] = {"name": "terminate", "args": ENDED, "id": "call-2", "type": "tool_call"}
VERDICT = '{"verified": true, "why": "It was called."}'


class InstantModel(BaseChatModel):
    """Replies at once, so that all of a run's time is the engine's."""

    @property
    def _llm_type(self) -> str:
        return "instant"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The model; what it calls is decided by the conversation alone."""
        del tools, kwargs
        return self

    def _reply(self, messages: Sequence[BaseMessage]) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            said = AIMessage("", tool_calls=[END])
        elif str(last.text).startswith("# Your subtask"):
            said = AIMessage("", tool_calls=[CALL])
        else:
            said = AIMessage(VERDICT if str(last.text).startswith("# The subtask") else "done")
        return ChatResult(generations=[ChatGeneration(message=said)])

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return self._reply(messages)

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return self._reply(messages)
