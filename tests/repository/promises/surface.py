"""Surface: public names as plain JSON: of what kind each is, what it takes, and what a class offers."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable
from functools import cached_property
from types import ModuleType
from typing import Any, ForwardRef

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typing_extensions import is_typeddict

PACKAGE = "openmanus_graph"
PROTOCOLS = {
    *("__aenter__", "__aexit__", "__enter__", "__exit__", "__await__", "__aiter__", "__anext__", "__iter__"),
    *("__len__", "__getitem__", "__contains__", "__call__", "__bool__"),
}
"""Methods that syntax calls: `async with`, `for`, `if`."""
HOOKS = {"model_config", "model_post_init", "settings_customise_sources"}
"""What a library calls, not a user."""

Facts = dict[str, Any]


def public_names() -> dict[str, Facts]:
    """Every name of `openmanus_graph.__all__`."""
    import openmanus_graph

    return {name: described(getattr(openmanus_graph, name)) for name in sorted(openmanus_graph.__all__)}


def described(value: Any, *, methods: bool = True) -> Facts:
    """What a name stands for.

    Args:
        value: What it stands for.
        methods: Whether to tell what a class offers, and not only how it is made.
    """
    if inspect.isclass(value):
        return _class(value, methods=methods)
    if isinstance(value, ModuleType):
        return {"kind": "module"}
    if inspect.isroutine(value):
        return _function(value)
    if typing.get_origin(value) is not None:
        return {"kind": "type"}
    return {"kind": f"value: {type(value).__name__}"}


def _function(function: Callable[..., Any]) -> Facts:
    signature = inspect.signature(function)
    return {
        "kind": _kind(function),
        "parameters": parameters(signature),
        "returns": annotation(signature.return_annotation),
    }


def _kind(function: Any) -> str:
    if inspect.iscoroutinefunction(function):
        return "async function"
    return "async generator" if inspect.isasyncgenfunction(function) else "function"


def parameters(signature: inspect.Signature) -> list[str]:
    """The parameters in order, as they are written; `*` stands before those that only go by name."""
    found: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls") or (parameter.name.startswith("_") and parameter.default is not _EMPTY):
            continue
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        if parameter.kind is parameter.KEYWORD_ONLY and not any(text.startswith("*") for text in found):
            found.append("*")
        found.append(_declared(f"{stars}{parameter.name}", parameter.annotation, parameter.default))
        if parameter.kind is parameter.POSITIONAL_ONLY:
            found[-1] = f"{found[-1]} (by place only)"
    return found


_EMPTY = inspect.Parameter.empty


def _declared(name: str, kind: Any, default: Any) -> str:
    text = name if kind is _EMPTY else f"{name}: {annotation(kind)}"
    return text if default is _EMPTY else f"{text} = {shown(default)}"


def annotation(kind: Any) -> str:
    """An annotation as it is written in the source."""
    if kind is _EMPTY:
        return ""
    if isinstance(kind, ForwardRef):
        return kind.__forward_arg__
    return kind if isinstance(kind, str) else inspect.formatannotation(kind)


def shown(default: Any) -> str:
    """A default value, without what differs from one process to the next."""
    made = typing.get_origin(default) or default
    if inspect.isroutine(made) or inspect.isclass(made):
        return made.__name__
    return re.sub(rf" at 0x[0-9a-f]+|\b{PACKAGE}(\.\w+)*\.", "", repr(default))


def _class(kind: type[Any], *, methods: bool) -> Facts:
    fields = fields_of(kind)
    facts: Facts = {"kind": _class_kind(kind), "is": _ancestors(kind)}
    if fields:
        facts["fields"] = fields
    elif not issubclass(kind, tuple) and not getattr(kind, "_is_protocol", False):
        facts["parameters"] = parameters(inspect.signature(kind))
    if methods and (offered := _members(kind, set(fields))):
        facts["members"] = offered
    return {key: value for key, value in facts.items() if value != []}


def _class_kind(kind: type[Any]) -> str:
    if issubclass(kind, BaseException):
        return "exception"
    if is_typeddict(kind) or typing.is_typeddict(kind):
        return "typed dict"
    return "class"


def _ancestors(kind: type[Any]) -> list[str]:
    """What it may be taken for: exceptions of ours, and classes of libraries."""
    found = [
        ancestor.__name__
        for ancestor in inspect.getmro(kind)[1:]
        if ancestor not in (object, dict, typing.Generic)
        and (issubclass(ancestor, BaseException) or not ancestor.__module__.startswith(PACKAGE))
    ]
    return sorted(found)


def fields_of(kind: type[Any]) -> dict[str, str]:
    """Fields of a model, a dataclass or a typed dict, each with its type and default."""
    if issubclass(kind, BaseModel):
        written = _annotations(kind)
        return {
            name: _declared("", written[name], _model_default(field)).removeprefix(": ")
            for name, field in kind.model_fields.items()
        }
    if dataclasses.is_dataclass(kind):
        return {
            field.name: _declared("", field.type, _field_default(field)).removeprefix(": ")
            for field in dataclasses.fields(kind)
            if not field.name.startswith("_")
        }
    if _class_kind(kind) == "typed dict":
        return {name: annotation(given) for name, given in inspect.get_annotations(kind).items()}
    return {}


def _model_default(field: Any) -> Any:
    if field.default_factory is not None:
        return field.default_factory
    return _EMPTY if field.default is PydanticUndefined else field.default


def _field_default(field: Any) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    return _EMPTY if field.default is dataclasses.MISSING else field.default


def _annotations(kind: type[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for ancestor in reversed(inspect.getmro(kind)):
        found |= inspect.get_annotations(ancestor)
    return found


def _members(kind: type[Any], fields: set[str]) -> dict[str, Any]:
    """Methods, properties and constants that the package itself defines, inherited ones too."""
    found: dict[str, Any] = {}
    for ancestor in reversed(inspect.getmro(kind)):
        if not ancestor.__module__.startswith(PACKAGE):
            continue
        for name, value in vars(ancestor).items():
            if name in {*fields, *HOOKS} or (name.startswith("_") and name not in PROTOCOLS):
                continue
            found[name] = _member(value)
    return dict(sorted(found.items()))


def _member(value: Any) -> Facts:
    if isinstance(value, property | cached_property):
        getter: Any = value.fget if isinstance(value, property) else value.func
        return {"kind": "property", "returns": annotation(inspect.signature(getter).return_annotation)}
    if isinstance(value, classmethod | staticmethod):
        function: Any = value.__func__
        return {**_function(function), "kind": f"{type(value).__name__}, {_kind(function)}"}
    if inspect.isroutine(value):
        return _function(value)
    return {"kind": f"value: {type(value).__name__}"}
