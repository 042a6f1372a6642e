"""Scripted: a chat model that says the next of its lines, known by what the conversation already has of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool


def log(line: str) -> None:
    """Add a line to the file that the run is judged by."""
    with Path("log").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


class Scripted(BaseChatModel):
    """Says its lines one after the other, in any process."""

    name: Any = "model"
    lines: list[Any]
    """Texts, or calls of tools: a name and its arguments."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Scripted:
        """Itself: it knows its tools by name."""
        return self

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        said = sum(isinstance(message, AIMessage) and message.name in (None, self.name) for message in messages)
        log(f"{self.name} says line {said + 1}")
        line = self.lines[min(said, len(self.lines) - 1)]
        if isinstance(line, str):
            answer = AIMessage(content=line, name=self.name)
        else:
            called, arguments = line
            call = {"name": called, "args": arguments, "id": f"{self.name}-{said}"}
            answer = AIMessage(content="", tool_calls=[call], name=self.name)
        return ChatResult(generations=[ChatGeneration(message=answer)])


@tool
def look(what: str) -> str:
    """Look something up; it takes long until there is a file `go`."""
    log(f"looks for {what}")
    while not Path("go").exists():
        time.sleep(0.05)
    return f"{what} is found"
