"""Holes: the parts of a plan that were found on the way, or must not be kept, so that each run finds its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, cast

from openmanus_graph.memory.procedural.spans import ADDRESS, EMAIL, OUTSIDE_PATH, occurs, private_parts, segments
from openmanus_graph.memory.procedural.template import HOLE
from openmanus_graph.plan import Plan, Subtask
from openmanus_graph.plans.references import as_text
from openmanus_graph.redaction import is_secret_field, redact_log
from openmanus_graph.state import SubtaskResult

MOST_OUTPUT_CHARACTERS = 200_000
"""Characters of each output in which arguments are looked for; what may stand in the rest cannot be known."""
LEAST_LITERAL = 3
"""Characters of the shortest argument that may have been found in an output."""
LONGEST_CONSTANT = 200
"""Characters of the longest argument that is kept and is no code: a longer text was written for one task."""
COPIED_WORDS = 6
"""Words of a goal that were copied from an output, if so many stand there in a row."""
_TOKENS = re.compile(rf"{ADDRESS}|{EMAIL}|{OUTSIDE_PATH}|(?<![\w.])\d[\d.,:/-]*\d\d(?!\w)")
_WORD_OF_A_TOOL = re.compile(r"[a-z][a-z_-]*")
"""A single plain word, such as `create`, that a tool rather has among its own than that it was found."""
BRACES = re.compile(r"\{\{|\}\}")
"""What would be read as a parameter."""


def with_holes(
    task: str,
    particulars: Collection[str],
    plan: Plan,
    results: Mapping[str, SubtaskResult],
    code: Mapping[str, str],
) -> dict[str, dict[str, Any]]:
    """The definitions of a plan's subtasks, with holes where something was found on the way or must not be kept.

    Args:
        task: The person's words.
        particulars: What they name by itself.
        plan: The plan.
        results: What came of its subtasks.
        code: The argument of each tool that is code, by the name of the tool.
    """
    outputs = {name: _Output(as_text(result["output"])) for name, result in results.items()}
    cut = {name for name, result in results.items() if result["output_file"] or outputs[name].is_cut}
    definitions: dict[str, dict[str, Any]] = {}
    for subtask in plan.subtasks:
        earlier = _earlier(subtask, plan, results)
        before = [outputs[name] for name in earlier if name in outputs]
        found = _Found(_Output(task), particulars, before, is_cut=not cut.isdisjoint(earlier))
        definition = {key: value for key, value in subtask.to_dict().items() if key not in ("id", "expected_s")}
        changed = (results.get(subtask.id) or {}).get("args_by") is not None
        argument = code.get(subtask.tool or "")
        args = {
            key: HOLE if changed or is_secret_field(key, value) else _holed(value, found, is_code=key == argument)
            for key, value in subtask.args.items()
        }
        words = {
            key: HOLE if found.is_in_words(str(definition[key])) else definition[key]
            for key in ("goal", "done_when")
            if key in definition
        }
        definitions[subtask.id] = {**definition, **words, **({"args": args} if args else {})}
    return definitions


@dataclass
class _Output:
    """A text in which others are looked for."""

    whole: str

    @property
    def is_cut(self) -> bool:
        """Whether there is more of it than is looked through."""
        return len(self.whole) > MOST_OUTPUT_CHARACTERS

    def has(self, literal: str, *, exactly: bool) -> bool:
        """Whether a text stands in it with word edges; most do not, which is seen without a pattern."""
        if exactly and " ".join(literal.split()) not in self._flat:
            return False
        return occurs(literal, self._flat, exactly=exactly)

    @cached_property
    def _flat(self) -> str:
        return " ".join(self.whole[:MOST_OUTPUT_CHARACTERS].split())

    @cached_property
    def rows(self) -> frozenset[tuple[str, ...]]:
        """Its words, so many in a row as a copy has at least."""
        return frozenset(rows_of(self.whole[:MOST_OUTPUT_CHARACTERS], COPIED_WORDS))


def rows_of(text: str, length: int) -> Iterator[tuple[str, ...]]:
    """The words of a text, so many in a row."""
    words = re.findall(r"\w+", text.lower())
    return (tuple(words[at : at + length]) for at in range(len(words) - length + 1))


@dataclass(frozen=True)
class _Found:
    """What a subtask could have been told by those before it."""

    task: _Output
    particulars: Collection[str]
    """What the task names by itself."""
    outputs: Sequence[_Output]
    is_cut: bool
    """Whether there is more of an output, which is not known here."""

    def is_in(self, text: str, *, is_code: bool = False) -> bool:
        """Whether a text came from an output, or may have, and not from the task; or must not be kept."""
        literal = text.strip()
        if BRACES.search(text) or redact_log(text) != text:
            return True
        if len(literal) >= LEAST_LITERAL and self._is_found(literal):
            return True
        if not is_code and any(self._may_be(part.strip()) for kind, part in segments(text) if kind != "reference"):
            return True
        return any(self._is_found(token) or self._may_be(token) for token in _tokens(text))

    def is_in_words(self, text: str) -> bool:
        """The same for a goal, which shares words with outputs: it counts what is copied at length."""
        if BRACES.search(text) or redact_log(text) != text:
            return True
        copied = frozenset(rows_of(text, COPIED_WORDS)) - self.task.rows
        if any(not copied.isdisjoint(output.rows) for output in self.outputs) or (self.is_cut and copied):
            return True
        return any(self._is_found(token) or self._may_be(token) for token in _tokens(text))

    def is_private_key(self, name: str) -> bool:
        """Whether the name of a field says something of this task, of people, or of what was found."""
        if BRACES.search(name) or redact_log(name) != name or private_parts(name, names=True):
            return True
        if any(occurs(text, name.replace("_", " ")) for text in self.particulars):
            return True
        return any(self._is_found(token) for token in _tokens(name))

    def _is_found(self, literal: str) -> bool:
        if not any(output.has(literal, exactly=True) for output in self.outputs):
            return False
        return not self.task.has(literal, exactly=False)

    def _may_be(self, literal: str) -> bool:
        """Whether a text may stand in what is not known of an output: nothing shows that it does not."""
        if not self.is_cut or len(literal) < LEAST_LITERAL or _WORD_OF_A_TOOL.fullmatch(literal):
            return False
        return not self.task.has(literal, exactly=False)


def _tokens(text: str) -> Iterator[str]:
    """Addresses, paths and numbers in a text, outside of references."""
    for kind, part in segments(text):
        if kind != "reference":
            for found in _TOKENS.finditer(part):
                yield found[0]


def _holed(value: Any, found: _Found, *, is_code: bool) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return HOLE if len(str(value)) >= LEAST_LITERAL and found.is_in(str(value)) else value
    if isinstance(value, str):
        is_long = not is_code and _own_characters(value) > LONGEST_CONSTANT
        return HOLE if is_long or found.is_in(value, is_code=is_code) else value
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if any(found.is_private_key(key) for key in fields):
            return HOLE
        return {
            key: HOLE if is_secret_field(key, one) else _holed(one, found, is_code=is_code)
            for key, one in fields.items()
        }
    if isinstance(value, list):
        return [_holed(one, found, is_code=is_code) for one in cast("list[Any]", value)]
    return value


def _own_characters(text: str) -> int:
    """Characters of a text outside of references."""
    return sum(len(part) for kind, part in segments(text) if kind != "reference")


def _earlier(subtask: Subtask, plan: Plan, results: Mapping[str, SubtaskResult]) -> list[str]:
    """The subtasks whose outputs were there before one began."""
    began = (results.get(subtask.id) or {}).get("started_at")
    if began is None:
        ids: list[str] = [str(one.id) for one in plan.subtasks]
        return ids[: ids.index(subtask.id)]
    moment = datetime.fromisoformat(began)
    return [
        name
        for name, result in results.items()
        if name != subtask.id and datetime.fromisoformat(result["finished_at"]) <= moment
    ]
