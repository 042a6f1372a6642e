"""Template file: a template as a plan file, to be read, written by hand and moved to other machines.

Its goal is the task in general words; a parameter there may say what it is filled with, as in `{{p2:number}}`.
"""

from __future__ import annotations

from typing import Any

from openmanus_graph.errors import UsageError
from openmanus_graph.memory.procedural.signature import key_of
from openmanus_graph.memory.procedural.template import KINDS, PLACEHOLDER, Template, TemplateStep, names_in, texts_in
from openmanus_graph.plan import Plan

_NUMBERS = ("int", "float")


def file_plan(template: Template) -> Plan:
    """The plan whose file a template is."""
    task = PLACEHOLDER.sub(lambda found: _with_kind(template, str(found["name"])), template.task)
    return Plan.from_dict({**template.as_plan(), "goal": task})


def _with_kind(template: Template, name: str) -> str:
    kind = template.parameters.get(name, "words")
    return f"{{{{{name}}}}}" if kind == "words" else f"{{{{{name}:{kind}}}}}"


def template_in(plan: Plan) -> Template:
    """The template that a plan file is.

    Args:
        plan: The file's plan.

    Raises:
        UsageError: If its goal does not say for what task it is, or a parameter has a kind that there is not.
    """
    if not plan.goal.strip():
        raise UsageError(
            "The file has no `goal`, by which a template is found.",
            hint="Write the task there in general words, such as: Compare the price of a {{p1}} at {{p2:number}} shops",
        )
    kinds: dict[str, str] = {}
    for found in PLACEHOLDER.finditer(plan.goal):
        kind = found["type"] or "words"
        if found["name"] is None or kind not in KINDS:
            raise UsageError(
                f"The goal has {found[0]!r}, which is no parameter of a task.",
                hint=f"Write such as {{{{p1}}}} or {{{{p1:number}}}}; the kinds are {', '.join(KINDS)}.",
            )
        kinds.setdefault(str(found["name"]), kind)
    steps = tuple(
        TemplateStep(str(subtask.id), _definition(subtask.to_dict()), tuple(map(str, subtask.prerequisites())))
        for subtask in plan.subtasks
    )
    used: dict[str, str] = {}
    for step in steps:
        for _, text in texts_in(step.definition):
            for found in PLACEHOLDER.finditer(text):
                if found["name"]:
                    used.setdefault(str(found["name"]), "number" if found["type"] in _NUMBERS else "words")
    task = PLACEHOLDER.sub(lambda found: f"{{{{{found['name']}}}}}", plan.goal)
    return Template(key_of(steps), task, steps, goal=task, parameters={**used, **kinds})


def _definition(subtask: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in subtask.items() if key not in ("id", "expected_s")}


def missing_values(template: Template, values: dict[str, str], found: dict[str, str]) -> list[str]:
    """Parameters and holes of a template's steps that nothing fills yet, in the order of the steps."""
    used = [name for step in template.steps for _, text in texts_in(step.definition) for name in names_in(text)]
    names = [name for name in dict.fromkeys(used) if name not in values]
    return [*names, *(place for place in template.holes if place not in found)]
