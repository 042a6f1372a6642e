"""Our agent: the agent of this package on a scripted provider, with every step on Postgres."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.sections import ModelSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.testing import ScriptedServer

WINDOW = 128_000


class OurAgent:
    """The compiled graph, asked by its `ask`."""

    def __init__(
        self, server: ScriptedServer, saver: ThreadSaver, folder: Path, tools: Sequence[BaseTool] | None = None
    ) -> None:
        """Compile it; without `tools` it has all that are built in."""
        settings = Settings.load(
            home=folder,
            llm_model="openai/scripted",
            llm_base_url=server.base_url,
            llm_api_key="sk-scripted-key",
            models={"default": ModelSettings(window=WINDOW)},
        )
        graph = (
            build_manus_graph(settings=settings) if tools is None else build_manus_graph(tools=tools, settings=settings)
        )
        self._app = graph.compile(checkpointer=saver)
        self._folder = folder

    async def ask(self, task: str, thread: str | None = None, workspace: Path | None = None) -> str:
        """The answer to a task, in a thread and, by default, a workspace of its own.

        Raises:
            RuntimeError: If the run does not end as `completed`.
        """
        name = thread or uuid.uuid4().hex
        config: Any = {"configurable": {"thread_id": name, "workspace": str(workspace or self._folder / name)}}
        out: dict[str, Any] = await self._app.ainvoke({"task": task}, config)
        if out["status"] != "completed":
            raise RuntimeError(f"the run ended as {out['status']!r}: {out['answer']}")
        return str(out["answer"])
