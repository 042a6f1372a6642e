"""References: the `${…}` language by which a subtask names the output of an earlier one.

```
${s1}                  the whole output of subtask `s1`
${s1.field.0}          one part of it; digits index a list
${s1."odd. name"}      a field with dots, spaces, quotes or braces in its name, as a JSON string
$${                    a literal `${`; in a run of `$` before `{`, each `$$` is one `$`
```

A string that is one reference and nothing else becomes the value itself, with its type. In a string with
other text the value is put in as text: text as it is, anything else as compact JSON. A value that was put in
is never scanned again.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NewType, cast

from openmanus_graph.errors import ToolArgumentsError

SubtaskId = NewType("SubtaskId", str)
"""The id of a subtask, unique in its plan."""

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
"""Pattern of an id (ASCII letters, digits, `_` and `-`, 1 to 64 of them)."""

_OPENING = re.compile(r"(?<!\$)\$+\{")  # the look-behind keeps a long run of `$` linear
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_SEGMENT = rf'(?:[^\s.{{}}"$]+|{_QUOTED})'
_BODY = re.compile(rf"([A-Za-z0-9_-]{{1,64}})((?:\.{_SEGMENT})*)\}}")
_PART = re.compile(rf"\.({_SEGMENT})")
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")
_SHOWN_FIELDS = 12


class ReferenceSyntaxError(ValueError):
    """Text after `${` that is not a reference."""


@dataclass(frozen=True)
class Reference:
    """One `${…}`."""

    subtask_id: SubtaskId
    """The subtask whose output is meant."""
    path: tuple[str, ...] = ()
    """Fields and indexes that lead to the part meant; empty means the whole output."""

    def __str__(self) -> str:
        """The reference as it is written in a plan."""
        parts = [self.subtask_id, *(_written(part) for part in self.path)]
        return "${" + ".".join(parts) + "}"

    def find_in(self, output: Any) -> Any:
        """The part of `output` that this reference names; not a copy.

        Raises:
            ToolArgumentsError: If there is no such part; the message names the ones that exist.
        """
        value = output
        for depth, part in enumerate(self.path):
            if isinstance(value, dict):
                fields = cast("dict[str, Any]", value)
                if part not in fields:
                    raise self._no_field(depth, [str(name) for name in fields])
                value = fields[part]
            elif isinstance(value, list):
                items = cast("list[Any]", value)
                if not _INDEX.fullmatch(part) or int(part) >= len(items):
                    raise self._no_item(depth, len(items))
                value = items[int(part)]
            else:
                raise ToolArgumentsError(
                    f"The reference {str(self)!r} asks for {part!r} of {self._place(depth)}, "
                    f"which is {kind_of(value)} and has no fields.",
                    hint=f"Use {str(Reference(self.subtask_id, self.path[:depth]))!r}.",
                )
        return value

    def _place(self, depth: int) -> str:
        """Words for the value that the first `depth` parts lead to."""
        inside = f" at {'.'.join(self.path[:depth])!r}" if depth else ""
        return f"the output of subtask {self.subtask_id!r}{inside}"

    def _no_field(self, depth: int, existing: list[str]) -> ToolArgumentsError:
        part = self.path[depth]
        near = get_close_matches(part[:100], [name[:100] for name in existing[:1000]], n=1)
        listed = ", ".join(repr(name) for name in existing[:_SHOWN_FIELDS])
        if len(existing) > _SHOWN_FIELDS:
            listed += f" and {len(existing) - _SHOWN_FIELDS} more"
        return ToolArgumentsError(
            f"The reference {str(self)!r} names the field {part!r}, "
            f"which {self._place(depth)} does not have; it has {listed or 'no fields'}.",
            hint=f"Did you mean {near[0]!r}?" if near else None,
        )

    def _no_item(self, depth: int, length: int) -> ToolArgumentsError:
        return ToolArgumentsError(
            f"The reference {str(self)!r} asks for {self.path[depth]!r} of {self._place(depth)}, "
            f"which is a list of {length}.",
            hint=f"Use an index from 0 to {length - 1}." if length else "The list is empty.",
        )


def kind_of(value: Any) -> str:
    """Kind of a JSON value in words, such as `a number`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    for kind, words in ((str, "text"), ((int, float), "a number"), (list, "a list"), (dict, "a mapping")):
        if isinstance(value, kind):
            return words
    return f"a {type(value).__name__}"


