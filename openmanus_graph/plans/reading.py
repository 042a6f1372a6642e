"""Reading: plan data copied into built-in types, and every problem found in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from openmanus_graph.errors import PlanError
from openmanus_graph.plans.json_values import MAX_VALUES, JsonCopier, PlanPath, TooLargeError, shown
from openmanus_graph.plans.tool_use import use_problems
from openmanus_graph.plans.validation import (
    Outline,
    PlanProblem,
    field_problem,
    outline,
    place_of,
    plan_error,
    structure_problems,
    subtask_problems,
)

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


class PlanModel(BaseModel):
    """Base of a plan's models: exact types, no other fields, no change once made."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


SubtaskT = TypeVar("SubtaskT", bound=PlanModel)


@dataclass(frozen=True)
class Copied:
    """Data of one subtask, copied by a `Reading`, which collects pydantic's own error about it."""

    value: Any


@dataclass
class Reading(Generic[SubtaskT]):
    """Plan data copied into built-in types, and every problem found in it so far.

    `Plan.model_validate` takes a reading in the place of plain data; tools, agents and lines come with it.

    Raises:
        PlanError: If the data is no mapping, or too large.
    """

    subtask_model: type[SubtaskT]
    """The class of a subtask."""
    given: InitVar[Any]
    """The data as a caller handed it over."""
    tools: Mapping[str, BaseTool] | None = None
    """Tools to check it against, by name; `None` means that tools are not checked."""
    agents: Collection[str] | None = None
    """Names of the agents to check it against; `None` means that agents are not checked."""
    max_subtasks: int | None = None
    """How many subtasks it may have; `None` means any number."""
    lines: dict[PlanPath, int] = field(default_factory=dict[PlanPath, int])
    """Line (from 1) of each part, if it came from a YAML file."""
    source: str | None = None
    """The file it came from."""
    data: dict[str, Any] = field(init=False)
    """The copy; a value that could not be copied is `None` in it."""
    outlines: list[Outline] = field(init=False, default_factory=list[Outline])
    """One for each subtask."""
    problems: list[PlanProblem] = field(init=False, default_factory=list[PlanProblem])
    """Every problem found so far."""

    def __post_init__(self, given: Any) -> None:
        """Copy the given data."""
        if not isinstance(given, Mapping):
            problem = f"it is {_described(given)}; write a mapping with 'subtasks'"
            raise PlanError([problem], source=self.source)
        copier = JsonCopier()
        try:
            members = dict(cast("Mapping[Any, Any]", given))
            if isinstance(members.get("subtasks"), list):
                subtasks = cast("list[Any]", members["subtasks"])
                members["subtasks"] = [
                    member.model_dump(exclude_defaults=True) if isinstance(member, self.subtask_model) else member
                    for member in subtasks
                ]
            self.data = copier.copy(members)
        except TooLargeError:
            problem = f"it holds more than {MAX_VALUES} values; keep data in files that the plan names"
            raise PlanError([problem], source=self.source) from None
        except Exception as error:  # a mapping of the caller's own class may raise anything
            raise PlanError([f"it cannot be read as a mapping: {error!r}"], source=self.source) from error
        raw = self.data.get("subtasks")
        if isinstance(raw, list):
            listed = enumerate(cast("list[Any]", raw))
            self.outlines = [outline(index, member) for index, member in listed]
        for path, why in copier.problems:
            inside = len(path) > 2 and path[0] == "subtasks"
            name = place_of(path) if inside else repr(".".join(str(part) for part in path))
            text = why if (len(path) == 2 and path[0] == "subtasks") or not path else f"{name} {why}"
            self.problems.append(PlanProblem(path, text))

    def note(self, error: ValidationError, path: PlanPath, names: Collection[str]) -> None:
        """Add errors of pydantic, unless they follow from a value that could not be copied."""
        refused = {problem.path for problem in self.problems}
        for details in error.errors(include_url=False, include_context=False):
            where = (*path, *details["loc"])
            if where == ("subtasks",) and self.outlines:
                continue  # no sound subtask was left, and each has its own problems
            if not any(where[:end] in refused for end in range(len(path), len(where) + 1)):
                self.problems.append(field_problem(details, path, names))

    def check_subtasks(self) -> list[SubtaskT] | None:
        """Check each subtask by itself; the sound ones, or `None` if there is no list of subtasks."""
        raw = self.data.get("subtasks")
        if not isinstance(raw, list) or not raw:
            return None
        sound: list[SubtaskT] = []
        for subtask, data in zip(self.outlines, cast("list[Any]", raw), strict=True):
            try:
                sound.append(self.subtask_model.model_validate(Copied(data)))
            except ValidationError as error:
                self.note(error, subtask.path, self.subtask_model.model_fields)
            if isinstance(data, dict):
                self.problems += subtask_problems(subtask)
        return sound

    def check_structure(self) -> None:
        """Check the subtasks against each other."""
        self.problems += structure_problems(self.outlines)

    def check_use(self) -> None:
        """Check the number of subtasks, and the tools and agents if these are given."""
        count = len(self.outlines)
        if self.max_subtasks is not None and count > self.max_subtasks:
            text = f"has {count} subtasks, and at most {self.max_subtasks} are allowed"
            cure = "split it, or raise the setting 'max_subtasks'"
            self.problems.append(PlanProblem(("subtasks",), f"{text}; {cure}"))
        if self.tools is not None or self.agents is not None:
            self.problems += use_problems(self.outlines, self.tools, self.agents)

    def stop_if_wrong(self) -> None:
        """Raise the problems found.

        Raises:
            PlanError: If there is any problem.
        """
        if self.problems:
            raise plan_error(self.problems, self.data, lines=self.lines, source=self.source)


def _described(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    plain = value is None or isinstance(value, str | int | float)
    return shown(value) if plain else f"of the type {type(value).__name__!r}"
