"""Run options: what the command line asked of a run, and the settings that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.config.settings import Settings
from openmanus_graph.run_config import SAID

_BUDGETS = ("tokens", "usd", "wall_s", "model_calls")


def absolute(path: str | Path) -> str:
    """The path from the root."""
    return str(Path(path).expanduser().absolute())


@dataclass(frozen=True)
class RunOptions:
    """What the command line said about a run; `None` where it said nothing."""

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
    attach: tuple[str, ...] = ()
    """Files for the workspace."""
    force: bool = False
    """Whether to go on with a thread whose graph no longer fits."""
    as_json: bool = False
    quiet: bool = False

    @property
    def configurable(self) -> dict[str, Any]:
        """What goes into the config of the run."""
        said: dict[str, Any] = {"workspace": self.workspace, "max_parallel": self.max_parallel, "sandbox": self.sandbox}
        said["force"] = self.force or None
        return {key: value for key, value in said.items() if value is not None}

    @property
    def budget(self) -> dict[str, Any]:
        """The budgets that were named, as in the settings."""
        said = {name: getattr(self, f"budget_{name}") for name in _BUDGETS}
        return {name: value for name, value in said.items() if value is not None}

    def said(self, thread: Thread | None) -> dict[str, Any]:
        """What these options set for the whole thread, on top of what earlier ones did; a resume takes it up.

        Args:
            thread: The thread that goes on, or `None`.
        """
        kept: dict[str, Any] = dict(thread.settings.get("said") or {}) if thread is not None else {}
        if self.budget:
            kept["budget"] = {**(kept.get("budget") or {}), **self.budget}
        if self.review:
            kept["review"] = self.review
        if self.record:
            kept["record"] = absolute(self.record)
        return kept

    def kept(self, thread: Thread | None) -> dict[str, Any]:
        """The same, as the thread's row takes it: in the config, under a key that stays out of checkpoints."""
        return {SAID.name: self.said(thread)}

    def settings(self, thread: Thread | None = None) -> Settings:
        """The user's settings with these options on top, and below them what the thread was started with.

        Args:
            thread: The thread that goes on, or `None`.
        """
        return Settings.load(policy=self.policy, **self.said(thread))
