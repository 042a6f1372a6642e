"""Agent: the whole agent beside ReAct loops, on a scripted provider with latencies as real ones have.

The same questions, tools, results, pages and draws of latency for each, in one run; what each answers is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.mind import Mind, log_normal
from benchmarks.our_agent import OurAgent
from benchmarks.question import QUESTIONS, Question, Web
from benchmarks.react import ask, react_agent
from benchmarks.store import our_saver, rival_saver, temporary_folder
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.testing import Fault, Reply, ScriptedServer
from openmanus_graph.testing.script import count_tokens

MEDIAN_S = 1.0
SIGMA = 0.5
TOOL_S = 0.5
"""A provider's median time to its reply, the spread of its logarithm, and what a tool takes, before the scale."""
TOKENS_A_SECOND = 100.0
SCALE = 0.2
JUDGED = "8-way fan-out"
FASTER, FEWER = 3.5, 4.0
"""How many times faster than the sequential loop, and how many times fewer prompt tokens, at `JUDGED`."""
OURS, SEQUENTIAL, PARALLEL = "this agent", "sequential ReAct", "parallel ReAct"
KEEPING = "parallel ReAct on LangGraph's Postgres saver"

Client = Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class Run:
    """What one answer took."""

    wall_s: float
    """Seconds, at the scale."""
    calls: int
    """Calls of the model."""
    prompt_tokens: int
    """Prompt tokens of all calls, as the server counts them."""
    reply_tokens: int
    """Tokens of all replies."""


def _builtin(wanted: bool) -> list[Any]:
    from openmanus_graph.tools.registry import builtin_tools

    return builtin_tools() if wanted else []


def rival(
    server: ScriptedServer,
    web: Web,
    *,
    parallel: bool,
    builtin: bool,
    saver: BaseCheckpointSaver[Any] | None = None,
) -> Client:
    """A ReAct loop."""
    agent = react_agent(server.base_url, [*_builtin(builtin), *web.tools()], parallel=parallel, saver=saver)

    async def client(question: str) -> str:
        return await ask(agent, question)

    return client


async def forget(saver: ThreadSaver) -> None:
    """Empty the agent's memory: the answer to the same question may not come from it."""
    async with saver.connection() as connection:
        await connection.execute("DELETE FROM episodes")
        await connection.execute("DELETE FROM templates")


async def answered(client: Client, question: Question, server: ScriptedServer) -> Run:
    """Ask once; an answer without the facts is an error."""
    before = len(server.requests)
    began = time.perf_counter()
    answer = await client(question.text)
    took = time.perf_counter() - began
    missing = [fact for fact in question.facts if fact not in answer]
    if missing:
        raise RuntimeError(f"{question.name}: the answer lacks {missing!r}: {answer[:500]}")
    received = server.requests[before:]
    replies = [one.outcome for one in received if isinstance(one.outcome, Reply)]
    said = sum(count_tokens(one.text, *(use.arguments for use in one.tool_calls)) for one in replies)
    return Run(took, len(received), sum(one.prompt_tokens for one in received), said)


@dataclass(frozen=True)
class Conditions:
    """Under what a question is asked."""

    what: str = ""
    """What is said of it in the table."""
    scale: float = SCALE
    """What all latencies are multiplied by."""
    repeats: int = 2
    """How often each agent is asked, each time with other latencies."""
    per_token_s: float = 0.0
    """Seconds per token of a reply, before the scale."""
    tool_spread: float = 0.0
    """Spread of the tools' times; 0 means that all take the same."""
    builtin: bool = False
    """Whether all built-in tools are offered beside the three."""


