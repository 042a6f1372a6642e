"""Spans: the parts of a task that may be parameters, and the parts of arguments that name people, money or places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from openmanus_graph.memory.episodic import COMMON_STEMS, STOP_WORDS, particulars, word_stems

MOST_WORDS = 6
"""Words of the longest span."""
ADDRESS = r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>|]*[^\s\"'<>|.,;:!?)\]}]"
EMAIL = r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
OUTSIDE_PATH = r"(?<![\w.$}/])(?:~|\.\.)?/(?:[\w.@-]+/)*[\w.@-]+|\b[A-Za-z]:\\[\w.\\-]+"
"""A path from the root, from the home folder, or out of the folder."""
INSIDE_PATH = r"(?<![\w.])[\w-]+(?:/[\w.-]+)+|(?<![\w.])[\w-]+(?:\.[\w-]+)*\.[A-Za-z][A-Za-z0-9]{0,4}(?![\w(.])"
MONEY = (
    r"(?:[$€£¥]|\b(?:USD|EUR|GBP|CHF|JPY)\b)\s?\d+(?:[.,]\d+)*|"
    r"\b\d+(?:[.,]\d+)*\s?(?:[$€£¥]|(?:USD|EUR|GBP|CHF|JPY|euros?|dollars?)\b)"
)
NUMBER = r"(?<![\w.,])\d+(?:[.,:/-]\d+)*(?![\w])"
PLACES = re.compile(rf"{ADDRESS}|{EMAIL}|{OUTSIDE_PATH}|{INSIDE_PATH}")
"""What is a parameter whole, or not at all."""
REFERENCE = re.compile(r"\$+\{[^}]*\}")
_NAME = re.compile(
    r"\b(?:[Tt]o|[Ff]or|[Ff]rom|[Ww]ith|[Bb]y|[Aa]n|[Ff]ür|[Vv]on|[Mm]it|Mr|Mrs|Ms|Dr|Herrn?|Frau)\.? "
    r"(?P<name>[A-ZÄÖÜ][\w'-]+(?: [A-ZÄÖÜ][\w'-]+)*)"
)
PRIVATE = re.compile(rf"{EMAIL}|{MONEY}|{OUTSIDE_PATH}")
"""What names people, money or paths outside the workspace, whatever stands around it."""
PERSON_FIELD = re.compile(
    r"(?:^|_)(?:to|cc|bcc|recipients?|e?mail|name|person|assignee|payee|iban|account|amount|price|phone|user)$",
    re.IGNORECASE,
)
"""Names of arguments whose value is a person, an account or an amount."""
KIND_STEMS = frozenset(
    stem
    for word in re.findall(
        r"\w+",
        "address amount article cost count csv data date day document html invoice json letter line list mail "
        "markdown md message month name news number overview package page pdf picture price product release review "
        "shop site summary table today topic txt value version weather web week word year",
    )
    for stem in word_stems(word)
)
"""Words that say what kind of thing is meant, and by themselves name nothing."""
_TOKEN = re.compile(rf"{ADDRESS}|{EMAIL}|{OUTSIDE_PATH}|{INSIDE_PATH}|{NUMBER}|[^\W\d_][\w'-]*|[\w]+")
_JOINED = re.compile(r"[ \t]+|-")


@dataclass(frozen=True)
class Span:
    """A part of a task."""

    start: int
    """Where it begins in the task."""
    end: int
    """Where it ends."""
    text: str
    """Its words."""
    kind: str
    """`words`, `number`, `address`, `email` or `path`."""
    is_particular: bool = False
    """Whether it names something by itself: a number, a name, a code, a place."""

    @property
    def word_count(self) -> int:
        """Words of it; the parts of a number or of a word with a hyphen count, too."""
        return len(re.findall(r"\w+", self.text))


def kind_of_text(text: str) -> str:
    """What kind of value a text is."""
    for kind, pattern in (("address", ADDRESS), ("email", EMAIL), ("number", NUMBER)):
        if re.fullmatch(pattern, text):
            return kind
    return "path" if re.fullmatch(rf"{OUTSIDE_PATH}|{INSIDE_PATH}", text) else "words"


def spans_of(task: str) -> list[Span]:
    """Spans of a task that may be parameters, the longest first; those of the same length in reading order."""
    tokens = list(_TOKEN.finditer(task))
    names = particulars(task)
    found: list[Span] = []
    for first in range(len(tokens)):
        for last in range(first, min(first + MOST_WORDS, len(tokens))):
            if last > first and not _JOINED.fullmatch(task[tokens[last - 1].end() : tokens[last].start()]):
                break
            kind = kind_of_text(tokens[last][0])
            if last > first and (kind != "words" or kind_of_text(tokens[first][0]) != "words"):
                break
            if _says_nothing(tokens[last][0]):
                break
            text = task[tokens[first].start() : tokens[last].end()]
            if kind == "words" and (_is_kind(tokens[first][0]) or _is_kind(tokens[last][0])):
                continue
            is_particular = kind != "words" or not names.isdisjoint(word_stems(text))
            found.append(Span(tokens[first].start(), tokens[last].end(), text, kind, is_particular))
    return sorted(found, key=lambda span: -(span.end - span.start))


def _says_nothing(word: str) -> bool:
    return word.lower() in STOP_WORDS


def _is_kind(word: str) -> bool:
    """Whether a word is of work, or of kinds of things."""
    return set(word_stems(word)) <= COMMON_STEMS | KIND_STEMS


def pattern_of(text: str) -> str:
    """The pattern that finds a text with word edges, whatever blanks are between its words."""
    inside = r"[ \t]+".join(re.escape(word) for word in text.split())
    return rf"(?<!\w){inside}(?!\w)"


def occurs(text: str, inside: str, *, exactly: bool = False) -> bool:
    """Whether a text stands in another with word edges."""
    return re.search(pattern_of(text), inside, 0 if exactly else re.IGNORECASE) is not None


def segments(text: str) -> Iterator[tuple[str, str]]:
    """A text taken apart into references, places and what is between them, each with what it is."""
    end = 0
    for found in re.finditer(rf"(?P<reference>{REFERENCE.pattern})|{PLACES.pattern}", text):
        if found.start() > end:
            yield "text", text[end : found.start()]
        yield ("reference" if found["reference"] else "place"), found[0]
        end = found.end()
    if end < len(text):
        yield "text", text[end:]


def private_parts(text: str, *, names: bool) -> list[str]:
    """The parts of a text that name people, money or paths outside the workspace.

    Args:
        text: A text of a step.
        names: Whether capitalised words after such as *to* and *for* are names; in code they are not.
    """
    found = [part[0].strip() for part in PRIVATE.finditer(text)]
    if names:
        found += [part["name"] for part in _NAME.finditer(text)]
    return [part for part in dict.fromkeys(found) if part]
