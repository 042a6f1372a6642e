"""Request adapter: puts a request into the form that a model takes, and reads the reply back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage

from openmanus_graph.errors import ModelError
from openmanus_graph.models.actions import as_text, read_actions
from openmanus_graph.models.capability import Feature
from openmanus_graph.models.clean_text import cleaned
from openmanus_graph.models.pictures import referred_file

Tool = dict[str, Any]
"""A tool in OpenAI's form."""

SEE_BELOW = "[An image, shown below.]"
IMAGES_BELONG = "Images of the results above:"
NO_IMAGE = "[An image that this model cannot see.]"
NO_PICTURE = "[The picture {path} is not shown: this model cannot see.{cure}]"
VIEW = "view_image"
CURE = f" The tool `{VIEW}` says what is on it."


@dataclass(frozen=True)
class Ask:
    """A request, independent of the model that answers."""

    messages: Sequence[BaseMessage]
    """The conversation."""
    tools: tuple[Tool, ...] = ()
    """Tools it may call."""
    schema: Mapping[str, Any] | None = None
    """JSON Schema of the one object it is to answer with; `None` asks for words or calls of tools."""
    name: str = ""
    """Name of that object."""
    description: str = ""
    """Description of that object."""
    folder: Path | None = None
    """The workspace with the pictures that messages refer to; `None` where none does."""


@dataclass(frozen=True)
class Shape:
    """One request in the form of one model."""

    messages: list[BaseMessage]
    """The messages to send."""
    tools: tuple[Tool, ...] = ()
    """Tools that travel beside the messages."""
    tool_choice: str | None = None
    """The tool it must call."""
    response_format: dict[str, Any] | None = None
    """The format it must answer in."""
    needs: tuple[Feature, ...] = ()
    """Features of the model that this form needs."""
    read: Callable[[AIMessage], AIMessage] = field(default=lambda reply: reply)
    """Turns its reply into the form of the `Ask`."""


def shape(ask: Ask, *, sees: bool, lacks: Callable[[Feature], bool]) -> Shape:
    """Adapt a request to a model.

    Args:
        ask: The request.
        sees: Whether the model sees images.
        lacks: Whether it lacks an ability.

    Returns:
        The request in the best form that the model takes.
    """
    clean = [cleaned(message) for message in ask.messages]
    visible = _without_unseen_images(_answered(_checked(clean)), sees=sees)
    messages = [_plainly(_in_blocks(message)) for message in _shown(visible)]
    if ask.schema is not None:
        return _object(ask, messages, lacks)
    if lacks("tools"):
        if not ask.tools and not _uses_tools(messages):
            return Shape(messages)
        return Shape(as_text(messages, ask.tools), read=lambda reply: read_actions(reply, ask.tools))
    if not ask.tools:
        # Providers refuse a history with calls of tools in a request that declares none.
        return Shape(as_text(messages, ()) if _uses_tools(messages) else messages)
    return Shape(messages, ask.tools, needs=("tools",))


def _object(ask: Ask, messages: list[BaseMessage], lacks: Callable[[Feature], bool]) -> Shape:
    schema = dict(ask.schema or {})
    messages = as_text(messages, ()) if _uses_tools(messages) else messages
    if not lacks("tools"):
        answer: Tool = {
            "type": "function",
            "function": {"name": ask.name, "description": ask.description, "parameters": schema},
        }
        forced = not lacks("forced_tool")
        if not forced:
            messages = _instructed(messages, f"Answer by calling the tool {ask.name}, and say nothing else.")
        needs: tuple[Feature, ...] = ("tools", "forced_tool") if forced else ("tools",)
        return Shape(messages, (answer,), ask.name if forced else None, needs=needs, read=_arguments_as_text(ask.name))
    messages = _instructed(
        messages,
        f"Answer with one JSON object and nothing else. It is {ask.description or ask.name}, and fits this JSON "
        f"Schema:\n{json.dumps(schema, ensure_ascii=False)}",
    )
    if not lacks("json_schema"):
        format_ = {"type": "json_schema", "json_schema": {"name": ask.name, "schema": schema}}
        return Shape(messages, response_format=format_, needs=("json_schema",))
    return Shape(messages)


def _arguments_as_text(name: str) -> Callable[[AIMessage], AIMessage]:
    """A reader that takes the arguments of the one call as the reply's text."""

    def read(reply: AIMessage) -> AIMessage:
        for call in reply.tool_calls:
            if call["name"] == name:
                return _words(reply, json.dumps(call["args"], ensure_ascii=False))
        for broken in reply.invalid_tool_calls:
            return _words(reply, broken["args"] or reply.text)
        return _words(reply, reply.text)

    return read


def _words(reply: AIMessage, text: str) -> AIMessage:
    kept = {key: value for key, value in reply.additional_kwargs.items() if key != "tool_calls"}
    update: dict[str, Any] = {
        "content": text,
        "tool_calls": [],
        "invalid_tool_calls": [],
        "additional_kwargs": kept,
    }
    return reply.model_copy(update=update)


def _instructed(messages: list[BaseMessage], words: str) -> list[BaseMessage]:
    if messages and isinstance(messages[0], SystemMessage):
        return [SystemMessage(f"{messages[0].text}\n\n{words}"), *messages[1:]]
    return [SystemMessage(words), *messages]


