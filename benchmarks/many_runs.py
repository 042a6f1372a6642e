"""Many runs: sixteen runs at once on a Postgres that is two milliseconds away, beside LangGraph's own saver.

A proxy on loopback holds back what comes from the runs. Each run is a chain of nodes that do nothing, each step
stored before the next begins; what counts is checkpoints per second. The ceiling is what the same runs reach without
the delay.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg import AsyncConnection, conninfo
from psycopg.rows import DictRow, dict_row

from benchmarks.figure import Figure, machine, say, table
from benchmarks.store import RIVAL_SCHEMA, our_saver, rival_saver, temporary_folder

RUNS = 16
STEPS = 50
AWAY_S = 0.002
TIMES = 10.0
"""How many times the checkpoints per second of LangGraph's saver are wanted."""


class State(TypedDict):
    """State of a chain."""

    number: int


def chain(saver: BaseCheckpointSaver[Any]) -> Any:
    """A graph that goes round so many times."""

    async def step(state: State) -> State:
        return {"number": state["number"] + 1}

    async def onwards(state: State) -> str:
        return END if state["number"] >= STEPS else "step"

    graph: StateGraph[State, None, State, State] = StateGraph(State)
    graph.add_node("step", step)
    graph.add_edge(START, "step")
    graph.add_conditional_edges("step", onwards, ["step", END])
    return graph.compile(checkpointer=saver)


async def rate(saver: BaseCheckpointSaver[Any]) -> float:
    """Checkpoints per second of all runs together."""
    app = chain(saver)

    async def run() -> None:
        config: Any = {"configurable": {"thread_id": uuid.uuid4().hex}, "recursion_limit": STEPS + 10}
        await app.ainvoke({"number": 0}, config, durability="sync")

    await run()
    began = time.perf_counter()
    await asyncio.gather(*(run() for _ in range(RUNS)))
    return RUNS * (STEPS + 2) / (time.perf_counter() - began)


@asynccontextmanager
async def distant(url: str) -> AsyncGenerator[str]:
    """The address of the same database, `AWAY_S` away."""
    facts = conninfo.conninfo_to_dict(url)
    place = Path(str(facts["host"])) / f".s.PGSQL.{facts.get('port') or 5432}"

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                loop.call_later(delay_s, writer.write, data)
        loop.call_later(2 * delay_s, writer.close)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(str(place))
        await asyncio.gather(carry(reader, there_writer, AWAY_S), carry(there_reader, writer, 0.0))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield conninfo.make_conninfo(url, host="127.0.0.1", port=port)
    finally:
        server.close()


@asynccontextmanager
async def stock(url: str) -> AsyncGenerator[AsyncPostgresSaver]:
    """LangGraph's saver as its documentation opens it, with one connection."""
    options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with await AsyncConnection[DictRow].connect(
        url, options=f"-c search_path={RIVAL_SCHEMA}", **options
    ) as connection:
        yield AsyncPostgresSaver(connection)


async def measure(home: Path) -> list[Figure]:
    """The rows of the table."""
    async with our_saver(home, None) as near, rival_saver(near) as theirs:
        ceiling = await rate(near), await rate(theirs)
        async with distant(near.conninfo) as url:
            async with our_saver(home, url) as far:
                ours = await rate(far)
            async with stock(url) as far_stock:
                rivals = await rate(far_stock)
    say(
        f"{RUNS} runs at once, checkpoints/s: {ours:.0f}, LangGraph's saver {rivals:.0f};"
        f" without the delay {ceiling[0]:.0f} and {ceiling[1]:.0f} (with a pool)"
    )
    each, other = 1000 / ours, 1000 / rivals
    what = "LangGraph's saver"
    return [Figure(f"{RUNS} runs at once, 2 ms away, a checkpoint", each, "ms", other / TIMES, other, what)]


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_runs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the same; it is quick")
    parser.parse_args(arguments)
    with temporary_folder() as home:
        return asyncio.run(measure(home))


if __name__ == "__main__":
    say(machine())
    print(table(main()))
