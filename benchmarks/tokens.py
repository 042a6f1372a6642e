"""Tokens: what the agent's prompts cost where nothing but words counts: small talk, and an agent for each item.

Counted by the scripted provider as in every other measurement: a token for every four characters of messages and tools.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, machine, say, table
from benchmarks.mind import last_result
from benchmarks.our_agent import OurAgent
from benchmarks.react import ask, react_agent
from benchmarks.store import our_saver, temporary_folder
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from openmanus_graph.tools.registry import builtin_tools

GREETING = "Hello, and thank you for yesterday!"
TABLE = "Make one table of the towns in notes/1.txt to notes/8.txt with their inhabitants."
FILES = 8
FILE_CHARACTERS = 1_500
SMALL_TALK, SMALL_TALK_BEFORE = 900, 1_950
TABLE_SHARE, TABLE_BEFORE = 0.35, 72_600
"""What small talk may cost, what a table of eight files may cost beside what it did, and what both did cost before:
measured with these same files and this clerk on the commit before."""
WORDS = [
    "the",
    "road",
    "along",
    "the",
    "river",
    "passes",
    "mills",
    "and",
    "gardens",
    "where",
    "old",
    "walls",
    "keep",
    "the",
    "wind",
    "away",
]
_FACT = re.compile(r"In (Town\d) there live (\d+) people")


def note(number: int) -> str:
    """The content of one file: a fact in filler."""
    chance = random.Random(f"note {number}")
    lines = [" ".join(chance.choices(WORDS, k=14)) for _ in range(FILE_CHARACTERS // 80)]
    fact = f"In Town{number} there live {chance.randrange(1_000, 9_999)} people."
    return "\n".join([*lines[: len(lines) // 2], fact, *lines[len(lines) // 2 :], ""])


def clerk(body: dict[str, Any]) -> Reply:
    """A model that gives each file to an agent of its own, and knows nothing but what it is told."""
    offered = {str(tool["function"]["name"]) for tool in body.get("tools") or []}
    text = "\n".join(str(message.get("content") or "") for message in body["messages"] if message["role"] != "system")
    facts = dict(_FACT.findall(text))
    if "verdict" in offered:
        return Reply(tool_calls=[ToolUse("verdict", {"verified": bool(facts), "why": "The file says so."})])
    if "# Your subtask" in text:
        return _works(body["messages"], text, facts)
    if TABLE not in text:
        return Reply("You are welcome.")
    if facts:
        return Reply("\n".join(f"| {town} | {people} |" for town, people in sorted(facts.items())))
    if "delegate" in offered:
        return Reply(tool_calls=[_delegates(number) for number in range(1, FILES + 1)])
    return Reply(tool_calls=[_views(f"notes/{number}.txt") for number in range(1, FILES + 1)])


def _delegates(number: int) -> ToolUse:
    goal = f"Read notes/{number}.txt, and say how many people live in the town that it is about."
    done = "The town and its inhabitants are said as in the file."
    return ToolUse("delegate", {"goal": goal, "done_when": done, "tools": ["str_replace_editor"]})


def _views(path: str) -> ToolUse:
    return ToolUse("str_replace_editor", {"command": "view", "path": path})


def _works(messages: list[dict[str, Any]], text: str, facts: dict[str, str]) -> Reply:
    """An agent's next reply: it looks at its file, and says what it found."""
    if last_result(messages) is None:
        path = re.search(r"Read (notes/\d\.txt)", text)
        return Reply(tool_calls=[_views(path[1] if path else "notes/1.txt")])
    (found,) = facts.items()
    answer = f"In {found[0]} there live {found[1]} people."
    return Reply(tool_calls=[ToolUse("terminate", {"status": "success", "answer": answer})])


async def measure(home: Path, url: str | None) -> list[Figure]:
    """The rows of the table."""
    work = home / "work" / "notes"
    work.mkdir(parents=True)
    for number in range(1, FILES + 1):
        (work / f"{number}.txt").write_text(note(number), encoding="utf-8")
    async with our_saver(home, url) as saver:
        with ScriptedServer(clerk) as server:
            react = react_agent(server.base_url, builtin_tools(), parallel=True)
            ours = OurAgent(server, saver, home)
            greeting, calls = await _spent(server, lambda: ours.ask(GREETING))
            loop, _ = await _spent(server, lambda: ask(react, GREETING))
            tabled, agents = await _spent(server, lambda: ours.ask(TABLE, workspace=work.parent))
    what = "parallel ReAct with all built-in tools"
    before = "the commit before the loop"
    return [
        Figure(f"small talk, {calls} call", greeting, "tok", SMALL_TALK, loop, what),
        Figure("the same", greeting, "tok", SMALL_TALK, SMALL_TALK_BEFORE, before),
        Figure(
            f"eight files, an agent each, {agents} calls",
            tabled,
            "tok",
            TABLE_SHARE * TABLE_BEFORE,
            TABLE_BEFORE,
            before,
        ),
    ]


async def _spent(server: ScriptedServer, run: Callable[[], Any]) -> tuple[float, int]:
    """Prompt tokens and calls of a run."""
    before = len(server.requests)
    await run()
    received = server.requests[before:]
    return float(sum(one.prompt_tokens for one in received)), len(received)


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tokens", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--quick", action="store_true", help="the same; it is quick")
    given = parser.parse_args(arguments)
    with temporary_folder() as home:
        return asyncio.run(measure(home, given.url))


if __name__ == "__main__":
    say(machine())
    print(table(main()))
