"""Serializer: what may enter a checkpoint, refused by name when it is written, not when it is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import (
    _DeltaSnapshot,  # pyright: ignore[reportPrivateUsage] - LangGraph's own record of a growing list
)
from langgraph.types import Command, Interrupt, Overwrite, Send

from openmanus_graph.errors import ForeignTypeError

_SCALARS = (str, int, float, bool, bytes)
_SEQUENCES = (list, tuple, set, frozenset)


def foreign_type(value: Any, path: str = "") -> tuple[str, type[Any]] | None:
    """The first place in `value` that holds a type a checkpoint may not hold, or `None`.

    Allowed are built-in scalars and containers, LangChain messages, exceptions (stored as text) and LangGraph's
    own control records. A subclass of a built-in counts as foreign: it would come back as the built-in.
    """
    kind = cast("type[Any]", type(value))
    if value is None or kind in _SCALARS or isinstance(value, (BaseMessage, BaseException)):
        return None
    if kind is dict:
        return _foreign_item(cast("dict[Any, Any]", value), path)
    if kind in _SEQUENCES:
        items = cast("Iterable[Any]", value)
        found = (foreign_type(item, f"{path}.{index}") for index, item in enumerate(items))
        return next(filter(None, found), None)
    return _foreign_control(value, path, kind)


def _foreign_item(fields: dict[Any, Any], path: str) -> tuple[str, type[Any]] | None:
    for key, item in fields.items():
        if type(key) not in _SCALARS:
            return f"{path}.{key!r}", cast("type[Any]", type(key))
        if found := foreign_type(item, f"{path}.{key}"):
            return found
    return None


def _foreign_control(value: Any, path: str, kind: type[Any]) -> tuple[str, type[Any]] | None:
    if isinstance(value, (Interrupt, Overwrite, _DeltaSnapshot)):
        return foreign_type(value.value, path)
    if isinstance(value, Send):
        return foreign_type(value.arg, path)
    if isinstance(value, Command):
        return foreign_type([value.update, value.resume], path)
    return path, kind


class PlainSerializer(JsonPlusSerializer):
    """Msgpack that refuses foreign types when it writes and never imports one when it reads.

    LangGraph's strict mode lets foreign classes in and hands back a dict on load, so a thread would change
    silently; here the write fails and names the value.
    """

    def __init__(self) -> None:
        super().__init__(allowed_msgpack_modules=None)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Serialize `obj`.

        Raises:
            ForeignTypeError: If it holds anything but plain types and messages.
        """
        if found := foreign_type(obj):
            path, kind = found
            place = path.lstrip(".") or "the value itself"
            raise ForeignTypeError(
                f"A checkpoint may hold built-in types and LangChain messages only, "
                f"but {place!r} is a {kind.__module__}.{kind.__qualname__}.",
                hint="Return plain dicts, lists, strings and numbers from nodes and tools.",
            )
        return super().dumps_typed(obj)
