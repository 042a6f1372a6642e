"""Early start: what is gained at most if calls start while the reply that asks for them is still being written.

No agent: calls are run by bare asyncio, so each figure is a bound of what an engine can gain. The reply is the one of
the 8-way question, 16 calls of which every second one waits for the one before it, written at 100 tokens/s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.agent import JUDGED, SCALE, TOKENS_A_SECOND, TOOL_S
from benchmarks.figure import Figure, machine, say, table
from benchmarks.mind import Mind
from benchmarks.question import QUESTIONS
from openmanus_graph.config.settings import Settings
from openmanus_graph.plans.references import references_in
from openmanus_graph.testing import Reply, ToolUse
from openmanus_graph.testing.script import count_tokens

SIGMA = 0.5
DRAWS = 15
"""How many draws of tools' times are run where they vary."""
CALL_TOKENS = 8
"""Tokens of a call beside its arguments: its name and what encloses it."""


@dataclass(frozen=True)
class Call:
    """One call of the reply."""

    written_s: float
    """When its last character is there, in seconds from the first of the reply."""
    takes_s: float
    needs: Sequence[int]
    """Which calls of the reply it waits for, from 0."""


def reply_of_the_question() -> list[ToolUse]:
    """The calls with which the rule-based model answers the judged question."""
    text = next(question.text for question in QUESTIONS if question.name == JUDGED)
    offered = [{"function": {"name": "delegate"}}]
    reply = Mind(lambda tokens: 0.0)({"messages": [{"role": "user", "content": text}], "tools": offered})
    assert isinstance(reply, Reply)
    return list(reply.tool_calls)


def calls_of(uses: Sequence[ToolUse], spread: float, seed: int) -> list[Call]:
    """The calls with the times at which they are written and that they take."""
    chance = random.Random(seed)
    written = 0.0
    calls: list[Call] = []
    for use in uses:
        arguments = use.arguments if isinstance(use.arguments, str) else json.dumps(use.arguments)
        written += (count_tokens(arguments) + CALL_TOKENS) / TOKENS_A_SECOND
        needs = [int(reference.subtask_id[1:]) - 1 for reference in references_in(arguments)]
        calls.append(Call(written, TOOL_S * chance.lognormvariate(0.0, spread), needs))
    return calls


async def run(calls: Sequence[Call], slots: int, *, early: bool) -> float:
    """Seconds until all calls have ended, at `SCALE`."""
    free = asyncio.Semaphore(slots)
    ended = [asyncio.Event() for _ in calls]
    whole = calls[-1].written_s

    async def one(number: int, call: Call) -> None:
        await asyncio.sleep(SCALE * (call.written_s if early else whole))
        for need in call.needs:
            await ended[need].wait()
        async with free:
            await asyncio.sleep(SCALE * call.takes_s)
        ended[number].set()

    began = time.perf_counter()
    await asyncio.gather(*(one(number, call) for number, call in enumerate(calls)))
    return time.perf_counter() - began


async def measure(draws: int) -> list[Figure]:
    """The rows of the table."""
    uses, slots = reply_of_the_question(), Settings.load().max_parallel
    rows: list[Figure] = []
    for what, spread, seeds in (("all tools take as long", 0.0, [0]), ("tools of varied speed", SIGMA, range(draws))):
        early: list[float] = []
        whole: list[float] = []
        for seed in seeds:
            calls = calls_of(uses, spread, seed)
            early.append(await run(calls, slots, early=True))
            whole.append(await run(calls, slots, early=False))
        gains = sorted(late / soon for late, soon in zip(whole, early, strict=True))
        say(f"{what}, seeds {', '.join(map(str, seeds))}: {gains[0]:.2f} to {gains[-1]:.2f} × as fast")
        title = f"{len(uses)} subtasks, 100 tokens/s, {what}, started as written"
        rows.append(Figure(title, median(early), "s", None, median(whole), "started when the reply is there"))
    return rows


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.early_start", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer draws")
    given = parser.parse_args(arguments)
    return asyncio.run(measure(3 if given.quick else DRAWS))


if __name__ == "__main__":
    say(machine())
    print(table(main()))
