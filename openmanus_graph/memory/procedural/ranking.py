"""Ranking: which template fits a task, by their words and by how its runs went; a wrong one is worse than none."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace

from openmanus_graph.display_text import counted, one_line
from openmanus_graph.memory.episodic import COMMON_STEMS, LEAST_LIKENESS, stems_of, weight_of, word_stems
from openmanus_graph.memory.procedural.filling import values_in
from openmanus_graph.memory.procedural.template import (
    HOLE,
    PLACEHOLDER,
    KnownTemplate,
    Template,
    TemplateStep,
    texts_in,
)

CANDIDATES = 50
"""Templates with a word of the task that are compared with it."""
MOST_WORDS = 60
"""Words of a task that are looked for in templates."""
WORDS_OF_A_PARAMETER = 3
"""Words of a task that each parameter of a template explains."""
MOST_TOKENS = 600
"""Tokens that a template may take of a prompt."""
CHARACTERS_PER_TOKEN = 3
"""Characters that a token has at least, reckoned carefully."""
LINE_CHARACTERS = 160


def words_of(text: str) -> list[str]:
    """The words that templates are looked for by, each once, in small letters and without any sign of a syntax."""
    return list(dict.fromkeys(word for word in _letters(text).lower().split() if len(word) > 1))[:MOST_WORDS]


def _letters(text: str) -> str:
    return "".join(letter if letter.isalnum() else " " for letter in text)


def likeness(template: Template, task: str) -> float:
    """How well a task fits a template, 0 to 1: 1 if its words are the same, else the cosine of the words.

    Words that the task has beside are its matter, as far as there are parameters to take them.
    """
    if values_in(template, task) is not None:
        return 1.0
    ours, theirs = stems_of(PLACEHOLDER.sub(" ", template.task)), stems_of(task)
    shared = ours & theirs
    if not shared - COMMON_STEMS:
        return 0.0
    beside = max(weight_of(theirs - shared) - WORDS_OF_A_PARAMETER * len(template.parameters), 0.0)
    return weight_of(shared) / math.sqrt(weight_of(ours) * (weight_of(shared) + beside))


def ranked(task: str, candidates: Iterable[KnownTemplate], limit: int) -> list[KnownTemplate]:
    """The templates that fit a task and may be offered, the best first: by likeness times expected success."""
    scored = [replace(known, likeness=likeness(known.template, task)) for known in candidates if known.is_offered]
    fitting = [known for known in scored if known.likeness >= LEAST_LIKENESS]
    fitting.sort(key=lambda known: (-known.likeness * known.weight, known.template.key))
    return fitting[: max(limit, 0)]


def searched(query: str, templates: Iterable[KnownTemplate], limit: int) -> list[KnownTemplate]:
    """Templates with words of a query, those with most of them first; `likeness` is the share that each has."""
    asked = stems_of(query)
    if not asked:
        return []
    found = [replace(known, likeness=len(asked & _stems(known.template)) / len(asked)) for known in templates]
    found = sorted((known for known in found if known.likeness), key=lambda known: (-known.likeness, -known.weight))
    return found[: max(limit, 0)]


def _stems(template: Template) -> set[str]:
    """The stems of all words of a template, those of its steps too."""
    steps = (text for step in template.steps for _, text in texts_in(dict(step.definition)))
    return set(word_stems("\n".join([template.task, template.goal, *steps])))


def described(known: KnownTemplate) -> str:
    """A template as a model is told it: one line a step, as data, within `MOST_TOKENS`."""
    template = known.template
    head = (
        f"A way that worked {known.worked} of {counted(known.runs, 'time')}; adapt it, drop steps, or ignore it. "
        "{{p1}} and so on stand for what a task names, {{?}} for what has to be found on the way.\n"
        f"Task: {one_line(template.task, 400)}"
    )
    left = MOST_TOKENS * CHARACTERS_PER_TOKEN - len(head)
    lines: list[str] = []
    for number, step in enumerate(template.steps):
        line = step_line(step)
        more = f"… and {counted(len(template.steps) - number, 'step')} more"
        if len(line) + 1 + len(more) > left:
            lines.append(more)
            break
        lines.append(line)
        left -= len(line) + 1
    return "\n".join([head, *lines])


def step_line(step: TemplateStep) -> str:
    """One step in a line: its id, what it waits for, what runs it, and with what."""
    after = f" after {', '.join(step.needs)}" if step.needs else ""
    definition = step.definition
    if definition.get("tool"):
        args: dict[str, object] = definition.get("args") or {}
        shown = ", ".join(f"{name}={_argument(value)}" for name, value in args.items())
        return one_line(f"{step.id}{after}: {step.work}({shown})", LINE_CHARACTERS)
    return one_line(f"{step.id}{after}: {step.work}: {definition.get('goal') or HOLE}", LINE_CHARACTERS)


def _argument(value: object) -> str:
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), 60)
