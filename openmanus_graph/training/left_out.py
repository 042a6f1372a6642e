"""Left out: what a thread has that is no training data, counted by why."""

from __future__ import annotations

from collections import Counter
from typing import Any

from openmanus_graph.display_text import counted

REQUEST, SUBTASK, THREAD = "request", "subtask of an agent", "thread"
_SEVERAL = {SUBTASK: "subtasks of agents"}


class LeftOut:
    """Counts of requests and subtasks."""

    def __init__(self) -> None:
        """Begin with none."""
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, what: str, why: str) -> None:
        """Count one.

        Args:
            what: `REQUEST`, `SUBTASK` or `THREAD`.
            why: Why it is left out, as the end of a sentence.
        """
        self._counts[what, why] += 1

    def text(self) -> str:
        """All of them in words; empty if there are none."""
        parts = [
            f"{counted(count, what, _SEVERAL.get(what))} {why}"
            for (what, why), count in sorted(self._counts.items(), key=lambda item: -item[1])
        ]
        return ", ".join(parts)

    def as_json(self) -> list[dict[str, Any]]:
        """All of them in JSON types."""
        return [{"what": what, "why": why, "count": count} for (what, why), count in self._counts.items()]
