"""Question: what the agents of a measurement are asked, and the small web and the tools that hold the answers.

Every agent gets the same words, the same tools, the same results of a search and the same pages, and each tool takes
the same time. A fact stands somewhere in a page of filler, so that nobody can know it without that page.
"""

from __future__ import annotations

import ast
import asyncio
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

PAGE_CHARACTERS = 6_000
SEARCH_RESULTS = 5
READS: dict[str, Any] = {"effect": "read"}
FIRMS = ("Alder", "Birch", "Cedar", "Damson", "Elm", "Fir", "Gorse", "Hazel")

_TEXT = (
    "the firm has since its early years kept a workshop near the harbour where parts are cast turned and painted by "
    "hand before they leave for the yards along the coast and its neighbours speak well of the quiet and careful way"
)
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}


@dataclass(frozen=True)
class Question:
    """One question about some firms."""

    name: str
    """What it is called in the table."""
    firms: tuple[str, ...]
    """The firms it is about."""
    known: bool = False
    """Whether it names the pages, so that nothing must be searched for."""
    sums: bool = False
    """Whether the answer is the sum of the facts, which is to be calculated."""

    @cached_property
    def text(self) -> str:
        """The question in a person's words."""
        firms = ", ".join(self.firms)
        if self.sums:
            return f"How many people work for these firms together? Calculate it. The firms are: {firms}."
        if self.known:
            pages = ", ".join(address(firm) for firm in self.firms)
            return f"How many people does each of these firms employ? The firms are: {firms}. See {pages}"
        return f"How many people does each of these firms employ, and which is the largest? The firms are: {firms}."

    @cached_property
    def facts(self) -> tuple[str, ...]:
        """What an answer must say."""
        if self.sums:
            return (str(sum(staff(firm) for firm in self.firms)),)
        return tuple(f"{firm} employs {staff(firm)}" for firm in self.firms)


QUESTIONS = (
    Question("2-way compare", FIRMS[:2]),
    Question("8-way fan-out", FIRMS),
    Question("8-way fan-out, pages named", FIRMS, known=True),
    Question("3 levels: search, read, compute", FIRMS[:4], sums=True),
)


def staff(firm: str) -> int:
    """The fact about a firm."""
    return random.Random(f"staff of {firm}").randrange(1_000, 9_999)


def address(firm: str) -> str:
    """Where a firm's page is."""
    return f"http://firms.example/{firm.lower()}"


def _filler(seed: str, characters: int) -> str:
    chance, words = random.Random(seed), _TEXT.split()
    sentences: list[str] = []
    length = 0
    while length < characters:
        sentences.append(" ".join(chance.choices(words, k=14)).capitalize() + ".")
        length += len(sentences[-1]) + 1
    return " ".join(sentences)[:characters]


def page(firm: str) -> str:
    """A firm's page: the fact, at some place in the filler."""
    fact = f" The firm {firm} employs {staff(firm)} people. "
    text = _filler(f"page of {firm}", PAGE_CHARACTERS - len(fact))
    at = text.index(".", random.Random(f"place in {firm}").randrange(PAGE_CHARACTERS * 9 // 10)) + 1
    return text[:at] + fact + text[at:]


def results(query: str) -> list[dict[str, str]]:
    """What a search finds: the firm's own page first."""
    firm = next((name for name in FIRMS if name in query), "nobody")
    addresses = [address(firm), *(f"http://directory.example/{firm.lower()}/{place}" for place in range(2, 9))]
    return [
        {"title": f"{firm}, part {place}", "url": url, "description": _filler(f"{query}{place}", 120)}
        for place, url in enumerate(addresses[:SEARCH_RESULTS], 1)
    ]


def value_of(node: ast.AST) -> float:
    """The value of an arithmetic expression.

    Raises:
        ValueError: If it is anything else.
    """
    if isinstance(node, ast.Expression):
        return value_of(node.body)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](value_of(node.left), value_of(node.right))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](value_of(node.operand))
    raise ValueError(f"{ast.dump(node)} is no arithmetic.")


@dataclass
class Web:
    """The tools; the same call takes the same time, whoever makes it."""

    seconds: float
    """How long a search or the reading of a page takes."""
    spread: float = 0.0
    """Standard deviation of the logarithm of that; 0 means that all take the same."""

    async def _wait(self, what: str) -> None:
        draw = random.Random(f"time of {what}").lognormvariate(0.0, self.spread) if self.spread else 1.0
        await asyncio.sleep(self.seconds * draw)

    async def _search(self, query: str) -> list[dict[str, str]]:
        """Search the web. Gives a list of results, best first, each with `title`, `url` and `description`."""
        await self._wait(query)
        return results(query)

    async def _read_page(self, url: str) -> dict[str, str]:
        """Read a web page. Gives `url`, `title` and `text`."""
        await self._wait(url)
        firm = next((name for name in FIRMS if address(name) == url), None)
        if firm is None:
            raise ValueError(f"There is nothing at {url!r}.")
        return {"url": url, "title": firm, "text": page(firm)}

    async def _calculate(self, expression: str) -> str:
        """Calculate an arithmetic expression, such as `(1 + 2) * 3`."""
        return str(value_of(ast.parse(expression, mode="eval")))

    def tools(self) -> list[BaseTool]:
        """The tools as every agent gets them."""
        made = {"search": self._search, "read_page": self._read_page, "calculate": self._calculate}
        return [
            StructuredTool.from_function(coroutine=function, name=name, metadata=READS)
            for name, function in made.items()
        ]
