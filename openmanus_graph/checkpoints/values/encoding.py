"""Encoding: values of a state as bytes that come back as the same values.

What would come back as something else is noted, and what cannot be stored is refused with its place.
"""

# numpy is found where a user has it; it and Pydantic's first version have no types here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import ipaddress
import pathlib
import re
import sys
import uuid
import zoneinfo
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, cast

import ormsgpack
from langchain_core.messages import BaseMessage
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, PregelTask, Send, StateSnapshot, TimeoutPolicy
from pydantic import BaseModel, SecretBytes, SecretStr

from openmanus_graph.checkpoints.values import formats
from openmanus_graph.checkpoints.values.classes import (
    StoredObject,
    is_found_elsewhere,
    is_named_tuple,
    is_old_model,
    is_record,
    key_of,
    note_stored,
)
from openmanus_graph.langgraph_internals import DeltaSnapshot

_LEAVES = frozenset({str, int, float, bool, bytes, type(None)})
"""Types that msgpack has, as long as no text has halves of surrogate pairs and no integer more than 64 bits."""
_CONTAINERS = frozenset({list, dict})
_CONTROL = (Interrupt, Overwrite, Command, TimeoutPolicy)
"""Dataclasses of LangGraph's own."""
_BASES: tuple[type[Any], ...] = (
    *(str, bool, int, float, bytes, bytearray, dict, list, tuple, set, frozenset, deque),
    *(dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID),
)
"""What a value of a subclass comes back as."""
_EXACT: dict[type[Any], Callable[[Any], Any]] = {str: str.__str__, int: int.__int__, float: float.__float__}
_PLAIN = "Return plain dicts, lists, strings and numbers from nodes and tools."
_CURE = "Return what is in it instead: plain values, dates, messages, Pydantic models, dataclasses and the like."
LARGEST = 2**30 - 2**20
"""Bytes of a value above which Postgres does not take it."""


class Change(NamedTuple):
    """A place where a value will come back as something else."""

    path: str
    """The place in the value, its parts joined by dots; empty for the value itself."""
    text: str
    """What it is and what it will be."""


class UnstorableError(Exception):
    """A value that cannot be stored."""

    def __init__(self, why: str, cure: str) -> None:
        """Say why.

        Args:
            why: What is wrong with it, as the end of a sentence that begins with its place.
            cure: What to do instead.
        """
        self.path = ""
        """The place in the value, its parts joined by dots; empty for the value itself."""
        self.channel = ""
        """The field of the state, or LangGraph's own channel."""
        self.why, self.cure = why, cure
        super().__init__(why)


def is_simple(value: Any) -> bool:
    """Whether a value is made of nothing but lists, dicts with text as keys, text, numbers, bytes and `None`."""
    kind = cast("type[Any]", type(value))
    if kind is dict:
        for key, item in cast("dict[Any, Any]", value).items():
            if type(key) is not str:
                return False
            inner = type(item)
            if inner not in _LEAVES and (inner not in _CONTAINERS or (item and not is_simple(item))):
                return False
        return True
    if kind is list:
        for item in cast("list[Any]", value):
            inner = type(item)
            if inner not in _LEAVES and (inner not in _CONTAINERS or (item and not is_simple(item))):
                return False
        return True
    return kind in _LEAVES


