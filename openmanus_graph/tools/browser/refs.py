"""Refs: the names by which a model acts on elements, each bound to the page and the snapshot it was shown in.

The first letter says what acting on the element does: `e` only reads, `x` may do something outside. So the policy knows
it from the arguments alone, also after a restart, and whoever changes the letter names an element that there is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openmanus_graph.errors import ToolArgumentsError

if TYPE_CHECKING:
    from openmanus_graph.tools.browser.tree import Effect, Node

LETTERS: dict[Effect, str] = {"read": "e", "external": "x"}
_FORM = re.compile(r"([ex])(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Target:
    """An element that was shown."""

    tab: int
    """The number of its tab."""
    ref: str
    """Playwright's name for it."""
    role: str
    """Its role."""
    name: str
    """Its accessible name."""

    @property
    def words(self) -> str:
        """It in words."""
        return f"{self.role} {self.name!r}" if self.name else self.role


class Refs:
    """The refs of one browser, which never stand for two elements."""

    def __init__(self, generation: int) -> None:
        """Begin with none.

        Args:
            generation: How often the browser was opened; part of the refs from the second time on.
        """
        self._suffix = "" if generation == 1 else f"-{generation}"
        self._targets: dict[str, Target] = {}
        self._given: dict[tuple[int, str, Effect], str] = {}
        self._newest: dict[tuple[int, str], Effect] = {}

    def label(self, tab: int, node: Node) -> str:
        """The ref of an element: the same one for as long as it is there and does the same."""
        assert node.ref is not None and node.effect is not None  # noqa: S101 - others are not labelled
        key = (tab, node.ref, node.effect)
        self._newest[tab, node.ref] = node.effect
        if key not in self._given:
            self._given[key] = f"{LETTERS[node.effect]}{len(self._given) + 1}{self._suffix}"
        ref = self._given[key]
        self._targets[ref] = Target(tab, node.ref, node.role, node.name)
        return ref

    def find(self, ref: str) -> Target | None:
        """The element of a ref; `None` if there is none, or it does something else by now."""
        target = self._targets.get(ref)
        if target is None or LETTERS[self._newest[target.tab, target.ref]] != ref[0]:
            return None
        return target

    def forget(self, tab: int) -> None:
        """Forget the elements of a tab that is closed."""
        self._targets = {ref: target for ref, target in self._targets.items() if target.tab != tab}


def ref_of(given: str | int | None) -> str:
    """The ref as it was shown: of a number, as OpenManus has it, the one that reads.

    Raises:
        ToolArgumentsError: If there is none.
    """
    if given is None or given == "":
        raise ToolArgumentsError("The argument 'ref' is missing.", hint="Give the ref of an element, such as e12.")
    text = str(given).strip().strip("[]")
    return f"e{text}" if text.isdigit() else text


def is_ref(text: str) -> bool:
    """Whether a text looks like a ref."""
    return _FORM.fullmatch(text.strip().strip("[]")) is not None


def effect_of_ref(ref: object) -> Effect:
    """What acting on the element of a ref does, as its letter says; anything else may do anything."""
    found = _FORM.fullmatch(ref.strip()) if isinstance(ref, str) else None
    return "read" if found is not None and found[1] == "e" else "external"
