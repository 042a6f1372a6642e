"""Background runs: threads that this process runs beside others, as long as it lives."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from langgraph.errors import GraphDrained

from openmanus_graph.cli.lines import Lines
from openmanus_graph.cli.run_view_model import RunViewModel
from openmanus_graph.events import Event
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.nodes.gate import Gate

DRAIN_S = 5.0
"""Seconds that steps may take to end when the process is to end; what is not done then is done again by a resume."""

Progress = Callable[[int, str], Awaitable[None]]
"""Takes how many lines a run has said, and the last one."""


class BackgroundRun:
    """A run of one thread."""

    def __init__(self, app: DurableGraph, given: Any, thread_id: str, configurable: Mapping[str, Any]) -> None:
        """Begin it.

        Args:
            app: The compiled graph.
            given: Its input.
            thread_id: The thread.
            configurable: More of the config.
        """
        self.app = app
        """The graph that runs."""
        self.thread_id = thread_id
        """The thread."""
        self.error: Exception | None = None
        """What ended it, if it did not end by itself."""
        self._gate = Gate()
        self._lines = 0
        self._line = ""
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run(given, {**configurable, "thread_id": thread_id}))

    @property
    def done(self) -> bool:
        """Whether it runs no more."""
        return self._task.done()

    async def _run(self, given: Any, configurable: dict[str, Any]) -> None:
        lines = Lines(RunViewModel(self.thread_id))
        config: Any = {"configurable": configurable}
        try:
            async for event in self.app.astream(given, config, stream_mode="custom", control=self._gate):
                if line := lines.of(cast("Event", event)):
                    self._lines, self._line = self._lines + 1, line.strip()
                    self._news.set()
        except GraphDrained:
            pass  # the thread's status says so
        except Exception as error:  # noqa: BLE001 - a user's node may raise anything; who asks for the thread is told
            self.error = error
        finally:
            self._news.set()

    async def watch(self, seconds: float, progress: Progress) -> bool:
        """Wait for its end.

        Args:
            seconds: For how long.
            progress: Takes what it says meanwhile.

        Returns:
            Whether it has ended.
        """
        end = time.monotonic() + seconds
        told = 0
        while not self.done:
            if self._lines > told:
                told = self._lines
                await progress(told, self._line)
            try:
                async with asyncio.timeout(max(end - time.monotonic(), 0.001)):
                    await self._news.wait()
            except TimeoutError:
                break
            self._news.clear()
            await asyncio.sleep(0)  # the last news come just before the end
        return self.done

    async def stop(self) -> None:
        """Let its steps end and start nothing new; what takes too long is cut off, as by a crash."""
        self._gate.request_drain("the server ended")
        await asyncio.wait([self._task], timeout=DRAIN_S)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class BackgroundRuns:
    """The runs of a process, by thread."""

    def __init__(self) -> None:
        """Begin with none."""
        self._runs: dict[str, BackgroundRun] = {}

    def begin(
        self, app: DurableGraph, given: Any, thread_id: str, configurable: Mapping[str, Any] | None = None
    ) -> BackgroundRun:
        """Run a thread; the caller has seen that nobody does.

        Args:
            app: The compiled graph.
            given: Its input.
            thread_id: The thread.
            configurable: More of the config.
        """
        run = self._runs[thread_id] = BackgroundRun(app, given, thread_id, configurable or {})
        return run

    def of(self, thread_id: str) -> BackgroundRun | None:
        """The last run of a thread here; `None` if there was none."""
        return self._runs.get(thread_id)

    async def aclose(self) -> None:
        """Stop all of them; their threads can be resumed."""
        await asyncio.gather(*(run.stop() for run in self._runs.values() if not run.done))