def fits_utf8(text: str) -> bool:
    """Whether text has no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encoded(value: Any, *, plain: bool) -> tuple[bytes, list[Change]]:
    """A value as bytes, with what of it will come back as something else.

    Args:
        value: The value.
        plain: Whether only built-in types and messages are taken.

    Raises:
        UnstorableError: If it cannot be stored.
    """
    try:
        if is_simple(value):
            return ormsgpack.packb(value, option=formats.STRICT), []
    except (TypeError, RecursionError):  # text or a number that msgpack does not have, which the encoder finds
        pass
    encoder = _Encoder(plain=plain)
    try:
        return encoder.bytes_of(value), encoder.changes
    except UnstorableError as error:
        error.path = encoder.path
        raise
    except Exception as error:
        problem = UnstorableError(f"cannot be read ({type(error).__name__}: {error})", _CURE)
        if isinstance(error, RecursionError) or "ecursion limit" in str(error):
            problem = UnstorableError("is nested too deeply, or holds itself", "Return it with fewer levels.")
        elif encoder.path:
            problem.path = encoder.path
        raise problem from error


class _Encoder:
    """One value on its way to bytes."""

    def __init__(self, *, plain: bool) -> None:
        self.changes: list[Change] = []
        self._plain = plain
        self._at: list[Any] = []

    @property
    def path(self) -> str:
        return ".".join(map(str, self._at))

    def bytes_of(self, value: Any) -> bytes:
        return ormsgpack.packb(self._converted(value), option=formats.WITH_KEYS)

    def _converted(self, value: Any) -> Any:
        """The value in types that msgpack has."""
        kind: Any = type(value)
        if kind is str:
            return value if fits_utf8(value) else ormsgpack.Ext(formats.TEXT, value.encode("utf-8", "surrogatepass"))
        if kind is int:
            return value if -(2**63) <= value < 2**64 else ormsgpack.Ext(formats.INTEGER, _signed(value))
        if kind in _LEAVES:
            return value
        if kind is list:
            return self._items(value)
        if kind is dict:
            return self._dict(value)
        if isinstance(value, BaseMessage):
            return self._model(value, kind)
        if (write := _WRITERS.get(kind)) is not None and (not self._plain or kind in _BUILT_IN):
            return write(self, value)
        return self._special(value, kind)

    def _below(self, key: Any, value: Any) -> Any:
        self._at.append(key)
        made = self._converted(value)
        self._at.pop()
        return made

    def _items(self, items: Iterable[Any]) -> list[Any]:
        return [self._below(index, item) for index, item in enumerate(items)]

    def _dict(self, fields: Mapping[Any, Any]) -> Any:
        named = {}
        for key, item in fields.items():
            if not _is_native_key(key):
                return self._pairs(fields)
            named[key] = self._below(key, item)
        return named

    def _pairs(self, fields: Mapping[Any, Any]) -> ormsgpack.Ext:
        if self._plain and (odd := [key for key in fields if type(key) not in _LEAVES]):
            self._at.append(repr(odd[0]))
            self._refuse(odd[0])
        pairs = [[self._below(repr(key), key), self._below(key, item)] for key, item in fields.items()]
        return self._ext(formats.PAIRS, pairs)

    def _ext(self, code: int, converted: Any) -> ormsgpack.Ext:
        return ormsgpack.Ext(code, ormsgpack.packb(converted, option=formats.WITH_KEYS))

    def _made_by(self, code: int, head: tuple[str, str], body: Any, *tail: Any) -> ormsgpack.Ext:
        """What a class is made of again."""
        if is_simple(body):
            try:
                return ormsgpack.Ext(code, ormsgpack.packb([*head, body, *tail], option=formats.STRICT))
            except TypeError:  # text or a number that msgpack does not have
                pass
        return self._ext(code, [*head, self._converted(body), *tail])

    def collection(self, value: Iterable[Any]) -> Any:
        """A tuple, a set, a frozenset: its items."""
        kind = type(value)
        if self._plain and kind is tuple:
            return self._items(value)  # nothing of ours tells it from a list
        return self._ext(formats.ONE_ARGUMENT, ["builtins", kind.__name__, self._items(value)])

    def deque(self, value: deque[Any]) -> ormsgpack.Ext:
        """A deque with its length."""
        return self._ext(formats.ARGUMENTS, ["collections", "deque", [self._items(value), value.maxlen]])

    def one(self, module: str, name: str, argument: Any) -> ormsgpack.Ext:
        """A class that is made of one plain argument."""
        return self._made_by(formats.ONE_ARGUMENT, (module, name), argument)

    def many(self, module: str, name: str, arguments: Sequence[Any]) -> ormsgpack.Ext:
        """A class that is made of several arguments."""
        return self._made_by(formats.ARGUMENTS, (module, name), list(arguments))

    def datetime(self, value: dt.datetime) -> ormsgpack.Ext:
        """A date with a time, and with its zone."""
        if value.tzinfo is None or type(value.tzinfo) is dt.timezone:
            text = value.replace(fold=0).isoformat()
            if value.fold == 0:
                return self._ext(formats.METHOD, ["datetime", "datetime", text, "fromisoformat"])
        names = ("year", "month", "day", "hour", "minute", "second", "microsecond", "fold")
        fields: dict[str, Any] = {name: getattr(value, name) for name in names}
        return self._made_by(
            formats.FIELDS, ("datetime", "datetime"), {**fields, "tzinfo": self._zone(value.tzinfo, value.utcoffset())}
        )

    def time(self, value: dt.time) -> ormsgpack.Ext:
        """A time of the day."""
        fields: dict[str, Any] = {name: getattr(value, name) for name in ("hour", "minute", "second", "microsecond")}
        fields |= {"fold": value.fold, "tzinfo": self._zone(value.tzinfo, value.utcoffset())}
        return self._made_by(formats.FIELDS, ("datetime", "time"), fields)

    def _zone(self, zone: dt.tzinfo | None, offset: dt.timedelta | None) -> dt.tzinfo | None:
        if zone is None or type(zone) is dt.timezone or (type(zone) is zoneinfo.ZoneInfo and zone.key):
            return zone
        self._note(f"the time zone {zone}", "its offset" if offset is not None else "no zone")
        return None if offset is None else dt.timezone(offset)

    def send(self, value: Send) -> ormsgpack.Ext:
        """A `Send`; the node that it goes to is part of the place."""
        more = [] if value.timeout is None else [self._converted(value.timeout)]
        given = [value.node, self._below(f"Send({value.node})", value.arg), *more]
        return self._ext(formats.ARGUMENTS, ["langgraph.types", "Send", given])

    def _special(self, value: Any, kind: type[Any]) -> Any:
        """What is neither of a built-in type nor a message."""
        if isinstance(value, _CONTROL) or kind in (PregelTask, StateSnapshot):
            given = cast("Any", kind)
            names = given._fields if is_named_tuple(kind) else [field.name for field in dataclasses.fields(given)]
            fields = {name: self._converted(getattr(value, name)) for name in names}
            return self._ext(formats.FIELDS, ["langgraph.types", kind.__name__, fields])
        if isinstance(value, DeltaSnapshot):
            return self._ext(formats.DELTA, self._converted(value.value))
        if isinstance(value, BaseException):
            if not self._plain:
                self._note(f"the exception {kind.__name__}", "its text")
            return self._converted(repr(value))
        if self._plain:
            self._refuse(value)
        if isinstance(value, StoredObject):
            return self._stored(value)
        if isinstance(value, type) or not is_record(kind):
            return self._other(value, kind)
        note_stored(kind)
        if not is_found_elsewhere(kind):
            self._note(_named(kind), "what only this process can make again, for its class is in no module")
        return self._record(value, kind)

    def _record(self, value: Any, kind: type[Any]) -> Any:
        """A value of a class of the user's that is nothing but its fields."""
        if isinstance(value, BaseModel):
            return self._model(value, kind)
        if isinstance(value, Enum):
            return self._enum(value, kind)
        if is_named_tuple(kind):
            return self._ext(formats.FIELDS, [*key_of(kind), self._dict(value._asdict())])
        if is_old_model(kind):
            return self._ext(formats.OLD_MODEL, [*key_of(kind), self._dict(dict(value.__dict__))])
        return self._base(value, kind) if isinstance(value, _BASES) else self._dataclass(value, kind)

    def _model(self, value: BaseModel, kind: type[Any]) -> ormsgpack.Ext:
        """A model with what it holds: its own way to dump itself forgets types, aliases and what it leaves out."""
        known: Mapping[str, Any] = kind.__pydantic_fields__
        held = value.__dict__
        fields = held if held.keys() <= known.keys() else {key: held[key] for key in held if key in known}
        if value.__pydantic_extra__:
            fields = {**fields, **value.__pydantic_extra__}
        if isinstance(value, BaseMessage):
            return self._made_by(formats.MODEL, key_of(kind), fields, formats.RAW)
        own = value.__pydantic_private__ or {}
        tail = (formats.RAW, sorted(value.__pydantic_fields_set__), self._as_far_as_possible(own))
        return self._made_by(formats.MODEL, key_of(kind), fields, *tail)

    def _enum(self, value: Enum, kind: type[Any]) -> ormsgpack.Ext:
        held = value.value if is_simple(value.value) else None
        return self._made_by(formats.ONE_ARGUMENT, key_of(kind), held, value.name)

    def _dataclass(self, value: Any, kind: type[Any]) -> ormsgpack.Ext:
        try:
            object.__new__(kind)
        except TypeError:
            self._refuse(value)
        names = [field.name for field in dataclasses.fields(kind)]
        fields = {name: getattr(value, name) for name in names if hasattr(value, name)}
        rest: dict[str, Any] = getattr(value, "__dict__", {})
        more = {key: rest[key] for key in rest if key not in fields and key != "__orig_class__"}
        return self._made_by(formats.FIELDS, key_of(kind), fields, self._as_far_as_possible(more))

    def _as_far_as_possible(self, fields: dict[str, Any]) -> dict[str, Any]:
        """What is no field of a class: private, or worked out; a part that cannot be stored is left out, and noted."""
        kept: dict[str, Any] = {}
        depth, known = len(self._at), len(self.changes)
        for key, item in fields.items():
            try:
                kept[key] = self._below(key, item)
            except UnstorableError:
                del self._at[depth:], self.changes[known:]
                self._note(f"its attribute {key!r}", "nothing: it cannot be stored")
        return kept

    def _stored(self, value: StoredObject) -> ormsgpack.Ext:
        body: Any = value["value"] if value.code == formats.ONE_ARGUMENT else dict(value)
        return self._ext(
            value.code, [value.module, value.name, self._converted(body), *map(self._converted, value.tail)]
        )

    def _other(self, value: Any, kind: type[Any]) -> Any:
        """What is no record: an item of a store, a subclass of a built-in type, something of numpy."""
        if isinstance(value, Item):
            fields = {name: self._converted(getattr(value, name)) for name in Item.__slots__}
            return self._ext(formats.FIELDS, ["langgraph.store.base", "Item", fields])
        if isinstance(value, re.Pattern):
            return self.many("re", "compile", (value.pattern, value.flags))
        if isinstance(value, pathlib.PurePath) and kind.__module__.partition(".")[0] == "pathlib":
            return self.many("pathlib", kind.__name__, value.parts)
        if (form := _numpy_form(value)) is not None:
            return self._numpy(value, *form)
        if isinstance(value, _BASES) and not isinstance(value, type):
            return self._base(value, kind)
        return self._refuse(value)

    def _numpy(self, value: Any, code: int, form: list[Any]) -> ormsgpack.Ext:
        if value.dtype.hasobject or value.dtype.names:
            kind = "objects" if value.dtype.hasobject else "several fields"
            raise UnstorableError(f"is a {_named(type(value))} of {kind}", "Return its items: value.tolist().")
        return self._ext(code, form)

    def _base(self, value: Any, kind: type[Any]) -> Any:
        """A subclass of a built-in type: as that type."""
        base = next(base for base in _BASES if isinstance(value, base))
        # LangChain's `message.text` is text that may also be called; nobody misses that.
        if not kind.__module__.startswith("langchain_core."):
            self._note(_named(kind), base.__name__)
        if base is dt.datetime:
            fields = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
            return self._converted(dt.datetime(*fields, tzinfo=value.tzinfo, fold=value.fold))
        if base in (dt.date, dt.time, dt.timedelta):
            return _WRITERS[base](self, value)
        if base is uuid.UUID:
            return self._converted(uuid.UUID(int=value.int))
        if (exact := _EXACT.get(base)) is not None:  # calling the type asks the subclass
            return self._converted(exact(value))
        return self._converted(base(value))

    def _note(self, what: str, becomes: str) -> None:
        self.changes.append(Change(self.path, f"{what} will come back as {becomes}"))

    def _refuse(self, value: Any) -> Any:
        whole = "the class" if isinstance(value, type) else "a"
        kind = value if isinstance(value, type) else type(value)
        allowed = ", which is no built-in type and no message" if self._plain else ""
        raise UnstorableError(f"is {whole} {_named(kind)}{allowed}", _PLAIN if self._plain else _CURE)


