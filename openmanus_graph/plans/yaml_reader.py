"""YAML reader: one document read into plain data, with the line of each part.

It goes through the parser's events by a loop, not by recursion: depth is bounded and every line is known.
A plain scalar is a number, true, false or null only where YAML 1.1 and 1.2 agree on its value; `yes`, `on`,
dates, `1e3`, `0o17`, `12:30` and `010` are text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, cast

from openmanus_graph.errors import PlanError
from openmanus_graph.plans.json_values import MAX_DEPTH, MAX_VALUES, PlanPath, shown

if TYPE_CHECKING:
    from yaml.events import Event, ScalarEvent

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?|\.[0-9]+(?:[eE][-+][0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"([-+]?)\.(?:(inf|Inf|INF)|nan|NaN|NAN)")
_CORE_TAG = "tag:yaml.org,2002:"
_LINES_DEPTH = 5


@dataclass
class _Open:
    """A list or mapping whose end has not been read."""

    value: Any
    is_list: bool
    path: PlanPath
    line: int
    anchor: str | None = None
    key: str | None = None
    """The key whose value comes next; `None` in a list, and where a key comes next."""
    merges: list[Any] = field(default_factory=list[Any])
    """Values that `<<` keys of a mapping name."""
    merging: bool = False
    """Whether the value that comes next belongs to a `<<` key."""


def read_yaml(
    text: str, source: str | None = None, *, lenient: bool = False, deepest: int = MAX_DEPTH
) -> tuple[Any, dict[PlanPath, int]]:
    """Read the one document in `text`: its data, and the line (from 1) on which each part of it begins.

    Args:
        text: The document.
        source: What it is called in errors.
        lenient: Whether any scalar may be a key, the last of two equal keys counts, and unknown tags are passed over,
            as in documents of other programs.
        deepest: Levels of lists and mappings that it may have.

    Raises:
        PlanError: If it is not YAML; the message has line and column where the parser knows them.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    composer = _Composer(source, lenient=lenient, deepest=deepest)
    try:
        for event in cast("Iterator[Event]", cast("Any", yaml).parse(text, Loader=loader)):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        context = f" ({error.context})" if error.context else ""
        raise PlanError([f"{where}it is not YAML: {error.problem}{context}"], source=source) from error
    except yaml.YAMLError as error:
        raise PlanError([f"it is not YAML: {' '.join(str(error).split())}"], source=source) from error
    if composer.problems:
        raise PlanError(composer.problems, source=source)
    return composer.root, composer.lines


