"""Durable: what keeping each step of an agent costs: time beside memory, bytes beside what is new, and a resume."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.model import END as ENDING
from benchmarks.model import VERDICT
from benchmarks.startup import PROGRAM, environment
from benchmarks.store import our_saver, rival_saver, temporary_folder
from openmanus_graph import ThreadSaver, build_manus_graph
from openmanus_graph.config.settings import Settings

STEP_TARGET_MS = 4.0
BYTES_TARGET = 1.2
RESUME_TARGET_S = 1.5
SUBTASKS = 200
LONG_LOOP = 200
"""Turns of the loop whose bytes are counted; each is two steps, the model's and the tool's."""
SUBTASK = {"id": "loop", "goal": "call noop", "agent": "executor", "tools": ["noop"]}


class LoopModel(BaseChatModel):
    """Calls `noop` so many times, then says that it is done."""

    turns: int

    @property
    def _llm_type(self) -> str:
        return "loop"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The model; what it calls is decided by the conversation alone."""
        del tools, kwargs
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        turn = sum(isinstance(message, ToolMessage) for message in messages)
        working = turn > 0 or str(messages[-1].text).startswith("# Your subtask")
        call = {"name": "noop", "args": {"number": turn}, "id": f"call-{turn}", "type": "tool_call"}
        if working and turn < self.turns:
            said = AIMessage("", tool_calls=[call])
        elif working and isinstance(messages[0], SystemMessage):  # the agent; a bare loop has no such tool
            said = AIMessage("", tool_calls=[{**ENDING, "id": "call-end"}])
        else:
            said = AIMessage(VERDICT if str(messages[-1].text).startswith("# The subtask") else "done")
        return ChatResult(generations=[ChatGeneration(message=said)])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate(messages)


def _text(number: int, size: int) -> str:
    """A text that is new in each turn, and that nothing compresses to nothing."""
    return random.Random(number).randbytes(size).hex()[:size]


def _noop(size: int) -> BaseTool:
    async def noop(number: int) -> str:
        """Do nothing."""
        return _text(number, size)

    return StructuredTool.from_function(coroutine=noop, name="noop", metadata={"effect": "read"})


async def _loop(saver: BaseCheckpointSaver[Any], home: Path, turns: int, size: int) -> tuple[str, float, float]:
    """The agent's loop on a saver: its thread, and milliseconds a step, in all and of this CPU."""
    settings = Settings.load(budget={"steps": turns + 5}, max_replans=0)
    # Nothing is left out of the conversation, so that all of it counts.
    model = LoopModel(turns=turns, profile={"max_input_tokens": 100_000_000})
    graph = build_manus_graph(model, [_noop(size)], settings=settings)
    thread = uuid.uuid4().hex
    config: Any = {"configurable": {"thread_id": thread, "workspace": str(home / thread)}, "recursion_limit": 10_000}
    gc.collect()
    began, busy = time.perf_counter(), time.process_time()
    out = await graph.compile(checkpointer=saver).ainvoke({"plan": {"subtasks": [SUBTASK]}}, config)
    took, cpu = time.perf_counter() - began, time.process_time() - busy
    if out["results"]["loop"]["status"] != "completed":
        raise RuntimeError(f"the loop ended with {out['results']['loop']}")
    return thread, took * 1000 / (2 * turns), cpu * 1000 / (2 * turns)


