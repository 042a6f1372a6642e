"""Promises: what users and their databases rely on is there, and as it was."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings, get_thread, open_checkpointer
from tests.repository.promises import documented, kept, runs
from tests.repository.promises.inside import inside

pytestmark = pytest.mark.programs

BUILDERS = {
    "plan": ["openmanus_graph.graphs.plan:build_plan_graph"],
    "agent": ["openmanus_graph.graphs.manus:build_manus_graph"],
    "own graph": ["openmanus_graph.graphs.own:own_graph_again"],
}
"""What rows of databases in use call the builders of their graphs; others may be added, none may be removed."""


def assert_kept(name: str, found: Any) -> None:
    problems = kept.broken(name, kept.read(name), found)

    assert not problems, "\n".join(["", *problems, kept.UPDATE])


@pytest.mark.parametrize("name", [name for name in kept.TAKEN if name != "imports.json"])
def test_program_keeps_its_promises(name: str) -> None:
    assert_kept(name, kept.TAKEN[name]())


def test_documented_imports_stay() -> None:
    assert_kept("imports.json", documented.importable(kept.read("imports.json")))


def test_pages_teach_what_can_be_imported() -> None:
    taught: dict[str, dict[str, Any]] = {}
    for (module, name), pages in documented.taught().items():
        taught.setdefault(module, {})[name or documented.MODULE] = {documented.WHERE: pages}

    assert kept.broken("imports.json", taught, documented.importable(taught)) == []


@pytest.mark.postgres
def test_database_keeps_its_promises(database: str, tmp_path: Path) -> None:
    found = kept.with_database(database, tmp_path)

    problems = [line for name, value in found.items() for line in kept.broken(name, kept.read(name), value)]
    assert not problems, "\n".join(["", *problems, kept.UPDATE])
    asyncio.run(build_again(database))


async def build_again(url: str) -> None:
    """Build the graph of each thread again, by every name that its builder has had."""
    settings = Settings.load(llm_model="openai/none")
    async with open_checkpointer(url, settings=settings) as saver:
        for name, kind in runs.KINDS.items():
            thread = await get_thread(saver, name)
            assert thread is not None
            for builder in BUILDERS[kind]:
                earlier = replace(thread, graph={**thread.graph, "builder": builder})
                graph = await inside("graph of a thread")(earlier, saver, settings)
                assert graph.nodes, builder


FUNCTION = {"kind": "function", "parameters": ["plan: Plan", "limit: int = 3", "*", "url: str"], "returns": "None"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kind": "async function"}, "run → kind: it was 'function', and is 'async function'"),
        ({"returns": "int"}, "run → returns: it was 'None', and is 'int'"),
        ({"parameters": ["plan: Plan", "*", "url: str"]}, "'limit: int = 3' is gone"),
        ({"parameters": ["limit: int = 3", "plan: Plan", "*", "url: str"]}, "'plan: Plan' is now 'limit: int = 3'"),
        ({"parameters": ["plan: Plan", "limit: int = 3", "*"]}, "'url: str' is gone or another one"),
        ({"parameters": [*FUNCTION["parameters"], "more: int"]}, "the new 'more: int' has no default"),
        ({"parameters": [*FUNCTION["parameters"], "more: int = 1", "**others: Any"]}, ""),
        ({"raises": "nothing"}, ""),
    ],
)
def test_change_of_a_function_is_told_unless_it_only_adds(changes: dict[str, Any], told: str) -> None:
    problems = kept.broken("api.json", {"run": FUNCTION}, {"run": {**FUNCTION, **changes}, "other": FUNCTION})

    assert told in " ".join(problems)
    assert bool(problems) == bool(told)


def test_what_is_gone_is_told_with_its_promise() -> None:
    promised = kept.read("imports.json")
    found = deepcopy(promised)
    del found["openmanus_graph.drawing"]["svg_of"]

    assert kept.broken("imports.json", promised, found) == [
        "A documented import path changed, openmanus_graph.drawing → svg_of: it is gone, and docs/pictures.md taught it"
    ]


@pytest.mark.parametrize("name", [name for name in kept.WORDS if name.endswith(".json")])
def test_every_promise_is_compared(name: str) -> None:
    promised = kept.read(name)

    assert kept.broken(name, promised, promised) == []
    for key in promised:
        assert kept.broken(name, promised, {other: promised[other] for other in promised if other != key}), key
        assert kept.broken(name, promised, {**promised, key: "changed"}), key


def test_help_may_get_wider_and_longer_but_loses_nothing() -> None:
    before = "Usage: x [OPTIONS]\n\n  Do it.\n\nOptions:\n  --all  Each of\n         them.\n  -h     Help."
    wider = (
        "Usage: x [OPTIONS]\n\n  Do it.\n\nOptions:\n  --all      Each of them.\n  --another  New.\n  -h         Help."
    )

    assert kept.broken("help.txt", {"x": before}, {"x": wider, "x y": "Usage: x y"}) == []
    [lost] = kept.broken("help.txt", {"x": before}, {"x": wider.replace("Each of them", "All")})
    assert lost == "The help of a command changed, x: it no longer says '--all Each of them.'"
    assert kept.broken("help.txt", {"x": before}, {}) == ["The help of a command changed, x: the command is gone"]
