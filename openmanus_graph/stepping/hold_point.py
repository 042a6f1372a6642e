"""Hold point: holds each branch of a run before its next node until the stepper releases it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, cast

from langgraph.errors import GraphBubbleUp, GraphDrained, GraphInterrupt
from langgraph.runtime import RunControl
from langgraph.types import Interrupt
from pydantic import BaseModel

from openmanus_graph.errors import OpenManusGraphError
from openmanus_graph.langgraph_internals import NAMESPACE_KEY
from openmanus_graph.namespaces import innermost_subtask, plain_namespace
from openmanus_graph.nodes.gate import POLL_SECONDS, Visit
from openmanus_graph.plans.references import resolve
from openmanus_graph.stepping.view import Branch, PendingCall, Reason

SETTLING_TURNS = 32
"""Turns of the event loop within which nodes of one super-step arrive: LangGraph starts them in the same turn."""

Decision = Callable[["GatedNode"], "Reason | None"]
"""Whether a node that arrives is to stand, and why; `None` lets it run."""


@dataclass(eq=False)
class GatedNode:
    """A node that stands at the gate, or runs."""

    visit: Visit
    namespace: str
    """The graph it is in; empty for the outermost."""
    subtask: str
    """The innermost subtask it is in; empty outside of any."""
    task: str
    """LangGraph's id of it, the same when the run is taken up again."""
    control: RunControl
    """The gate of its run, which may be drained while it stands."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    running: bool = False

    @classmethod
    def of(cls, visit: Visit, control: RunControl) -> GatedNode:
        """The gated node of a visit that arrives."""
        own = str((visit.config.get("metadata") or {}).get(NAMESPACE_KEY, visit.node))
        namespace = plain_namespace(own).rpartition("|")[0]
        task = innermost_subtask(namespace)
        return cls(visit, namespace, task.subtask if task else "", own.rpartition(":")[2], control)

    @property
    def node(self) -> str:
        """The node's name."""
        return self.visit.node

    @property
    def path(self) -> str:
        """The namespace of graphs inside of the node."""
        return f"{self.namespace}|{self.node}" if self.namespace else self.node

    @property
    def state(self) -> dict[str, Any]:
        """What the node is given."""
        given = self.visit.state
        if isinstance(given, Mapping):
            return dict(cast("Mapping[str, Any]", given))
        if isinstance(given, BaseModel):
            return dict(given)
        if is_dataclass(given) and not isinstance(given, type):
            return {attribute.name: getattr(given, attribute.name) for attribute in fields(given)}
        return {"input": given}

    @property
    def _sent(self) -> Mapping[str, Any] | None:
        """The call that an agent makes, which its tool's node is sent."""
        made = self.state.get("call")
        return cast("Mapping[str, Any]", made) if isinstance(made, Mapping) else None

    @property
    def call(self) -> PendingCall | None:
        """The call that the node makes, if it is a tool's."""
        made = self._sent
        if made is not None and "args" in made:
            return PendingCall(
                tool=str(made.get("name", self.node)), args=dict(made["args"]), id=str(made.get("id", ""))
            )
        definition = self.state.get("subtask")
        if not isinstance(definition, Mapping):
            return None
        known = cast("Mapping[str, Any]", definition)
        if known.get("tool") != self.node:
            return None
        args = dict(known.get("args") or {})
        lookup = getattr(self.visit.runtime.context, "lookup", None)
        if lookup is not None:
            with suppress(OpenManusGraphError):  # the node says what is wrong with a reference
                args = resolve(args, lookup)
        return PendingCall(tool=self.node, args=args, id=str(known.get("id", "")))

    def is_in(self, namespace: str) -> bool:
        """Whether the node is in a namespace, or in one below it."""
        return self.namespace == namespace or self.namespace.startswith(f"{namespace}|")

    def branch(self) -> Branch:
        """The node as views show it."""
        shown = Branch(
            name=self.subtask,
            node=self.node,
            namespace=self.namespace,
            status="running" if self.running else "next",
            state={key: value for key, value in self.state.items() if key != "call"},
        )
        if (call := self.call) is not None:
            shown["call"] = call
        return shown


@dataclass(frozen=True)
class FinishedNode:
    """A node that has run."""

    namespace: str
    node: str
    seconds: float
    """How long, waiting at the gate not counted."""
    ended_at: float
    """When, Unix time."""


