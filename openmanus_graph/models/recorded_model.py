"""Recorded model: a chat model that records its replies, and one that replays them, for graphs of the user's own.

The graphs of this project call models by place and record by it. In any other graph a model knows only its prompt, so
the turn is found from that: it is at least one more than the prompt has replies in it, which is right for a loop of
model and tools in whichever process it goes on; and where recorded prompts are known, the one that is the same wins.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field

from openmanus_graph.call_site import CallSite
from openmanus_graph.models.recording import Replay, ReplyRecorder
from openmanus_graph.models.reply_line import ReplyLine, prompt_of

logger = logging.getLogger(__name__)

TurnOf = Callable[[Sequence[BaseMessage]], int]
"""The turn a prompt belongs to, from 1."""


class Turns:
    """Turns of one role and subtask, found by prompt."""

    def __init__(self, lines: Mapping[str, ReplyLine], role: str, subtask: str, turn_of: TurnOf | None = None) -> None:
        """Index the recorded prompts.

        Args:
            lines: The recorded lines by place.
            role: The role.
            subtask: The subtask, or an empty text.
            turn_of: Says the turn, where the rule of this module does not fit.
        """
        self.role = role
        self.subtask = subtask
        self._turn_of = turn_of
        beginning = str(CallSite(role, subtask, 0)).removesuffix("0")
        self._hashes: dict[int, str | None] = {
            int(place.removeprefix(beginning)): line.prompt.hash if line.prompt else None
            for place, line in lines.items()
            if place.startswith(beginning) and place.removeprefix(beginning).isdecimal()
        }
        self._used: set[int] = set()
        self._asked: dict[str, int] = {}

    def to_replay(self, messages: Sequence[BaseMessage], prompt: str) -> CallSite:
        """The call site of the reply to a prompt.

        Args:
            messages: The prompt.
            prompt: Its hash.
        """
        same = sorted(turn for turn, known in self._hashes.items() if known == prompt)
        if self._turn_of is not None:
            turn = self._turn_of(messages)
        elif same:  # asked again and again, it is answered one after the other, and then as the last time
            turn = next((turn for turn in same if turn not in self._used), same[-1])
        elif prompt in self._asked:
            turn = self._asked[prompt]
        else:
            turn = _least_turn(messages)
            while turn in self._used:
                turn += 1
        return self._taken(turn, prompt)

    def to_record(self, messages: Sequence[BaseMessage], prompt: str) -> CallSite:
        """The call site for the reply to a prompt; the recorded one, if an earlier process recorded that very prompt.

        Args:
            messages: The prompt.
            prompt: Its hash.
        """
        if self._turn_of is not None:
            return self._taken(self._turn_of(messages), prompt)
        turn = _least_turn(messages)
        while turn in self._used or (turn in self._hashes and self._hashes[turn] != prompt):
            turn += 1
        return self._taken(turn, prompt)

    def _taken(self, turn: int, prompt: str) -> CallSite:
        self._used.add(turn)
        self._asked[prompt] = turn
        return CallSite(self.role, self.subtask, turn)


def _least_turn(messages: Sequence[BaseMessage]) -> int:
    return 1 + sum(isinstance(message, AIMessage) for message in messages)


class _PlacedModel(BaseChatModel):
    """The common part of the two models; copies with tools bound share their turns."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    turns: Turns = Field(exclude=True)
    offered: tuple[Any, ...] = Field(default=(), exclude=True)

    def _result_of(self, reply: AIMessage) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=reply)])


class ReplayModel(_PlacedModel):
    """A chat model that gives recorded replies; made by `replay_model`."""

    replay: Replay = Field(exclude=True)

    @property
    def _llm_type(self) -> str:
        return "openmanus-graph-replay"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """The same model, offered tools, which serve only to notice drift."""
        return self.model_copy(update={"offered": tuple(tools)})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        place = self.turns.to_replay(messages, prompt_of(messages, self.offered).hash)
        reply = self.replay.reply(place, messages, self.offered)
        if warning := self.replay.drift(place, messages, self.offered):
            logger.warning(warning)
        return self._result_of(reply)


class RecordModel(_PlacedModel):
    """A chat model that records what another one replies; made by `record_model`."""

    inner: BaseChatModel = Field(exclude=True)
    bound: Runnable[LanguageModelInput, AIMessage] = Field(exclude=True)
    recorder: ReplyRecorder = Field(exclude=True)

    @property
    def _llm_type(self) -> str:
        return "openmanus-graph-record"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """The same model, with the inner one's own way of offering tools."""
        return self.model_copy(update={"offered": tuple(tools), "bound": self.inner.bind_tools(tools, **options)})

    def _record(self, messages: Sequence[BaseMessage], reply: AIMessage) -> ChatResult:
        model = str(reply.response_metadata.get("model_name") or getattr(self.inner, "model", "") or "")
        place = self.turns.to_record(messages, prompt_of(messages, self.offered, self.recorder.redact).hash)
        self.recorder.write(place, model, messages, self.offered, reply)
        return self._result_of(reply)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._record(messages, self.bound.invoke(messages, stop=stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._record(messages, await self.bound.ainvoke(messages, stop=stop, **kwargs))


def replay_model(
    path: str | Path, *, role: str = "executor", subtask: str = "", turn: TurnOf | None = None
) -> BaseChatModel:
    """A chat model for a graph of one's own that gives the replies of a recording.

    Args:
        path: The recording.
        role: The role whose replies it gives.
        subtask: The subtask whose replies it gives; empty for those of no subtask.
        turn: The turn of a prompt, from 1. `None` finds it: the recorded prompt that is the same; else one more than
            the prompt has replies in it, or the next one, where this process was given that reply already for another
            prompt. A recording by hand of a graph whose prompts hold no earlier replies needs it to be resumed.

    Returns:
        The model; it ignores options such as a temperature, and takes any tools.

    Raises:
        RecordingError: If the recording cannot be read; and later, if a reply is missing.
    """
    replay = Replay(path)
    return ReplayModel(replay=replay, turns=Turns(replay.lines, role, subtask, turn))


def record_model(
    model: BaseChatModel, path: str | Path, *, role: str = "executor", subtask: str = "", turn: TurnOf | None = None
) -> BaseChatModel:
    """A chat model that does what another one does, and records every reply for `replay_model`.

    Args:
        model: The model.
        path: The recording; replies are added to what it holds.
        role: The role that the replies are recorded for.
        subtask: The subtask that they are recorded for; empty for none.
        turn: The turn of a prompt, as for `replay_model`.

    Returns:
        The model, to be used in the other one's place.

    Raises:
        RecordingError: If the file exists and is no recording; and later, if it cannot be written.
    """
    recorder = ReplyRecorder(path)
    lines = Replay(path).lines if recorder.path.exists() and recorder.path.stat().st_size else {}
    return RecordModel(
        inner=model,
        bound=cast("Runnable[LanguageModelInput, AIMessage]", model),
        recorder=recorder,
        turns=Turns(lines, role, subtask, turn),
    )