class Comparison:
    """The agents on one provider."""

    def __init__(self, saver: ThreadSaver, plain: BaseCheckpointSaver[Any], folder: Path) -> None:
        """Prepare it.

        Args:
            saver: Our checkpointer.
            plain: LangGraph's own, on the same server.
            folder: Where workspaces and settings are.
        """
        self._saver = saver
        self._plain = plain
        self._folder = folder
        self._mind = Mind(lambda tokens: 0.0)
        self._server = ScriptedServer(self._reply)
        self._web = Web(0.0)

    def _reply(self, body: dict[str, Any]) -> Reply | Fault:
        return self._mind(body)

    async def measure(self, questions: Sequence[Question], given: Conditions) -> list[Figure]:
        """Ask each agent each question; the rows of the table, from medians."""
        rows: list[Figure] = []
        with self._server:
            tools = [*_builtin(given.builtin), *self._web.tools()]
            clients = {
                OURS: OurAgent(self._server, self._saver, self._folder, tools).ask,
                SEQUENTIAL: rival(self._server, self._web, parallel=False, builtin=given.builtin),
                PARALLEL: rival(self._server, self._web, parallel=True, builtin=given.builtin),
                KEEPING: rival(self._server, self._web, parallel=True, builtin=given.builtin, saver=self._plain),
            }
            self._mind, self._web.seconds = Mind(lambda tokens: 0.0), 0.0
            for client in clients.values():  # what is imported and connected once does not count
                await answered(client, questions[0], self._server)
            self._web.seconds, self._web.spread = TOOL_S * given.scale, given.tool_spread
            for question in questions:
                gc.collect()
                runs: dict[str, list[Run]] = {name: [] for name in clients}
                for seed in range(given.repeats):
                    for name, client in clients.items():
                        await forget(self._saver)
                        self._mind = Mind(log_normal(seed, MEDIAN_S, SIGMA, given.per_token_s, given.scale))
                        runs[name].append(await answered(client, question, self._server))
                found = {name: _middle(several) for name, several in runs.items()}
                title, seeds = f"{question.name}{given.what}", ", ".join(map(str, range(given.repeats)))
                say(f"{title}, {given.repeats} runs (seeds {seeds}): {_line(found)}")
                rows += figures(title, found, judged=title == JUDGED)
        return rows


def _middle(runs: Sequence[Run]) -> Run:
    return Run(
        middle([run.wall_s for run in runs]),
        round(middle([run.calls for run in runs])),
        round(middle([run.prompt_tokens for run in runs])),
        round(middle([run.reply_tokens for run in runs])),
    )


def _line(runs: dict[str, Run]) -> str:
    return "; ".join(
        f"{name} {run.wall_s:.2f} s, {run.calls} calls, {run.prompt_tokens:,} + {run.reply_tokens:,} tokens"
        for name, run in runs.items()
    )


def figures(title: str, runs: dict[str, Run], *, judged: bool) -> list[Figure]:
    """The rows of one question: wall time and prompt tokens beside each rival."""
    ours = runs[OURS]
    rows: list[Figure] = []
    for name, faster, fewer in ((SEQUENTIAL, FASTER, FEWER), (PARALLEL, 1.0, 1.0), (KEEPING, 1.0, 1.0)):
        theirs = runs[name]
        what = f"{name}, {theirs.calls} calls"
        slowest = round(theirs.wall_s / faster, 2) if judged else None
        most = round(theirs.prompt_tokens / fewer / 1000, 1) if judged else None
        thousands = ours.prompt_tokens / 1000
        rows.append(Figure(f"{title}, {ours.calls} calls", ours.wall_s, "s", slowest, theirs.wall_s, what))
        rows.append(Figure("the same, prompt", thousands, "ktok", most, theirs.prompt_tokens / 1000, what))
    return rows


async def compare(home: Path, url: str | None, scale: float, repeats: int, *, quick: bool) -> list[Figure]:
    """All questions under the plain conditions, and the judged one under others too."""
    async with our_saver(home, url) as saver, rival_saver(saver) as plain:
        comparison = Comparison(saver, plain, home)
        rows = await comparison.measure(QUESTIONS, Conditions("", scale, repeats))
        one = [question for question in QUESTIONS if question.name == JUDGED]
        others = [
            Conditions(f", {TOKENS_A_SECOND:g} tokens/s", scale, 1, per_token_s=1 / TOKENS_A_SECOND),
            Conditions(", tools of varied speed", scale, 1, tool_spread=SIGMA),
            Conditions(", built-in tools too", scale, 1, builtin=True),
        ]
        for conditions in others[:1] if quick else others:
            rows += await comparison.measure(one, conditions)
        if not quick:
            full = f", {TOKENS_A_SECOND:g} tokens/s, in full"
            rows += await comparison.measure(QUESTIONS, Conditions(", in full", 1.0, repeats))
            rows += await comparison.measure(one, Conditions(full, 1.0, 1, per_token_s=1 / TOKENS_A_SECOND))
        return rows


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--scale", type=float, default=SCALE, help="what latencies are multiplied by")
    parser.add_argument("--quick", action="store_true", help="one run of each, and faster")
    given = parser.parse_args(arguments)
    scale = min(given.scale, 0.1) if given.quick else given.scale
    with temporary_folder() as home:
        return asyncio.run(compare(home, given.url, scale, 1 if given.quick else 2, quick=given.quick))


if __name__ == "__main__":
    say(machine())
    print(table(main()))
