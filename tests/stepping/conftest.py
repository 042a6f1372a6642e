"""Each test runs in a folder of its own, where workspaces go by default."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Stepper, ThreadSaver, build_plan_graph
from tests.engine.sample_tools import TOOLS

Open = Callable[..., Stepper]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in a folder of its own, where workspaces go by default."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
async def stepping(saver: ThreadSaver) -> AsyncIterator[Open]:
    """Opens steppers, on a plan or on the thread alone, and closes them in the end."""
    opened: list[Stepper] = []

    def make(plan: dict[str, Any] | None = None, *, thread_id: str = "t", **options: Any) -> Stepper:
        graph = build_plan_graph(options.pop("tools", TOOLS), settings=options.pop("settings", None))
        app = graph.compile(checkpointer=saver)
        given = None if plan is None else {"plan": plan}
        opened.append(Stepper(app, input=given, thread_id=thread_id, **options))
        return opened[-1]

    yield make
    for stepper in opened:
        await stepper.close()
