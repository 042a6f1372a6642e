"""Reading: data on its way to being a plan, and every problem found in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from openmanus_graph.errors import PlanError
from openmanus_graph.plans.plain import MAX_VALUES, Path, PlainCopier, TooLargeError, shown
from openmanus_graph.plans.subtask import FIELDS_ONLY, Subtask
from openmanus_graph.plans.validation import (
    Outline,
    Problem,
    field_problem,
    outline,
    place_of,
    plan_error,
    structure_problems,
    subtask_problems,
)

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


@dataclass
class Reading:
    """Data on its way to being a plan, and every problem found in it so far."""

    tools: Mapping[str, BaseTool] | None = None
    agents: Collection[str] | None = None
    max_subtasks: int | None = None
    lines: dict[Path, int] = field(default_factory=dict[Path, int])
    source: str | None = None
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    outlines: list[Outline] = field(default_factory=list[Outline])
    problems: list[Problem] = field(default_factory=list[Problem])

    def read(self, value: Any) -> None:
        """Copy `value` into built-in types.

        Raises:
            PlanError: If it is no mapping, or too large to look at.
        """
        if not isinstance(value, Mapping):
            problem = f"it is {_described(value)}; write a mapping with 'subtasks'"
            raise PlanError([problem], source=self.source)
        copier = PlainCopier()
        try:
            members = dict(cast("Mapping[Any, Any]", value))
            if isinstance(members.get("subtasks"), list):
                subtasks = cast("list[Any]", members["subtasks"])
                members["subtasks"] = [one.to_dict() if isinstance(one, Subtask) else one for one in subtasks]
            self.data = copier.copy(members)
        except TooLargeError:
            problem = f"it holds more than {MAX_VALUES} values; keep data in files that the plan names"
            raise PlanError([problem], source=self.source) from None
        except Exception as error:  # a mapping of the caller's own class may raise anything
            raise PlanError([f"it cannot be read as a mapping: {error!r}"], source=self.source) from error
        raw = self.data.get("subtasks")
        if isinstance(raw, list):
            listed = enumerate(cast("list[Any]", raw))
            self.outlines = [outline(index, one) for index, one in listed]
        for path, why in copier.problems:
            inside = len(path) > 2 and path[0] == "subtasks"
            name = place_of(path) if inside else repr(".".join(str(part) for part in path))
            text = why if (len(path) == 2 and path[0] == "subtasks") or not path else f"{name} {why}"
            self.problems.append(Problem(path, text))

    def note(self, error: ValidationError, path: Path, names: Collection[str]) -> None:
        """Add what pydantic found, unless it follows from a value that could not be copied."""
        refused = {problem.path for problem in self.problems}
        for details in error.errors(include_url=False, include_context=False):
            where = (*path, *details["loc"])
            if where == ("subtasks",) and self.outlines:
                continue  # no sound subtask was left, and each has its own problems
            if not any(where[:end] in refused for end in range(len(path), len(where) + 1)):
                self.problems.append(field_problem(details, path, names))

    def check_subtasks(self) -> list[Subtask] | None:
        """Check each subtask by itself; the sound ones, or `None` if there is no list of subtasks."""
        raw = self.data.get("subtasks")
        if not isinstance(raw, list) or not raw:
            return None
        found: list[Subtask] = []
        for one, data in zip(self.outlines, cast("list[Any]", raw), strict=True):
            try:
                found.append(Subtask.model_validate(data, context=FIELDS_ONLY))
            except ValidationError as error:
                self.note(error, one.path, Subtask.model_fields)
            if isinstance(data, dict):
                self.problems += subtask_problems(one)
        return found

    def check_structure(self) -> None:
        """Check the subtasks against each other."""
        self.problems += structure_problems(self.outlines)

    def check_use(self) -> None:
        """Check the number of subtasks, and the tools and agents if these are given."""
        count = len(self.outlines)
        if self.max_subtasks is not None and count > self.max_subtasks:
            text = f"has {count} subtasks, and at most {self.max_subtasks} are allowed"
            cure = "split it, or raise the setting 'max_subtasks'"
            self.problems.append(Problem(("subtasks",), f"{text}; {cure}"))
        if self.tools is not None or self.agents is not None:
            from openmanus_graph.plans.tool_use import use_problems

            self.problems += use_problems(self.outlines, self.tools, self.agents)

    def stop_if_wrong(self) -> None:
        """Raise what was found.

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
