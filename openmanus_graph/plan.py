"""Plan: a DAG of subtasks, validated when it is made.

An object of these classes is always sound: ids are unique, prerequisites exist, there is no cycle and every
reference can be read. Whether its tools and agents exist depends on where it runs: `Plan.check`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, PrivateAttr, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from openmanus_graph.plans.json_values import PlanPath, same_value
from openmanus_graph.plans.plan_file import read_plan_file, yaml_text
from openmanus_graph.plans.reading import PlanModel, Reading
from openmanus_graph.plans.references import SubtaskId
from openmanus_graph.plans.subtask import Subtask, digest

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

__all__ = ["MAX_SUBTASKS", "Plan", "Subtask", "SubtaskId"]

MAX_SUBTASKS = 1000
"""Subtasks a plan may have where nothing else is said."""


class Plan(PlanModel):
    """A goal and the subtasks that lead to it, each started once its own prerequisites are completed."""

    name: str = ""
    """Short title for lists; empty means that the goal is shown."""
    goal: str = ""
    """What the whole plan is for."""
    subtasks: list[Subtask] = Field(min_length=1)
    """The steps; their order decides only between steps that are equally urgent."""

    _lines: dict[PlanPath, int] = PrivateAttr(default_factory=dict[PlanPath, int])
    _source: str | None = PrivateAttr(default=None)
    _validated: dict[str, Any] = PrivateAttr(default_factory=dict[str, Any])
    """The content that was validated."""
    _hashes: dict[str, str] | None = PrivateAttr(default=None)
    """`definition_hashes` of that content; `None` until they are asked for."""

    if TYPE_CHECKING:

        def __init__(self, *, subtasks: list[Subtask], name: str = "", goal: str = "") -> None: ...

    @model_validator(mode="wrap")
    @classmethod
    def _validate(cls, value: Any, handler: ModelWrapValidatorHandler[Plan]) -> Plan:
        if isinstance(value, Plan):
            return handler(value)
        reading = cast("Reading[Subtask]", value) if isinstance(value, Reading) else Reading(Subtask, value)
        subtasks = reading.check_subtasks()
        reading.check_structure()
        reading.check_use()
        members: dict[str, Any] = {**reading.data, **({} if subtasks is None else {"subtasks": subtasks})}
        try:
            plan = handler(members)
        except ValidationError as error:
            reading.note(error, (), cls.model_fields)
            reading.stop_if_wrong()
            raise
        reading.stop_if_wrong()
        plan._lines = reading.lines
        plan._source = reading.source
        plan._validated = plan.to_dict()
        return plan

    def __eq__(self, other: object) -> bool:
        """Whether the content is the same, wherever it was read from."""
        return isinstance(other, Plan) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        """Hash of the name, the goal and the ids, which equal plans share."""
        return hash((self.name, self.goal, tuple(subtask.id for subtask in self.subtasks)))

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        tools: Mapping[str, BaseTool] | None = None,
        agents: Collection[str] | None = None,
        max_subtasks: int | None = None,
    ) -> Plan:
        """Read a plan from a YAML or JSON file.

        Args:
            path: The file; a name that ends in `.json` is read as JSON only.
            tools: Tools to check the plan against in the same go, as `check` does, so that all problems come
                at once; `None` leaves that out.
            agents: Agents to check it against; `None` leaves that out.
            max_subtasks: How many subtasks it may have; `None` means any number.

        Raises:
            PlanError: If the file cannot be read or is no sound plan; it has the lines of a YAML file.
        """
        file = read_plan_file(path)
        source = os.fspath(path)
        return cls.model_validate(Reading(Subtask, file.data, tools, agents, max_subtasks, file.lines, source))

    @classmethod
    def from_dict(
        cls,
        value: Mapping[str, Any],
        *,
        tools: Mapping[str, BaseTool] | None = None,
        agents: Collection[str] | None = None,
        max_subtasks: int | None = None,
    ) -> Plan:
        """Make a plan from plain data.

        Args:
            value: The data.
            tools: Tools to check the plan against in the same go, as `check` does; `None` leaves that out.
            agents: Agents to check it against; `None` leaves that out.
            max_subtasks: How many subtasks it may have; `None` means any number.

        Raises:
            PlanError: If it is no sound plan.
        """
        return cls.model_validate(Reading(Subtask, value, tools, agents, max_subtasks))

    @classmethod
    def parse(cls, value: Plan | Mapping[str, Any], known: Plan | None = None) -> Plan:
        """Make a plan from plain data; a plan is returned as it is.

        Args:
            value: A plan, or plain data.
            known: A plan that may be the same; it is returned if it matches the data, which is then not validated.

        Raises:
            PlanError: If it is no sound plan.
        """
        if isinstance(value, Plan):
            return value
        return known if known is not None and known.matches(value) else cls.from_dict(value)

    def matches(self, content: Any) -> bool:
        """Whether `content` equals `to_dict()` and the content that was validated when the plan was made.

        Types count: `1`, `1.0` and `True` differ. A `model_copy` with other fields matches nothing, nor does a plan
        whose lists were changed.
        """
        return same_value(self._validated, content) and self._as_validated()

    def _as_validated(self) -> bool:
        return same_value(self._validated, self.to_dict())

    def check(
        self,
        tools: Mapping[str, BaseTool] | None = None,
        agents: Collection[str] | None = None,
        max_subtasks: int = MAX_SUBTASKS,
    ) -> None:
        """Check that the tools, arguments, output fields and agents exist where the plan runs.

        Args:
            tools: The tools by name; `None` means that tools are not checked.
            agents: The names of the agents; `None` means that agents are not checked.
            max_subtasks: How many subtasks it may have.

        Raises:
            PlanError: With every problem, and the lines of the YAML file that the plan came from.
        """
        reading = Reading(Subtask, self.to_dict(), tools, agents, max_subtasks, self._lines, self._source)
        reading.check_use()
        reading.stop_if_wrong()

    def to_dict(self) -> dict[str, Any]:
        """The plan as built-in types, without the fields that have their default value."""
        return self.model_dump(exclude_defaults=True)

    def to_yaml(self) -> str:
        """The plan as the text of a plan file."""
        return yaml_text(self.to_dict())

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The JSON Schema of a plan file."""
        schema = cls.model_json_schema()
        one_of = [{"required": [key], "properties": {key: {"type": "string"}}} for key in ("tool", "agent")]
        schema["$defs"]["Subtask"]["oneOf"] = one_of
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

    def prerequisites(self, subtask: Subtask) -> tuple[SubtaskId, ...]:
        """The ids that `subtask` waits for: its needs, then what it refers to, each once."""
        return subtask.prerequisites()

    def needs(self) -> dict[str, tuple[str, ...]]:
        """The prerequisites of every id; subtasks can be changed, so they are read anew each time."""
        return {subtask.id: subtask.prerequisites() for subtask in self.subtasks}

    def dependants(self, needs: Mapping[str, Sequence[str]] | None = None) -> dict[str, tuple[SubtaskId, ...]]:
        """For every id the ids that wait for it directly, in plan order.

        Args:
            needs: What `needs()` gives, where it is known already.
        """
        return _reversed(self.needs() if needs is None else needs)

    def in_order(self, needs: Mapping[str, Sequence[str]] | None = None) -> list[Subtask]:
        """The subtasks such that each comes after its prerequisites.

        Args:
            needs: What `needs()` gives, where it is known already.
        """
        needs = self.needs() if needs is None else needs
        by_id = {subtask.id: subtask for subtask in self.subtasks}
        missing = {name: len(before) for name, before in needs.items()}
        dependants = _reversed(needs)
        ready = deque(subtask for subtask in self.subtasks if not missing[subtask.id])
        ordered: list[Subtask] = []
        while ready:
            subtask = ready.popleft()
            ordered.append(subtask)
            for name in dependants[subtask.id]:
                missing[name] -= 1
                if not missing[name]:
                    ready.append(by_id[name])
        return ordered

    def definition_hashes(self) -> dict[str, str]:
        """For every id, in plan order, a hash of the subtask's definition and of all that it builds on.

        Each covers the hashes of the prerequisites, so an edited subtask changes its own hash and those of
        everything downstream, and no other.
        """
        if not self._as_validated():  # the hashes that are kept are not of this content
            return self._computed_hashes()
        if self._hashes is None:
            self._hashes = self._computed_hashes()
        return dict(self._hashes)

    def _computed_hashes(self) -> dict[str, str]:
        hashes: dict[str, str] = {}
        needs = self.needs()
        for subtask in self.in_order(needs):
            below = {name: hashes[name] for name in needs[subtask.id]}
            definition = subtask.definition_hash(needs[subtask.id])
            hashes[subtask.id] = digest({"definition": definition, "prerequisites": below})
        return {subtask.id: hashes[subtask.id] for subtask in self.subtasks}


def _reversed(needs: Mapping[str, Sequence[str]]) -> dict[str, tuple[SubtaskId, ...]]:
    """For every id the ids that need it, in the order of `needs`."""
    dependants: dict[str, list[SubtaskId]] = {name: [] for name in needs}
    for name, before in needs.items():
        for need in before:
            dependants[need].append(SubtaskId(name))
    return {name: tuple(names) for name, names in dependants.items()}