async def _cost(saver: ThreadSaver, home: Path, turns: int, repeats: int) -> list[Figure]:
    """The same loop on Postgres and in memory, in turns."""
    found: dict[str, list[float]] = {"Postgres": [], "its CPU": [], "memory": [], "CPU in memory": []}
    await _loop(saver, home, 5, 20)
    for _ in range(repeats):
        for one, (wall, cpu) in ((saver, ("Postgres", "its CPU")), (InMemorySaver(), ("memory", "CPU in memory"))):
            _, took, busy = await _loop(one, home, turns, 20)
            found[wall].append(took)
            found[cpu].append(busy)
    shown = "; ".join(f"{name} {_shown(values)} ms" for name, values in found.items())
    say(f"{2 * turns} steps of an agent, each: {shown}")
    best = {name: middle(values) for name, values in found.items()}
    name = "durable cost of an agent's step, beside memory"
    extra = best["Postgres"] - best["memory"]
    cpu = best["its CPU"] - best["CPU in memory"]
    return [
        Figure(name, extra, "ms", STEP_TARGET_MS),
        Figure("the same, CPU time of this process", cpu, "ms"),
        Figure("one committed statement", await _commit(saver), "ms"),
    ]


async def _commit(saver: ThreadSaver) -> float:
    """Milliseconds that the server needs to commit one small statement, which a step needs at least twice."""
    times: list[float] = []
    async with saver.pool.connection() as connection:
        for _ in range(200):
            began = time.perf_counter()
            await connection.execute("UPDATE threads SET updated_at = clock_timestamp()")
            times.append((time.perf_counter() - began) * 1000)
    return middle(times)


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


async def _bytes(connection: AsyncConnection[DictRow], thread: str) -> tuple[int, int]:
    """Bytes of all rows that hold a thread's state, as they were sent, and of its messages, each once."""
    row = await (
        await connection.execute(
            """
            SELECT (SELECT sum(octet_length(checkpoint::text) + octet_length(metadata::text)) FROM checkpoints
                    WHERE thread_id = %(thread)s)
                 + (SELECT sum(coalesce(octet_length(blob), 0)) FROM checkpoint_blobs WHERE thread_id = %(thread)s)
                 + (SELECT sum(octet_length(blob)) FROM checkpoint_writes WHERE thread_id = %(thread)s) AS bytes,
                   (SELECT sum(octet_length(blob)) FROM checkpoint_writes
                    WHERE thread_id = %(thread)s AND channel = 'messages') AS new
            """,
            {"thread": thread},
        )
    ).fetchone()
    return (int(row["bytes"]), int(row["new"])) if row else (0, 0)


async def _rival_loop(saver: AsyncPostgresSaver, turns: int, size: int) -> str:
    """The same loop as LangGraph's documentation writes it: two nodes, and the messages added up in their channel."""
    model, tool = LoopModel(turns=turns), _noop(size)

    async def call_model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def call_tool(state: MessagesState) -> dict[str, Any]:
        (call,) = getattr(state["messages"][-1], "tool_calls", [])
        return {"messages": [ToolMessage(await tool.ainvoke(call["args"]), tool_call_id=call["id"])]}

    graph: StateGraph[MessagesState, None, MessagesState, MessagesState] = StateGraph(MessagesState)
    graph.add_node("model", call_model)
    graph.add_node("tool", call_tool)
    graph.add_edge(START, "model")
    graph.add_conditional_edges(
        "model", lambda state: "tool" if getattr(state["messages"][-1], "tool_calls", []) else END, ["tool", END]
    )
    graph.add_edge("tool", "model")
    thread = uuid.uuid4().hex
    config: Any = {"configurable": {"thread_id": thread}, "recursion_limit": 10_000}
    given: Any = {"messages": [("user", "# Your subtask")]}
    await graph.compile(checkpointer=saver).ainvoke(given, config, durability="sync")
    return thread


