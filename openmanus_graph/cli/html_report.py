"""Html report: a run as one page that can be sent on and read anywhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from openmanus_graph.cli.picture import put_out, read_record


@click.command()
@click.argument("thread")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Write there, instead of to stdout.",
)
def report(thread: str, output: Path | None) -> None:
    """Write a run as one HTML page: plan, timeline, messages, tool calls, files and costs.

    The page needs nothing else: no network, no script, no font.
    """
    from openmanus_graph.drawing.report import report_html

    put_out(report_html(asyncio.run(read_record(thread, whole=True))), output)
