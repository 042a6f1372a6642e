"""Run options: what the command line asked of a run, and the settings that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import UsageError
from openmanus_graph.run_config import SAID

_BUDGETS = ("tokens", "usd", "wall_s", "model_calls")


def absolute(path: str | Path) -> str:
    """The path from the root."""
    return str(Path(path).expanduser().absolute())


@dataclass(frozen=True)
class RunOptions:
    """Options of a command that runs a graph; `None` for those that were not given."""

    thread: str | None = None
    """The thread's id."""
    tools: tuple[str, ...] = ()
    """Modules and files with one's own tools."""
    workspace: str | None = None
    max_parallel: int | None = None
    sandbox: str | None = None
    model: str | None = None
    policy: str | None = None
    review: str | None = None
    record: str | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None
    budget_wall_s: float | None = None
    budget_model_calls: int | None = None
    owner: str | None = None
    """Whose memory a new thread uses."""
    attach: tuple[str, ...] = ()
    """Files for the workspace."""
    no_memory: bool = False
    """Whether nothing is remembered or recalled."""
    force: bool = False
    """Whether to go on with a thread whose graph no longer fits."""
    as_json: bool = False
    quiet: bool = False

    @property
    def configurable(self) -> dict[str, Any]:
        """Options of this run alone, as entries of LangGraph's `configurable`."""
        entries = {"workspace": self.workspace, "max_parallel": self.max_parallel, "sandbox": self.sandbox}
        return _given({**entries, "force": self.force or None})

    @property
    def budget(self) -> dict[str, Any]:
        """Budgets by their names in the settings, without those that were not given."""
        return _given({name: getattr(self, f"budget_{name}") for name in _BUDGETS})

    def thread_settings(self, thread: Thread | None) -> dict[str, Any]:
        """Settings of the whole thread: those that earlier commands stored, with these options on top.

        Args:
            thread: The thread that goes on, or `None`.
        """
        chosen: dict[str, Any] = dict(thread.settings.get("said") or {}) if thread is not None else {}
        if self.budget:
            chosen["budget"] = {**(chosen.get("budget") or {}), **self.budget}
        if self.review:
            chosen["review"] = self.review
        if self.no_memory:
            chosen["memory"] = False
        if self.record:
            chosen["record"] = absolute(self.record)
        return chosen

    def stored_settings(self, thread: Thread | None) -> dict[str, Any]:
        """The entry of `configurable` by which the thread's row stores `thread_settings`; checkpoints leave it out.

        Args:
            thread: The thread that goes on, or `None`.
        """
        return {SAID.name: self.thread_settings(thread)}

    def effective_settings(self, thread: Thread | None = None) -> Settings:
        """Settings that the run uses: the environment's and files', the thread's on top, then these options.

        Args:
            thread: The thread that goes on, or `None`.

        Raises:
            UsageError: If the thread is somebody else's than the owner that was named.
        """
        if thread is not None and self.owner and thread.owner not in ("", self.owner):
            raise UsageError(
                f"The thread {thread.thread_id!r} belongs to {thread.owner!r}, not to {self.owner!r}.",
                hint="Leave --owner out: a thread stays with who began it.",
            )
        return Settings.load(policy=self.policy, owner=self.owner, **self.thread_settings(thread))


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Entries that have a value."""
    return {name: value for name, value in values.items() if value is not None}
