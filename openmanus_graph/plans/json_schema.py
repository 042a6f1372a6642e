"""JSON Schema: validators made with the library `jsonschema`, also for values in which references are `Unresolved`.

What is not known yet is never refused: of a value with references only that is an error which no output of a subtask
could mend. Without references the rules are those of JSON Schema, `format` among them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import datetime, time
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.plans.references import Unresolved, has_unresolved

Schema = dict[str, Any]
Keyword = Callable[[Any, Any, Any, Any], Iterator[Any]]
"""A keyword as `jsonschema` calls it: validator, the keyword's value, the instance, the schema around it."""

_KINDS = ("Draft202012Validator", "Draft7Validator", "Draft4Validator")
"""What a schema without `$schema` may be written in; the first under which it is sound is taken."""
_OF_OPTIONS = frozenset({"enum", "const"})
_OF_TEXT = frozenset({"pattern", "minLength", "maxLength", "format"})
_OF_PARTS = frozenset({"uniqueItems", "unevaluatedItems", "unevaluatedProperties"})
_FORMATS = ("date", "email", "idn-email", "ipv4", "ipv6", "uuid")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_TIME_OF_DAY = re.compile(r"\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_ECMA_ONLY = re.compile(r"\\[pP]\{|\\u\{|\\c[A-Za-z]|\(\?<[A-Za-z_$]|\\k<|\[\^?\]")
"""What JavaScript's regular expressions have and Python's have not; a pattern with it is not checked."""

_sure: ContextVar[bool] = ContextVar("openmanus_graph_schema_sure", default=False)
"""Whether unknown parts of a value count as wrong, for what must be certain to fit, such as the part of a `not`."""


def validator_of(schema: Any) -> Any:
    """A validator of the dialect that `$schema` names, else of the first in which it is sound.

    It never reaches for the network: a `$ref` leads to places inside the schema only.

    Raises:
        ToolArgumentsError: If `schema` is no JSON Schema.
    """
    try:
        return _validator(json.dumps(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolArgumentsError(f"The schema is no JSON Schema: {error}.") from error


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    library, referencing = import_module("jsonschema"), import_module("referencing")
    schema: Any = json.loads(text)
    stated = library.validators.validator_for(schema, default=None)
    kinds = [getattr(library, name) for name in _KINDS] if stated is None else [stated]
    problems: list[Any] = []
    for kind in kinds:
        try:
            kind.check_schema(schema, format_checker=_formats())
        except library.SchemaError as error:
            problems.append(error)
            continue
        own = _without_dialect(schema)
        _check_references(own, kind)
        return _aware(kind)(own, registry=referencing.Registry(), format_checker=_formats())
    where = ".".join(str(part) for part in problems[0].absolute_path) or "the schema itself"
    message = str(problems[0].message)
    raise ToolArgumentsError(f"The schema is no JSON Schema at {where!r}: {message[:200]}.")


def _without_dialect(schema: Any) -> Any:
    """The schema without `$schema`, at which `jsonschema` would take its own validator for a part."""
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in cast("Schema", schema).items() if key != "$schema"}
    for key in ("$defs", "definitions"):
        if isinstance(kept.get(key), dict):
            kept[key] = {name: _without_dialect(part) for name, part in kept[key].items()}
    return kept


def _check_references(schema: Any, kind: Any) -> None:
    """Refuse a schema with a `$ref` that leads nowhere.

    Raises:
        ToolArgumentsError: If one does.
    """
    referencing = import_module("referencing")
    dialect = import_module("referencing.jsonschema").specification_with(kind.ID_OF(kind.META_SCHEMA))
    root = dialect.create_resource(schema)
    waiting = [(root, import_module("jsonschema_specifications").REGISTRY.resolver_with_root(root))]
    while waiting:
        resource, resolver = waiting.pop()
        reference = mapping_of(resource.contents).get("$ref")
        if isinstance(reference, str):
            try:
                resolver.lookup(reference)
            except referencing.exceptions.Unresolvable as error:
                raise ToolArgumentsError(
                    f"The schema refers to {reference!r}, which is not in it.", hint="Put it below '$defs'."
                ) from error
        waiting += [(part, resolver.in_subresource(part)) for part in resource.subresources()]


@lru_cache(maxsize=1)
def _formats() -> Any:
    """The formats that are checked, the same on every machine: the library's own list depends on what is installed."""
    checker = import_module("jsonschema").FormatChecker(formats=_FORMATS)
    for name, check in (
        ("date-time", partial(_reads, _MOMENT, datetime.fromisoformat)),
        ("time", partial(_reads, _TIME_OF_DAY, time.fromisoformat)),
        ("uri", _is_uri),
        ("regex", _is_pattern),
    ):
        checker.checks(name)(check)
    return checker


def _reads(shape: re.Pattern[str], read: Callable[[str], Any], value: Any) -> bool:
    if not isinstance(value, str):
        return True
    if not shape.fullmatch(value):
        return False
    try:
        read(value.upper())
    except ValueError:
        return False
    return True


def _is_uri(value: Any) -> bool:
    if not isinstance(value, str):
        return True
    try:
        return bool(urlsplit(value).scheme) and not re.search(r"[\s<>\"{}|\\^`]", value)
    except ValueError:
        return False


def _is_pattern(value: Any) -> bool:
    if not isinstance(value, str) or _ECMA_ONLY.search(value):
        return True
    try:
        re.compile(value)
    except re.error:
        return False
    return True


@lru_cache(maxsize=8)
def _aware(kind: Any) -> Any:
    """The validator class `kind` with keywords that know of `Unresolved`."""
    stock: dict[str, Keyword] = dict(kind.VALIDATORS)
    special = {"not": _not, "if": _if, "oneOf": _one_of, "contains": _contains}
    keywords = {name: _careful(name, special.get(name, check), check) for name, check in stock.items()}
    return import_module("jsonschema").validators.extend(kind, keywords)


def _careful(name: str, unresolved: Keyword, resolved: Keyword) -> Keyword:
    named = _named_parts if name == "properties" else _as_it_is

    def check(validator: Any, rule: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not has_unresolved(instance):
            try:
                yield from resolved(validator, named(rule), instance, schema) or ()
            except re.error:
                return  # a pattern that only JavaScript reads
        elif not _depends(name, rule, instance):
            yield from unresolved(validator, named(rule), instance, schema) or ()
        elif _sure.get():
            yield _error("is not known yet")

    return check


def _as_it_is(rule: Any) -> Any:
    return rule


def _named_parts(rule: Any) -> Any:
    """The rules of members, `false` as another schema that nothing fits: of `false` the library does not say where."""
    named: Schema = {name: {"not": {}} if part is False else part for name, part in rule.items()}
    return named


def _depends(keyword: str, rule: Any, instance: Any) -> bool:
    """Whether it depends on what references turn out to be, whether a value meets a keyword by itself."""
    if not isinstance(instance, Unresolved):
        return keyword in _OF_OPTIONS or keyword in _OF_PARTS
    if instance.whole or keyword in _OF_TEXT:
        return True
    options = [rule] if keyword == "const" else rule
    return keyword in _OF_OPTIONS and any(isinstance(option, str) for option in options)


def _error(message: str, **more: Any) -> Any:
    return import_module("jsonschema").ValidationError(message, **more)


def _fits(validator: Any, schema: Any, instance: Any, *, sure: bool) -> bool:
    """Whether a value may fit a schema or, if `sure`, whether it does whatever its references turn out to be."""
    token = _sure.set(sure)
    try:
        return validator.evolve(schema=schema).is_valid(instance)
    finally:
        _sure.reset(token)


def _not(validator: Any, rule: Any, instance: Any, schema: Any) -> Iterator[Any]:
    del schema
    if _fits(validator, rule, instance, sure=not _sure.get()):
        yield _error("fits what it must not")


def _if(validator: Any, rule: Any, instance: Any, schema: Schema) -> Iterator[Any]:
    yes, maybe = (_fits(validator, rule, instance, sure=sure) for sure in (True, False))
    both = maybe and not yes and _sure.get()
    if "then" in schema and (yes or both):
        yield from validator.descend(instance, schema["then"], schema_path="then")
    if "else" in schema and (not maybe or both):
        yield from validator.descend(instance, schema["else"], schema_path="else")


def _one_of(validator: Any, rule: Any, instance: Any, schema: Any) -> Iterator[Any]:
    del schema
    sure = _sure.get()
    errors = [list(validator.descend(instance, part, schema_path=place)) for place, part in enumerate(rule)]
    if all(errors):
        yield _error("fits none", context=[error for found in errors for error in found])
    elif sum(_fits(validator, part, instance, sure=not sure) for part in rule) > 1:
        yield _error("fits more than one")


def _contains(validator: Any, rule: Any, instance: Any, schema: Schema) -> Iterator[Any]:
    if not validator.is_type(instance, "array"):
        return
    sure = _sure.get()
    found = sum(_fits(validator, rule, item, sure=sure) for item in instance)
    if found < schema.get("minContains", 1):
        yield _error("too few")
    if sum(_fits(validator, rule, item, sure=not sure) for item in instance) > schema.get("maxContains", found + 1e9):
        yield _error("too many", validator="maxContains", validator_value=schema["maxContains"])


def named_members(schema: Schema) -> tuple[tuple[str, ...], bool]:
    """The members that a mapping may have by name, and whether it may have others that the schema describes."""
    names: dict[str, None] = {}
    is_open = False
    waiting: list[Any] = [schema]
    seen: list[Any] = []
    while waiting:
        part = mapping_of(waiting.pop(0))
        if not part or any(part is other for other in seen):
            continue
        seen.append(part)
        names |= dict.fromkeys([*mapping_of(part.get("properties")), *map(str, list_of(part.get("required")))])
        others = ("additionalProperties", "patternProperties", "unevaluatedProperties")
        is_open = is_open or any(part.get(key) for key in others)
        waiting += [option for key in ("allOf", "anyOf", "oneOf") for option in list_of(part.get(key))]
        waiting += [part.get(key) for key in ("if", "then", "else")]
        waiting += mapping_of(part.get("dependentSchemas")).values()
        if isinstance(part.get("$ref"), str):
            waiting.append(_target(schema, part["$ref"]))
    return tuple(names), is_open


def _target(schema: Schema, reference: str) -> Any:
    target: Any = schema
    for part in unquote(reference.removeprefix("#")).split("/")[1:]:
        target = mapping_of(target).get(part.replace("~1", "/").replace("~0", "~"))
    return target


def mapping_of(value: Any) -> dict[str, Any]:
    """`value` if it is a mapping, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []
