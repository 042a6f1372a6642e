"""Accepted plans: the plans of one graph, each validated and checked once however often it is handed over."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from openmanus_graph.plan import Plan

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

REMEMBERED = 4
"""Plans that a graph remembers; one that runs more threads than that at once validates some of them again."""


class AcceptedPlans:
    """Plans of one graph, each validated and checked once; a known plan is recognised by its content.

    A plan travels as an object from its file to the graph's input, and as a plain dict in the graph's state.
    """

    def __init__(self, tools: Mapping[str, BaseTool], agents: Collection[str], max_subtasks: int) -> None:
        """Start without a plan.

        Args:
            tools: The graph's tools by name.
            agents: The names of the agents that its subtasks may be given to.
            max_subtasks: How many subtasks a plan may have.
        """
        self._tools = tools
        self._agents = agents
        self._max_subtasks = max_subtasks
        self._plans: deque[Plan] = deque(maxlen=REMEMBERED)

    def accept(self, given: Plan | Mapping[str, Any]) -> Plan:
        """Validate a plan and check it against the graph, unless its content was accepted before.

        Raises:
            PlanError: If it is no sound plan, or names a tool, an argument, an output field or an agent that is not
                there.
        """
        content = given.to_dict() if isinstance(given, Plan) else given
        if (known := self.find(content)) is not None:
            return known
        # A copy with other fields, or one whose lists were changed, has not been validated as it is now.
        plan = given if isinstance(given, Plan) and given.matches(content) else Plan.from_dict(content)
        plan.check(self._tools, self._agents, self._max_subtasks)
        self._plans.appendleft(plan)
        return plan

    def find(self, content: Any) -> Plan | None:
        """Accepted plan with this content, as a graph's state holds it; `None` if there is none."""
        return next((plan for plan in self._plans if plan.matches(content)), None)

    def from_file(self, path: str | os.PathLike[str]) -> Plan:
        """Read a plan from a file and accept it.

        Args:
            path: The file, as `Plan.from_file` takes it.

        Raises:
            PlanError: With every problem of the file, of the plan and of its fit to the graph at once.
        """
        plan = Plan.from_file(path, tools=self._tools, agents=self._agents, max_subtasks=self._max_subtasks)
        self._plans.appendleft(plan)
        return plan
