"""Rating: threads rate."""

from __future__ import annotations

import asyncio
import shlex

import click

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.threads import find_thread
from openmanus_graph.cli.terminal import with_program
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import UsageError
from openmanus_graph.memory.procedural.stores import template_store
from openmanus_graph.redaction import redact_log


def rate(thread: str, verdict: str, why: tuple[str, ...]) -> None:
    """Say how a thread's last request really went."""
    shown = asyncio.run(_rate(thread, good=verdict == "good", why=redact_log(" ".join(why))))
    click.echo(with_program(f"Rated. See what it changes with: openmanus-graph {shlex.join(shown)}"), err=True)


async def _rate(name: str, *, good: bool, why: str) -> list[str]:
    """Rate a thread for whose it is; the command that shows its template."""
    settings = Settings.load()
    async with open_checkpointer(settings=settings) as saver:
        thread = await find_thread(saver, name)
        owner = thread.owner or settings.owner
        store = template_store(settings, saver, owner)
        key = await store.rate(thread.thread_id, good=good, why=why)
    if key is None:
        raise UsageError(
            f"The thread {thread.thread_id!r} counts for no template: it has no request of three steps or more.",
            hint=f"See what there is with: {shell_commands.MEMORY_TEMPLATES}",
        )
    return ["memory", "templates", "show", key, *(["--owner", owner] if owner != settings.owner else [])]
