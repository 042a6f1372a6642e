"""Tools that a scripted model may call."""

from __future__ import annotations

from langchain_core.tools import tool


@tool
def bash(command: str) -> str:
    """Run a command."""
    return command
