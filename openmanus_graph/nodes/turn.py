"""Turn: one visit of a role's node: whom it asks, what it tells the views, and what that has used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime

from openmanus_graph.events import Event, Usage
from openmanus_graph.models.gateway import Structured, usage_of
from openmanus_graph.models.place import Place
from openmanus_graph.models.spending import together
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.scope import scope_of
from openmanus_graph.state import ManusState


class Turn:
    """One visit of a node of the agent graph."""

    def __init__(self, roles: Roles, state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> None:
        self.roles = roles
        self.state = state
        self.scope = scope_of(config, roles.settings)
        self._turns = dict(state.get("turns") or {})
        self._usage: Usage | None = None
        request = state.get("request") or 1
        step = (config.get("metadata") or {}).get("langgraph_step", 0)
        # The step is the same when a suspended node repeats its beginning.
        self.emit = self.scope.emitter(runtime.stream_writer, f"q{request}.{step}")

    def tell(self, kind: Any, **fields: Any) -> None:
        """Send an event."""
        event = Event(type=kind)
        event.update(fields)  # pyright: ignore[reportArgumentType, reportCallIssue] - fields of Event
        self.emit(event)

    def _place(self, role: str) -> Place:
        self._turns[role] = self._turns.get(role, 0) + 1
        return Place(role, turn=self._turns[role])

    async def reply(self, role: str, messages: Sequence[BaseMessage], tools: Sequence[BaseTool] = ()) -> AIMessage:
        """Call the role's model.

        Raises:
            BudgetError: If a budget is used up.
            ModelError: If the model cannot be reached.
        """
        place = self._place(role)
        reply = await self.roles.models.reply(place, messages, scope=self.scope, emit=self.emit, tools=tools)
        self._usage = together(self._usage, usage_of(reply))
        return reply

    async def structured(
        self, role: str, messages: Sequence[BaseMessage], schema: Mapping[str, Any], name: str, description: str
    ) -> Structured:
        """Call the role's model for an object; `problem` says where it gave none.

        Raises:
            BudgetError: If a budget is used up.
            ModelError: If the model cannot be reached.
        """
        found = await self.roles.models.structured(
            self._place(role),
            messages,
            scope=self.scope,
            emit=self.emit,
            schema=schema,
            name=name,
            description=description,
        )
        self._usage = together(self._usage, usage_of(found.message))
        return found

    def with_usage(self, update: dict[str, Any]) -> dict[str, Any]:
        """A state update with what the visit has used."""
        if self._usage is None:
            return update
        return {**update, "turns": self._turns, "usage": self._usage}
