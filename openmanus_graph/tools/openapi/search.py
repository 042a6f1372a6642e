"""Search: the operations that fit some words, by BM25 over weighted fields and a few words of the same meaning.

Robertson and Zaragoza: "The Probabilistic Relevance Framework: BM25 and Beyond" (2009); fields are joined by weight.
"""

from __future__ import annotations

import math
import operator
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from openmanus_graph.context import Embed
from openmanus_graph.tools.openapi.operation import Operation
from openmanus_graph.tools.web.markup import names

CANDIDATES, FUSED = 40, 60
"""Operations whose meaning is looked at, and how little the first places count more than the next, as in its paper."""
K1, B = 1.2, 0.6
"""How soon a word that is repeated stops counting, and how much a long text is held against it."""
_WEIGHTS = {
    "name": 3.0,
    "path": 2.0,
    "target": 3.0,
    "summary": 3.0,
    "tags": 1.5,
    "verb": 2.0,
    "description": 1.0,
    "parameters": 0.3,
}
_MEANT, _NOT_MEANT = 1.25, 0.8
"""What the score of an operation is multiplied by if its method does what the words ask for, or something else."""
_SYNONYM = 0.7
"""What a word of the same meaning counts."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_STOP = names(
    "a an the of to in on for and or with by from at is are am be my our your its this that it all which what who how "
    "do i me one some any into as using via use v1 v2 v3 api rest"
)
_ALIKE = (
    "get read fetch retrieve show view find lookup see",
    "list enumerate all browse every",
    "create add new make open start begin register",
    "update change edit modify set rename alter adjust",
    "delete remove destroy erase drop clear",
    "cancel stop abort end terminate void",
    "restart reboot reset",
    "send post submit deliver transfer",
    "search find query lookup filter",
    "run execute trigger start launch dispatch",
    "upload attach import",
    "download export fetch",
    "enable activate turn",
    "disable deactivate",
    "approve accept confirm",
    "reject decline refuse deny",
    "review check inspect look",
    "invite add",
    "copy clone duplicate fork",
    "backup snapshot copy",
    "assign give grant",
    "revoke withdraw",
    "retry rerun again",
    "archive close",
    "schedule plan",
    "user account member person people",
    "myself authenticated logged current",
    "collaborator person member",
    "customer client buyer",
    "supplier vendor",
    "employee staff worker",
    "picture image photo",
    "invoice bill",
    "payment charge pay",
    "refund money back",
    "balance money owe fund",
    "payout bank withdraw",
    "subscription plan",
    "discount coupon promotion",
    "tax vat",
    "dispute chargeback",
    "price cost amount",
    "stock inventory",
    "order purchase",
    "repository repo",
    "organization organisation org company",
    "application app",
    "database db",
    "environment env",
    "configuration config setting",
    "authentication auth login",
    "server machine droplet instance vm host computer",
    "disk volume storage",
    "balancer balance spread distribute",
    "firewall block port",
    "domain dns",
    "ssh key",
    "ticket issue bug",
    "workflow action pipeline",
    "runner worker agent",
    "log history",
    "event activity happen",
    "notification alert notify webhook",
    "group team",
    "key token secret credential password",
    "permission access right role",
    "folder directory",
    "website site page",
    "link url address",
    "comment note reply",
    "message mail email",
    "file document attachment",
    "statistic stat metric usage count",
    "limit quota",
    "region location place country",
    "version release tag",
)
"""Words that are taken for one another."""
_MEANINGS = {
    "get": names(
        "get read fetch retrieve show view look see list which who what how find search compare download check"
    ),
    "create": names(
        "create add new make open start begin send give take upload invite write store attach copy set register "
        "request deploy merge capture reserve submit book"
    ),
    "update": names("update change edit modify rename close reopen enable disable set move"),
    "delete": names("delete remove destroy erase drop revoke unlink"),
}
"""The words that ask for what a method does."""
_UNNAMED = 0.5
"""What the score of an operation is multiplied by of whose name nothing was asked for."""
_DOES = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create update",
    "PUT": "create update",
    "PATCH": "update",
    "DELETE": "delete",
}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}


def words_of(text: str) -> list[str]:
    """The words of a text in small letters and their plain form, those of joined names apart."""
    return [stem(word) for found in _WORD.findall(text) if (word := found.lower()) not in _STOP]


def stem(word: str) -> str:
    """A word without the ending of a plural or of a verb."""
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= 3:
            word = word[: len(word) - len(ending)] + instead
            if ending in ("ing", "ed") and word[-1] == word[-2] and word[-1] not in "lse":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


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
        self._names = [_name_words(operation) for operation in self._operations]
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
        asked: set[str] = set()
        for word in dict.fromkeys(words_of(query)):
            best: dict[int, float] = {}
            alike = {word} | _SAME.get(word, frozenset())
            asked |= alike
            for other in alike:
                weight = 1.0 if other == word else _SYNONYM
                for number, score in self._scores(other):
                    best[number] = max(best.get(number, 0.0), weight * score)
            for number, score in best.items():
                scores[number] = scores.get(number, 0.0) + score
        meant = _meaning_of(query)
        fitting = [
            (score * _share(self._operations[number], meant) * self._named(number, asked), -number)
            for number, score in scores.items()
            if group is None or _is_of(self._operations[number], group)
        ]
        if group is not None and not fitting:
            fitting = [(0.0, -number) for number, one in enumerate(self._operations) if _is_of(one, group)]
        return [self._operations[-number] for _, number in sorted(fitting, reverse=True)[:most]]

    async def find_by_meaning(
        self, query: str, embed: Embed, group: str | None = None, most: int = 8
    ) -> list[Operation]:
        """The same, with the best by words put in order by what they mean, too: reciprocal rank fusion (Cormack, 2009).

        Args:
            query: What is to be done, in words.
            embed: Makes vectors of texts.
            group: The group they must be of.
            most: How many.
        """
        found = self.find(query, group, CANDIDATES)
        vectors = await embed([query, *map(_meaning_text, found)]) if len(found) > 1 else []
        if not vectors:
            return found[:most]
        wanted, *others = vectors
        near = [sum(map(operator.mul, wanted, other)) for other in others]
        places = {number: place for place, number in enumerate(sorted(range(len(found)), key=lambda one: -near[one]))}
        order = sorted(range(len(found)), key=lambda one: -(1 / (FUSED + one) + 1 / (FUSED + places[one])))
        return [found[number] for number in order[:most]]

    def _named(self, number: int, asked: set[str]) -> float:
        """What a score is multiplied by: more, the more of an operation's own name was asked for, and nothing else."""
        words = self._names[number]
        whole = sum(map(self._rarity, words))
        return _UNNAMED + sum(self._rarity(word) for word in words & asked) / whole if whole else _UNNAMED

    def _rarity(self, word: str) -> float:
        having = len(self._having.get(word, ()))
        return math.log(1 + (len(self._operations) - having + 0.5) / (having + 0.5))

    def _scores(self, word: str) -> Iterable[tuple[int, float]]:
        having, rarity = self._having.get(word, ()), self._rarity(word)
        for number in having:
            count = self._counts[number][word]
            length = 1 - B + B * self._lengths[number] / self._average
            yield number, rarity * count * (K1 + 1) / (count + K1 * length)