def _uses_tools(messages: Sequence[BaseMessage]) -> bool:
    return any(isinstance(message, ToolMessage) or _calls(message) for message in messages)


def _calls(message: BaseMessage) -> list[ToolCall]:
    return message.tool_calls if isinstance(message, AIMessage) else []


def _checked(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages, if each result of a tool follows its call: no provider takes anything else."""
    open_calls: set[str] = set()
    for message in messages:
        if isinstance(message, AIMessage):
            open_calls = {str(call["id"]) for call in (*message.tool_calls, *message.invalid_tool_calls)}
        elif isinstance(message, ToolMessage):
            if message.tool_call_id not in open_calls:
                raise ModelError(f"The result of the tool call {message.tool_call_id!r} does not follow its call.")
        else:
            open_calls = set()
    return list(messages)


def _answered(messages: list[BaseMessage]) -> list[BaseMessage]:
    """The messages with each unreadable call that was answered made a readable one, or its answer would stand alone."""
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    return [_repaired(message, answered) if isinstance(message, AIMessage) else message for message in messages]


def _repaired(message: AIMessage, answered: set[str]) -> AIMessage:
    broken = [call for call in message.invalid_tool_calls if call["id"] in answered]
    if not broken:
        return message
    calls = [
        ToolCall(type="tool_call", id=call["id"], name=call["name"] or "unknown", args={"unreadable": call["args"]})
        for call in broken
    ]
    return message.model_copy(update={"tool_calls": [*message.tool_calls, *calls], "invalid_tool_calls": []})


def _without_unseen_images(messages: list[BaseMessage], *, sees: bool) -> list[BaseMessage]:
    """The messages without the images a model cannot see."""
    if sees:
        return messages
    return [_without_images(message) for message in messages]


def _without_images(message: BaseMessage, instead: str = "") -> BaseMessage:
    content = cast("str | list[str | dict[str, Any]]", message.content)
    if isinstance(content, str) or not any(_is_image(block) for block in content):
        return message
    blocks = [
        {"type": "text", "text": instead or _unseen(block, message.name)} if _is_image(block) else block
        for block in content
    ]
    return message.model_copy(update={"content": blocks})


def _unseen(block: str | dict[str, Any], of: str | None) -> str:
    """What a model is told of an image that it cannot see, in a message of this name."""
    file = referred_file(block)
    return NO_IMAGE if file is None else NO_PICTURE.format(path=file["path"], cure="" if of == VIEW else CURE)


def _shown(messages: list[BaseMessage]) -> list[BaseMessage]:
    """The messages with images of tools' results in a message of their own: few providers take them in a result."""
    shown: list[BaseMessage] = []
    images: list[str | dict[str, Any]] = []
    for message in messages:
        if images and not isinstance(message, ToolMessage):
            before, images = _as_message(images), []
            if isinstance(message, HumanMessage):  # many models take no two human messages in a row
                shown.append(_behind(before, message))
                continue
            shown.append(before)
        if isinstance(message, ToolMessage) and (result_images := _images(message)):
            images += result_images
            message = _without_images(message, SEE_BELOW)  # noqa: PLW2901 - the message as it is sent
        shown.append(message)
    if images:
        shown.append(_as_message(images))
    return shown


def _as_message(images: list[str | dict[str, Any]]) -> HumanMessage:
    return HumanMessage([{"type": "text", "text": IMAGES_BELONG}, *images])


def _behind(before: HumanMessage, message: HumanMessage) -> HumanMessage:
    """A message with the blocks of another before its own."""
    content = cast("str | list[str | dict[str, Any]]", message.content)
    own = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return message.model_copy(update={"content": [*cast("list[Any]", before.content), *own]})


def _images(message: BaseMessage) -> list[str | dict[str, Any]]:
    content = cast("str | list[str | dict[str, Any]]", message.content)
    return [] if isinstance(content, str) else [block for block in content if _is_image(block)]


def _in_blocks(message: BaseMessage) -> BaseMessage:
    """The message with bare strings beside blocks made blocks: LangChain takes them, providers do not."""
    content = cast("str | list[str | dict[str, Any]]", message.content)
    if isinstance(content, str) or not any(isinstance(part, str) for part in content):
        return message
    blocks = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    return message.model_copy(update={"content": blocks})


def _plainly(message: BaseMessage) -> BaseMessage:
    """The message with blocks that are text alone made one text: servers of text models may take no blocks."""
    content = cast("str | list[str | dict[str, Any]]", message.content)
    if isinstance(content, str) or isinstance(message, AIMessage) or not all(map(_is_plain, content)):
        return message
    return message.model_copy(update={"content": "\n".join(block["text"] for block in cast("list[Any]", content))})


def _is_plain(block: str | dict[str, Any]) -> bool:
    return isinstance(block, dict) and block.keys() == {"type", "text"} and block["type"] == "text"


def _is_image(block: str | dict[str, Any]) -> bool:
    return isinstance(block, dict) and block.get("type") in ("image", "image_url", "input_image")


def without_images(messages: Sequence[BaseMessage]) -> tuple[list[BaseMessage], int]:
    """A conversation with its images left out, and how many they were."""
    return [_without_images(message) for message in messages], sum(len(_images(message)) for message in messages)