class _Composer:
    """Builds plain data from YAML events."""

    def __init__(self, source: str | None, *, lenient: bool, deepest: int) -> None:
        self.root: Any = None
        self.lines: dict[PlanPath, int] = {}
        self.problems: list[str] = []
        self._source = source
        self._lenient = lenient
        self._deepest = deepest
        self._documents = 0
        self._merged = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, Any] = {}

    def take(self, event: Event) -> None:
        """Go on by one event."""
        from yaml import events

        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, events.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop(line, "it has more than one document; remove the second '---'")
        elif isinstance(event, events.AliasEvent):
            self._place(self._alias(cast("str", event.anchor), line), line)
        elif isinstance(event, events.ScalarEvent):
            value = self._scalar(event, line)
            if event.anchor:
                self._anchors[event.anchor] = value
            self._place(value, line, plain_merge=event.value == "<<" and event.implicit[0])
        elif isinstance(event, events.SequenceStartEvent | events.MappingStartEvent):
            self._open(event, line)
        elif isinstance(event, events.SequenceEndEvent | events.MappingEndEvent):
            self._close()

    def _open(self, event: Any, line: int) -> None:
        from yaml import events

        is_list = isinstance(event, events.SequenceStartEvent)
        if event.tag not in (None, "!", _CORE_TAG + ("seq" if is_list else "map")) and not self._lenient:
            self.problems.append(f"line {line}: the tag {event.tag!r} is not supported; remove it")
        if len(self._stack) >= self._deepest:
            self._stop(line, f"it is nested more than {self._deepest} levels deep; flatten it")
        parent = self._stack[-1] if self._stack else None
        if parent is not None and self._wants_key(parent):
            self._stop(line, "a list or mapping is used as a key; use text")
        path: PlanPath = () if parent is None else self._next_path(parent)
        value: Any = [] if is_list else {}
        self._stack.append(_Open(value, is_list, path, line, event.anchor))
        if event.anchor:
            self._anchors.pop(event.anchor, None)
        self._note_line(path, line)

    def _close(self) -> None:
        done = self._stack.pop()
        for merge in done.merges:
            self._merged += len(merge)
            if self._merged > MAX_VALUES:
                self._stop(done.line, f"its '<<' keys bring in more than {MAX_VALUES} values")
            for key, value in merge.items():
                done.value.setdefault(key, value)
        if done.anchor:
            self._anchors[done.anchor] = done.value
        self._place(done.value, done.line)

    def _place(self, value: Any, line: int, *, plain_merge: bool = False) -> None:
        """Put a finished value where it belongs: a key, a member, an item, or the document itself."""
        if not self._stack:
            self.root = value
            return
        parent = self._stack[-1]
        if parent.is_list:
            self._note_line(self._next_path(parent), line)
            parent.value.append(value)
        elif parent.merging:
            parent.merging = False
            self._merge(parent, value, line)
        elif parent.key is None:
            if plain_merge:
                parent.merging = True
            else:
                parent.key = self._key(parent, value, line)
        else:
            parent.value[parent.key] = value
            parent.key = None

    def _merge(self, parent: _Open, value: Any, line: int) -> None:
        named = cast("list[Any]", value) if isinstance(value, list) else [value]
        if all(isinstance(member, dict) for member in named):
            parent.merges.extend(named)
        else:
            self.problems.append(f"line {line}: '<<' must name a mapping or a list of mappings")

    def _key(self, parent: _Open, value: Any, line: int) -> str:
        if not isinstance(value, str) and self._lenient:
            value = json.dumps(value)
        if not isinstance(value, str):
            self.problems.append(f"line {line}: the key {shown(value)} is not text; put it in quotes")
            return repr(value)
        if value in parent.value and not self._lenient:
            first = self.lines.get((*parent.path, value))
            also = f" (first on line {first})" if first else ""
            self.problems.append(f"line {line}: the key {shown(value)} appears twice in one mapping{also}")
        self._note_line((*parent.path, value), line)
        return value

    def _alias(self, anchor: str, line: int) -> Any:
        if anchor in self._anchors:
            return self._anchors[anchor]
        if any(opened.anchor == anchor for opened in self._stack):
            self._stop(line, f"'*{anchor}' stands inside what it names; a plan cannot contain itself")
        return self._stop(line, f"'*{anchor}' names no anchor; write '&{anchor}' before it")

    def _scalar(self, event: ScalarEvent, line: int) -> Any:
        tag: str | None = event.tag
        kind = None if tag in (None, "!") else str(tag).removeprefix(_CORE_TAG)
        value: str = event.value
        if kind is None:
            return _plain_scalar(value, line, self._stop) if event.implicit[0] and tag is None else value
        if kind == "str":
            return value
        if kind in ("int", "float", "bool", "null"):
            read = _plain_scalar(value, line, self._stop)
            if kind == "float" and isinstance(read, int) and not isinstance(read, bool):
                return float(read)
            if type(read).__name__.replace("NoneType", "null") == kind:
                return read
            self.problems.append(f"line {line}: {shown(value)} is no value for the tag '!!{kind}'")
            return None
        if self._lenient:
            return value
        self.problems.append(f"line {line}: the tag {tag!r} is not supported; remove it")
        return None

    def _wants_key(self, parent: _Open) -> bool:
        return not parent.is_list and parent.key is None and not parent.merging

    def _next_path(self, parent: _Open) -> PlanPath:
        last: str | int = len(parent.value) if parent.is_list else parent.key or "<<"
        return (*parent.path, last)

    def _note_line(self, path: PlanPath, line: int) -> None:
        if len(path) <= _LINES_DEPTH:
            self.lines.setdefault(path, line)

    def _stop(self, line: int, problem: str) -> NoReturn:
        raise PlanError([*self.problems, f"line {line}: {problem}"], source=self._source)


def _plain_scalar(text: str, line: int, stop: Any) -> Any:
    """The value of an unquoted scalar."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        try:
            return int(text, 16 if text.startswith("0x") else 10)
        except ValueError:
            stop(line, "it holds a number with too many digits; write it as text")
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL_FLOAT.fullmatch(text)
    if special is not None:
        return float((special[1] or "") + "inf") if special[2] else float("nan")
    return text