def _numpy_form(value: Any) -> tuple[int, list[Any]] | None:
    """How a scalar or an array of numpy is stored; `None` if the value is neither."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.generic):
        return formats.SCALAR, [value.dtype.str, value.tobytes()]
    if type(value) is not numpy.ndarray:
        return None
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    return formats.ARRAY, [value.dtype.str, list(value.shape), order, value.tobytes(order=order)]


def _named(kind: type[Any]) -> str:
    return ".".join(key_of(kind))


def _signed(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def _is_native_key(key: Any) -> bool:
    kind = type(key)
    if kind is str:
        return fits_utf8(key)
    if kind is int:
        return -(2**63) <= key < 2**64
    return kind in _LEAVES


def _by_text(module: str, name: str) -> Callable[[_Encoder, Any], Any]:
    return lambda encoder, value: encoder.one(module, name, str(value))


_WRITERS: dict[type[Any], Callable[[_Encoder, Any], Any]] = {
    tuple: _Encoder.collection,
    set: _Encoder.collection,
    frozenset: _Encoder.collection,
    Send: _Encoder.send,
    deque: _Encoder.deque,
    bytearray: lambda encoder, value: encoder.one("builtins", "bytearray", bytes(value)),
    dt.datetime: _Encoder.datetime,
    dt.time: _Encoder.time,
    dt.date: lambda encoder, value: encoder.many("datetime", "date", (value.year, value.month, value.day)),
    dt.timedelta: lambda encoder, value: encoder.many(
        "datetime", "timedelta", (value.days, value.seconds, value.microseconds)
    ),
    dt.timezone: lambda encoder, value: encoder.many("datetime", "timezone", value.__getinitargs__()),
    zoneinfo.ZoneInfo: lambda encoder, value: encoder.one("zoneinfo", "ZoneInfo", value.key),
    decimal.Decimal: _by_text("decimal", "Decimal"),
    uuid.UUID: lambda encoder, value: encoder.one("uuid", "UUID", value.hex),
    SecretStr: lambda encoder, value: encoder.one("pydantic.types", "SecretStr", value.get_secret_value()),
    SecretBytes: lambda encoder, value: encoder.one("pydantic.types", "SecretBytes", value.get_secret_value()),
    **{
        kind: _by_text("ipaddress", kind.__name__)
        for kind in (
            ipaddress.IPv4Address,
            ipaddress.IPv4Interface,
            ipaddress.IPv4Network,
            ipaddress.IPv6Address,
            ipaddress.IPv6Interface,
            ipaddress.IPv6Network,
        )
    },
}
"""How a value of exactly this type is written."""
_BUILT_IN = (tuple, set, frozenset, Send)
"""Those of them that a plain value may have."""
