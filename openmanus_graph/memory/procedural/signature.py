"""Signature: what makes two ways the same: what runs after what, with which constants, and what is filled in where.

Neither the ids of steps nor the numbers of parameters count, which only say who named them first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any, cast

from openmanus_graph.memory.procedural.template import HOLE, PLACEHOLDER, TemplateStep
from openmanus_graph.plans.references import with_ids

_LEFT_OUT = ("needs", "expected_s")
"""Fields of a definition that say what stands elsewhere, or what is learned."""


def key_of(steps: Sequence[TemplateStep]) -> str:
    """Hash of the shape and the constants of steps.

    Steps that are equal count once, so that three fetches are the same way as one.
    """
    return _digest(sorted(set(_signatures(steps).values())))


def places_in(steps: Sequence[TemplateStep], others: Sequence[TemplateStep]) -> dict[str, str]:
    """The id that each step has in another template of the same way.

    Args:
        steps: Steps of a way.
        others: Those of the other; where it has fewer that are equal, several have its last one.
    """
    found: dict[str, list[str]] = {}
    for name, signature in _signatures(others).items():
        found.setdefault(signature, []).append(name)
    places: dict[str, str] = {}
    for name, signature in _signatures(steps).items():
        if names := found.get(signature):
            places[name] = names.pop(0) if len(names) > 1 else names[0]
    return places


def _signatures(steps: Sequence[TemplateStep]) -> dict[str, str]:
    """The signature of each step, in the order of the steps.

    Parameters are numbered by their first use; which use is the first is seen from the signatures without numbers, so
    that it is the same in whatever order the steps are listed.
    """
    plain = _Signing(steps, {})
    numbers: dict[str, str] = {}
    for step in sorted(steps, key=lambda step: plain.signed[step.id]):
        for found in PLACEHOLDER.finditer(_canonical(_signed_fields(step))):
            if found["name"]:
                numbers.setdefault(found["name"], f"q{len(numbers) + 1}")
    signing = _Signing(steps, numbers)
    return {step.id: signing.signed[step.id] for step in steps}


class _Signing:
    """Signs steps, each with what it waits for."""

    def __init__(self, steps: Sequence[TemplateStep], numbers: Mapping[str, str]) -> None:
        """Sign these steps, with these numbers of parameters; one without a number is as any other."""
        self._numbers = numbers
        self.signed: dict[str, str] = {}
        """The signature of each step."""
        known = {step.id: step for step in steps}
        needs = {step.id: [need for need in step.needs if need in known] for step in steps}
        for name in TopologicalSorter(needs).static_order():
            before = {need: self.signed[need] for need in needs[name]}
            fields = self._anonymous(_signed_fields(known[name]), before)
            self.signed[name] = _digest([fields, sorted(set(before.values()))])

    def _anonymous(self, value: Any, before: Mapping[str, str]) -> Any:
        """A value whose parameters have these numbers, and whose references say what runs instead of its id."""
        if isinstance(value, str):
            text = with_ids(value, before)
            return PLACEHOLDER.sub(lambda found: self._placeholder(found["name"], found["type"]), text)
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            return {name: self._anonymous(inside, before) for name, inside in fields.items()}
        if isinstance(value, list):
            return [self._anonymous(inside, before) for inside in cast("list[Any]", value)]
        return value

    def _placeholder(self, name: str | None, kind: str | None) -> str:
        return HOLE if name is None else f"{{{{{self._numbers.get(name, 'q')}:{kind or ''}}}}}"


def _signed_fields(step: TemplateStep) -> dict[str, Any]:
    return {name: value for name, value in step.definition.items() if name not in _LEFT_OUT}


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode(errors="surrogatepass")).hexdigest()[:16]
