"""Filling: a template's parameters from the words of a new task, by rules alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from openmanus_graph.memory.procedural.template import (
    HOLE,
    KINDS,
    MOST_TASK_CHARACTERS,
    PLACEHOLDER,
    Template,
    names_in,
    texts_in,
)

LONGEST_VALUE = 200
"""Characters of the longest value."""
MOST_PLACES = 60
"""Places of parameters in the task of a template that is filled by rules."""
_TYPES = {"int": int, "float": float}
"""What makes the number of a text, by the type that a placeholder names."""
_UNSAFE = re.compile(r"\$\{|\{\{|[\x00-\x1f]")
"""What a value never has: it would be read as a reference or a parameter."""
_PLAIN = re.compile(r"[^\W_][\w .,:/@+%-]*")
"""A value that may stand inside other text: no quote, no sign of a shell, no dash at its beginning."""
_ONE_WORD = re.compile(r"[^\W_][\w.,:/@+%-]*")
"""A value that may stand inside code or a command: besides, no blank, which would make two words of it."""
_CODE_FIELD = re.compile(r"(?:^|_)(?:code|command|cmd|script|shell|sql|line|argv?|args)$", re.IGNORECASE)
"""Names of arguments that are code or a command, where a tool does not say so."""
_REFERS_BACK = re.compile(
    r"(?<![\w./-])(?:it|its|itself|this|these|that|those|they|them|theirs?|he|him|his|she|hers?|same|former|latter|"
    r"above|previous|earlier|aforementioned|es|ihn|ihm|ihr|sie|dies(?:e[rsmn]?)?|jene[rsmn]?|d(?:as|er|ie)selben?|"
    r"davon|darin|damit|dazu)(?![\w/-]|\.\w)",
    re.IGNORECASE,
)
"""Words that mean what was said before; a name such as `this.txt` is none."""


def values_in(template: Template, task: str) -> dict[str, str] | None:
    """The values of a template's parameters in a task that has the same words around them.

    Args:
        template: The template.
        task: The person's words.

    Returns:
        Value by parameter; `None` if the words differ, or if they can be read in two ways.
    """
    words = _plain(task)
    if len(words) > MOST_TASK_CHARACTERS or len(words.lower()) != len(words):
        return None
    reading = _Reading(template, words)
    values = reading.values() if reading.begins else None
    if values is None or any(_UNSAFE.search(value) for value in values.values()):
        return None
    return values


def refers_back(values: Mapping[str, str]) -> str | None:
    """The first value that means what was said before, which its words do not say; `None` if none does."""
    return next((value for value in values.values() if _REFERS_BACK.search(value)), None)


def _plain(task: str) -> str:
    """A task with single blanks, and without what ends it."""
    return " ".join(task.split()).rstrip(" .!")


class _Reading:
    """The ways in which a task can be read as the one of a template.

    Counted piece by piece, with what follows each place counted once: a pattern with as many groups would try
    their lengths in all combinations.
    """

    def __init__(self, template: Template, words: str) -> None:
        """Take the template's task apart into what stands around its parameters."""
        task = _plain(template.task)
        found = list(PLACEHOLDER.finditer(task))
        ends = [0, *(one.end() for one in found)]
        begins = [*(one.start() for one in found), len(task)]
        self._between = [task[end:begin].lower() for end, begin in zip(ends, begins, strict=True)]
        self._names = [str(one["name"]) for one in found]
        self._kinds = [re.compile(KINDS[template.parameters.get(name, "words")]) for name in self._names]
        self._words = words
        self._lower = words.lower()
        self._counted: dict[tuple[int, int], int] = {}

    @property
    def begins(self) -> bool:
        """Whether the task begins as the template's does."""
        return self._lower.startswith(self._between[0]) and len(self._names) <= MOST_PLACES

    def values(self) -> dict[str, str] | None:
        """Value by parameter, if there is one way alone, and a parameter is the same wherever it stands."""
        place = len(self._between[0])
        if not self._names:
            return {} if place == len(self._words) else None
        if self._ways(0, place) != 1:
            return None
        values: dict[str, str] = {}
        for index, name in enumerate(self._names):
            end, following = next(step for step in self._steps(index, place) if self._ways_after(index, step[1]))
            value = self._words[place:end]
            if values.setdefault(name, value) != value:
                return None
            place = following
        return values

    def _ways(self, index: int, place: int) -> int:
        """How many ways there are from a parameter at a place to the end; 2 stands for any more."""
        if (index, place) not in self._counted:
            count = 0
            for _, following in self._steps(index, place):
                count = min(count + self._ways_after(index, following), 2)
            self._counted[index, place] = count
        return self._counted[index, place]

    def _ways_after(self, index: int, following: int) -> int:
        if index + 1 < len(self._names):
            return self._ways(index + 1, following)
        return int(following == len(self._words))

    def _steps(self, index: int, place: int) -> Iterator[tuple[int, int]]:
        """Where a parameter at a place may end, and where what follows it does."""
        after = self._between[index + 1]
        for end in range(place + 1, min(place + LONGEST_VALUE, len(self._words)) + 1):
            if self._lower.startswith(after, end) and self._kinds[index].fullmatch(self._words, place, end):
                yield end, end + len(after)


def filled_plan(
    template: Template,
    values: Mapping[str, str],
    found: Mapping[str, str] | None = None,
    code: Mapping[str, str] | None = None,
) -> dict[str, Any] | None:
    """The plan of a template with values in place of its parameters.

    Args:
        template: The template.
        values: Value by parameter.
        found: What fills holes, by their places such as `s3.url`.
        code: The argument of each tool that is code, by the name of the tool.

    Returns:
        The plan as plain data; `None` if it has a hole, a parameter without a value, or one whose value cannot be put
        where it stands.
    """
    steps = [{"id": step.id, **_with_found(step.definition, step.id, found or {})} for step in template.steps]
    for step in steps:
        for path, text in texts_in(step):
            names = names_in(text)
            if HOLE in text or any(name not in values for name in names):
                return None
            is_code = path[0] == (code or {}).get(str(step.get("tool"))) or _CODE_FIELD.search(path[0]) is not None
            is_whole = PLACEHOLDER.fullmatch(text) is not None and not (is_code and len(path) > 1)
            fitting = _ONE_WORD if is_code else _PLAIN
            if not is_whole and not all(fitting.fullmatch(values[name]) for name in names):
                return None
    goal = template.goal if set(names_in(template.goal)) <= set(values) else ""
    try:
        return cast(
            "dict[str, Any]", _filled({"goal": goal, "subtasks": steps} if goal else {"subtasks": steps}, values)
        )
    except ValueError:  # what was a number is none now
        return None


def _with_found(value: Any, place: str, found: Mapping[str, str]) -> Any:
    """A definition whose holes are filled with what was found for their places."""
    if isinstance(value, str):
        return value.replace(HOLE, found.get(place, HOLE))
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {
            key: _with_found(inside, place if key == "args" and "." not in place else f"{place}.{key}", found)
            for key, inside in fields.items()
        }
    if isinstance(value, list):
        return [_with_found(one, f"{place}.{index}", found) for index, one in enumerate(cast("list[Any]", value))]
    return value


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        whole = PLACEHOLDER.fullmatch(value)
        if whole is not None and whole["type"] in _TYPES:
            return _TYPES[whole["type"]](values[whole["name"]])
        return PLACEHOLDER.sub(lambda found: values[found["name"]], value)
    if isinstance(value, dict):
        return {key: _filled(inside, values) for key, inside in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_filled(inside, values) for inside in cast("list[Any]", value)]
    return value
