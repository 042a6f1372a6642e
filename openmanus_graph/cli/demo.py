"""demo: the agent at work on a small site, with recorded replies in place of a model."""

from __future__ import annotations

import click

from openmanus_graph.cli.options import SANDBOXES, viewing


@click.command()
@click.option("--crash", is_flag=True, help="Kill the run half-way with SIGKILL, and resume it.")
@click.option("--ask", is_flag=True, help="You approve the request for a quote; else the demo does.")
@click.option("--record", type=click.Path(dir_okay=False), metavar="FILE", help="Use your own model, keep its replies.")
@click.option("--sandbox", type=click.Choice(SANDBOXES), help="Confinement of Python tools.")
@click.option("--thread", metavar="ID", help="Name the thread, or go on with a demo that was stopped.")
@viewing
def demo(
    crash: bool, ask: bool, record: str | None, sandbox: str | None, thread: str | None, as_json: bool, quiet: bool
) -> int:
    """See the agent work: no key, no network, some seconds.

    It compares three suppliers on a small site that is served on this machine, writes a report and requests a quote.
    Tools, checks, approval and Postgres are real; only the model's replies are recorded.
    """
    from openmanus_graph.checkpoints.thread_id import checked_thread
    from openmanus_graph.cli.demo_run import Demo, Wishes

    chosen = checked_thread(thread) if thread else None
    return Demo(Wishes(crash, ask, record, sandbox, chosen, as_json, quiet)).run()
