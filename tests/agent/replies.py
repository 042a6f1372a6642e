"""Replies of the scripted provider, by what a role says."""

from __future__ import annotations

from typing import Any

from openmanus_graph.testing import Reply, ToolUse


def plans(*subtasks: dict[str, Any], goal: str = "the goal") -> Reply:
    """The planner's reply."""
    return Reply(tool_calls=[ToolUse("submit_plan", {"goal": goal, "subtasks": list(subtasks)})])


def wants_plan() -> Reply:
    """The coordinator has it planned."""
    return Reply(tool_calls=[ToolUse("plan", {"why": "It must be done."})])


def calls(*uses: ToolUse, text: str = "") -> Reply:
    """An executor's reply that calls tools."""
    return Reply(text, tool_calls=list(uses))


def ends(answer: str, status: str = "success") -> Reply:
    """An executor's last reply."""
    return Reply(tool_calls=[ToolUse("terminate", {"status": status, "answer": answer})])


def verdict(verified: bool, why: str = "It was seen.") -> Reply:
    """The verifier's reply."""
    return Reply(tool_calls=[ToolUse("verdict", {"verified": verified, "why": why})])


def asks(question: str) -> Reply:
    """The coordinator asks the person."""
    return Reply(tool_calls=[ToolUse("ask", {"question": question})])


def done(answer: str, status: str = "success") -> tuple[Reply, Reply]:
    """An executor's last reply, and the verifier's that agrees."""
    return ends(answer, status), verdict(True)


def thread(name: str = "t", **configurable: Any) -> Any:
    """The config of a thread."""
    return {"configurable": {"thread_id": name, **configurable}}
