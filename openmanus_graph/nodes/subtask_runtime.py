"""Subtask runtime: what the nodes of one subtask are handed at run time; it never enters a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openmanus_graph.context import ToolContext
from openmanus_graph.events import Emit
from openmanus_graph.scope import NodeScope, Scope
from openmanus_graph.state import SubtaskResult


class SubtaskScope(NodeScope):
    """The run's scope as the nodes of one subtask have it, with what the subtask builds on."""

    def __init__(
        self,
        run: Scope,
        emit: Emit,
        context: ToolContext,
        *,
        lookup: Callable[[str], Any],
        result_of: Callable[[str], SubtaskResult],
        goals: Mapping[str, str],
        background: str,
    ) -> None:
        """Narrow a run's scope to a subtask.

        Args:
            run: The run's scope.
            emit: Sends an event to the views.
            context: What the subtask's tools are handed.
            lookup: Gives the whole output of a completed prerequisite, by subtask id.
            result_of: Gives the result of a completed prerequisite, by subtask id.
            goals: The goals of the plan's subtasks by id.
            background: What its agent is told of the request around it, as sections of a prompt; may be empty.
        """
        super().__init__(run, emit)
        self.context = context
        self.lookup = lookup
        self.result_of = result_of
        self.goals = goals
        self.background = background
