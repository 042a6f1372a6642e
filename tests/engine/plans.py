"""Plans for tests, as plain dicts."""

from __future__ import annotations

from typing import Any


def subtask(name: str, tool: str = "nap", needs: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    """One subtask; `args` among the fields."""
    return {"id": name, "goal": f"do {name}", "tool": tool, "needs": needs or [], **fields}


def plan(*subtasks: dict[str, Any]) -> dict[str, Any]:
    """A plan of them."""
    return {"goal": "a test", "subtasks": list(subtasks)}


def thread(name: str = "t", **configurable: Any) -> Any:
    """The config of a thread."""
    return {"configurable": {"thread_id": name, **configurable}}
