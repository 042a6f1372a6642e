"""Templates: model calls and tokens up to the plan of a task whose kind was done before, with and without templates.

The scripted model plans as it would anyway, so what is measured is what the engine saves and adds: no call where rules
fill the template, and a longer prompt where a model is told one. Whether a model plans better with it is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import uuid
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, machine, say, table
from benchmarks.our_agent import OurAgent
from benchmarks.store import our_saver, temporary_folder
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import account_name
from openmanus_graph.memory.procedural.choice import chosen
from openmanus_graph.memory.procedural.postgres_templates import PostgresTemplates
from openmanus_graph.memory.procedural.template import KnownTemplate, Template
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse

SHARE = 0.3
"""Share of the tokens up to the plan that the next task of a known kind may take."""
LEARNED = 3
"""Runs after which rules may take a template's plan."""
RATES = (0.6, 0.9, 0.75)
"""Shares of successes of the simulated templates."""
REQUESTS = 300
SEEDS = 200
WORDS = ("road", "river", "mills", "gardens")
SIGNED = "printf 'signed by anna@example.com'"
"""A step that names a person: nothing that rules fill."""


def task(number: int, *, is_signed: bool) -> str:
    """One task of a kind, with names of its own."""
    if is_signed:
        return f"Print {WORDS[number]} and hedges into {WORDS[number]}.txt under a title, count the lines and sign it"
    return f"Write {WORDS[number]} and stones to {WORDS[number]}.txt, add a heading and count the words"


def plan(number: int, *, is_signed: bool) -> dict[str, Any]:
    """The plan that the scripted model makes for it: six steps."""
    file = f"{WORDS[number]}.txt"
    text = {"command": "create", "path": file, "file_text": f"{WORDS[number]} and stones\n"}
    steps = [
        {"id": "write", "tool": "str_replace_editor", "args": text},
        {"id": "heading", "tool": "bash", "args": {"command": f"sed -i '1i # Notes' {file}"}, "needs": ["write"]},
        {"id": "words", "tool": "bash", "args": {"command": f"wc -w < {file}"}, "needs": ["heading"]},
        {"id": "rows", "tool": "bash", "args": {"command": f"wc -l < {file}"}, "needs": ["heading"]},
        {"id": "list", "tool": "list_files", "args": {"pattern": "*.txt"}, "needs": ["words", "rows"]},
        {"id": "last", "tool": "bash", "args": {"command": SIGNED if is_signed else "true"}, "needs": ["list"]},
    ]
    return {"goal": task(number, is_signed=is_signed), "subtasks": steps}


class Mind:
    """The scripted model: it has the task planned, plans it, and answers; what it is told beside changes nothing."""

    def __init__(self) -> None:
        """Begin with the first task."""
        self.number = 0
        self.is_signed = False

    def __call__(self, body: dict[str, Any]) -> Reply:
        """The reply to a request."""
        offered = {str(tool["function"]["name"]) for tool in body.get("tools") or []}
        if "submit_plan" in offered:
            return Reply(tool_calls=[ToolUse("submit_plan", plan(self.number, is_signed=self.is_signed))])
        messages: list[dict[str, Any]] = body["messages"]
        has_results = messages[-1]["role"] == "tool" or "# What came of the plan" in str(messages[-1]["content"])
        if has_results:
            return Reply("It is done.")
        return Reply(tool_calls=[ToolUse("plan", {"why": "It has several steps."})])


async def spent(server: ScriptedServer, saver: ThreadSaver, home: Path, name: str, words: str) -> tuple[int, float]:
    """Do a task in a thread; the model calls and tokens up to its plan."""
    await OurAgent(server, saver, home).ask(words, name)
    async with saver.connection() as connection:
        found = await connection.execute(
            "SELECT input_tokens + output_tokens AS tokens FROM model_calls WHERE thread_id = %s ORDER BY number",
            (name,),
        )
        rows = await found.fetchall()
        # Episodes of such tasks are told, too, and are not what is measured.
        await connection.execute("DELETE FROM episodes WHERE thread_id = %s", (name,))
    before_plan = rows[:-1]  # the last one is the answer
    return len(before_plan), float(sum(row["tokens"] for row in before_plan))


async def measure(home: Path, url: str | None) -> list[Figure]:
    """The rows of the table."""
    figures: list[Figure] = []
    mind, run = Mind(), uuid.uuid4().hex[:8]
    async with our_saver(home, url) as saver:
        with ScriptedServer(mind) as server:
            for name, mind.is_signed in (("rules fill it", False), ("it names a person", True)):
                took: list[tuple[int, float]] = []
                threads = [f"templates-{run}-{mind.is_signed}-{number}" for number in range(LEARNED + 1)]
                for mind.number, thread in enumerate(threads):
                    words = task(mind.number, is_signed=mind.is_signed)
                    took.append(await spent(server, saver, home, thread, words))
                for thread in threads:
                    await PostgresTemplates(saver, account_name()).forget_thread(thread)
                (calls, tokens), (told_calls, told_tokens) = took[0], took[-1]
                target = None if mind.is_signed else SHARE * tokens
                what = f"the first time, {calls} calls"
                head = f"{name}: up to the plan, {told_calls} calls"
                figures.append(Figure(head, told_tokens, "tok", target, tokens, what))
    return figures


def regret(draws: bool, seed: int) -> float:
    """Successes that are missed because the best of three templates is not known, over `REQUESTS` requests.

    Args:
        draws: Whether it is chosen as the agent chooses, or always the one that worked best so far.
        seed: Of the simulated luck.
    """
    luck = random.Random(seed)
    worked, failed = [0] * len(RATES), [0] * len(RATES)
    missed = 0.0
    for request in range(REQUESTS):
        known = [
            KnownTemplate(
                Template(str(arm), "Count sheep", ()), runs=won + lost, successes=won, failures=lost, worked=won
            )
            for arm, (won, lost) in enumerate(zip(worked, failed, strict=True))
        ]
        likeliest = max(known, key=lambda one: one.weight)
        best = chosen(known, f"{seed} {request}") if draws else likeliest
        arm = 0 if best is None else int(best.template.key)
        missed += max(RATES) - RATES[arm]
        if luck.random() < RATES[arm]:
            worked[arm] += 1
        else:
            failed[arm] += 1
    return missed


def simulated() -> Figure:
    """The regret of choosing by chance beside that of always taking the best so far."""
    ours, rival = (sum(regret(draws, seed) for seed in range(SEEDS)) / SEEDS for draws in (True, False))
    rates = ", ".join(f"{rate:.0%}" for rate in RATES)
    return Figure(f"regret over {REQUESTS} requests, templates of {rates}", ours, "", None, rival, "the best so far")


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.templates", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--quick", action="store_true", help="the same; it is quick")
    given = parser.parse_args(arguments)
    with temporary_folder() as home:
        return [*asyncio.run(measure(home, given.url)), simulated()]


if __name__ == "__main__":
    say(machine())
    print(table(main()))
