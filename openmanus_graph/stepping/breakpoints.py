"""Breakpoints: where a run stops, and how a person names a node, a tool or a subtask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from openmanus_graph.errors import UsageError
from openmanus_graph.loading.user_modules import described
from openmanus_graph.stepping.hold_point import Decision, GatedNode
from openmanus_graph.stepping.view import Reason

Condition = Callable[[Mapping[str, Any]], Any]
"""Of the call for a tool, else of the state that the node is given; true stops the run."""
KINDS = ("tool", "subtask", "node")


@dataclass(frozen=True)
class KnownNames:
    """Names of the nodes, tools and subtasks that a graph and its plan have."""

    nodes: Sequence[str]
    """All nodes, those of subtasks among them."""
    tools: Sequence[str]
    """Tools, which are nodes of subtasks."""
    subtasks: Sequence[str]
    """Subtasks of the plan; empty as long as there is none."""


@dataclass(frozen=True)
class BreakpointTarget:
    """A place in a graph: a node, a tool's calls or a subtask."""

    kind: str
    """`node`, `tool` or `subtask`."""
    name: str

    @classmethod
    def parse(cls, text: str, known: KnownNames) -> BreakpointTarget:
        """Parse what a person typed.

        Args:
            text: A node's name, `tool:NAME`, `subtask:ID` or `node:NAME`.
            known: What there is.

        Raises:
            UsageError: If there is nothing of that name; the nearest are named.
        """
        kind, separator, name = text.partition(":")
        if not separator or kind not in KINDS:
            kind, name = "node", text
        there: Sequence[str] = {"node": known.nodes, "tool": known.tools, "subtask": known.subtasks}[kind]
        if name in there or (kind == "subtask" and not there and name):
            return cls(kind, name)
        prefix = "" if kind == "node" else f"{kind}:"
        everything = {**dict.fromkeys(known.subtasks, "subtask:"), **dict.fromkeys(known.nodes, "")}
        near = [f"{prefix}{match}" for match in get_close_matches(name, there, 3, 0.5)]
        near = near or [f"{everything[match]}{match}" for match in get_close_matches(name, list(everything), 3, 0.5)]
        some = ", ".join(list(there)[:12]) or "none"
        hint = f"The nearest are: {', '.join(near)}." if near else f"There are: {some}."
        raise UsageError(f"There is no {kind} {name!r} to stop at.", hint=hint)

    def __str__(self) -> str:
        return self.name if self.kind == "node" else f"{self.kind}:{self.name}"

    def matches(self, gated: GatedNode) -> bool:
        """Whether an arriving node is at this target."""
        if self.kind == "subtask":
            return gated.subtask == self.name
        if gated.node != self.name:
            return False
        return self.kind == "node" or gated.call is not None


@dataclass(frozen=True)
class Breakpoint:
    """A place to stop at, always or on a condition."""

    target: BreakpointTarget
    when: Condition | None = None

    def matches(self, gated: GatedNode) -> bool:
        """Whether the run stops at a node. Exceptions of the condition are raised."""
        if not self.target.matches(gated):
            return False
        if self.when is None:
            return True
        call = gated.call
        return bool(self.when(dict(call) if call is not None else gated.state))

    def __str__(self) -> str:
        return f"{self.target}{' when …' if self.when is not None else ''}"


class Breakpoints:
    """The places where `run()`, `run_to()`, `next()` and `out()` stop on their way."""

    def __init__(self, known: Callable[[], KnownNames]) -> None:
        """Begin with none.

        Args:
            known: Gives the names that there are.
        """
        self.trouble = ""
        """What went wrong with a condition during the verb at hand; the run stops there."""
        self._known = known
        self._all: list[Breakpoint] = []

    def add(self, place: str, when: Condition | None = None) -> Breakpoint:
        """Add a breakpoint, in place of the one that the target has.

        Args:
            place: A node, `tool:NAME` or `subtask:ID`.
            when: Stop only if this is true of the call (`{"tool", "args", "id"}`) for a tool, else of the state that
                the node is given.

        Raises:
            UsageError: If there is no such place; the nearest are named.
        """
        target = BreakpointTarget.parse(place, self._known())
        self._all = [known for known in self._all if known.target != target]
        self._all.append(Breakpoint(target, when))
        return self._all[-1]

    def remove(self, place: str) -> None:
        """Remove a breakpoint.

        Raises:
            UsageError: If there is no such breakpoint.
        """
        left = [known for known in self._all if str(known.target) != place and known.target.name != place]
        if len(left) == len(self._all):
            there = ", ".join(str(known.target) for known in self._all) or "none"
            raise UsageError(f"There is no breakpoint at {place!r}.", hint=f"There are: {there}.")
        self._all = left

    def clear(self) -> None:
        """Remove all breakpoints."""
        self._all = []

    def __iter__(self) -> Iterator[Breakpoint]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __repr__(self) -> str:
        return f"Breakpoints({', '.join(map(str, self._all))})"

    def matching(self, gated: GatedNode) -> Breakpoint | None:
        """The breakpoint at which a node is; one whose condition fails counts."""
        return next(
            (known for known in self._all if self._holds(lambda known=known: known.matches(gated), str(known.target))),
            None,
        )

    def _holds(self, condition: Callable[[], bool], name: str) -> bool:
        try:
            return condition()
        except Exception as error:  # noqa: BLE001 - a person's own; passing the node in silence would be worse
            self.trouble = f"The condition of {name} failed: {described(error)}."
            return True

    def within(self, passes: Callable[[GatedNode], bool]) -> Decision:
        """A decision that lets some nodes pass up to a breakpoint, and holds all others."""
        self.trouble = ""

        def decide(gated: GatedNode) -> Reason | None:
            if not passes(gated):
                return "step"
            return "breakpoint" if self.matching(gated) else None

        return decide

    def towards(self, target: str | Condition) -> Decision:
        """A decision that lets nodes pass until one is at a target, or at a breakpoint.

        Raises:
            UsageError: If there is no such place; the nearest are named.
        """
        self.trouble = ""
        there = None if callable(target) else BreakpointTarget.parse(target, self._known()).matches

        def reached(gated: GatedNode) -> bool:
            return bool(target(gated.state)) if callable(target) else there is not None and there(gated)

        def decide(gated: GatedNode) -> Reason | None:
            if self._holds(lambda: reached(gated), "run_to"):
                return "reached"
            return "breakpoint" if self.matching(gated) else None

        return decide
