"""Plan store: the plans that agents keep with the tool `planning`, in one file of the workspace.

The file is `.openmanus/plans.json`: it lives and is copied with the thread's other files, needs no database, and is
replaced in one step, so a process that is killed leaves the old plans or the new ones.
"""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Generator
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.files.safe_paths import HIDDEN_FOLDER, locate, open_folder, read_file, write_file

StepStatus = Literal["not_started", "in_progress", "completed", "blocked"]

MAX_PLANS = 50
"""Plans of one thread."""
MAX_STEPS = 200
"""Steps of one plan."""
MAX_TEXT = 2_000
"""Characters of a step's text, and of its notes."""
MAX_BYTES = 4 * 2**20
"""Bytes of the file."""
_KEPT_DELETIONS = 20
_NAME = "plans.json"


class StoredStep(BaseModel):
    """A step of a plan."""

    id: str
    """What names it, the same wherever it stands."""
    text: str
    """What is to be done."""
    needs: list[str] = Field(default_factory=list[str])
    """Ids of the steps before it."""
    status: StepStatus = "not_started"
    """How far it is."""
    notes: str = ""
    """What was noted about it."""


class StoredPlan(BaseModel):
    """A plan."""

    id: str
    """What names it."""
    title: str
    """What it is for."""
    steps: list[StoredStep] = Field(default_factory=list[StoredStep])
    """Its steps, in order."""
    made: int = 0
    """How many ids of steps were made, so that none is given twice."""
    call: str | None = None
    """The call that created it, which may run again after a crash."""

    def free_step_id(self, taken: Collection[str]) -> str:
        """A step id that was never used in this plan, and is not among `taken`."""
        used = {step.id for step in self.steps} | set(taken)
        while True:
            self.made += 1
            if f"s{self.made}" not in used:
                return f"s{self.made}"

    def replace_steps(self, steps: list[StoredStep]) -> None:
        """Take other steps.

        Raises:
            ToolArgumentsError: If ids are not unique, or edges lead nowhere or in a circle.
        """
        ids = [step.id for step in steps]
        if twice := sorted({step_id for step_id in ids if ids.count(step_id) > 1}):
            raise ToolArgumentsError(f"The step id {twice[0]!r} is given twice.")
        for step in steps:
            if unknown := [need for need in step.needs if need not in ids]:
                raise ToolArgumentsError(
                    f"The step {step.id!r} needs {unknown[0]!r}, which is no step.", hint=f"Steps are {', '.join(ids)}."
                )
        try:
            TopologicalSorter({step.id: step.needs for step in steps}).prepare()
        except CycleError as error:
            circle = " → ".join(str(step_id) for step_id in error.args[1])
            raise ToolArgumentsError(f"The steps need each other in a circle: {circle}.") from error
        self.steps = steps


class Deletion(BaseModel):
    """A plan that was deleted."""

    plan: str
    """Which."""
    call: str
    """The call that deleted it, which may run again after a crash."""


class PlanStore(BaseModel):
    """All plans of a thread."""

    plans: dict[str, StoredPlan] = Field(default_factory=dict[str, StoredPlan])
    """By id."""
    active: dict[str, str] = Field(default_factory=dict[str, str])
    """The active plan of each subtask: agents that run side by side do not move each other's."""
    deleted: list[Deletion] = Field(default_factory=list[Deletion])
    """The last ones that were deleted."""

    def find(self, plan_id: str | None, subtask_id: str) -> StoredPlan:
        """The plan, or the active one of the subtask, or the only one there is.

        Raises:
            ToolArgumentsError: If there is no such plan.
        """
        name = plan_id or self.active.get(subtask_id)
        if name is None and len(self.plans) == 1:
            name = next(iter(self.plans))
        if name is None:
            some = f"Name one of {', '.join(self.plans)}." if self.plans else "Make one with 'create'."
            raise ToolArgumentsError("There is no active plan.", hint=some)
        if name not in self.plans:
            raise missing_plan(name, self.plans)
        return self.plans[name]

    def free_id(self) -> str:
        """An id that no plan has."""
        number = len(self.plans) + 1
        while f"plan_{number}" in self.plans:
            number += 1
        return f"plan_{number}"

    def add(self, plan: StoredPlan) -> None:
        """Take a new plan.

        Raises:
            ToolArgumentsError: If there are too many.
        """
        if len(self.plans) >= MAX_PLANS:
            raise ToolArgumentsError(f"There are already {MAX_PLANS} plans.", hint="Delete one first.")
        self.plans[plan.id] = plan

    def remove(self, plan_id: str, call: str | None) -> bool:
        """Delete a plan; false if there is none, unless this very call has deleted it."""
        gone = self.plans.pop(plan_id, None)
        if gone is None:
            return call is not None and any(
                (deletion.plan, deletion.call) == (plan_id, call) for deletion in self.deleted
            )
        self.active = {subtask: plan for subtask, plan in self.active.items() if plan != plan_id}
        if call is not None:
            self.deleted = [*self.deleted, Deletion(plan=plan_id, call=call)][-_KEPT_DELETIONS:]
        return True


def missing_plan(name: str, known: Collection[str]) -> ToolArgumentsError:
    """The error for a plan that does not exist."""
    some = f"The plans are {', '.join(known)}." if known else "There are none; make one with 'create'."
    return ToolArgumentsError(f"There is no plan {name!r}.", hint=some)


@contextmanager
def open_plans(workspace: Path, *, write: bool) -> Generator[PlanStore]:
    """The plans of a workspace, locked against other processes; what the block changed is kept when it ends.

    Args:
        workspace: The thread's folder.
        write: Whether to keep changes.

    Raises:
        ToolError: If the file cannot be read, or becomes too large.
    """
    folder = locate(workspace, HIDDEN_FOLDER)
    place = locate(workspace, f"{HIDDEN_FOLDER}/{_NAME}")
    with open_folder(folder, make=True) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # released when the descriptor is closed
        before = read_file(place, MAX_BYTES)[0] if place.full.exists() else b"{}"
        try:
            store = PlanStore.model_validate_json(before)
        except ValidationError as error:
            raise ToolError(f"The plans in {place.path!r} cannot be read.", hint="Remove that file.") from error
        yield store
        after = store.model_dump_json(indent=1).encode()
        if len(after) > MAX_BYTES:
            raise ToolError(f"The plans would take more than {MAX_BYTES:,} bytes.", hint="Delete one first.")
        if write and after != before:
            write_file(place, after)
