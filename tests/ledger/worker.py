"""A process that kills itself with -9 when all calls have come to a chosen moment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from langgraph.types import Command

sys.path.insert(0, str(Path(__file__).parents[2]))

from openmanus_graph import build_manus_graph, build_plan_graph, open_checkpointer
from openmanus_graph.checkpoints.ledger import Effect, Intent, Ledger
from tests.ledger.model import TurnsModel
from tests.ledger.paying import three

MOMENTS = ("claimed", "begun", "paid", "returned", "settled")
"""Between claim and call; in the call, before and after its effect; between call and settlement; after that."""


class Killer:
    """Holds calls at the moment, and kills the process once all are there."""

    def __init__(self, moment: str, calls: int) -> None:
        self.moment = moment
        self.left = calls

    async def __call__(self, moment: str) -> None:
        """Come to a moment."""
        if moment == self.moment:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
            await asyncio.sleep(60)


def watched(killer: Killer) -> None:
    """Have the ledger come to its moments, with what it does unchanged."""
    claim, settle = Ledger.claim, Ledger.settle

    async def claimed(self: Ledger, intent: Intent, *, anew: bool = False) -> Effect:
        found = await claim(self, intent, anew=anew)
        await killer("claimed")
        return found

    async def settled(self: Ledger, *arguments: Any, **options: Any) -> None:
        await killer("returned")
        await settle(self, *arguments, **options)
        await killer("settled")

    Ledger.claim, Ledger.settle = claimed, settled  # type: ignore[method-assign]


async def main(url: str, turns: str, moment: str, calls: str, policy: str, given: str) -> None:
    """Run a plan, with or without a model, or go on with answers, until the moment comes."""
    killer = Killer(moment, int(calls))
    watched(killer)
    tools = three(killer)
    async with open_checkpointer(url) as saver:
        if turns == "-":
            graph: Any = build_plan_graph(tools, policy=policy)
        else:
            graph = build_manus_graph(TurnsModel(turns=json.loads(turns)), tools=tools, policy=policy)
        config: Any = {"configurable": {"thread_id": "t", "max_parallel": 3}}
        fields = json.loads(given)
        await graph.compile(checkpointer=saver).ainvoke(
            Command(resume=fields["resume"]) if "resume" in fields else fields, config
        )


asyncio.run(main(*sys.argv[1:]))