def _meaning_of(query: str) -> str | None:
    """What the first word that says so asks for: to get, create, update or delete something."""
    for word in re.findall(r"[a-z]+", query.lower()):
        for meaning, words in _MEANINGS.items():
            if word in words:
                return meaning
    return None


def _share(operation: Operation, meant: str | None) -> float:
    """What the score of an operation is multiplied by."""
    old = 0.7 if operation.deprecated else 1.0
    if meant is None:
        return old
    return old * (_MEANT if meant in _DOES.get(operation.method, "").split() else _NOT_MEANT)


def _meaning_text(operation: Operation) -> str:
    """What an operation does, in words whose meaning is compared."""
    named = " ".join(_WORD.findall(operation.name)).lower()
    return f"{operation.summary or operation.description[:120]} ({named})"


def _name_words(operation: Operation) -> frozenset[str]:
    """The words of an operation's name, its method in the words of a person."""
    verbs = {stem(method.lower()) for method in _DOES}
    own = frozenset(words_of(operation.name)) - verbs
    return own | {stem(_verb_of(operation))} if len(own) < len(set(words_of(operation.name))) else own


def _verb_of(operation: Operation) -> str:
    """What its method does, in a word."""
    is_one = operation.path.rstrip("/").endswith("}")
    return _VERBS.get(operation.method, "get" if is_one else "list")


def _counted(operation: Operation) -> dict[str, float]:
    """How often each word is there, by the weight of its fields."""
    literal = [part for part in operation.path.split("/") if part and not part.startswith("{")]
    fields: dict[str, str | Sequence[str]] = {
        "target": literal[-1:],
        "name": operation.name,
        "path": operation.path,
        "summary": operation.summary,
        "tags": operation.tags,
        "verb": _verb_of(operation),
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
