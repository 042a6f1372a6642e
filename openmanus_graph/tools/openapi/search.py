"""Search: the operations that fit some words, by BM25 over weighted fields and a few words of the same meaning.

Robertson and Zaragoza: "The Probabilistic Relevance Framework: BM25 and Beyond" (2009); fields are joined by weight.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from openmanus_graph.tools.openapi.operation import Operation
from openmanus_graph.tools.web.markup import names

K1, B = 1.2, 0.6
"""How soon a word that is repeated stops counting, and how much a long text is held against it."""
_WEIGHTS = {"name": 3.0, "path": 2.0, "summary": 3.0, "tags": 1.5, "verb": 2.0, "description": 1.0, "parameters": 0.5}
_SYNONYM = 0.7
"""What a word of the same meaning counts."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_STOP = names(
    "a an the of to in on for and or with by from at is are be my our your its this that it all which what how do i me "
    "one some any into as using via use v1 v2 v3 api rest"
)
_ALIKE = (
    "get read fetch retrieve show view find lookup see",
    "list enumerate all browse every",
    "create add new make start open begin",
    "update change edit modify set rename alter",
    "delete remove destroy erase drop",
    "cancel stop abort end terminate",
    "send post submit deliver",
    "search find query lookup filter",
    "run execute trigger start launch",
    "upload attach import",
    "download export fetch",
    "enable activate turn",
    "disable deactivate",
    "user account member person",
    "customer client",
    "picture image photo",
    "invoice bill",
    "payment charge pay",
    "repository repo",
    "server machine droplet instance vm host",
    "ticket issue",
    "group team",
    "key token secret credential",
    "permission access right role",
    "folder directory",
    "website site page",
    "comment note reply",
    "price cost amount",
    "stock inventory",
    "order purchase",
)
"""Words that are taken for one another."""
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}


def words_of(text: str) -> list[str]:
    """The words of a text in small letters and their plain form, those of joined names apart."""
    return [stem(word) for found in _WORD.findall(text) if (word := found.lower()) not in _STOP]


def stem(word: str) -> str:
    """A word without the ending of a plural or of a verb."""
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= 3:
            return word[: len(word) - len(ending)] + instead
    return word


_SAME: dict[str, frozenset[str]] = {}
for _row in _ALIKE:
    _stems = frozenset(map(stem, _row.split()))
    for _one in _stems:
        _SAME[_one] = _SAME.get(_one, frozenset()) | _stems


def group_of(operation: Operation) -> str:
    """The group of an operation: its first tag, else the first part of its path that says something."""
    if operation.tags:
        return operation.tags[0]
    parts = [part for part in operation.path.split("/") if part and not part.startswith("{")]
    telling = [part for part in parts if part not in ("api", "rest") and not re.fullmatch(r"v\d[\d.]*", part)]
    return telling[0] if telling else ""


class Search:
    """Finds operations."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        """Count their words."""
        self._operations = list(operations)
        self._counts = [_counted(operation) for operation in self._operations]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        self._average = sum(self._lengths) / len(self._lengths) if self._lengths else 1.0
        self._having: dict[str, list[int]] = {}
        for number, counts in enumerate(self._counts):
            for word in counts:
                self._having.setdefault(word, []).append(number)

    def find(self, query: str, group: str | None = None, most: int = 8) -> list[Operation]:
        """The operations that fit best, the best first.

        Args:
            query: What is to be done, in words.
            group: The group they must be of.
            most: How many.
        """
        scores: dict[int, float] = {}
        for word in dict.fromkeys(words_of(query)):
            best: dict[int, float] = {}
            for other in {word} | _SAME.get(word, frozenset()):
                weight = 1.0 if other == word else _SYNONYM
                for number, score in self._scores(other):
                    best[number] = max(best.get(number, 0.0), weight * score)
            for number, score in best.items():
                scores[number] = scores.get(number, 0.0) + score
        fitting = [
            (score - (1.0 if self._operations[number].deprecated else 0.0), -number)
            for number, score in scores.items()
            if group is None or _is_of(self._operations[number], group)
        ]
        if group is not None and not fitting:
            fitting = [(0.0, -number) for number, one in enumerate(self._operations) if _is_of(one, group)]
        return [self._operations[-number] for _, number in sorted(fitting, reverse=True)[:most]]

    def _scores(self, word: str) -> Iterable[tuple[int, float]]:
        having = self._having.get(word, ())
        rarity = math.log(1 + (len(self._operations) - len(having) + 0.5) / (len(having) + 0.5))
        for number in having:
            count = self._counts[number][word]
            length = 1 - B + B * self._lengths[number] / self._average
            yield number, rarity * count * (K1 + 1) / (count + K1 * length)


def _counted(operation: Operation) -> dict[str, float]:
    """How often each word is there, by the weight of its fields."""
    is_one = operation.path.rstrip("/").endswith("}")
    fields: dict[str, str | Sequence[str]] = {
        "name": operation.name,
        "path": operation.path,
        "summary": operation.summary,
        "tags": operation.tags,
        "verb": _VERBS.get(operation.method, "get" if is_one else "list"),
        "description": operation.description[:600],
        "parameters": list(operation.schema.get("properties", ())),
    }
    counts: dict[str, float] = {}
    for name, given in fields.items():
        text = given if isinstance(given, str) else " ".join(given)
        for word, count in Counter(words_of(text)).items():
            counts[word] = counts.get(word, 0.0) + _WEIGHTS[name] * count
    return counts


def _is_of(operation: Operation, group: str) -> bool:
    wanted = group.casefold()
    return group_of(operation).casefold() == wanted or any(tag.casefold() == wanted for tag in operation.tags)