async def _written(ours: ThreadSaver, theirs: AsyncPostgresSaver, home: Path, turns: int) -> list[Figure]:
    """Bytes of a loop's rows, as a multiple of its messages."""
    figures: list[Figure] = []
    for size in (2_000, 20_000):
        thread, _, _ = await _loop(ours, home, turns, size)
        async with ours.pool.connection() as connection:
            kept, new = await _bytes(connection, thread)
        rival: float | None = None
        if size < 10_000:  # the larger one would write gigabytes
            thread = await _rival_loop(theirs, turns, size)
            pool: Any = theirs.conn
            async with pool.connection() as connection:
                rival = (await _bytes(connection, thread))[0] / new
        beside = "" if rival is None else f", LangGraph's default {rival:.1f} ×"
        say(f"{2 * turns} steps, {size} bytes a result: {kept / 1e6:.1f} MB, {kept / new:.2f} × what is new{beside}")
        name = f"bytes kept of a loop of {2 * turns} steps, {size // 1000} kB a result"
        figures.append(Figure(name, kept / new, "×", BYTES_TARGET, rival, "LangGraph's default"))
    return figures


TOOLS = """
import time
from pathlib import Path
from langchain_core.tools import tool

LOG = Path("log")

@tool
def noop() -> str:
    \"\"\"Note when it is called; stand still at the half, as long as nobody says go.\"\"\"
    while LOG.exists() and len(LOG.read_text().splitlines()) >= HALF and not Path("go").exists():
        time.sleep(0.01)
    with LOG.open("a") as log:
        log.write(f"{time.time()}\\n")
    return "done"

noop.metadata = {"effect": "read"}
TOOLS = [noop]
"""


def _resume(home: Path, folder: Path, count: int) -> float:
    """Seconds from the command `resume` to the first call of a tool, after a kill of the half-done thread."""
    folder.mkdir()
    (folder / "tools.py").write_text(TOOLS.replace("HALF", str(count // 2)))
    plan = {"goal": "resume", "subtasks": [{"id": f"s{number}", "tool": "noop"} for number in range(count)]}
    (folder / "plan.json").write_text(json.dumps(plan))
    log = folder / "log"
    command = [*PROGRAM, "run", "--plan", "plan.json", "--tools", "tools.py", "--thread", folder.name, "--quiet"]
    with subprocess.Popen(command, cwd=folder, env=environment(home), stdout=subprocess.DEVNULL) as process:
        while not log.exists() or len(log.read_text().splitlines()) < count // 2:
            if process.poll() is not None:
                raise RuntimeError("the run ended before it was half done")
            time.sleep(0.01)
        time.sleep(1.0)  # the last calls are still being committed
        process.kill()
    done = len(log.read_text().splitlines())
    (folder / "go").touch()
    began = time.time()
    command = [*PROGRAM, "resume", folder.name, "--quiet"]
    subprocess.run(command, cwd=folder, env=environment(home), check=True, capture_output=True)
    return float(log.read_text().splitlines()[done]) - began


def _resumes(home: Path, repeats: int) -> list[Figure]:
    subprocess.run([*PROGRAM, "db", "start"], env=environment(home), cwd=home, check=True, capture_output=True)
    try:
        times = [_resume(home, home / f"resumed-{number}", SUBTASKS) for number in range(repeats)]
    finally:
        subprocess.run([*PROGRAM, "db", "stop"], env=environment(home), cwd=home, check=True, capture_output=True)
    say(f"resume of {SUBTASKS} subtasks, half done and killed: first new call after {_shown(times)} s")
    return [Figure(f"`resume` of {SUBTASKS} subtasks, half done: first new step", middle(times), "s", RESUME_TARGET_S)]


async def measure(home: Path, url: str | None, repeats: int) -> list[Figure]:
    """Run the loops."""
    async with our_saver(home, url) as ours, rival_saver(ours) as theirs:
        figures = await _cost(ours, home, 50, repeats)
        return figures + await _written(ours, theirs, home, LONG_LOOP)


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.durable", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    given = parser.parse_args(arguments)
    repeats = 3 if given.quick else 5
    with temporary_folder() as home:
        figures = asyncio.run(measure(home, given.url, repeats))
        resumed = home / "home"
        resumed.mkdir(mode=0o755)
        return figures + _resumes(resumed, repeats)


if __name__ == "__main__":
    say(machine())
    print(table(main()))
