"""Background: the run under a stepper, an ordinary durable run in the background of the same event loop."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, cast

from langgraph.errors import GraphDrained
from langgraph.pregel import Pregel

from openmanus_graph.events import Event
from openmanus_graph.nodes.gate import Gate
from openmanus_graph.stepping.hold_point import HoldPoint

PARKED = "the stepper let the thread go"


class BackgroundRun:
    """One run of a thread with its nodes held at a hold point."""

    def __init__(
        self,
        app: Pregel[Any, Any, Any, Any],
        given: Any,
        configurable: Mapping[str, Any],
        hold_point: HoldPoint,
        heard: Callable[[Event], None],
    ) -> None:
        """Start the run.

        Args:
            app: The compiled graph.
            given: Its input, `None` to go on, or a command.
            configurable: The config with the thread's id.
            hold_point: What holds its nodes.
            heard: Takes each event.
        """
        self.error: BaseException | None = None
        """The exception that ended the run; `None` if it ended by itself or goes on."""
        self._gate = Gate()
        self._gate.holder = hold_point
        self._hold_point = hold_point
        self._heard = heard
        self._task = asyncio.create_task(self._run(app, given, dict(configurable)), name="stepped run")

    @property
    def live(self) -> bool:
        """Whether the run still holds the thread."""
        return not self._task.done()

    async def _run(self, app: Pregel[Any, Any, Any, Any], given: Any, configurable: dict[str, Any]) -> None:
        config: Any = {"configurable": configurable}
        try:
            stream = app.astream(given, config, stream_mode="custom", control=self._gate, durability="sync")
            async with aclosing(cast("AsyncGenerator[Any]", stream)) as chunks:
                async for chunk in chunks:
                    if isinstance(chunk, dict):
                        self._heard(cast("Event", chunk))
        except GraphDrained:
            pass
        except BaseException as error:
            self.error = error
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise  # the whole process is to end; the thread is intact
        finally:
            self._hold_point.close()

    async def ended(self) -> None:
        """Wait for the end of the run; `error` holds what ended it."""
        await asyncio.wait({self._task})

    async def park(self) -> None:
        """End the run between nodes: running nodes finish, none begins, and the thread is free."""
        self._gate.request_drain(PARKED)
        self._hold_point.drain()
        await self.ended()

    async def cancel(self) -> None:
        """Cancel the run at once: a step in flight is not committed, and runs again."""
        self._task.cancel()
        await self.ended()
