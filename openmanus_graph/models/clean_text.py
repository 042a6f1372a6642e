"""Clean text: messages that can be stored, shown and sent, so that no paid reply is lost to a character.

A stream may cut an emoji in two: its halves are joined. Half an emoji alone and NUL become U+FFFD. Values of classes,
which some chat models put beside their replies, become plain ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from langchain_core.messages import BaseMessage

from openmanus_graph.values.storable_json import storable, storable_text

MessageT = TypeVar("MessageT", bound=BaseMessage)

_FIELDS = ("content", "additional_kwargs", "response_metadata", "name", "id", "tool_calls", "invalid_tool_calls")


def cleaned(message: MessageT) -> MessageT:
    """The message itself where nothing is to be cleaned, else a copy."""
    update: dict[str, Any] = {}
    for name in _FIELDS:
        value: Any = getattr(message, name, None)
        if value and not _is_clean(value):
            update[name] = clean_values(value)
    return message.model_copy(update=update) if update else message


def clean_values(value: Any) -> Any:
    """A value with clean text, in plain types; bytes and numbers stay as they are."""
    if type(value) in (int, float, bool, bytes, type(None)):
        return value
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return {storable_text(str(key)): clean_values(item) for key, item in fields.items()}
    if isinstance(value, list | tuple):
        return [clean_values(item) for item in cast("list[Any]", value)]
    return storable(value)


def _is_clean(value: Any) -> bool:
    kind = cast("type[Any]", type(value))
    if kind is str:
        return storable_text(value) is value
    if kind is dict:
        fields = cast("dict[Any, Any]", value)
        return all(type(key) is str and _is_clean(key) and _is_clean(item) for key, item in fields.items())
    if kind is list:
        return all(map(_is_clean, cast("list[Any]", value)))
    return kind in (int, float, bool, bytes, type(None))
