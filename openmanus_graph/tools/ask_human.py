"""ask_human: asks the user, and waits as long as it takes, with no process running."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from openmanus_graph.context import tool_context
from openmanus_graph.plans.output_shape import ANY
from openmanus_graph.questions import ask
from openmanus_graph.tools.spec import ToolSpec, builtin_tool

_SPEC = ToolSpec(effect="read", idempotent=True, returns={"answer": ANY}, free_text=("answer",))


class AskHumanArguments(BaseModel):
    """Arguments of `ask_human`."""

    inquire: str = Field(min_length=1, description="The question to ask the person.")


@builtin_tool("ask_human", AskHumanArguments, _SPEC)
async def ask_human(inquire: str) -> dict[str, Any]:
    """Ask the person a question; the answer may take long."""
    return {"answer": ask(inquire, subtask=tool_context().subtask_id)}
