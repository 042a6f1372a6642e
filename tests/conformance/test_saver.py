"""Saver: LangGraph's own tests of checkpointers, every capability among them."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES

from openmanus_graph import open_checkpointer

pytestmark = pytest.mark.postgres


async def test_langgraphs_conformance_suite_passes(database: str) -> None:
    @checkpointer_test(name="ThreadSaver")
    async def fresh() -> AsyncGenerator[BaseCheckpointSaver[str], None]:
        async with open_checkpointer(database) as saver:
            yield saver

    problems: list[str] = []

    def note(capability: str, name: str, passed: bool, trace: str | None) -> None:
        if not passed:
            problems.append(f"{capability} {name}: {trace}")

    from langgraph.checkpoint.conformance.report import ProgressCallbacks

    report = await validate(fresh, progress=ProgressCallbacks(on_test_result=note))
    assert not problems, "\n".join(problems)
    assert {name for name, result in report.results.items() if result.passed} == {
        capability.value for capability in ALL_CAPABILITIES
    }
    print(sum(result.tests_passed for result in report.results.values()), "tests of LangGraph's passed")
