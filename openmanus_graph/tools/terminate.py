"""Terminate: the tool with which an agent ends its subtask, and says how it went."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.tools.spec import ToolSpec, builtin_tool


def _as_text(value: Any) -> Any:
    """The value as text; anything else as JSON, since a plan may hand on a whole output."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_SPEC = ToolSpec(effect="read", idempotent=True, returns={"status": TEXT, "answer": TEXT, "error": TEXT}, planned=False)


class TerminateArguments(BaseModel):
    """How the subtask ends."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["success", "failure"] = Field(description="`failure` if the goal cannot be reached.")
    answer: Annotated[str, BeforeValidator(_as_text)] = Field(
        default="", description="The result, or why it failed, in full: it is all that others see."
    )


@builtin_tool("terminate", TerminateArguments, _SPEC)
async def terminate(status: Literal["success", "failure"], answer: str = "") -> dict[str, Any]:
    """End the subtask with its answer, when the goal is reached or cannot be reached."""
    error = None if status == "success" else answer.strip() or "The goal cannot be reached."
    return {"status": status, "answer": answer, "error": error}
