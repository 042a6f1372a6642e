"""A process that kills itself with -9 when three calls have come to a chosen moment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from openmanus_graph import build_manus_graph, build_plan_graph, open_checkpointer
from openmanus_graph.checkpoints.ledger import Effect, Intent, Ledger
from tests.ledger.model import TurnsModel
from tests.ledger.paying import three

MOMENTS = ("claimed", "begun", "paid", "returned", "settled")
"""Between claim and call; in the call, before and after its effect; between call and settlement; after that."""


class Killer:
    """Holds calls at the moment, and kills the process once there are three."""

    def __init__(self, moment: str) -> None:
        self.moment = moment
        self.count = 0

    async def __call__(self, moment: str) -> None:
        """Come to a moment."""
        if moment == self.moment:
            self.count += 1
            if self.count == 3:
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


async def main(url: str, turns: str, moment: str, plan: str) -> None:
    """Run the plan, with or without a model, until the moment comes."""
    killer = Killer(moment)
    watched(killer)
    tools = three(killer)
    async with open_checkpointer(url) as saver:
        if turns == "-":
            graph: Any = build_plan_graph(tools)
        else:
            graph = build_manus_graph(TurnsModel(turns=json.loads(turns)), tools=tools, policy="allow")
        config: Any = {"configurable": {"thread_id": "t", "max_parallel": 3}}
        await graph.compile(checkpointer=saver).ainvoke({"plan": json.loads(plan)}, config)


asyncio.run(main(*sys.argv[1:]))
