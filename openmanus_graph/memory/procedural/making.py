"""Making: a template from a plan and what came of it; holes first, then parameters, then what is private.

What was found on the way, such as an address in a page, becomes a hole; what the task names, a parameter; what names
people, money or places outside the workspace, a parameter that no rule fills. The values themselves are not kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from openmanus_graph.memory.episodic import COMMON_STEMS, word_stems
from openmanus_graph.memory.procedural.holes import BRACES, rows_of, with_holes
from openmanus_graph.memory.procedural.signature import key_of
from openmanus_graph.memory.procedural.spans import (
    KIND_STEMS,
    MOST_WORDS,
    PERSON_FIELD,
    Span,
    kind_of_text,
    occurs,
    pattern_of,
    private_parts,
    segments,
    spans_of,
)
from openmanus_graph.memory.procedural.template import (
    HOLE,
    MOST_TASK_CHARACTERS,
    PLACEHOLDER,
    Template,
    TemplateStep,
    texts_in,
)
from openmanus_graph.plan import Plan, Subtask
from openmanus_graph.plans.references import with_ids
from openmanus_graph.redaction import redact_log
from openmanus_graph.state import SubtaskResult
from openmanus_graph.values.storable_json import storable_text

LEAST_STEPS = 3
"""Steps below which a plan is no template: a model plans so few as quickly as it reads them."""
MOST_STEPS = 200
"""Steps above which it is none either."""
MOST_PARAMETERS = 40
"""Parameters of the largest template; a task that names more is a document."""
MOST_PLAN_CHARACTERS = 100_000
"""Characters of the JSON of the largest template."""


class _HoleError(Exception):
    """A text that must be found anew in each run."""


@dataclass
class _Making:
    """What is known while a template is made."""

    task: str
    code: Mapping[str, str]
    """The argument of each tool that is code, by the name of the tool."""
    spans: Sequence[Span]
    used: list[Span] = field(default_factory=list[Span])
    names: dict[str, str] = field(default_factory=dict[str, str])
    """Parameters by the words that they stand for, in small letters."""
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    """Kinds by parameter."""

    def name(self, text: str) -> str:
        """The parameter that stands for a text."""
        key = " ".join(text.casefold().split())
        if key not in self.names:
            self.names[key] = f"p{len(self.names) + 1}"
            self.kinds[self.names[key]] = kind_of_text(text)
        return self.names[key]

    def take(self, texts: Sequence[str], *, code: bool = False) -> None:
        """Take the longest spans of the task that stand in texts as parameters, none over another.

        Args:
            texts: Arguments or goals.
            code: Whether they are code, in which a plain word is rather a name of the code's own.
        """
        plain = "\n".join(part for text in texts for kind, part in segments(text) if kind == "text")
        places = {part.casefold() for text in texts for kind, part in segments(text) if kind == "place"}
        rows = frozenset(row for length in range(1, MOST_WORDS + 1) for row in rows_of(plain, length))
        for span in self.spans:
            if code and not is_unmistakable(span):
                continue
            if any(span.start < other.end and other.start < span.end for other in self.used):
                continue
            is_likely = next(rows_of(span.text, span.word_count), None) in rows  # much quicker than the pattern
            is_inside = span.kind in ("words", "number") and is_likely and occurs(span.text, plain)
            if is_inside or span.text.casefold() in places:
                self.used.append(span)

    @cached_property
    def stems(self) -> frozenset[str]:
        """Stems of the words that parameters stand for, once all are taken."""
        texts = [span.text for span in self.used if span.kind == "words"]
        return frozenset(stem for text in texts for stem in word_stems(text)) - COMMON_STEMS - KIND_STEMS

    @property
    def particulars(self) -> list[str]:
        """What the task names by itself."""
        return [span.text for span in self.spans if span.is_particular]

    @property
    def forbidden(self) -> list[str]:
        """What the task names: a place that has it inside was made from it, and is found anew."""
        return [span.text for span in self.spans if span.is_particular or span in self.used]


def is_template_size(steps: int) -> bool:
    """Whether a plan of so many steps may be a template."""
    return LEAST_STEPS <= steps <= MOST_STEPS


def template_of(
    task: str, plan: Plan, results: Mapping[str, SubtaskResult], code_arguments: Mapping[str, str] | None = None
) -> Template | None:
    """The template of a plan that was carried out.

    Args:
        task: The person's words.
        plan: The plan as it was at the end.
        results: What came of its subtasks.
        code_arguments: The argument of each tool that is code, by the name of the tool.

    Returns:
        The template, whose steps are those of the plan in its order; `None` if the plan is too small or too large for
        one.
    """
    task = redact_log(storable_text(" ".join(task.split())))
    if not is_template_size(len(plan.subtasks)) or not 0 < len(task) <= MOST_TASK_CHARACTERS:
        return None
    if BRACES.search(task):
        return None
    making = _Making(task, code_arguments or {}, spans_of(task))
    definitions = with_holes(task, making.particulars, plan, results, making.code)
    calls: list[dict[str, Any]] = [definition.get("args") or {} for definition in definitions.values()]
    numbers = [str(number) for args in calls for number in _numbers(args)]
    making.take([*(text for one in definitions.values() for text in _literals(making, one)), *numbers])
    making.take([text for one in definitions.values() for text in _literals(making, one, code=True)], code=True)
    making.take([text for one in definitions.values() for key in ("goal", "done_when") if (text := one.get(key))])
    _name_the_rest(making)
    if len(making.names) > MOST_PARAMETERS:
        return None
    filled = {name: _generalised(making, one) for name, one in definitions.items()}
    names = {str(subtask.id): f"s{number}" for number, subtask in enumerate(plan.subtasks, start=1)}
    steps = tuple(_named(subtask, filled[subtask.id], names) for subtask in plan.subtasks)
    if len(json.dumps(filled)) > MOST_PLAN_CHARACTERS:
        return None
    goal = _goal(making, plan.goal)
    kinds = {name: making.kinds[name] for name in sorted(making.kinds, key=lambda name: int(name[1:]))}
    return Template(key_of(steps), _task_with_placeholders(making), steps, goal, kinds)


def _named(subtask: Subtask, definition: dict[str, Any], names: Mapping[str, str]) -> TemplateStep:
    """The step of a subtask, with names of the template's own in place of the ids that a model chose."""
    needs = tuple(names[name] for name in subtask.prerequisites())
    fields: dict[str, Any] = {
        key: _with_ids(value, names) if key in ("goal", "args") else value for key, value in definition.items()
    }
    referred = re.findall(r"\$\{(\w+)[.}]", json.dumps([fields.get("goal"), fields.get("args")]))
    stated = {names[name] for name in subtask.needs}
    # What only a reference said that is a hole now is said here, so that the step still waits for it.
    if waits := [name for name in needs if name in stated or name not in referred]:
        fields["needs"] = waits
    return TemplateStep(names[subtask.id], fields, needs)


