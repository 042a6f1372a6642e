"""Checks: decides without a model what it can of a subtask's outcome.

They look for plain statements in `done_when`: that a file exists or was written, that a command ended without an
error, that a file is valid JSON. What they do not recognise, they leave to the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from langchain_core.messages import BaseMessage, ToolMessage

_NAME = r"[`'\"]?(?P<path>(?:[\w.-]+/)*[\w-]+(?:\.[\w-]+)*\.[A-Za-z][A-Za-z0-9]{0,7})[`'\"]?"
_EXISTS = (
    re.compile(rf"(?:file|report|script|table|chart|document)\s+{_NAME}", re.IGNORECASE),
    re.compile(rf"{_NAME}\s+(?:exists?|is\s+(?:written|saved|created|there|present)|has been)", re.IGNORECASE),
    re.compile(
        rf"(?:written|saved|stored|writes?|saves?|exported)\s+(?:\w+\s+){{0,3}}(?:to|into|as)\s+{_NAME}",
        re.IGNORECASE,
    ),
    re.compile(rf"(?:saved|stored|saves?|stores?)\s+(?:\w+\s+){{0,3}}in\s+{_NAME}", re.IGNORECASE),
)
_CLAUSE_END = re.compile(r"[;,\n]|[.!?]\s|\b(?:and|but|while)\b", re.IGNORECASE)
_NEGATED = re.compile(
    r"\b(?:no|not|never|nor|neither|without|removed?|deleted?|gone|missing|absent|unless|if)\b|n't\b", re.IGNORECASE
)
_NO_FILE = re.compile(r"(?:^|/)\.\.(?:/|$)|^(?:e\.g|i\.e)$|\.(?:com|org|net|io|dev)$", re.IGNORECASE)
"""Paths out of the workspace, abbreviations and hosts."""
_JSON = re.compile(rf"{_NAME}\s+is\s+(?:valid|well-formed)\s+JSON", re.IGNORECASE)
_SUCCEEDS = re.compile(
    r"exit\s+code\s+(?:is\s+)?0|(?:tests?|commands?|scripts?|programs?|builds?)\s+(?:pass|succeed|end\s+without|run\s+without)",
    re.IGNORECASE,
)


def named_files(text: str) -> list[str]:
    """The files that a text says exist, each once; where it says that one does not, that is for the model to judge."""
    return list(dict.fromkeys(name for pattern in (*_EXISTS, _JSON) for name in _asserted(pattern, text)))


def _asserted(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for match in pattern.finditer(text):
        name = match.group("path")
        before = list(_CLAUSE_END.finditer(text, 0, match.start("path")))
        after = _CLAUSE_END.search(text, match.end("path"))
        clause = text[before[-1].end() if before else 0 : after.start() if after else len(text)]
        if not _NEGATED.search(clause.replace(name, "")) and not _NO_FILE.search(name):
            yield name


def problems(done_when: str, workspace: Path, messages: Sequence[BaseMessage], commands: Collection[str]) -> list[str]:
    """The statements of `done_when` that plainly do not hold, a sentence each.

    Args:
        done_when: What done looks like.
        workspace: The thread's folder.
        messages: What the subtask's agent did.
        commands: The tools that run commands.
    """
    found: list[str] = []
    for name in named_files(done_when):
        path = workspace / name
        if not path.is_file():
            found.append(f"The file {name!r} does not exist in the workspace.")
        elif path.stat().st_size == 0:
            found.append(f"The file {name!r} is empty.")
    for name in _asserted(_JSON, done_when):
        path = workspace / name
        if path.is_file():
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                found.append(f"The file {name!r} is not valid JSON: {error}.")
    last = last_command(messages, commands)
    if _SUCCEEDS.search(done_when) and last is not None and last.status == "error":
        found.append(f"The last command failed: {str(last.text)[-300:]}")
    return found


def last_command(messages: Sequence[BaseMessage], commands: Collection[str]) -> ToolMessage | None:
    """The result of the last command that was run, or `None`."""
    return next(
        (message for message in reversed(messages) if isinstance(message, ToolMessage) and message.name in commands),
        None,
    )
