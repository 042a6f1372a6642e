"""Call site: role, subtask and turn of a model call, the same at every resume; recordings are addressed by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["planner", "executor", "verifier", "reporter", "coordinator", "knowledge", "vision"]
"""Who calls a model; each has its own model settings and falls back to `default`."""

ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class CallSite:
    """One call of a model."""

    role: str
    """Who calls."""
    subtask: str = ""
    """The subtask it calls for; empty in the graph's own nodes."""
    turn: int = 1
    """Which call of this role for this subtask, from 1; taken from the state, so a step that runs again has it too."""
    round: int = 1
    """Which dispatch of the thread the subtask runs in: a later one may have a subtask of the same id."""

    def __str__(self) -> str:
        """`role/subtask/turn`, with `-` for no subtask; `subtask.r2` in the second dispatch."""
        later = f".r{self.round}" if self.round > 1 else ""
        return f"{self.role}/{self.subtask or '-'}{later}/{self.turn}"
