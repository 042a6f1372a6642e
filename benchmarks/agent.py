"""Agent: the whole agent beside ReAct loops, on a scripted provider with latencies as real ones have.

The same questions, tools, results, pages and draws of latency for each, in one run; what each answers is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.mind import Mind, log_normal
from benchmarks.question import QUESTIONS, Question, Web
from benchmarks.react import ask, react_agent
from benchmarks.store import our_saver, temporary_folder
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.models.configuration import ModelSettings
from openmanus_graph.settings import Settings
from openmanus_graph.testing import Reply, ScriptedServer
from openmanus_graph.testing.script import count_tokens

MEDIAN_S = 1.0
SIGMA = 0.5
TOOL_S = 0.5
"""A provider's median time to its reply, the spread of its logarithm, and what a tool takes, before the scale."""
TOKENS_A_SECOND = 100.0
SCALE = 0.25
WINDOW = 128_000
JUDGED = "8-way fan-out"
FASTER, FEWER = 3.5, 4.0
"""How many times faster than the sequential loop, and how many times fewer prompt tokens, at `JUDGED`."""
OURS, SEQUENTIAL, PARALLEL = "this agent", "sequential ReAct", "parallel ReAct"

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


def engine(server: ScriptedServer, web: Web, saver: ThreadSaver, folder: Path, builtin: bool) -> Client:
    """The agent of this package, with every step on Postgres."""
    settings = Settings.load(
        home=folder,
        llm_model="openai/scripted",
        llm_base_url=server.base_url,
        llm_api_key="sk-scripted-key",
        models={"default": ModelSettings(window=WINDOW)},
    )
    app = build_manus_graph(tools=[*_builtin(builtin), *web.tools()], settings=settings).compile(checkpointer=saver)

    async def client(question: str) -> str:
        thread = uuid.uuid4().hex
        config: Any = {"configurable": {"thread_id": thread, "workspace": str(folder / thread)}}
        out: dict[str, Any] = await app.ainvoke({"task": question}, config)
        if out["status"] != "completed":
            raise RuntimeError(f"the agent's run ended as {out['status']!r}: {out['answer']}")
        return str(out["answer"])

    return client


def _builtin(wanted: bool) -> list[Any]:
    from openmanus_graph.tools.registry import builtin_tools

    return builtin_tools() if wanted else []


def rival(server: ScriptedServer, web: Web, *, parallel: bool, builtin: bool) -> Client:
    """A ReAct loop."""
    agent = react_agent(server.base_url, [*_builtin(builtin), *web.tools()], parallel=parallel)

    async def client(question: str) -> str:
        return await ask(agent, question)

    return client


async def answered(client: Client, question: Question, server: ScriptedServer) -> Run:
    """Ask once; an answer without the facts is an error."""
    gc.collect()
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


class Comparison:
    """The three agents on one provider."""

    def __init__(self, saver: ThreadSaver, folder: Path, scale: float) -> None:
        """Prepare it; `scale` is what all latencies are multiplied by."""
        self._saver = saver
        self._folder = folder
        self._scale = scale
        self._script: Mind = Mind(lambda tokens: 0.0)
        self._server = ScriptedServer(lambda body: self._script(body))
        self._web = Web(0.0)

    async def measure(
        self, questions: Sequence[Question], repeats: int, *, per_token_s: float = 0.0, builtin: bool = False
    ) -> dict[str, dict[str, Run]]:
        """The median runs of each agent, by question and agent."""
        with self._server:
            clients = {
                OURS: engine(self._server, self._web, self._saver, self._folder, builtin),
                SEQUENTIAL: rival(self._server, self._web, parallel=False, builtin=builtin),
                PARALLEL: rival(self._server, self._web, parallel=True, builtin=builtin),
            }
            self._script, self._web.seconds = Mind(lambda tokens: 0.0), 0.0
            for client in clients.values():  # what is imported and connected once does not count
                await answered(client, questions[0], self._server)
            self._web.seconds = TOOL_S * self._scale
            found: dict[str, dict[str, Run]] = {}
            for question in questions:
                runs: dict[str, list[Run]] = {name: [] for name in clients}
                for seed in range(repeats):
                    for name, client in clients.items():
                        self._script = Mind(log_normal(seed, MEDIAN_S, SIGMA, per_token_s, self._scale))
                        runs[name].append(await answered(client, question, self._server))
                found[question.name] = {name: _middle(several) for name, several in runs.items()}
                say(f"{question.name}, {repeats} runs: {_line(found[question.name], self._scale)}")
            return found


def _middle(runs: Sequence[Run]) -> Run:
    return Run(
        middle([run.wall_s for run in runs]),
        round(middle([run.calls for run in runs])),
        round(middle([run.prompt_tokens for run in runs])),
        round(middle([run.reply_tokens for run in runs])),
    )


def _line(runs: dict[str, Run], scale: float) -> str:
    return "; ".join(
        f"{name} {run.wall_s / scale:.1f} s, {run.calls} calls, {run.prompt_tokens:,} + {run.reply_tokens:,} tokens"
        for name, run in runs.items()
    )


def figures(
    found: dict[str, dict[str, Run]], scale: float, what: str = "", *, judged: str | None = None
) -> list[Figure]:
    """The rows of the table; seconds are those of an unscaled provider."""
    rows: list[Figure] = []
    for name, runs in found.items():
        ours, title = runs[OURS], f"{name}{what}"
        for number, rival_name in enumerate((SEQUENTIAL, PARALLEL)):
            theirs = runs[rival_name]
            faster, fewer = (FASTER, FEWER) if number == 0 else (1.0, 1.0)
            slow = theirs.wall_s / scale / faster if name == judged else None
            many = theirs.prompt_tokens / fewer if name == judged else None
            rows.append(Figure(title, ours.wall_s / scale, "s", slow, theirs.wall_s / scale, rival_name))
            rows.append(Figure(f"{title}, prompt", ours.prompt_tokens, "tok", many, theirs.prompt_tokens, rival_name))
            rows.append(Figure(f"{title}, calls", ours.calls, "calls", None, theirs.calls, rival_name))
    return rows


async def compare(home: Path, url: str | None, scale: float, repeats: int) -> list[Figure]:
    """All questions with three tools; the one that is judged also with all tools, and with replies that take longer
    the longer they are.
    """
    async with our_saver(home, url) as saver:
        comparison = Comparison(saver, home, scale)
        rows = figures(await comparison.measure(QUESTIONS, repeats), scale, judged=JUDGED)
        one = [question for question in QUESTIONS if question.name == JUDGED]
        say(f"with {TOKENS_A_SECOND:g} tokens a second")
        slower = await comparison.measure(one, repeats, per_token_s=1 / TOKENS_A_SECOND)
        rows += figures(slower, scale, f", {TOKENS_A_SECOND:g} tokens/s")
        say("with all built-in tools beside the three")
        return rows + figures(await comparison.measure(one, 1, builtin=True), scale, ", all built-in tools too")


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--scale", type=float, default=SCALE, help="what latencies are multiplied by")
    parser.add_argument("--quick", action="store_true", help="one run of each instead of three, and faster")
    given = parser.parse_args(arguments)
    scale = min(given.scale, 0.1) if given.quick else given.scale
    with temporary_folder() as home:
        return asyncio.run(compare(home, given.url, scale, repeats=1 if given.quick else 3))


if __name__ == "__main__":
    say(machine())
    print(table(main()))
