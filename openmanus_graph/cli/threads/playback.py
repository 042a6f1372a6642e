"""Playback: a thread's run once more on the screen, from its stored events."""

from __future__ import annotations

import asyncio

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.history.checkpoint_ref import find_place
from openmanus_graph.checkpoints.history.playback import playback as events
from openmanus_graph.cli.run_view_model import RunViewModel
from openmanus_graph.cli.view import choose_view


def playback(thread: str, fast: bool, as_json: bool) -> None:
    """Show a thread's run once more, at its pace; nothing is called."""
    asyncio.run(_play(thread, fast, as_json))


async def _play(address: str, fast: bool, as_json: bool) -> None:
    async with open_checkpointer() as saver:
        thread, _ = await find_place(saver, address)
        view = choose_view(RunViewModel(thread.thread_id, task=thread.title), as_json=as_json, quiet=False)
        view.start()
        try:
            async for event in events(saver, address, fast=fast):
                view.show(event)
        finally:
            view.stop()
