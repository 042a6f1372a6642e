"""Decoding: the values that bytes hold, made again without importing modules or running code that the bytes name."""

# numpy is found where a user has it; it and Pydantic's first version have no types here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections import deque
from collections.abc import Collection, Mapping
from enum import Enum, Flag
from inspect import getattr_static
from types import MemberDescriptorType
from typing import Any, cast

import ormsgpack
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langgraph.types import Send
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from openmanus_graph.checkpoints.values import formats
from openmanus_graph.checkpoints.values.classes import (
    Key,
    MissingClassError,
    StoredObject,
    find_class,
    is_named,
    is_named_tuple,
    is_old_model,
)
from openmanus_graph.langgraph_internals import SAFE_METHODS, SAFE_TYPES, DeltaSnapshot

_FACTORIES: tuple[Any, ...] = (list, dict, set, frozenset, tuple, deque, str, bytes, int, float, bool)
"""Factories of defaults that run no code of a class."""
_SAFE = SAFE_TYPES | formats.OUR_SAFE


def decoded(data: bytes, *, allowed: Collection[Key] = (), stand_ins: bool = False) -> Any:
    """The value that bytes hold.

    Args:
        data: The bytes.
        allowed: Classes that may be imported, as module and qualified name.
        stand_ins: Whether a value of a class that is not here is given as a `StoredObject`.

    Raises:
        MissingClassError: If a class is not here.
        ValueError: If the bytes are damaged.
    """
    decoder = _Decoder(allowed, stand_ins=stand_ins)
    try:
        return decoder.unpacked(data)
    except Exception as error:
        if decoder.missing is not None:  # msgpack tells only the text of what its hook raises
            raise decoder.missing from error
        raise


class _Decoder:
    """One value on its way from bytes."""

    def __init__(self, allowed: Collection[Key], *, stand_ins: bool) -> None:
        self.missing: MissingClassError | None = None
        self._allowed = allowed
        self._stand_ins = stand_ins

    def unpacked(self, data: bytes) -> Any:
        return ormsgpack.unpackb(data, ext_hook=self._made, option=ormsgpack.OPT_NON_STR_KEYS)

    def _made(self, code: int, data: bytes) -> Any:
        match code:
            case formats.INTEGER:
                return int.from_bytes(data, "big", signed=True)
            case formats.TEXT:
                return data.decode("utf-8", "surrogatepass")
            case formats.DELTA:
                return DeltaSnapshot(self.unpacked(data))
            case formats.PAIRS:
                return {_as_key(key): item for key, item in self.unpacked(data)}
            case formats.ARRAY | formats.SCALAR:
                return _numpy(self.unpacked(data))
            case _ if code in _READERS:
                return self._of_class(code, self.unpacked(data))
            case _:
                raise ValueError(f"it has a part of the unknown kind {code}")

    def _of_class(self, code: int, stored: list[Any]) -> Any:
        module, name, body, *tail = stored
        if code == formats.METHOD:
            if (module, name, *tail) not in SAFE_METHODS:
                return self._lacks(MissingClassError(module, name, f"must not be made by {tail}"), code, body, tail)
            return getattr(_safe(module, name), tail[0])(body)
        try:
            is_safe = (module, name) in _SAFE
            kind: Any = _safe(module, name) if is_safe else find_class(module, name, self._allowed)
        except MissingClassError as error:
            return self._lacks(error, code, body, tail)
        try:
            if is_safe and code in (formats.ONE_ARGUMENT, formats.ARGUMENTS, formats.FIELDS):
                return _called(kind, code, body)
            return _READERS[code](kind, body, *tail)
        except Exception as error:  # noqa: BLE001 - whatever a class that has changed raises
            return self._lacks(MissingClassError(module, name, f"cannot be made of it ({error})"), code, body, tail)

    def _lacks(self, error: MissingClassError, code: int, body: Any, tail: list[Any]) -> Any:
        if not self._stand_ins:
            self.missing = self.missing or error
            raise ValueError(str(error))
        stand_in = StoredObject(body if isinstance(body, dict) else {"value": body})
        stand_in.module, stand_in.name, stand_in.code, stand_in.tail = error.module, error.name, code, tail
        return stand_in


