"""Serializer: refuses foreign types by name when a checkpoint is written, not only when it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command, Interrupt, Overwrite, Send

from openmanus_graph.errors import ForeignTypeError
from openmanus_graph.langgraph_internals import DeltaSnapshot

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
        foreign = (foreign_type(item, f"{path}.{index}") for index, item in enumerate(items))
        return next(filter(None, foreign), None)
    return _foreign_control(value, path, kind)


def _foreign_item(fields: dict[Any, Any], path: str) -> tuple[str, type[Any]] | None:
    for key, item in fields.items():
        if type(key) not in _SCALARS:
            return f"{path}.{key!r}", cast("type[Any]", type(key))
        if foreign := foreign_type(item, f"{path}.{key}"):
            return foreign
    return None


def _foreign_control(value: Any, path: str, kind: type[Any]) -> tuple[str, type[Any]] | None:
    if isinstance(value, (Interrupt, Overwrite, DeltaSnapshot)):
        return foreign_type(value.value, path)
    if isinstance(value, Send):
        return foreign_type(value.arg, path)
    if isinstance(value, Command):
        return foreign_type([value.update, value.resume], path)
    return path, kind


_blocked: ContextVar[list[str] | None] = ContextVar("openmanus_graph_blocked", default=None)


def _note_blocked(event: SerdeEvent) -> None:
    """Take note of a type that LangGraph does not make while a value is read."""
    noted = _blocked.get()
    if noted is not None and event["kind"] in ("msgpack_blocked", "msgpack_method_blocked"):
        noted.append(f"{event['module']}.{event['name']}")


register_serde_event_listener(_note_blocked)

_EXT_TYPES = range(6)
"""Msgpack codes of values that are more than plain ones."""


def _whole(make: Callable[[int, bytes], Any]) -> Callable[[int, bytes], Any]:
    """LangGraph's reader of such values, without its way of giving back a plain part of what it cannot make."""

    def checked(code: int, data: bytes) -> Any:
        value = make(code, data)
        if code in _EXT_TYPES and (value is None or type(value) in (dict, list, str)):
            raise ValueError("a part of it cannot be made again")
        return value

    return checked


class PlainSerializer(JsonPlusSerializer):
    """Msgpack that refuses foreign types when it writes, and when it reads.

    LangGraph's strict mode lets foreign classes in and hands back a dict on load, so a thread would change
    silently; here both fail and name the type.
    """

    def __init__(self) -> None:
        super().__init__(allowed_msgpack_modules=None)
        self._unpack_ext_hook = _whole(self._unpack_ext_hook)

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[tuple[str, ...] | type]) -> JsonPlusSerializer:
        """A serializer that also makes some classes, as LangGraph asks for those of a graph's state."""
        made = super().with_msgpack_allowlist(extra_allowlist)
        if made is not self:
            made._unpack_ext_hook = _whole(made._unpack_ext_hook)
        return made

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Read a value.

        Raises:
            ForeignTypeError: If it holds a type that is no plain one and no message.
        """
        noted: list[str] = []
        token = _blocked.set(noted)
        try:
            value = super().loads_typed(data)
        except ValueError:
            if not noted:
                raise
            value = None
        finally:
            _blocked.reset(token)
        if noted:
            raise ForeignTypeError(f"A stored value is of the foreign type {noted[0]}.")
        return value

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Serialize `obj`.

        Raises:
            ForeignTypeError: If it holds anything but plain types and messages.
        """
        if foreign := foreign_type(obj):
            path, kind = foreign
            place = path.lstrip(".") or "the value itself"
            raise ForeignTypeError(
                f"A checkpoint may hold built-in types and LangChain messages only, "
                f"but {place!r} is a {kind.__module__}.{kind.__qualname__}.",
                hint="Return plain dicts, lists, strings and numbers from nodes and tools.",
            )
        return super().dumps_typed(obj)