def hold_all(gated: GatedNode) -> Reason | None:
    """A decision that holds every node."""
    del gated
    return "step"


class HoldPoint:
    """Holds the nodes of a run, in the order in which they arrived."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.places: list[GatedNode] = []
        """Nodes that stand or run, by arrival."""
        self.ran: list[FinishedNode] = []
        """Nodes that have run, by their end."""
        self.hit: tuple[GatedNode, Reason] | None = None
        """The node that stopped a run, and why."""
        self._asked: dict[str, tuple[str, set[str]]] = {}
        self.failed: GatedNode | None = None
        """The node that raised first in this run, if one did."""
        self.fresh = False
        """Whether the run began with an input and nothing was let go yet."""
        self.version = 0
        """Counts what happened."""
        self.on_change: Callable[[], None] = lambda: None
        self._decide: Decision = hold_all
        self._live: set[str] = set()
        self._unfinished: set[str] = set()
        self._begun: set[str] = set()
        self._choosing: list[Callable[[], bool]] = []
        self._watching: asyncio.Task[None] | None = None
        self._held_s = 0.0
        self._still_since: float | None = None
        self._happened = asyncio.Event()

    # What a run says, and asks.

    @property
    def held_s(self) -> float:
        """Seconds of this run in which every branch stood."""
        return self._held_s + (0.0 if self._still_since is None else time.monotonic() - self._still_since)

    def follow(self, is_choosing: Callable[[], bool]) -> None:
        """Register a dispatcher's question: whether it is about to begin subtasks."""
        self._choosing.append(is_choosing)

    @asynccontextmanager
    async def hold(self, visit: Visit, control: RunControl) -> AsyncGenerator[None]:
        """Hold a node until it may run; it runs inside of the context."""
        gated = GatedNode.of(visit, control)
        self._live.add(gated.namespace)
        self._asked.pop(gated.task, None)
        await self._stand(gated)
        gated.running, began = True, time.monotonic()
        self._note()
        try:
            yield
        except (GraphInterrupt, GraphDrained) as error:  # it goes on where it was, once the run does
            self._unfinished.add(gated.task)
            if isinstance(error, GraphInterrupt) and error.args:
                raised = cast("tuple[Interrupt, ...]", error.args[0])
                self._asked[gated.task] = (gated.namespace, {interrupt.id for interrupt in raised})
            raise
        except BaseException as error:
            if self.failed is None and not isinstance(error, GraphBubbleUp):
                self.failed = gated
            raise
        finally:
            seconds = time.monotonic() - began
            self.ran.append(FinishedNode(gated.namespace, gated.node, seconds, time.time()))
            self.places.remove(gated)
            inside = f"{gated.path}|"
            self._live = {
                namespace for namespace in self._live if namespace != gated.path and not namespace.startswith(inside)
            }
            self._note()

    async def _stand(self, gated: GatedNode) -> None:
        if self._was_let_go(gated):
            self.places.append(gated)
            return
        reason = self._decide(gated)
        self.places.append(gated)
        if reason is None:
            return
        if self._decide is not hold_all and reason != "step":
            self.hit = (gated, reason)
            self._decide = hold_all  # all others stop at their next node, too
        self._note()
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(), name="gates of a stepped run")
        try:
            await gated.released.wait()
            if not gated.running:
                raise GraphDrained(gated.control.drain_reason or "shutdown")
        except BaseException:
            self.places.remove(gated)
            self._note()
            raise

    async def _watch(self) -> None:
        """Poll for drained runs; requests may come from any thread or from a signal handler."""
        while self.standing:
            self.drain()
            await asyncio.sleep(POLL_SECONDS)

    def drain(self) -> None:
        """End the held nodes of drained runs."""
        for gated in self.standing:
            if gated.control.drain_requested:
                gated.released.set()

    def _was_let_go(self, gated: GatedNode) -> bool:
        """Whether the node had been let go before and goes on, such as one that asked a person."""
        known = gated.task in self._unfinished or gated.path in self._begun
        self._unfinished.discard(gated.task)
        self._begun.discard(gated.path)
        return known

    def began(self, namespace: str) -> None:
        """Note that a subtask's graph runs."""
        self._live.add(namespace)
        self._note()

    def ended(self, namespace: str) -> None:
        """Note that a subtask's graph has ended, or waits for a person."""
        self._live.discard(namespace)
        self._note()

    # What the stepper asks.

    def asks(self, gated: GatedNode) -> bool:
        """Whether a node has asked a person in this run."""
        return gated.task in self._asked

    @property
    def asking(self) -> set[str]:
        """Namespaces of the graphs in which somebody was asked in this run, the outermost among them."""
        return {"", *(home for home, _ in self._asked.values())} if self._asked else set()

    @property
    def asked(self) -> set[str]:
        """Ids of the questions of this run that are open: those of a subtask are, once all its calls have run."""
        asked = (ids for home, ids in self._asked.values() if not home or home not in self._live)
        return set[str]().union(*asked)

    @property
    def standing(self) -> list[GatedNode]:
        """Held nodes, by arrival."""
        return [gated for gated in self.places if not gated.running]

    def open(self, *, begun: Iterable[str], asking: Iterable[str], fresh: bool) -> None:
        """Take up a run.

        Args:
            begun: Paths of nodes that an earlier process let go and that have not finished.
            asking: Tasks that had been let go and ask a person.
            fresh: Whether it begins with an input.
        """
        self.failed, self.fresh = None, fresh
        self._choosing.clear()
        self._held_s, self._still_since = 0.0, None
        self.places.clear()
        self._asked.clear()
        self._live = {""}
        self._begun = set(begun)
        self._unfinished |= set(asking)
        self.hold_from_now()

    def close(self) -> None:
        """Note that the run is over."""
        self._live.clear()
        self._choosing.clear()
        self._note()

    def forget(self) -> None:
        """Forget which nodes were let go: the thread is another one."""
        self._unfinished.clear()
        self._begun.clear()
        self.ran.clear()
        self.hit = None

    def hold_from_now(self) -> None:
        """Hold every node that arrives."""
        self._decide = hold_all
        self.hit = None

    def let_go(self, gated: GatedNode, decide: Decision) -> None:
        """Release one node.

        Args:
            gated: The node.
            decide: Decides about the nodes that arrive afterwards.
        """
        self.hit, self.fresh = None, False
        self._go_on()
        self._decide = decide
        gated.released.set()
        gated.running = True

    def let_all_go(self, decide: Decision, inside: str = "") -> None:
        """Release all nodes, or all in a namespace.

        Where the run has just begun, a node that it is to stop at keeps all held: nobody has seen it held there.

        Args:
            decide: Decides about the nodes that arrive afterwards.
            inside: The namespace; empty for all.
        """
        fresh, self.fresh = self.fresh, False
        for gated in self.standing if fresh else ():
            if (reason := decide(gated)) is not None:
                self.hit = (gated, reason)
                return
        self.hit = None
        self._go_on()
        self._decide = decide
        for gated in [gated for gated in self.standing if not inside or gated.is_in(inside)]:
            gated.released.set()
            gated.running = True

    def _go_on(self) -> None:
        """Resume counting time."""
        self._held_s, self._still_since = self.held_s, None

    @property
    def quiet(self) -> bool:
        """Whether nothing runs: every branch stands, has ended or waits for a person."""
        if any(gated.control.drain_requested for gated in self.standing):
            return False  # they are about to end, and others of the run have ended before them
        standing = {gated.namespace for gated in self.places if not gated.running}
        running = [gated for gated in self.places if gated.running]
        holding = self._live | {namespace.rpartition("|")[0] for namespace in self._live}
        if any(gated.path not in holding for gated in running):
            return False
        return self._live <= standing | {gated.namespace for gated in running}

    async def until_quiet(self) -> None:
        """Wait until nothing runs."""
        while True:
            seen = self.version
            if not self.quiet:
                self._happened.clear()
                await self._happened.wait()
                continue
            # A dispatcher needs turns of the loop alone, nothing from outside, to begin what a result has released.
            while any(is_choosing() for is_choosing in self._choosing):  # noqa: ASYNC110 - it is over in a few turns
                await asyncio.sleep(0)
            for _ in range(SETTLING_TURNS):
                await asyncio.sleep(0)
            if seen == self.version:
                self._still_since = self._still_since or time.monotonic()
                return

    def _note(self) -> None:
        self.version += 1
        self._happened.set()
        self.on_change()
