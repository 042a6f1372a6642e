"""Script: what the model says to the agent's roles, from the request alone, so that a resume hears the same."""

from __future__ import annotations

import json
from typing import Any

from openmanus_graph.testing import Reply, ToolUse

WORK = "Do the work in three steps"
"""The request whose dispatch is killed."""
TALK = "Note this once"
"""The first request of the conversation."""
TALK_ON = "What did I ask for?"
"""The request that goes on with it."""
REMEMBERED = "You asked to have it noted."
"""What is answered to it, if the model is told of the first request."""
DONE = "Everything is noted."
"""What the reporter says."""

PLANS: dict[str, list[dict[str, Any]]] = {
    WORK: [
        {"id": "first", "goal": "note", "tool": "step", "args": {"name": "agent.first"}},
        {
            "id": "work",
            "goal": "note it twice",
            "agent": "executor",
            "tools": ["step", "hold"],
            "needs": ["first"],
            "done_when": "it is noted",
        },
        {"id": "last", "goal": "note", "tool": "step", "args": {"name": "agent.last"}, "needs": ["work"]},
    ],
    TALK: [{"id": "noted", "goal": "note", "tool": "step", "args": {"name": "talk.noted"}}],
}


def replies(body: dict[str, Any]) -> Reply:
    """The model's reply to a request."""
    tools = {tool["function"]["name"] for tool in body.get("tools") or []}
    said = json.dumps(body["messages"])
    if TALK_ON in said:
        return Reply(REMEMBERED if TALK in said and DONE in said else "I know of nothing.")
    if "delegate" in tools and (body["messages"][-1]["role"] == "tool" or "What came of the plan" in said):
        return Reply(DONE)
    if "delegate" in tools:
        task = WORK if WORK in said else TALK
        return _calls("submit_plan", goal=task, subtasks=PLANS[task])
    if "verdict" in tools:
        return _calls("verdict", verified=True, why="It was seen.")
    if "terminate" in tools:
        results = sum(message["role"] == "tool" for message in body["messages"])
        if results == 0:
            return _calls("step", name="agent.once")
        if results == 1:
            return _calls("hold", name="agent.held")
        return _calls("terminate", status="success", answer="It is noted twice.")
    return Reply(DONE)


def _calls(name: str, /, **args: Any) -> Reply:
    return Reply(tool_calls=[ToolUse(name, args)])
