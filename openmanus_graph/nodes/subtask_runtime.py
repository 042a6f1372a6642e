"""Run: what the nodes of one subtask are handed at run time; it never enters a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openmanus_graph.context import ToolContext
from openmanus_graph.events import Emit
from openmanus_graph.scope import Scope
from openmanus_graph.state import SubtaskResult


@dataclass(frozen=True)
class Background:
    """What a subtask's agent should know of the whole."""

    task: str = ""
    """The person's own words."""
    plan_goal: str = ""
    """What the whole plan is for."""
    goals: dict[str, str] = field(default_factory=dict[str, str])
    """The goals of the plan's subtasks by id."""
    earlier: str = ""
    """Earlier requests of the conversation and their answers, in words."""
    attachments: tuple[str, ...] = ()
    """Files that came with the request, paths in the workspace."""


@dataclass(frozen=True)
class SubtaskRun:
    """One run of the subtask graph."""

    context: ToolContext
    """What its tools are handed."""
    lookup: Callable[[str], Any]
    """The whole output of a completed prerequisite, by subtask id."""
    emit: Emit
    """Sends an event to the views."""
    scope: Scope
    """What the whole run shares."""
    result_of: Callable[[str], SubtaskResult]
    """The result of a completed prerequisite, by subtask id."""
    background: Background = field(default_factory=Background)
    """What an agent should know of the whole."""
