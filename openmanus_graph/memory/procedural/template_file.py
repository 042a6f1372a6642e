"""Template file: a template as a plan file, to be read, written by hand and moved to other machines.

Its goal is the task in general words; a parameter there may say what it is filled with, as in `{{p2:number}}`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from openmanus_graph.errors import UsageError
from openmanus_graph.memory.procedural.signature import key_of
from openmanus_graph.memory.procedural.template import KINDS, PLACEHOLDER, Template, TemplateStep, names_in, texts_in
from openmanus_graph.plan import Plan, Subtask
from openmanus_graph.plans.plan_file import plan_source
from openmanus_graph.plans.reading import Reading

_NUMBERS = ("int", "float")


def file_plan(template: Template) -> Plan:
    """The plan whose file a template is."""
    task = PLACEHOLDER.sub(lambda found: _with_kind(template, str(found["name"])), template.task)
    return Plan.from_dict({**template.as_plan(), "goal": task})


def _with_kind(template: Template, name: str) -> str:
    kind = template.parameters.get(name, "words")
    return f"{{{{{name}}}}}" if kind == "words" else f"{{{{{name}:{kind}}}}}"


def plan_in(text: str, source: str) -> Plan:
    """The plan that the text of a plan file is.

    Args:
        text: The text.
        source: What it is called in errors; where it ends in `.json` the text is JSON only.

    Raises:
        PlanError: If it is no sound plan.
    """
    file = plan_source(text, source)
    return Plan.model_validate(Reading(Subtask, file.data, None, None, None, file.lines, source))


def corrected(template: Template, plan: Plan) -> Template:
    """The template that the corrected file of another one is.

    Args:
        template: The other one. A parameter that its task does not name keeps its kind, which no file says.
        plan: The corrected file's plan.

    Raises:
        UsageError: If it is no template.
    """
    made = template_in(plan)
    named = set(names_in(made.task))
    kept = {name: kind for name, kind in template.parameters.items() if name in made.parameters and name not in named}
    return replace(made, parameters={**made.parameters, **kept})


def same_content(one: Template, other: Template) -> bool:
    """Whether two templates say the same, whatever was counted of their steps."""
    return _content(one) == _content(other)


def _content(template: Template) -> tuple[Any, ...]:
    steps = [(step.id, step.definition, sorted(step.needs)) for step in template.steps]
    return template.key, template.task, template.goal, dict(template.parameters), steps


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
