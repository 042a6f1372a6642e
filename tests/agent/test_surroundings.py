"""Surroundings: what a model cannot know of day and machine, told as it is."""

from __future__ import annotations

import ast
import platform
import re
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.models.volatile import steady
from openmanus_graph.nodes.offered_tools import usable_tools
from openmanus_graph.testing import Reply, ScriptedServer
from openmanus_graph.tools.surroundings import EXPECTED_PACKAGES, USEFUL_PACKAGES, packages_in, surroundings_line
from tests.agent.conftest import Build
from tests.agent.replies import done, plans, thread

WORK: dict[str, Any] = {"id": "w", "goal": "do it", "agent": "executor"}


def line(sandbox: str = "auto", **options: Any) -> str:
    """The line of a graph."""
    graph = build_manus_graph(settings=Settings.load(llm_model="replay:x"), **options)
    return surroundings_line(usable_tools(graph.roles), sandbox)


async def test_an_agent_is_told_once_and_the_prompts_before_every_step_stay_the_same(
    build: Build, provider: ScriptedServer
) -> None:
    provider.add(plans(WORK), Reply(""), *done("x"), Reply("x"))
    await build().ainvoke({"task": "do it"}, thread())

    first, second = (provider.requests[number].messages for number in (1, 2))
    assert f"\n\n# Surroundings\n{line()}" in str(first[1]["content"])
    assert second[: len(first)] == first


async def test_an_agent_that_has_few_tools_is_told_of_what_these_meet(build: Build, provider: ScriptedServer) -> None:
    provider.add(plans({**WORK, "tools": ["bash"]}), *done("x"), Reply("x"))
    await build().ainvoke({"task": "do it"}, thread())

    told = str(provider.requests[1].messages[1]["content"]).partition("# Surroundings\n")[2]
    assert told.endswith("Commands and code have no network.")


def test_it_tells_day_and_system() -> None:
    before, told, after = f"{datetime.now().astimezone():%d %b %Y}", line(), f"{datetime.now().astimezone():%d %b %Y}"
    assert before in told or after in told
    assert f", on {platform.system()}." in told


def test_another_day_is_no_other_prompt_to_recordings() -> None:
    day = re.compile(r"\w{3} \d\d \w{3} \d{4}")
    assert steady(line()) == steady(day.sub("Tue 03 Mar 2020", line()))


def test_it_tells_of_a_network_as_far_as_there_is_one() -> None:
    assert "Commands and code have no network. The Web is reached by fetch_page, web_search, http_request." in line()
    assert "no network" not in line("none")
    rules = [{"tool": "*_*", "effect": "read", "action": "deny"}, {"tool": "http_request", "action": "deny"}]
    assert "The Web" not in line(policy={"rules": rules})
    only = line(tools=["list_files"])
    assert "Python" not in only
    assert "network" not in only


async def test_an_agent_is_told_which_hosts_commands_reach(build: Build, provider: ScriptedServer) -> None:
    provider.add(plans({**WORK, "tools": ["bash"]}), *done("x"), Reply("x"))
    await build(settings={"sandbox_hosts": ["packages.test", "*.example.com"]}).ainvoke({"task": "do it"}, thread())

    by = "by a proxy that http_proxy and https_proxy name"
    planned, worked = (str(provider.requests[number].messages) for number in (0, 1))
    confines = shutil.which("bwrap") is not None
    for told in (planned, worked):
        assert (f"Commands and code reach packages.test, *.example.com alone, {by}." in told) == confines
        assert ("no network" in told) != confines


def test_a_package_is_told_of_only_where_its_code_is(tmp_path: Path) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("")
    (tmp_path / "yaml.py").write_text("")
    (tmp_path / "pandas").mkdir()
    assert packages_in([str(tmp_path)]) == ("numpy", "yaml")
    assert packages_in([]) == ()


@pytest.mark.sandbox
async def test_it_is_what_code_can_import(build: Build, provider: ScriptedServer) -> None:
    code = "\n".join(
        [
            "import importlib",
            "found = []",
            f"for name in {USEFUL_PACKAGES!r}:",
            "    try:",
            "        importlib.import_module(name)",
            "        found.append(name)",
            "    except ImportError:",
            "        pass",
            "found",
        ]
    )
    provider.add(Reply("done"))
    plan = {"subtasks": [{"id": "p", "tool": "python_execute", "args": {"code": code}}]}
    out = await build().ainvoke({"plan": plan}, thread())

    found = ast.literal_eval(out["results"]["p"]["output"]["result"])
    missing = [name for name in EXPECTED_PACKAGES if name not in found]
    version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    has = f"{version} has {', '.join(found) or 'its standard library'}"
    assert (f"{has}, but no {' and no '.join(missing)}." if missing else f"{has}.") in line()
