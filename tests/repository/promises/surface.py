"""Surface: public names as plain JSON: of what kind each is, what it takes, and what a class offers."""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import re
import typing
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
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
HOOKS = {
    *("model_config", "model_post_init", "settings_customise_sources"),
    *("prepare_input", "thread_row", "outcome", "reference"),
}
"""What a library or the engine calls, not a user."""

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


def results() -> dict[str, Facts]:
    """What public functions, methods and properties give that has no public name itself, by who gives it."""
    import openmanus_graph

    found: dict[str, Facts] = {}
    for name in sorted(openmanus_graph.__all__):
        value = getattr(openmanus_graph, name)
        given = [(name, value)] if inspect.isfunction(value) else []
        if inspect.isclass(value):
            given = [(f"{name}.{key}", function) for key, function in _getters(value)]
        for giver, function in given:
            for kind in _own_classes(_evaluated(function.__annotations__.get("return"), function.__globals__)):
                found[giver] = _result(kind, (kind,))
    return found


def _getters(kind: type[Any]) -> list[tuple[str, Any]]:
    """Public methods, and the functions behind properties, that the package itself defines."""
    found: dict[str, Any] = {}
    for ancestor in reversed(inspect.getmro(kind)):
        if ancestor.__module__.startswith(PACKAGE):
            for name, value in vars(ancestor).items():
                function = getattr(value, "fget", None) or getattr(value, "func", None)
                function = function or getattr(value, "__func__", value)
                if inspect.isfunction(function) and not name.startswith("_") and name not in HOOKS:
                    found[name] = function
    return sorted(found.items())


def _result(kind: type[Any], around: tuple[type[Any], ...]) -> Facts:
    """A class that users read and do not make, with what its fields hold."""
    facts = {key: value for key, value in described(kind).items() if key != "parameters"}
    made = "class" if facts["kind"] == "class" else f"class ({facts['kind']})"
    return {**facts, "kind": f"{made}, to read", **_held(kind, around)}


def _held(kind: type[Any], around: tuple[type[Any], ...]) -> Facts:
    """What the fields of a result hold that has fields itself."""
    inside: Facts = {}
    if dataclasses.is_dataclass(kind):
        names = vars(import_module(kind.__module__))
        for field in dataclasses.fields(kind):
            for held in _own_classes(_evaluated(field.type, names)):
                if held not in around and not field.name.startswith("_"):
                    inside[field.name] = _result(held, (*around, held))
    return {"holds": inside} if inside else {}


class _Names(dict[str, Any]):
    """Names of a module; one that it imports for type checkers only stands for a list, which takes any argument."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, list)


def _evaluated(written: Any, names: dict[str, Any]) -> Any:
    return eval(written, {}, _Names(names)) if isinstance(written, str) else written


def _own_classes(kind: Any) -> list[type[Any]]:
    """Classes of the package in an annotation that have no public name."""
    public = vars(import_module(PACKAGE))["__all__"]
    if isinstance(kind, type) and kind.__module__.startswith(PACKAGE):
        return [] if kind.__name__ in public else [kind]
    return [found for inner in typing.get_args(kind) for found in _own_classes(inner)]
