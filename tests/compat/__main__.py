"""Run LangGraph's own tests on its savers, on ours and through durable graphs, and put the outcomes side by side.

Then a graph of each library that is built on LangGraph is killed and resumed. Exits with 1 if a library fails, or a
test on ours for another reason than a difference that differences.toml documents.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from .kills import Tried, try_libraries
from .runs import Run, last_failed, run, server
from .savers import Saver
from .suite import Suite, SuiteError, prepare
from .summary import OURS, STORED, Summary, differences, summarize
from .table import failures_of, table_of


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.compat", description=__doc__, epilog="More options are pytest's, such as -k interrupt."
    )
    parser.add_argument(
        "--saver", action="append", choices=[str(saver) for saver in Saver], help="run on this only; may be repeated"
    )
    parser.add_argument("--last", action="store_true", help="run what failed last time only, on our savers")
    parser.add_argument("--libraries", action="store_true", help="try the libraries only")
    parser.add_argument("--jobs", type=int, default=2, help="tests at the same time; default: 2")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of tables")
    parser.add_argument("--store", action="store_true", help="keep the figures for the page of the documentation")
    known, more = parser.parse_known_args(given)
    known.more = more
    known.whole = not (known.saver or more or known.last or known.libraries)
    if known.store and not known.whole:
        parser.error("--store needs everything: run it without --saver, --last, --libraries and options of pytest")
    if known.last and not known.saver:
        known.saver = [str(saver) for saver in OURS]
    return known


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


async def _runs(suite: Suite, given: argparse.Namespace) -> tuple[list[Run], list[Tried]]:
    made: list[Run] = []
    savers = [saver for saver in Saver if not given.saver or saver in given.saver]
    async with server() as url:
        for saver in [] if given.libraries else savers:
            only = last_failed(saver) if given.last else None
            done = await run(suite, saver, url, given.more, given.jobs, only)
            failed = sum(ended.outcome == "failed" for ended in done.tests.values())
            _say(f"{saver}: {len(done.tests)} tests, {failed} failed, {done.seconds:.0f} s")
            made.append(done)
        tried = await asyncio.to_thread(try_libraries, url, suite.libraries) if given.whole or given.libraries else []
        for one in tried:
            _say(f"{one.library} {one.version}, killed and resumed: {one.ended.outcome} {one.ended.said}".rstrip())
    return made, tried


def _judge(summary: Summary) -> int:
    """Say what is wrong; the exit code."""
    for cause in summary.unseen:
        _say(f"The difference {cause!r} of differences.toml makes no test fail any more: take it out.")
    if summary.faults:
        _say(f"{len(summary.faults)} failures are no documented difference.")
    broken = [tried.library for tried in summary.libraries if tried.outcome != "passed"]
    return 1 if summary.faults or summary.unseen or broken else 0


def main(given: Sequence[str]) -> int:
    """Run, print and judge; the exit code."""
    arguments = _arguments(given)
    try:
        suite = prepare()
        _say(f"LangGraph {suite.version}: {len(suite.files)} test files take a checkpointer.")
        runs, tried = asyncio.run(_runs(suite, arguments))
    except SuiteError as error:
        _say(str(error))
        return 2
    summary = summarize(runs, differences(), whole=arguments.whole, tried=tried)
    if arguments.store:
        STORED.parent.mkdir(exist_ok=True)
        STORED.write_text(summary.as_json(), encoding="utf-8")
    sys.stdout.write(summary.as_json() if arguments.json else f"{table_of(summary)}\n{failures_of(summary)}")
    return _judge(summary)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
