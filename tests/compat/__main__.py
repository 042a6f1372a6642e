"""Run LangGraph's own tests on its savers, on ours and through durable graphs, and put the outcomes side by side.

Exits with 1 if a test fails on ours for another reason than a difference that differences.toml documents.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from .runs import Run, run, server
from .savers import Saver
from .suite import Suite, SuiteError, prepare
from .summary import STORED, Summary, differences, summarize
from .table import failures_of, table_of


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.compat", description=__doc__, epilog="More options are pytest's, such as -k interrupt."
    )
    parser.add_argument(
        "--saver", action="append", choices=[str(saver) for saver in Saver], help="run on this only; may be repeated"
    )
    parser.add_argument("--jobs", type=int, default=2, help="tests at the same time; default: 2")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of tables")
    parser.add_argument("--store", action="store_true", help="keep the figures for the page of the documentation")
    known, more = parser.parse_known_args(given)
    if known.store and (known.saver or more):
        parser.error("--store needs everything: run it without --saver and without options of pytest")
    known.more = more
    return known


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


async def _runs(suite: Suite, savers: Sequence[Saver], options: Sequence[str], jobs: int) -> list[Run]:
    made: list[Run] = []
    async with server() as url:
        for saver in savers:
            done = await run(suite, saver, url, options, jobs)
            failed = sum(ended.outcome == "failed" for ended in done.tests.values())
            _say(f"{saver}: {len(done.tests)} tests, {failed} failed, {done.seconds:.0f} s")
            made.append(done)
    return made


def _judge(summary: Summary) -> int:
    """Say what is wrong; the exit code."""
    for cause in summary.unseen:
        _say(f"The difference {cause!r} of differences.toml makes no test fail any more: take it out.")
    if summary.faults:
        _say(f"{len(summary.faults)} failures are no documented difference.")
    return 1 if summary.faults or summary.unseen else 0


def main(given: Sequence[str]) -> int:
    """Run, print and judge; the exit code."""
    arguments = _arguments(given)
    savers = [saver for saver in Saver if not arguments.saver or saver in arguments.saver]
    try:
        suite = prepare()
        _say(f"LangGraph {suite.version}: {len(suite.files)} test files take a checkpointer.")
        runs = asyncio.run(_runs(suite, savers, arguments.more, arguments.jobs))
    except SuiteError as error:
        _say(str(error))
        return 2
    whole = len(savers) == len(Saver) and not arguments.more
    summary = summarize(runs, differences(), whole=whole)
    if arguments.store:
        STORED.parent.mkdir(exist_ok=True)
        STORED.write_text(summary.as_json(), encoding="utf-8")
    sys.stdout.write(summary.as_json() if arguments.json else f"{table_of(summary)}\n{failures_of(summary)}")
    return _judge(summary)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