def _with_ids(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return with_ids(value, names)
    if isinstance(value, dict):
        return {key: _with_ids(inside, names) for key, inside in cast("dict[str, Any]", value).items()}
    return [_with_ids(one, names) for one in cast("list[Any]", value)] if isinstance(value, list) else value


# ---------------------------------------------------------------- parameters


def is_unmistakable(span: Span) -> bool:
    """Whether a span is what the task names also where words mean other things, such as in code."""
    return span.is_particular or len(span.text.split()) > 1


def _literals(making: _Making, definition: Mapping[str, Any], *, code: bool = False) -> list[str]:
    """The texts of a step's arguments, or of the one that is code."""
    argument = making.code.get(str(definition.get("tool")))
    args = cast("dict[str, Any]", definition.get("args") or {})
    chosen = {key: value for key, value in args.items() if (key == argument) is code}
    return [text for _, text in texts_in(chosen) if HOLE not in text]


def _numbers(value: Any) -> Iterator[int | float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, dict):
        for inside in cast("dict[str, Any]", value).values():
            yield from _numbers(inside)
    elif isinstance(value, list):
        for inside in cast("list[Any]", value):
            yield from _numbers(inside)


def _name_the_rest(making: _Making) -> None:
    """Name parameters in the order of the task; what it names and no step uses is one too, so that none is kept."""
    for span in making.spans:
        if span.is_particular and not any(span.start < other.end and other.start < span.end for other in making.used):
            making.used.append(span)
    for span in sorted(making.used, key=lambda span: span.start):
        making.name(span.text)


def _task_with_placeholders(making: _Making) -> str:
    """The task with each parameter wherever it stands."""
    return _replaced(making.task, {span.text for span in making.used}, making)


def _replaced(text: str, spans: Collection[str], making: _Making) -> str:
    """A text with the parameters that stand for spans in their place."""
    if not spans:
        return text
    longest_first = sorted(spans, key=len, reverse=True)
    pattern = re.compile("|".join(pattern_of(span) for span in longest_first), re.IGNORECASE)
    return pattern.sub(lambda found: f"{{{{{making.name(found[0])}}}}}", text)


def _generalised(making: _Making, definition: Mapping[str, Any]) -> dict[str, Any]:
    code = making.code.get(str(definition.get("tool")))
    words = {
        key: HOLE if definition[key] == HOLE else _text(making, str(definition[key]), is_code=False)
        for key in ("goal", "done_when")
        if key in definition
    }
    args = {
        key: _value(making, value, key, is_code=key == code)
        for key, value in cast("dict[str, Any]", definition.get("args") or {}).items()
    }
    return {**definition, **words, **({"args": args} if args else {})}


def _value(making: _Making, value: Any, name: str, *, is_code: bool) -> Any:
    if value == HOLE or isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        known = making.names.get(str(value))
        if known is not None:
            return f"{{{{{known}:{type(value).__name__}}}}}"
        if PERSON_FIELD.search(name):
            return f"{{{{{making.name(str(value))}:{type(value).__name__}}}}}"
        return value
    if isinstance(value, str):
        text = _text(making, value, is_code=is_code)
        is_constant = text == value and not text.startswith("${")
        return f"{{{{{making.name(value)}}}}}" if value and is_constant and PERSON_FIELD.search(name) else text
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {key: _value(making, one, key, is_code=is_code) for key, one in fields.items()}
    return [_value(making, one, name, is_code=is_code) for one in cast("list[Any]", value)]


def _text(making: _Making, text: str, *, is_code: bool) -> str:
    """A text with parameters in place of what the task names, and of what names people, money or outside paths."""
    open_parts = segments(_without_private(making, text, names=not is_code))
    try:
        return "".join(_part(making, kind, part, is_code) for kind, part in open_parts)
    except _HoleError:
        return HOLE


def _without_private(making: _Making, text: str, *, names: bool) -> str:
    """A text whose private parts that the task does not name are parameters already."""
    for part in private_parts(text, names=names):
        if " ".join(part.casefold().split()) in making.names or occurs(part, making.task):
            continue
        text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", f"{{{{{making.name(part)}}}}}", text)
    return text


def _part(making: _Making, kind: str, part: str, is_code: bool) -> str:
    """One segment of a text, with parameters."""
    if kind == "reference":
        return part
    if kind == "text":
        spans = {span.text for span in making.used if is_unmistakable(span) or not is_code}
        replaced = _replaced(part, spans, making)
        rest = PLACEHOLDER.sub(" ", replaced).replace("_", " ")
        if not making.stems.isdisjoint(word_stems(rest)):  # another form of a word that a parameter stands for
            raise _HoleError
        return replaced
    if part.casefold() in {span.text.casefold() for span in making.used}:
        return f"{{{{{making.name(part)}}}}}"
    if any(occurs(text, part.replace("_", " ")) or occurs(text, part) for text in making.forbidden):
        raise _HoleError
    return part


def _goal(making: _Making, goal: str) -> str:
    """The goal of the whole plan; what cannot be kept is left out."""
    if not goal or BRACES.search(goal) or redact_log(goal) != goal:
        return ""
    text = _text(making, goal, is_code=False)
    return "" if HOLE in text else text