def _safe(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _called(kind: Any, code: int, body: Any) -> Any:
    if kind is Send:
        node, given, *timeout = body
        return Send(node, given, timeout=timeout[0]) if timeout else Send(node, given)
    if code == formats.ONE_ARGUMENT:
        return kind(body)
    return kind(*body) if code == formats.ARGUMENTS else kind(**body)


def _as_key(key: Any) -> Any:
    return tuple(key) if isinstance(key, list) else key


def _enum(kind: Any, value: Any, name: str | None = None) -> Any:
    if not issubclass(kind, Enum):
        raise TypeError("it is no enum now")
    members: Mapping[str, Any] = kind.__members__
    if name is not None and name in members:
        return members[name]
    found = next((member for member in members.values() if member.value == value), None)
    if found is not None:
        return found
    # Flags are put together by their class; any other might have code for values that it lacks.
    if not issubclass(kind, Flag) or getattr(kind._missing_, "__func__", None) is not _missing_flag:
        raise TypeError(f"it has no member {name or value!r}")
    return kind(value)


_missing_flag: Any = cast("Any", Flag)._missing_.__func__


def _fields(kind: Any, fields: dict[str, Any], more: Mapping[str, Any] | None = None) -> Any:
    """A NamedTuple, or a dataclass without its `__init__`."""
    if is_named_tuple(kind):
        defaults: dict[str, Any] = kind._field_defaults
        lacks = [name for name in kind._fields if name not in fields and name not in defaults]
        if lacks:
            raise TypeError(f"it lacks {lacks[0]!r}")
        return tuple.__new__(kind, [fields[name] if name in fields else defaults[name] for name in kind._fields])
    if not dataclasses.is_dataclass(kind):
        raise TypeError("it is no dataclass now")
    made: Any = object.__new__(cast("type[Any]", kind))
    held = {**(more or {}), **fields}
    for field in dataclasses.fields(cast("Any", kind)):
        if field.name in held:
            continue
        if field.default_factory is not dataclasses.MISSING:
            held[field.name] = _fresh(cast("Any", kind), field.name, field.default_factory)
        elif field.default is not dataclasses.MISSING:
            held[field.name] = field.default
        elif field.init:
            raise TypeError(f"it lacks {field.name!r}")
    for name, value in held.items():
        _put(made, name, value)
    return made


def _put(made: Any, name: str, value: Any) -> None:
    """Set an attribute where it is kept; whatever else its class has under the name would run."""
    if isinstance(getattr_static(type(made), name, None), MemberDescriptorType):
        object.__setattr__(made, name, value)
    elif (held := getattr(made, "__dict__", None)) is not None:
        held[name] = value


def _fresh(kind: type[Any], name: str, factory: Any) -> Any:
    """The default that a factory makes; one of a user's own is called for classes that a graph here names."""
    if factory not in _FACTORIES and not is_named(kind):
        raise TypeError(f"it lacks {name!r}")
    return factory()


def _model(
    kind: Any, fields: dict[str, Any], _: str, was_set: list[str] | None = None, own: Mapping[str, Any] | None = None
) -> Any:
    """A model with what it held; validating it again would refuse or change what it accepted before, and run code."""
    if not issubclass(kind, BaseModel):
        raise TypeError("it is no model now")
    if was_set is None and not issubclass(kind, (BaseMessage, Document)):
        raise TypeError("another program has stored it as a mere dump")
    known: Mapping[str, Any] = kind.__pydantic_fields__
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name in fields:
            values[name] = fields[name]
        elif field.is_required():
            raise TypeError(f"it lacks {name!r}")
        elif field.default_factory is not None:
            values[name] = _fresh(kind, name, field.default_factory)
        else:
            values[name] = field.get_default()
    more = {name: value for name, value in fields.items() if name not in known}
    if kind.model_config.get("extra") != "allow":
        more = None
    given = set(fields if was_set is None else was_set) & {*known, *(more or ())}
    made: Any = object.__new__(cast("Any", kind))
    object.__setattr__(made, "__dict__", values)
    object.__setattr__(made, "__pydantic_fields_set__", given)
    object.__setattr__(made, "__pydantic_extra__", more)
    object.__setattr__(made, "__pydantic_private__", _private(kind, own or {}))
    return made


def _private(kind: Any, own: Mapping[str, Any]) -> dict[str, Any] | None:
    known: Mapping[str, Any] = kind.__private_attributes__
    if not known:
        return None
    held: dict[str, Any] = {}
    for name, attribute in known.items():
        if name in own:
            held[name] = own[name]
        elif attribute.default_factory is not None and (attribute.default_factory in _FACTORIES or is_named(kind)):
            held[name] = attribute.default_factory()
        elif attribute.default_factory is None and attribute.default is not PydanticUndefined:
            held[name] = copy.deepcopy(attribute.default)
    return held


def _old_model(kind: Any, fields: dict[str, Any]) -> Any:
    if not is_old_model(kind):
        raise TypeError("it is no model of Pydantic's first version now")
    made: Any = object.__new__(kind)
    object.__setattr__(made, "__dict__", fields)
    object.__setattr__(made, "__fields_set__", set(fields))
    return made


def _numpy(form: list[Any]) -> Any:
    numpy = cast("Any", importlib.import_module("numpy"))
    if len(form) == 2:
        return numpy.frombuffer(form[1], dtype=numpy.dtype(form[0]))[0]
    kind, shape, order, data = form
    # Copied, because what is made of bytes cannot be written to.
    return numpy.frombuffer(data, dtype=numpy.dtype(kind)).reshape(shape, order=order).copy(order=order)


def _refused(*_: Any) -> Any:
    raise TypeError("it is not stored so")


_READERS: dict[int, Any] = {
    formats.ONE_ARGUMENT: _enum,
    formats.ARGUMENTS: _refused,
    formats.FIELDS: _fields,
    formats.METHOD: _refused,
    formats.OLD_MODEL: _old_model,
    formats.MODEL: _model,
}
"""How a class that is none of the safe ones is made, by the code that it is stored with."""
