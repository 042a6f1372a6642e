"""Checks: decides without a model what it can of a subtask's outcome.

They look for plain statements in `done_when`: that files exist or were written, that one has a table or is valid JSON,
that a command ended without an error. What they do not recognise, what is denied and what is conditional, they leave
to the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from langchain_core.messages import BaseMessage, ToolMessage

_PATH = r"(?:[\w.-]+/)*[\w-]+(?:\.[\w-]+)*\.[A-Za-z][A-Za-z0-9]{0,7}"
_WORD = re.compile(r"[\w./-]+")
LONGEST_NAME = 255
"""Bytes beyond which a word is no path."""
_NAME = rf"[`'\"]?{_PATH}[`'\"]?"
_NAMES = rf"(?P<names>{_NAME}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*){_NAME})*)"
_ADVERBS = r"(?:(?:both|all|each|now|also|already|really)\s+)?"
_MADE = r"(?:written|saved|stored|created|generated|produced|exported|downloaded|made)"
_PUT = r"(?:written|writes?|saved|saves?|stored|stores?|exported|exports?|downloaded|downloads?|converted)"
_FILE = r"(?:files?|report|script|table|chart|document)"
_THERE = rf"(?:{_MADE}|there|present|in\s+place|not\s+empty|non-?empty)"
_STATED = rf"{_ADVERBS}exists?\b|(?:is|are|was|were)\s+{_ADVERBS}{_THERE}\b"
_EXISTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_FILE}\s+(?:named\s+|called\s+)?{_NAMES}",
        rf"{_NAMES}\s+(?:{_STATED}|(?:has|have)\s+{_ADVERBS}been\s+{_ADVERBS}{_MADE}\b)",
        rf"{_PUT}\s+(?:\w+\s+){{0,3}}(?:to|into|as|under)\s+{_NAMES}",
        rf"(?:saved|stored|saves?|stores?)\s+(?:\w+\s+){{0,3}}in\s+{_NAMES}",
    )
)
_HOLDS = (
    re.compile(
        rf"{_NAMES}\s+{_ADVERBS}(?:has|have|contains?|holds?|includes?|lists?|names?|shows?|gives?|says?|states?)\b",
        re.IGNORECASE,
    ),
    re.compile(rf"\b(?:is|are|stands?)\s+in\s+(?:the\s+file\s+)?{_NAMES}", re.IGNORECASE),
)
"""Statements about what files say; their words are said of much else, too, so that only plain endings count."""
_PLAIN_ENDING = re.compile(
    r"\.(?:md|txt|csv|tsv|jsonl?|ya?ml|toml|ini|html?|xml|pdf|png|jpe?g|gif|svg|docx|xlsx|pptx|odt|ods|py|ipynb|sql|tex|rst|log)$",
    re.IGNORECASE,
)
_FILES_STATED = re.compile(rf"\b(?P<which>both|all|these|the)\s+(?:\w+\s+)?files\s+(?:{_STATED})", re.IGNORECASE)
_TABLE = re.compile(
    rf"{_NAMES}\s+(?:(?:exists?|is\s+\w+),?\s+and\s+)?(?:has|have|contains?|holds?|includes?|shows?|with)\s+(?:a|one)\s+"
    r"(?:(?!(?:to|of|for|about|from|in|on|with|and|or)\b)[\w-]+\s+){0,3}table"
    r"(?=\s*(?:[.,;:)]|$)|\s+(?:with|that|which|listing|comparing|showing|and|for|of(?!\s+contents))\b)",
    re.IGNORECASE,
)
_MARKDOWN_TABLE = re.compile(
    r"^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)+\|?[ \t]*$|^[ \t]*\|[ \t]*:?-+:?[ \t]*\|[ \t]*$",
    re.MULTILINE,
)
_OTHER_TABLE = re.compile(r"<table\b|^[ \t]*\+[-=][-=+]*\+[ \t]*$", re.IGNORECASE | re.MULTILINE)
TABLE_CHARACTERS = 2**20
"""How much of a file is searched for a table."""
_COLUMNS = re.compile(r"[,;\t|]")
_CLAUSE_END = re.compile(r"[;,\n]|[.!?](?:\s|$)|\b(?:and|but|while)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)|\n")
_NEGATED = re.compile(
    r"\b(?:no|not|never|nor|neither|without|removed?|deletes?d?|gone|missing|absent|moved|renamed|replaced|archived|or|either|may|might|optional(?:ly)?"
    r"|empt(?:y|ied))\b|n't\b",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(r"\b(?:if|unless|otherwise|in\s+case|where\s+(?:applicable|possible))\b", re.IGNORECASE)
_NOT_EMPTY = re.compile(
    r"\b(?:not\s+empty|non-?empty|not\s+only|(?:no|not)\s+(?:more|less|fewer)\s+than)\b", re.IGNORECASE
)
"""Denials that deny no file."""
_NO_FILE = re.compile(
    r"(?:^|/)\.\.(?:/|$)|^(?:e\.g|i\.e)$|\.(?:com|org|net|io|dev|de|uk|fr|eu|at|ch|us|app|ai|gov|edu|info|jp|nl|es|it)$",
    re.IGNORECASE,
)
"""Paths out of the workspace, abbreviations and hosts."""
_JSON = re.compile(
    rf"{_NAMES}\s+(?:(?:is|are|contains?|holds?|has|have)\s+{_ADVERBS}(?:valid|well-formed)|parses?\s+as)\s+JSON",
    re.IGNORECASE,
)
_SUCCEEDS = re.compile(
    r"\bexit(?:s|ed)?\s+(?:with\s+)?(?:code\s+|status\s+)?(?:is\s+)?0\b"
    r"|\b(?:tests?|test\s+suite|pytest|commands?|scripts?|programs?|builds?)\s+(?:all\s+)?"
    r"(?:pass(?:es)?|succeeds?|(?:ends?|runs?|exits?)\s+(?:without|successfully))\b",
    re.IGNORECASE,
)


def named_files(text: str, goal: str = "") -> list[str]:
    """The files that a text says exist, each once; where it says that one does not, that is for the model to judge.

    Args:
        text: What done looks like.
        goal: The goal, which says what `both files` are where the text does not.
    """
    found = [name for pattern in (*_EXISTS, _JSON) for name in _asserted(pattern, text)]
    found += [name for pattern in _HOLDS for name in _asserted(pattern, text) if _PLAIN_ENDING.search(name)]
    found += _files_meant(text, goal)
    return list(dict.fromkeys(found))


def mentioned_files(text: str) -> list[str]:
    """Every word of a text that may be the path of a file, each once."""
    words = (word.rstrip(".") for word in _WORD.findall(text) if len(word.encode()) <= LONGEST_NAME)
    return [name for name in dict.fromkeys(words) if re.fullmatch(_PATH, name) and not _NO_FILE.search(name)]


def _files_meant(text: str, goal: str) -> list[str]:
    """The files that `both files` and the like are."""
    stated = next((match for match in _FILES_STATED.finditer(text) if not _left_to_model(text, *match.span())), None)
    names = mentioned_files(text) or mentioned_files(goal)
    if stated is None or _NEGATED.search(_NOT_EMPTY.sub("", text)) or _CONDITIONAL.search(text):
        return []
    own = bool(mentioned_files(text))
    fits = len(names) == 2 if stated["which"].lower() == "both" else own
    return names if fits else []


def _asserted(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """The names in what a pattern finds, unless it is denied or conditional there."""
    for match in pattern.finditer(text):
        if not _left_to_model(text, *match.span("names")):
            yield from mentioned_files(match["names"])


def _left_to_model(text: str, start: int, end: int) -> bool:
    """Whether the clause around a place denies what stands there, or its sentence has a condition."""
    clause = _around(_CLAUSE_END, text, start, end)
    denied = _NEGATED.search(_NOT_EMPTY.sub("", re.sub(_PATH, "", clause)))
    return denied is not None or _CONDITIONAL.search(_around(_SENTENCE_END, text, start, end)) is not None


def _around(border: re.Pattern[str], text: str, start: int, end: int) -> str:
    before = list(border.finditer(text, 0, start))
    after = border.search(text, end)
    return text[before[-1].end() if before else 0 : after.start() if after else len(text)]


def problems(
    done_when: str, workspace: Path, messages: Sequence[BaseMessage], commands: Collection[str], goal: str = ""
) -> list[str]:
    """The statements of `done_when` that plainly do not hold, a sentence each.

    Args:
        done_when: What done looks like.
        workspace: The thread's folder.
        messages: What the subtask's agent did.
        commands: The tools that run commands.
        goal: The subtask's goal.
    """
    found: list[str] = []
    may_be_empty = re.search(r"\bempty\b", _NOT_EMPTY.sub("", done_when), re.IGNORECASE) is not None
    for name in named_files(done_when, goal):
        path = workspace / name
        if not path.is_file():
            found.append(f"The file {name!r} does not exist in the workspace.")
        elif path.stat().st_size == 0 and not may_be_empty and path.name != "__init__.py":
            found.append(f"The file {name!r} is empty.")
    for name in dict.fromkeys(_asserted(_JSON, done_when)):
        path = workspace / name
        if path.is_file():
            try:
                json.loads(path.read_text(encoding="utf-8-sig"))
            except ValueError as error:
                found.append(f"The file {name!r} is not valid JSON: {error}.")
    found += [
        f"The file {name!r} has no table."
        for name in dict.fromkeys(_asserted(_TABLE, done_when))
        if _lacks_table(workspace / name)
    ]
    last = last_command(messages, commands)
    succeeds = any(not _left_to_model(done_when, *match.span()) for match in _SUCCEEDS.finditer(done_when))
    if succeeds and last is not None and last.status == "error":
        found.append(f"The last command failed: {str(last.text)[-300:]!r}")
    return found


def _lacks_table(path: Path) -> bool:
    """Whether a file plainly has no table; `False` where that cannot be seen."""
    if not path.is_file() or path.suffix.lower() not in (".md", ".csv", ".tsv"):
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        text = file.read(TABLE_CHARACTERS)
    if path.suffix.lower() != ".md":
        return not _COLUMNS.search(text)
    return not _MARKDOWN_TABLE.search(text) and not _OTHER_TABLE.search(text)


def last_command(messages: Sequence[BaseMessage], commands: Collection[str]) -> ToolMessage | None:
    """The result of the last command that was run, or `None`."""
    return next(
        (message for message in reversed(messages) if isinstance(message, ToolMessage) and message.name in commands),
        None,
    )
