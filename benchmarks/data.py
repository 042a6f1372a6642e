"""Data: queries over a set of Parquet files, confined, beside DuckDB alone in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, machine, middle, say, table
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext
from openmanus_graph.sandbox import worker
from openmanus_graph.sandbox.process import SandboxProcess, open_process
from openmanus_graph.sandbox.tree import TreeProcess
from openmanus_graph.tools.data import query as query_module
from openmanus_graph.tools.data.query import answer_query

ROWS_A_FILE, FILES = 9_000_000, 10
"""About 1 GB: a number, a float and a word a row."""
ROUNDS = 5
QUERIES = {
    "sums by group": "SELECT word, count(*), sum(value), avg(value) FROM '{set}' GROUP BY word ORDER BY word",
    "a filter and the ten largest": "SELECT number, value FROM '{set}' WHERE word = 'w7' ORDER BY value DESC LIMIT 10",
    "distinct values": "SELECT count(DISTINCT number % 1000003) FROM '{set}'",
}
MOST = 1.1
BARE = """
import json, sys
import duckdb
database = duckdb.connect(":memory:")
database.execute("SET memory_limit = '" + sys.argv[2] + "MB'")
print(json.dumps(database.execute(sys.argv[1]).fetchall(), default=str))
"""


def _make(folder: Path, rows: int, files: int) -> int:
    """Write the set; its bytes."""
    import duckdb

    with duckdb.connect() as database:
        for number in range(files):
            database.execute(
                f"COPY (SELECT range AS number, random() AS value, 'w' || (range % 50) AS word FROM "
                f"range({number * rows}, {(number + 1) * rows})) TO '{folder}/part-{number}.parquet' (FORMAT parquet)"
            )
    return sum(path.stat().st_size for path in folder.iterdir())


def _bare(sql: str, folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", BARE, sql, str(query_module.MEMORY_MB)],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


async def _ours(sql: str, context: ToolContext) -> float:
    began = time.perf_counter()
    await answer_query(sql, context, seconds=600)
    return time.perf_counter() - began


async def _most_memory(sql: str, context: ToolContext) -> float:
    """Megabytes of memory that the confined process had at its peak."""
    seen: list[int] = []

    async def watched(*args: Any, **options: Any) -> SandboxProcess:
        process = await open_process(*args, **options)
        watching.append(asyncio.ensure_future(_watch(process.tree, seen)))
        return process

    watching: list[asyncio.Task[None]] = []
    kept, worker.open_process = worker.open_process, watched
    try:
        await answer_query(sql, context, seconds=600)
    finally:
        worker.open_process = kept
        for task in watching:
            task.cancel()
    return max(seen, default=0) / 1024


def _peak(process: TreeProcess) -> int:
    """The most memory that a process has had, in kB; 0 where it is gone."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


async def _watch(tree: Callable[[], list[TreeProcess]], seen: list[int]) -> None:
    """Note the peak of the largest process of a tree, in kB, again and again."""
    while True:
        seen += [_peak(one) for one in tree()]
        await asyncio.sleep(0.02)


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Measure, print a table, and return the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data")
    given = parser.parse_args(argv)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        size = _make(folder, ROWS_A_FILE // (10 if given.quick else 1), FILES)
        say(f"  {size / 1e9:.2f} GB in {FILES} files")
        context = ToolContext("bench", "bench", folder, Settings())
        for what, form in QUERIES.items():
            sql = form.format(set="part-*.parquet")
            ours: list[float] = []
            bare: list[float] = []
            for _ in range(ROUNDS):
                bare.append(_bare(sql, folder))
                ours.append(asyncio.run(_ours(sql, context)))
            figures.append(
                Figure(
                    f"{what}, {size / 1e9:.2f} GB of Parquet, from the start of the process",
                    middle(ours),
                    "s",
                    target=MOST * middle(bare),
                    rival=middle(bare),
                    rival_name="DuckDB in a process of its own, unconfined",
                )
            )
            figures.append(
                Figure("the same, memory at its peak", asyncio.run(_most_memory(sql, context)), "MB", target=3072)
            )
    say(table(figures))
    return figures


if __name__ == "__main__":
    say(machine())
    main()
