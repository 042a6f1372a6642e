"""Subtask: one step of a plan, and the hash of its definition."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import Field, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from openmanus_graph.plans.reading import Copied, PlanModel, Reading
from openmanus_graph.plans.references import ID_PATTERN, Reference, SubtaskId, references_in

Id = Annotated[SubtaskId, Field(pattern=ID_PATTERN)]
Name = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Subtask(PlanModel):
    """One step of a plan: a direct call of a tool, or a goal for an agent."""

    id: Id
    """Name of the subtask, unique in its plan: 1 to 64 ASCII letters, digits, `_` or `-`."""
    goal: str = ""
    """What it is for, or for an agent what to do; references to earlier outputs are filled in."""
    needs: list[SubtaskId] = Field(default_factory=list[SubtaskId])
    """Ids of the subtasks that must be completed before it starts; references count as well."""
    tool: Name | None = None
    """Tool to call directly, with no model involved; left out, an agent works on it. One of both is needed."""
    args: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Arguments of the tool: plain values in which references to earlier outputs are filled in."""
    agent: Name | None = None
    """Agent that works on the goal; left out, a tool is called. One of both is needed."""
    done_when: str | None = None
    """What done looks like, for whoever verifies it; left out, the built-in agent's work is judged by its goal, and all
    else has to end without failure."""
    tools: list[Name] | None = None
    """All tools that the agent may use; left out, it is offered the usual ones, and may ask for others."""
    priority: int = 0
    """Of subtasks that are ready, a higher number starts first; any whole number."""
    retries: int = Field(default=0, ge=0)
    """How many more times it is tried after a failure, 0 or more."""
    timeout_s: Seconds | None = None
    """Seconds that an attempt may take, waiting for people not counted; left out, it is the tool's own limit."""
    approval: bool = False
    """Whether a person must approve it before it starts."""
    kind: Name | None = None
    """Class of work, by which durations are learned; left out, the name of its tool or agent."""
    expected_s: Seconds | None = None
    """Seconds it is expected to take, for scheduling only; left out, what was learned for its kind."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            id: str,
            goal: str = "",
            needs: list[str] | list[SubtaskId] = ...,
            tool: str | None = None,
            args: dict[str, Any] = ...,
            agent: str | None = None,
            done_when: str | None = None,
            tools: list[str] | None = None,
            priority: int = 0,
            retries: int = 0,
            timeout_s: float | None = None,
            approval: bool = False,
            kind: str | None = None,
            expected_s: float | None = None,
        ) -> None: ...

    @model_validator(mode="wrap")
    @classmethod
    def _validate(cls, value: Any, handler: ModelWrapValidatorHandler[Subtask]) -> Subtask:
        if isinstance(value, Subtask):
            return handler(value)
        if isinstance(value, Copied):
            return handler(value.value)
        reading = Reading(Subtask, {"subtasks": [value]})
        reading.check_subtasks()
        reading.stop_if_wrong()
        return handler(reading.data["subtasks"][0])

    def references(self) -> list[Reference]:
        """The references in `goal` and `args`, each once, in reading order."""
        return list(dict.fromkeys([*references_in(self.goal), *references_in(self.args)]))

    def prerequisites(self) -> tuple[SubtaskId, ...]:
        """The ids it waits for: its needs, then what it refers to, each once."""
        referred = [reference.subtask_id for reference in self.references()]
        return tuple(dict.fromkeys([*self.needs, *referred]))

    @property
    def work_kind(self) -> str:
        """Its `kind`, else the name of its tool or agent."""
        return self.kind or self.tool or self.agent or ""

    def to_dict(self) -> dict[str, Any]:
        """The subtask as built-in types, without the fields that have their default value."""
        return self.model_dump(exclude_defaults=True)

    def definition_hash(self, prerequisites: Sequence[str] | None = None) -> str:
        """Hash of the work's definition, as 12 hexadecimal digits.

        It covers `id`, `goal`, `tool`, `args`, `agent`, `done_when`, `tools` and the set of prerequisites.
        How the work is scheduled and guarded (`priority`, `retries`, `timeout_s`, `approval`, `kind`,
        `expected_s`) is left out, so changing that never makes finished work run again. Numbers count by
        value: 1 is 1.0.

        Args:
            prerequisites: What `prerequisites()` gives, where it is known already.
        """
        return digest(self._definition(self.prerequisites() if prerequisites is None else prerequisites))

    def _definition(self, prerequisites: Sequence[str]) -> dict[str, Any]:
        # Fields that say nothing are left out, so that a field added later changes no hash of an older plan.
        stated = {
            "id": self.id,
            "goal": self.goal,
            "tool": self.tool,
            "args": self.args,
            "agent": self.agent,
            "done_when": self.done_when,
            "tools": None if self.tools is None else {"allowed": sorted(set(self.tools))},
            "needs": sorted(prerequisites),
        }
        return {key: value for key, value in stated.items() if value not in (None, "", [], {})}


def digest(value: Any) -> str:
    """12 hexadecimal digits of SHA-256 over the canonical JSON of a plain value."""
    text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _canonical(value: Any) -> Any:
    """The same value with whole floats as integers: a database or another tool may turn 1.0 into 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_canonical(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _canonical(member) for key, member in cast("dict[str, Any]", value).items()}
    return value
