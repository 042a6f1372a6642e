"""Agent: `create_agent` of LangChain, with middleware and a structured answer."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, AgentState, ModelCallLimitMiddleware
from langchain.agents.structured_output import ToolStrategy
from pydantic import BaseModel
from scripted import Scripted, log, look


class Report(BaseModel):
    """What is to be answered."""

    found: str
    pages: int


class Noted(AgentState[Any]):
    """The state, with what the middleware counts."""

    noted: int


class Counting(AgentMiddleware[Noted]):
    """Counts the calls of the model in the state."""

    state_schema = Noted

    def before_model(self, state: Noted, runtime: Any) -> dict[str, Any]:
        """Count one."""
        log("middleware counts")
        return {"noted": state.get("noted", 0) + 1}


MODEL = Scripted(lines=[("look", {"what": "the book"}), ("Report", {"found": "the book", "pages": 7})])

graph = create_agent(
    MODEL,
    [look],
    middleware=[Counting(), ModelCallLimitMiddleware(run_limit=5)],
    response_format=ToolStrategy(Report),
)
