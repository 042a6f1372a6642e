"""Rating: threads rate."""

from __future__ import annotations

import asyncio
import shlex

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.ratings import last_request, rate_request
from openmanus_graph.checkpoints.threads import find_thread
from openmanus_graph.cli.terminal import with_program
from openmanus_graph.config.settings import Settings
from openmanus_graph.memory.procedural.stores import template_store
from openmanus_graph.redaction import redact_log


def rate(thread: str, verdict: str, why: tuple[str, ...]) -> None:
    """Say how a thread's last request really went."""
    click.echo(asyncio.run(_rate(thread, good=verdict == "good", why=redact_log(" ".join(why)))), err=True)


async def _rate(name: str, *, good: bool, why: str) -> str:
    """Rate a thread's last request, and its template for whose it is; what to say of it."""
    settings = Settings.load()
    async with open_checkpointer(settings=settings) as saver:
        thread = await find_thread(saver, name)
        owner = thread.owner or settings.owner
        request = await last_request(saver, thread.thread_id)
        await rate_request(saver, thread.thread_id, request, good=good, why=why)
        store = template_store(settings, saver, owner)
        key = await store.rate(thread.thread_id, good=good, why=why, request=request)
    if key is None:
        return (
            f"Rated. Request {request} of the thread {thread.thread_id!r} counts for no template, so none is weighed:"
            " only one of three steps or more does."
        )
    shown = ["memory", "templates", "show", key, *(["--owner", owner] if owner != settings.owner else [])]
    return with_program(f"Rated. See what it changes with: openmanus-graph {shlex.join(shown)}")
