"""Own tools: what the package's tools need when a user's own graph calls them, such as a workspace."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langgraph.config import get_stream_writer

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext
from openmanus_graph.run_config import SANDBOX, WORKSPACE


def own_workspace(thread_id: str, configurable: Mapping[str, Any]) -> Path:
    """The thread's folder, which exists once a tool has asked for it."""
    from openmanus_graph.workspace import default_workspace

    return Path(WORKSPACE.get(configurable) or default_workspace(thread_id)).expanduser().absolute()


class OwnTools:
    """One run's tool context, made when a tool first asks for it."""

    def __init__(self, thread_id: str, configurable: Mapping[str, Any], settings: Settings) -> None:
        """Serve the tools of a run.

        Args:
            thread_id: The thread.
            configurable: The run's; `workspace` and `sandbox` count.
            settings: The user's settings.
        """
        self._thread_id = thread_id
        self._configurable = configurable
        self._settings = settings
        self._context: ToolContext | None = None

    def __call__(self) -> ToolContext:
        """The context; the workspace exists from now on."""
        if self._context is None:
            workspace = own_workspace(self._thread_id, self._configurable)
            workspace.mkdir(parents=True, exist_ok=True)
            self._context = ToolContext(
                thread_id=self._thread_id,
                subtask_id="",
                workspace=workspace,
                settings=self._settings,
                sandbox=SANDBOX.get(self._configurable) or self._settings.sandbox,
                report=_report,
            )
        return self._context

    async def aclose(self) -> None:
        """Close the sessions that tools have opened."""
        if self._context is not None:
            await self._context.sessions.aclose()


def _report(text: str) -> None:
    get_stream_writer()(text)
