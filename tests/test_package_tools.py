"""The demo's tools, on the packages that are really installed here."""

from __future__ import annotations

import importlib.util
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import ToolError
from openmanus_graph.plan import Plan
from openmanus_graph.tools.rebuild import load_tools
from openmanus_graph.tools.spec import spec_of

pytestmark = pytest.mark.programs

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tools() -> dict[str, Any]:
    return {tool.name: tool for tool in load_tools(str(EXAMPLES / "package_tools.py"))}


@pytest.fixture
def said(tmp_path: Path) -> Iterator[list[str]]:
    """What the tools report while a call is running in `tmp_path`."""
    lines: list[str] = []
    context = ToolContext(thread_id="t", subtask_id="s", workspace=tmp_path, settings=Settings(), report=lines.append)
    with using_tool_context(context):
        yield lines


def test_plan_fits_the_tools(tools: dict[str, Any]) -> None:
    plan = Plan.from_file(EXAMPLES / "package_report.yaml", tools=tools, agents=())
    assert len(plan.subtasks) == 15
    assert {spec_of(tool).effect for tool in tools.values()} == {"read", "write"}


def test_inventory_is_what_is_installed(tools: dict[str, Any], said: list[str]) -> None:
    inventory = tools["take_inventory"].invoke({})
    largest = inventory["largest"]
    assert len(largest) == 12
    assert [package["size"] for package in largest] == sorted((p["size"] for p in largest), reverse=True)
    assert inventory["count"] == len({line.split(", ")[1] for line in said})
    for package in largest:
        assert package["version"] == version(package["name"])
        assert 0 < package["size"] < inventory["size"]


async def test_from_measures_to_report(tools: dict[str, Any], said: list[str], tmp_path: Path) -> None:
    small = {"name": "iniconfig", "version": "1", "files": 11, "size": 17_000}
    measured = await tools["measure_package"].ainvoke({"package": small})
    assert measured["python_files"] >= 4
    assert measured["lines"] > measured["longest"]["lines"] > 1
    assert 0 <= measured["docstring_share"] <= 1
    assert said[-1] == f"iniconfig: {measured['lines']:,} lines, {measured['functions']:,} functions"
    none = {
        **measured,
        "name": "a<b>&c",
        "lines": 0,
        "functions": 0,
        "longest": {},
        "public": 0,
        "docstring_share": None,
    }
    drawn = tools["draw_chart"].invoke({"packages": [measured, none]})
    picture = ET.parse(tmp_path / drawn["path"]).getroot()
    assert "iniconfig" in "".join(picture.itertext())
    inventory = {"count": 2, "files": 22, "size": 34_000}
    written = tools["write_report"].invoke(
        {"inventory": inventory, "packages": [measured, none], "chart": drawn["path"]}
    )
    text = Path(written["path"]).read_text(encoding="utf-8")
    assert Path(written["path"]) == tmp_path / "report.md"
    assert f"| 1 | **iniconfig** | 1 | 17 kB | 11 | {measured['lines']:,} |" in text
    assert "(chart.svg)" in text


def test_counts(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        '''class A:
    """Said."""
    def method(self):
        return 1 if self else 2

if True:
    async def long():
        """Said."""
        try:
            pass
        except ValueError:
            def nested(): ...

        return lambda: 0

def _private(): ...
def silent(): ...''',
        encoding="utf-8",
    )
    (tmp_path / "b.py").write_text("print 'no longer Python'\n")
    (tmp_path / "c.py").write_text("")
    measures = load("package_measures").Measures()
    for name in ("a.py", "b.py", "c.py"):
        measures.add_file(tmp_path / name, name)
    assert (measures.python_files, measures.unparsed, measures.lines) == (3, 1, 18)
    assert measures.functions == 5
    assert (measures.public, measures.documented) == (5, 2)
    assert measures.longest == {"name": "long", "file": "a.py", "line": 7, "lines": 8}


async def test_package_that_is_gone(tools: dict[str, Any], said: list[str]) -> None:
    package = {"name": "never-installed", "version": "1", "files": 1, "size": 1}
    with pytest.raises(ToolError, match="never-installed"):
        await tools["measure_package"].ainvoke({"package": package})
    assert said == ["never-installed"]
