"""Gate: passed before every node; the only place where a run is drained or paused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl, Runtime

StateT = TypeVar("StateT")

ANSWER_ARRIVED = "an answer arrived"
"""The reason of a drain that is over as soon as the run has taken up an answer from elsewhere."""

POLL_SECONDS = 0.1
"""How often a held node looks again; requests may come from any thread or from a signal handler."""


@dataclass(frozen=True, eq=False)
class Visit:
    """One node that is about to run."""

    node: str
    """Its name."""
    state: Any
    """What it is given."""
    config: RunnableConfig
    """LangGraph's config; its metadata say in which graph the node is."""
    runtime: Runtime[Any]
    """LangGraph's runtime."""


class Holder(Protocol):
    """Decides when each node may run, as a stepper does."""

    @property
    def held_s(self) -> float:
        """Seconds of this run in which every branch stood; they count for no budget of time."""
        ...

    def hold(self, visit: Visit, control: RunControl) -> AbstractAsyncContextManager[None]:
        """Wait until the node may run; it runs inside.

        Args:
            visit: The node.
            control: The run's own gate, which may be drained while the node waits.

        Raises:
            GraphDrained: If a drain was asked for meanwhile.
        """
        ...

    def follow(self, is_choosing: Callable[[], bool]) -> None:
        """Know how to ask a dispatcher whether it is about to begin subtasks."""
        ...

    def began(self, namespace: str) -> None:
        """Know that the graph of a subtask runs from now on, in this namespace."""
        ...

    def ended(self, namespace: str) -> None:
        """Know that it has ended, or waits for a person."""
        ...


class Gate(RunControl):
    """A run control that can also pause, and that follows the caller's own control if there is one.

    Give one to `app.astream(..., control=gate)`, then `gate.request_drain()` ends the run at the next node of each
    branch, and `gate.pause()` holds every branch there until `gate.unpause()`.
    """

    def __init__(self, parent: RunControl | None = None) -> None:
        """Follow `parent`: a drain asked of it counts here too."""
        super().__init__()
        self._parent = parent
        self._paused = False
        self.holder: Holder | None = parent.holder if isinstance(parent, Gate) else None
        """What holds single nodes; `None`: nothing does."""

    @property
    def drain_requested(self) -> bool:
        """Whether the run is to end at the next node."""
        return super().drain_requested or (self._parent is not None and self._parent.drain_requested)

    @property
    def drain_reason(self) -> str | None:
        """The reason, in the words of the caller that asked for it."""
        own = super().drain_reason
        return own if own is not None or self._parent is None else self._parent.drain_reason

    @property
    def paused(self) -> bool:
        """Whether nodes are held."""
        return self._paused or (isinstance(self._parent, Gate) and self._parent.paused)

    def pause(self) -> None:
        """Hold every branch in front of its next node."""
        self._paused = True

    def unpause(self) -> None:
        """Let the held branches go on."""
        self._paused = False


async def enter(control: RunControl | None) -> None:
    """Wait while the run is paused.

    Raises:
        GraphDrained: If a drain was asked for.
    """
    # Polled, because a request may come from a signal handler or from another thread's loop.
    while isinstance(control, Gate) and control.paused and not control.drain_requested:  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)
    if control is not None and control.drain_requested:
        raise GraphDrained(control.drain_reason or "shutdown")


async def wait_until(moment: float, clock: Callable[[], float], control: RunControl | None) -> None:
    """Wait for a moment of `clock`, unless the run is drained before.

    Raises:
        GraphDrained: If a drain was asked for meanwhile.
    """
    while (left := moment - clock()) > 0:
        await asyncio.sleep(min(left, POLL_SECONDS))
        await enter(control)


def holder_of(control: RunControl | None) -> Holder | None:
    """The holder of the run's nodes; `None` without one."""
    return control.holder if isinstance(control, Gate) else None


@asynccontextmanager
async def passing(node: str, state: Any, config: RunnableConfig, runtime: Runtime[Any]) -> AsyncGenerator[None]:
    """Pass the gate; the node runs inside.

    Raises:
        GraphDrained: If a drain was asked for.
    """
    control = runtime.control
    await enter(control)
    if not isinstance(control, Gate) or control.holder is None:
        yield
        return
    async with control.holder.hold(Visit(node, state, config, runtime), control):
        yield


Node = Callable[[StateT, RunnableConfig, Runtime[Any]], Awaitable[dict[str, Any]]]


def gated(node: Node[StateT], name: str) -> Node[StateT]:
    """The node behind the gate.

    Args:
        node: An async node function of state, config and runtime.
        name: The node's name, which the wrapper takes for traces and drawings.
    """

    async def behind_gate(state: StateT, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        async with passing(name, state, config, runtime):
            return await node(state, config, runtime)

    behind_gate.__name__ = name
    return behind_gate
