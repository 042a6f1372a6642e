"""Plugin: what pytest loads beside LangGraph's suite: makes graphs durable, and writes down how each test ended."""

from __future__ import annotations

import json
import os
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from langgraph.func import entrypoint
from langgraph.graph import StateGraph

from .product import ThreadSaver, make_durable
from .savers import REPORT_VARIABLE, SAVER_VARIABLE, Saver
from .suite import FIXTURES


def _durable(made: Any) -> Any:
    """The graph as a durable one, if it has our saver."""
    return make_durable(made, made.checkpointer) if isinstance(made.checkpointer, ThreadSaver) else made


def _make_graphs_durable() -> None:
    """Let everything that compiles with our saver give back a durable graph."""
    compile_graph, make_entrypoint = StateGraph.compile, entrypoint.__call__

    @wraps(compile_graph)
    def compile_durably(*arguments: Any, **options: Any) -> Any:
        return _durable(compile_graph(*arguments, **options))

    @wraps(make_entrypoint)
    def make_durably(*arguments: Any, **options: Any) -> Any:
        return _durable(make_entrypoint(*arguments, **options))

    StateGraph.compile = compile_durably  # type: ignore[method-assign]
    entrypoint.__call__ = make_durably  # type: ignore[method-assign]


class Outcomes:
    """How each test ended, by its id: `passed`, `failed` or `skipped`, with what was said of a failure."""

    def __init__(self) -> None:
        self.ended: dict[str, dict[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a phase of a test; a failure of any phase is the test's."""
        known = self.ended.get(report.nodeid, {}).get("outcome")
        if known == "failed" or (known is not None and report.outcome == "passed"):
            return
        crash = getattr(report.longrepr, "reprcrash", None)
        said = crash.message if crash is not None else str(report.longrepr or "")
        self.ended[report.nodeid] = {"outcome": report.outcome, "said": said if report.failed else ""}

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the outcomes; under xdist only the process that started the others has any."""
        if not hasattr(session.config, "workerinput"):
            Path(os.environ[REPORT_VARIABLE]).write_text(json.dumps(self.ended, indent=1), encoding="utf-8")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that take no checkpointer; they say nothing about one."""
    kept = [item for item in items if set(FIXTURES) & set(getattr(item, "fixturenames", ()))]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_configure(config: pytest.Config) -> None:
    """Begin a run."""
    config.pluginmanager.register(Outcomes(), "compat-outcomes")
    if os.environ[SAVER_VARIABLE] == Saver.DURABLE:
        _make_graphs_durable()
