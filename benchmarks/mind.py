"""Mind: a rule-based model that answers every kind of agent properly, from nothing but what is in the request.

It knows the firms' names and how to read a page, and no fact: it says a number only if a page, or a result, with that
number is in the request before it. Which agent asks, it sees by the tools that are offered, as a real model does;
`parallel_tool_calls: false` makes it call one tool at a time. It plans as far ahead as tools and results allow, and
never makes a call whose result it has seen.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

from benchmarks.question import FIRMS, address
from openmanus_graph.testing import Fault, Reply, ToolUse
from openmanus_graph.testing.script import count_tokens

REQUEST = "Calculate it."
_FACT = re.compile(r"The firm (\w+) employs (\d+) people")
_TASK = re.compile(r"The firms are: ([\w, ]+)\.")


def firms_in(text: str) -> list[str]:
    """The firms that the last question is about: what is remembered of other questions comes before it."""
    found = _TASK.findall(text)
    return [firm for firm in FIRMS if firm in found[-1]] if found else []


def facts_in(text: str) -> dict[str, int]:
    """The facts that are in what was read."""
    return {firm: int(number) for firm, number in _FACT.findall(text)}


def answer_text(firms: list[str], facts: dict[str, int]) -> str:
    """The answer to a question about each firm."""
    lines = [
        f"{firm} employs {facts[firm]} people ({address(firm)})." if firm in facts else f"Of {firm} nothing was found."
        for firm in firms
    ]
    largest = max(facts, key=lambda firm: facts[firm], default="none")
    return " ".join([*lines, f"The largest is {largest}."])


def sum_of(facts: dict[str, int]) -> str:
    """The sum as an expression."""
    return " + ".join(str(number) for number in facts.values())


class Mind:
    """The script of a scripted server: who asks, and what is said to them."""

    def __init__(self, latency: Callable[[int], float]) -> None:
        """Begin a run; `latency` says the seconds that a reply takes, by its tokens."""
        self._latency = latency

    def __call__(self, body: dict[str, Any]) -> Reply | Fault:
        """The reply to a request."""
        reply = self._reply(body)
        tokens = count_tokens(reply.text, *(one.arguments for one in reply.tool_calls))
        return Reply(reply.text, reply.tool_calls, delay_s=self._latency(tokens))

    def _reply(self, body: dict[str, Any]) -> Reply:
        offered = {str(tool["function"]["name"]) for tool in body.get("tools") or []}
        messages: list[dict[str, Any]] = body["messages"]
        text = "\n".join(_words(message) for message in messages if message["role"] != "system")
        return _loop(
            messages,
            text,
            one_at_a_time=body.get("parallel_tool_calls") is False,
            refers="delegate" in offered,
        )


def _words(message: dict[str, Any]) -> str:
    content: Any = message.get("content") or ""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return str(content)


def _made(messages: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The calls that were made, as name and arguments."""
    calls = [call["function"] for message in messages for call in message.get("tool_calls") or []]
    return [(str(call["name"]), json.loads(call["arguments"])) for call in calls]


def last_result(messages: list[dict[str, Any]]) -> str | None:
    """What the last call came to, if that is the last message."""
    return _words(messages[-1]) if messages[-1]["role"] == "tool" else None


def _loop(messages: list[dict[str, Any]], text: str, *, one_at_a_time: bool, refers: bool) -> Reply:
    """The next reply of a loop: the calls that can be made now, or the answer.

    Args:
        messages: The conversation.
        text: Its words.
        one_at_a_time: Whether one call a reply is all it may make.
        refers: Whether a call may use the output of another one of the same reply.
    """
    firms, facts, made = firms_in(text), facts_in(text), _made(messages)
    asked = "\n".join(_words(message) for message in messages if message["role"] == "user")
    read = {args["url"] for name, args in made if name == "read_page"}
    searched = {args["query"] for name, args in made if name == "search"}
    wanted: list[ToolUse] = []
    for firm in firms:
        url, query = address(firm), f"{firm} number of employees"
        if firm in facts:
            continue
        if url in text and url not in read:
            wanted.append(ToolUse("read_page", {"url": url}))
        elif url not in text and query not in searched:
            wanted.append(ToolUse("search", {"query": query}))
            if refers:
                number = len(made) + len(wanted)
                wanted.append(ToolUse("read_page", {"url": f"${{c{number}.0.url}}"}))
    if one_at_a_time:  # one firm after the other, as it would be thought of
        wanted = wanted[:1]
    if not wanted and REQUEST in asked:
        if made[-1][0] != "calculate":
            return Reply(tool_calls=[ToolUse("calculate", {"expression": sum_of(facts)})])
        total = re.search(r"(?:^|\n)(\d+)(?:\n|$)", last_result(messages) or "")
        return Reply(f"Together they employ {total[1] if total else 'how many'} people.")
    return Reply(tool_calls=wanted) if wanted else Reply(answer_text(firms, facts))


def log_normal(seed: int, median_s: float, sigma: float, per_token_s: float, scale: float) -> Callable[[int], float]:
    """Latencies as a provider has them: the k-th call of every agent draws the same number.

    Args:
        seed: Where the draws begin.
        median_s: Median seconds until a reply begins.
        sigma: Standard deviation of their logarithm.
        per_token_s: Seconds per token of the reply.
        scale: What everything is multiplied by.
    """
    chance = random.Random(seed)

    def latency(tokens: int) -> float:
        return scale * (median_s * chance.lognormvariate(0.0, sigma) + per_token_s * tokens)

    return latency
