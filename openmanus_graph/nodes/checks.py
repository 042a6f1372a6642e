"""Checks: what of a subtask's outcome can be decided without a model.

They look for plain statements in `done_when`: that a file exists or was written, that a command ended without an
error, that a file is valid JSON. What they do not recognise, they leave to the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from langchain_core.messages import BaseMessage, ToolMessage

_NAME = r"[`'\"]?(?P<path>(?:[\w.-]+/)*[\w-]+(?:\.[\w-]+)*\.[A-Za-z][A-Za-z0-9]{0,7})[`'\"]?"
_EXISTS = (
    re.compile(rf"(?:file|report|script|table|chart|document)\s+{_NAME}", re.IGNORECASE),
    re.compile(rf"{_NAME}\s+(?:exists?|is\s+(?:written|saved|created|there|present)|has been)", re.IGNORECASE),
    re.compile(
        rf"(?:written|saved|stored|writes?|saves?|exported)\s+(?:\w+\s+){{0,3}}(?:to|in|into|as)\s+{_NAME}",
        re.IGNORECASE,
    ),
)
_JSON = re.compile(rf"{_NAME}\s+is\s+(?:valid|well-formed)\s+JSON", re.IGNORECASE)
_SUCCEEDS = re.compile(
    r"exit\s+code\s+(?:is\s+)?0|(?:tests?|commands?|scripts?|programs?|builds?)\s+(?:pass|succeed|end\s+without|run\s+without)",
    re.IGNORECASE,
)
_COMMANDS = ("bash", "python_execute")


def named_files(text: str) -> list[str]:
    """The files that a text says exist, each once."""
    found = [match.group("path") for pattern in (*_EXISTS, _JSON) for match in pattern.finditer(text)]
    return list(dict.fromkeys(found))


def problems(done_when: str, workspace: Path, messages: Sequence[BaseMessage]) -> list[str]:
    """What of `done_when` is plainly not so, a sentence each.

    Args:
        done_when: What done looks like.
        workspace: The thread's folder.
        messages: What the subtask's agent did.
    """
    found: list[str] = []
    for name in named_files(done_when):
        path = workspace / name
        if not path.is_file():
            found.append(f"The file {name!r} does not exist in the workspace.")
        elif path.stat().st_size == 0:
            found.append(f"The file {name!r} is empty.")
    for match in _JSON.finditer(done_when):
        path = workspace / match.group("path")
        if path.is_file():
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                found.append(f"The file {match.group('path')!r} is not valid JSON: {error}.")
    last = last_command(messages)
    if _SUCCEEDS.search(done_when) and last is not None and last.status == "error":
        found.append(f"The last command failed: {str(last.text)[-300:]}")
    return found


def last_command(messages: Sequence[BaseMessage]) -> ToolMessage | None:
    """The result of the last command that was run, or `None`."""
    return next((one for one in reversed(messages) if isinstance(one, ToolMessage) and one.name in _COMMANDS), None)