def split(text: str) -> list[str | Reference]:
    """Take a string apart into literal text, escapes undone, and references; no empty text among them.

    Raises:
        ReferenceSyntaxError: If something after `${` is not a reference; the message names the cure.
    """
    parts: list[str | Reference] = []
    literal: list[str] = []
    at = 0
    for opening in _OPENING.finditer(text):
        if opening.start() < at:
            continue  # inside a quoted field of the reference before
        dollars = opening.end() - opening.start() - 1
        literal.append(text[at : opening.start()] + "$" * (dollars // 2))
        at = opening.end()
        if dollars % 2 == 0:
            literal.append("{")
            continue
        reference, at = _read(text, at)
        if before := "".join(literal):
            parts.append(before)
        literal.clear()
        parts.append(reference)
    if rest := "".join(literal) + text[at:]:
        parts.append(rest)
    return parts


def escape(text: str) -> str:
    """Write `text` so that it means itself: every `$` in front of `{` is doubled."""
    return _OPENING.sub(lambda opening: "$" * (len(opening[0]) - 1) + opening[0], text)


def with_ids(text: str, ids: Mapping[str, str]) -> str:
    """A string whose references name subtasks by other ids; an id that is not among them stays, as all else does."""
    parts: list[str] = []
    at = behind = 0
    for opening in _OPENING.finditer(text):
        body = _BODY.match(text, opening.end())
        is_escape = len(opening[0]) % 2  # `$${`, or a longer run of them
        if opening.start() < behind or is_escape or body is None:
            continue
        parts += [text[at : opening.end()], ids.get(body[1], body[1])]
        at, behind = body.end(1), body.end()
    return "".join([*parts, text[at:]])


def strings_in(value: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every string in a plain value (keys not counted) with the path that leads to it."""
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, str):
            yield path, item
        elif isinstance(item, dict):
            members = cast("dict[str, Any]", item)
            stack.extend(((*path, key), members[key]) for key in reversed(members))
        elif isinstance(item, list):
            items = cast("list[Any]", item)
            stack.extend(((*path, index), items[index]) for index in reversed(range(len(items))))


def references_in(value: Any) -> list[Reference]:
    """Every reference in a plain value, in reading order, each once.

    Raises:
        ReferenceSyntaxError: If a string in it is malformed.
    """
    references: dict[Reference, None] = {}
    for _, text in strings_in(value):
        if "${" in text:
            references.update((part, None) for part in split(text) if isinstance(part, Reference))
    return list(references)


def whole_reference(value: Any) -> Reference | None:
    """The reference that `value` consists of, or `None` if it is anything else.

    Raises:
        ReferenceSyntaxError: If it is a malformed string.
    """
    if not isinstance(value, str) or not value.startswith("${"):
        return None
    parts = split(value)
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Reference) else None


class Unresolved(str):
    """A string whose references are not resolved yet, so that its content is unknown."""

    __slots__ = ("whole",)
    whole: bool
    """Whether it is one reference and nothing else, so that even its type is unknown."""


def mark_unresolved(value: Any) -> Any:
    """A copy of a plain value with `Unresolved` strings where references are, and escapes undone elsewhere.

    Raises:
        ReferenceSyntaxError: If a string in it is malformed.
    """
    if isinstance(value, str):
        parts = split(value) if "${" in value else [value]
        if not any(isinstance(part, Reference) for part in parts):
            return "".join(str(part) for part in parts)
        marked = Unresolved(value)
        marked.whole = len(parts) == 1
        return marked
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {key: mark_unresolved(member) for key, member in members.items()}
    if isinstance(value, list):
        return [mark_unresolved(item) for item in cast("list[Any]", value)]
    return value


def has_unresolved(value: Any) -> bool:
    """Whether a value that `mark_unresolved` returned holds a reference anywhere."""
    return any(isinstance(text, Unresolved) for _, text in strings_in(value))


def resolve(value: Any, lookup: Callable[[str], Any]) -> Any:
    """Put outputs in the place of references, recursively; lists and mappings are copied, keys stay.

    Args:
        value: A plain value, such as the `args` of a subtask.
        lookup: The whole output of a subtask, by its id; whatever it raises is passed on.

    Raises:
        ToolArgumentsError: If an output has no such part.
        ReferenceSyntaxError: If a string is malformed (a validated plan has none).
    """
    if isinstance(value, str):
        if "${" not in value:
            return value
        whole = whole_reference(value)
        if whole is not None:
            return copy.deepcopy(whole.find_in(lookup(whole.subtask_id)))
        return render(value, lookup)
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {key: resolve(member, lookup) for key, member in members.items()}
    if isinstance(value, list):
        return [resolve(item, lookup) for item in cast("list[Any]", value)]
    return value


def render(text: str, lookup: Callable[[str], Any]) -> str:
    """Like `resolve` for one string that must stay text, such as a goal.

    Raises:
        ToolArgumentsError: If an output has no such part.
        ReferenceSyntaxError: If `text` is malformed.
    """
    return "".join(
        part if isinstance(part, str) else as_text(part.find_in(lookup(part.subtask_id))) for part in split(text)
    )


def as_text(value: Any) -> str:
    """An output as it appears inside other text: text as it is, anything else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _read(text: str, at: int) -> tuple[Reference, int]:
    """The reference whose inside starts at `at`, and the place behind its `}`."""
    body = _BODY.match(text, at)
    if body is None:
        shown = text[at - 2 : at + 40].partition("}")
        raise ReferenceSyntaxError(
            f"{shown[0] + shown[1]!r} is not a reference such as '${{id}}' or '${{id.field.0}}'; "
            "write '$${' for a literal '${'"
        )
    path = tuple(_unquoted(part) for part in _PART.findall(body[2]))
    return Reference(SubtaskId(body[1]), path), body.end()


def _unquoted(part: str) -> str:
    if not part.startswith('"'):
        return part
    try:
        name: str = json.loads(part)
    except ValueError as error:
        raise ReferenceSyntaxError(f"the quoted field {part!r} of a reference is not a JSON string") from error
    return name


def _written(part: str) -> str:
    return part if re.fullmatch(_SEGMENT, part) and '"' not in part else json.dumps(part, ensure_ascii=False)
