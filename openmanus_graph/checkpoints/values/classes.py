"""Classes: which classes of a user's own stored values may be of, and how one is found again.

What is stored names classes, and whoever can write to the database chooses those names. So reading imports nothing and
runs nothing of a class: it takes a class that a graph's schemas name, that this process has stored a value of, or that
the program has imported already, and only one that is a record of data. Its fields are put back as they were.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Collection, Iterable
from enum import Enum
from functools import cache
from typing import Any, cast, get_args, get_origin, get_type_hints
from weakref import WeakValueDictionary

from pydantic import BaseModel
from typing_extensions import TypeIs, is_typeddict

from openmanus_graph.loading.user_modules import modules_named, plain_module_name

Key = tuple[str, ...]
"""Module and qualified name of a class."""

_named: WeakValueDictionary[Key, type[Any]] = WeakValueDictionary()
"""Classes that the schemas of this process's graphs name."""
_stored: WeakValueDictionary[Key, type[Any]] = WeakValueDictionary()
"""Classes that this process has stored values of."""


class MissingClassError(Exception):
    """A class that a stored value names, and that cannot be found or must not be made."""

    def __init__(self, module: str, name: str, why: str) -> None:
        """Name it.

        Args:
            module: Its module.
            name: Its qualified name.
            why: Why not, as the rest of a sentence that begins with the class.
        """
        self.module, self.name, self.why = module, name, why
        super().__init__(f"{module}.{name} {why}")


class StoredObject(dict[str, Any]):
    """The fields of a value whose class is not here: what views show, and what is written again as it was."""

    module: str
    """Module of the class."""
    name: str
    """Qualified name of the class."""
    code: int
    """How it is stored: a code of msgpack's."""
    tail: list[Any]
    """What is stored of it behind its fields."""


def is_named_tuple(kind: type[Any]) -> bool:
    """Whether a class is that of a NamedTuple."""
    return issubclass(kind, tuple) and isinstance(getattr(cast("Any", kind), "_fields", None), tuple)


def is_old_model(kind: type[Any]) -> bool:
    """Whether a class is a model of Pydantic's first version."""
    old = sys.modules.get("pydantic.v1")
    return old is not None and issubclass(kind, old.BaseModel)


def is_record(kind: object) -> TypeIs[type[Any]]:
    """Whether something is a class whose values are nothing but their fields."""
    if not isinstance(kind, type) or hasattr(kind, "__del__"):
        return False
    kind = cast("type[Any]", kind)
    return (
        issubclass(kind, (BaseModel, Enum)) or dataclasses.is_dataclass(kind) or is_named_tuple(kind)
    ) or is_old_model(kind)


def key_of(kind: type[Any]) -> tuple[str, str]:
    """What a stored value names its class by."""
    return plain_module_name(kind.__module__), kind.__qualname__


def note_stored(kind: type[Any]) -> None:
    """Let this process find a class that it stores a value of."""
    _stored[key_of(kind)] = kind


def is_named(kind: type[Any]) -> bool:
    """Whether a schema of a graph of this process names the class."""
    return _named.get(key_of(kind)) is kind


def is_found_elsewhere(kind: type[Any]) -> bool:
    """Whether other processes find the class too: by its name in its module, or by a schema of a graph."""
    return is_named(kind) or ("<locals>" not in kind.__qualname__ and _is_in_its_module(kind))


@cache
def _is_in_its_module(kind: type[Any]) -> bool:
    return _loaded(*key_of(kind)) is kind


def _loaded(module: str, name: str) -> type[Any] | None:
    """The class of a name in a module that has been imported; `None` if there is none that a value may be of."""
    stem, bracket, _ = name.partition("[")
    for place in modules_named(module):
        found: Any = place
        for part in stem.split("."):
            held: dict[str, Any] = getattr(found, "__dict__", {})
            found = held.get(part)
        if bracket and isinstance(found, type):  # a generic model that was given its types
            made = cast("type[Any]", found).__subclasses__()
            found = next((kind for kind in made if kind.__qualname__ == name), None)
        if is_record(found) and key_of(found) == (module, name):
            return found
    return None


def find_class(module: str, name: str, allowed: Collection[Key] = ()) -> type[Any]:
    """The class that a stored value names.

    Args:
        module: Its module.
        name: Its qualified name.
        allowed: Classes that may be imported for it, as LangGraph tells them of a graph's schemas.

    Raises:
        MissingClassError: If it is not here, or is no record of data.
    """
    key = (module, name)
    if (known := _named.get(key) or _stored.get(key)) is not None:
        return known
    if key in allowed and module not in sys.modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise MissingClassError(module, name, f"cannot be imported here ({error})") from error
    if (found := _loaded(module, name)) is not None:
        return found
    if not modules_named(module):
        raise MissingClassError(module, name, f"is not here: nothing has imported {module!r}")
    where = "was made inside a function" if "<locals>" in name else f"is no class of {module!r} that values may be of"
    raise MissingClassError(module, name, where)


def note_schemas(schemas: Iterable[Any]) -> None:
    """Let this process find the classes that types name, such as the schemas of a graph's state.

    Args:
        schemas: Types as annotations have them: models, TypedDicts, unions, lists of them and so on.
    """
    seen: set[int] = set()
    waiting = list(schemas)
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, str):
            continue
        seen.add(id(one))
        if is_record(one):
            _named[key_of(one)] = one
        waiting += _inside(one)


def _inside(one: Any) -> list[Any]:
    """The types that a type names."""
    if get_origin(one) is not None:
        return [get_origin(one), *get_args(one)]
    alias = getattr(one, "__supertype__", None) or getattr(one, "__value__", None)
    if alias is not None:
        return [alias]
    if not isinstance(one, type):
        return list(get_args(one))
    if not (is_typeddict(one) or is_record(one)):
        return []
    try:
        return list(get_type_hints(one, include_extras=True).values())
    except Exception:  # noqa: BLE001 - a name that is only there for type checkers; what Pydantic found is enough
        fields: dict[str, Any] = getattr(one, "__pydantic_fields__", None) or {}
        return [getattr(field, "annotation", None) for field in fields.values()]
