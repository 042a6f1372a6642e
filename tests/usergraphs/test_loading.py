"""Loading: a graph is found by file, module or name, and what cannot be found is told with the nearest."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from openmanus_graph import Settings
from openmanus_graph.errors import GraphNotImportableError, SettingsError, UsageError
from openmanus_graph.loading.graphs import LoadedGraph, load_graph, reload_graph
from openmanus_graph.loading.user_modules import imports_from
from openmanus_graph.tools.rebuild import available_tools, load_tools, rebuild_tools, tool_references

ROOT = Path(__file__).parents[2]

GRAPH = """
from typing import TypedDict
from langgraph.graph import START, StateGraph

class State(TypedDict):
    task: str

def build(name="node"):
    builder = StateGraph(State)
    builder.add_node(name, lambda state: {"task": state["task"] + "!"})
    builder.add_edge(START, name)
    return builder
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "more",
    [
        "graph = build()",
        "graph = build().compile()",
        "graph = build",
        "def graph():\n    return build().compile()",
        "async def graph():\n    return build()",
        "def graph(config):\n    assert config == {'configurable': {}}\n    return build()",
        "flow = build()",
    ],
)
async def test_a_file_has_a_graph_or_what_makes_one(tmp_path: Path, more: str) -> None:
    write(tmp_path, "my.py", GRAPH + more)
    found = await load_graph("my.py")
    assert isinstance(found.graph, (StateGraph, Pregel))
    assert found.reference["file"] == str(tmp_path / "my.py")
    again = await reload_graph(found.reference, "t")
    assert type(again) is type(found.graph)


async def test_a_module_and_a_dotted_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "some_package_x/__init__.py", "")
    write(tmp_path, "some_package_x/flows.py", GRAPH + "class Flows:\n    main = build()\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = await load_graph("some_package_x.flows:Flows.main")
    assert isinstance(found.graph, StateGraph)
    assert found.reference["module"] == "some_package_x.flows"


@pytest.mark.parametrize("place", ["some_package_y.flows:graph", "some_package_y.flows"])
async def test_a_module_of_this_folder(tmp_path: Path, place: str) -> None:
    write(tmp_path, "some_package_y/flows.py", GRAPH + "graph = build()\n")
    found = await load_graph(place)
    assert found.reference == {
        "module": "some_package_y.flows",
        "attribute": "graph",
        "folder": str(tmp_path),
    }
    assert isinstance(await reload_graph(found.reference, "t"), StateGraph)


async def test_a_name_of_langgraph_json_from_a_folder_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "flows/my.py", "import os\nassert os.environ['FROM_ENV'] == 'yes'\n" + GRAPH + "graph = build\n")
    listed = {"graphs": {"first": {"path": "./flows/my.py:graph", "description": "Adds a mark."}}, "env": ".env"}
    write(tmp_path, "langgraph.json", json.dumps(listed))
    write(tmp_path, ".env", "FROM_ENV=yes\n")
    monkeypatch.setenv("FROM_ENV", "")
    monkeypatch.delenv("FROM_ENV")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    found = await load_graph("first")
    assert (found.name, found.description) == ("first", "Adds a mark.")
    with pytest.raises(UsageError, match="has: first") as error:
        await load_graph("frist")
    assert error.value.hint == "Did you mean 'first'?"


async def test_the_words_of_its_function_describe_it(tmp_path: Path) -> None:
    write(tmp_path, "my.py", GRAPH + 'def graph():\n    """Adds a\n    mark.\n\n    More."""\n    return build()\n')
    assert (await load_graph("my.py")).description == "Adds a mark."


async def loaded_from(folder: Path, word: str) -> LoadedGraph:
    write(folder, "langgraph.json", json.dumps({"dependencies": ["."], "graphs": {"g": "./graphs/g.py:graph"}}))
    write(folder, "tools/__init__.py", "")
    write(folder, "tools/words.py", f"WORD = {word!r}\n")
    write(folder, "graphs/g.py", "from tools.words import WORD\n" + GRAPH + "graph = build(WORD)\n")
    return await load_graph("g", folder=folder)


async def test_two_projects_with_a_tools_folder_do_not_meet(tmp_path: Path) -> None:
    write(tmp_path / "other", "tools/__init__.py", "MINE = True\n")
    sys.path.insert(0, str(tmp_path / "other"))
    tools = importlib.import_module("tools")

    one = await loaded_from(tmp_path / "one", "first")
    two = await loaded_from(tmp_path / "two", "second")
    assert list(one.graph.nodes) == ["first"]
    assert list(two.graph.nodes) == ["second"]
    assert sys.modules["tools"] is tools
    assert "tools.words" not in sys.modules
    assert sys.path[0] == str(tmp_path / "other")


@pytest.mark.parametrize(
    ("place", "text", "message"),
    [
        ("none.py", None, "There is no Python file"),
        ("nowhere/none.py:graph", None, "There is no Python file"),
        ("my.py:graf", GRAPH + "graph = build()", "has no 'graf'"),
        ("my.py", "x = 1", "has no graph at its top level"),
        ("my.py", GRAPH + "a = build()\nb = build()", "has 2 graphs: a, b"),
        ("my.py:State", GRAPH, "returned no graph but a dict|needs arguments|failed"),
        ("my.py:x", "x = 1", "is no graph but a int"),
        ("my.py:make", "def make(a, b): ...", "needs arguments: a, b"),
        (
            "my.py:make",
            "def make():\n    raise ValueError('no luck')",
            r"failed: ValueError: no luck \(my.py, line 2\)",
        ),
        ("my.py:make", "def make(): return 1", "returned no graph but a int"),
        ("my.py", "import not_there_at_all", r"ModuleNotFoundError.*\(my.py, line 1\)"),
        ("my.py", "def (", "SyntaxError"),
        ("my.py:", "", "names no graph"),
        ("not_there_at_all:graph", None, "The module 'not_there_at_all' cannot be imported"),
        ("not-there", None, "this folder has no langgraph.json"),
    ],
)
async def test_what_cannot_be_loaded_is_said(tmp_path: Path, place: str, text: str | None, message: str) -> None:
    if text is not None:
        write(tmp_path, "my.py", text)
    with pytest.raises(UsageError, match=message) as error:
        await load_graph(place)
    assert error.value.exit_code == 2


async def test_near_names_are_offered(tmp_path: Path) -> None:
    write(tmp_path, "my.py", GRAPH + "workflow = build()")
    with pytest.raises(UsageError) as error:
        await load_graph("my.py:workflo")
    assert error.value.hint == f"Did you mean {tmp_path / 'my.py'}:workflow?"
    with pytest.raises(UsageError) as error:
        await load_graph("mi.py")
    assert error.value.hint == f"Did you mean {str(tmp_path / 'my.py')!r}?"


@pytest.mark.parametrize("text", ["{", "[]", '{"graphs": {}}', '{"graphs": {"a": {}}}'])
async def test_a_langgraph_json_that_says_nothing_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, "langgraph.json", text)
    with pytest.raises(SettingsError, match=r"langgraph\.json"):
        await load_graph("a")


async def test_a_thread_whose_graph_is_gone_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "my.py", GRAPH + "graph = build()")
    found = await load_graph("my.py")
    path.unlink()
    with pytest.raises(GraphNotImportableError, match="'t' runs 'graph' of"):
        await reload_graph(found.reference, "t")


TOOL = """
from langchain_core.tools import tool

@tool
def {name}(text: str) -> str:
    \"\"\"Say it {name}ly.\"\"\"
    return text
"""


def test_the_setting_tools_names_folders_files_and_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "langgraph.json", json.dumps({"graphs": {"g": "./g.py"}}))
    write(tmp_path, "tools/__init__.py", "")
    write(tmp_path, "tools/loud.py", TOOL.format(name="loud"))
    write(tmp_path, "tools/soft.py", "from tools.loud import loud\n" + TOOL.format(name="soft"))
    write(tmp_path, "tools/no_tool.py", "HELP = 1\n")
    write(tmp_path, "more.py", TOOL.format(name="deep"))
    monkeypatch.setenv("OPENMANUS_GRAPH_TOOLS", '["tools", "more.py"]')
    found = available_tools([], Settings.load())
    assert found.keys() - available_tools([], Settings.load(tools=())).keys() == {"loud", "soft", "deep"}
    again = rebuild_tools(tool_references([found["soft"], found["deep"]]), "t")
    assert [tool.name for tool in again] == ["soft", "deep"]
    other = write(tmp_path, "other.py", TOOL.format(name="loud"))
    assert available_tools([str(other)], Settings.load())["loud"] is not found["loud"]
    monkeypatch.setenv("OPENMANUS_GRAPH_TOOLS", '["tools", "other.py"]')
    with pytest.raises(SettingsError, match="Two of your tools are named 'loud'"):
        available_tools([], Settings.load())
    with pytest.raises(SettingsError, match="There is no folder"):
        available_tools([], Settings.load(tools=("some/tools",)))


LISTS = (
    TOOL.format(name="loud")
    + TOOL.format(name="soft")
    + TOOL.format(name="deep")
    + """
from langchain_core.tools import BaseToolkit, StructuredTool

class Kit(BaseToolkit):
    names: list[str]

    def get_tools(self):
        return [StructuredTool.from_function(lambda text: text, name=name, description=name) for name in self.names]

listed = [soft, loud]
mixed = [deep, 7]
nothing = []
kit = Kit(names=["high", "low"])
from_kit = tuple(Kit(names=["wide"]).get_tools())
again = Kit(names=["wide", "narrow"])
del loud, deep
"""
)


def test_lists_and_toolkits_of_a_file_are_its_tools(tmp_path: Path) -> None:
    place = str(write(tmp_path, "lists.py", LISTS))

    found = load_tools(place)

    assert [tool.name for tool in found] == ["soft", "loud", "wide", "high", "low", "narrow"]
    references = tool_references(found)
    assert {str(reference["attribute"]) for reference in references} == {"soft", "listed", "from_kit", "kit", "again"}
    # Another process imports them by what is kept with the thread.
    code = (
        "import json, sys; from openmanus_graph.tools.rebuild import rebuild_tools;"
        "print([tool.name for tool in rebuild_tools(json.loads(sys.argv[1]), 't')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(references)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{[tool.name for tool in found]}\n"


def test_a_toolkit_that_does_not_give_its_tools_is_named(tmp_path: Path) -> None:
    place = write(
        tmp_path,
        "kit.py",
        LISTS.split("listed =")[0].replace("return [", "raise OSError('no key')\n        [") + "kit = Kit(names=[])",
    )
    with pytest.raises(UsageError, match="The toolkit 'Kit' does not give its tools: OSError: no key"):
        load_tools(str(place))
    empty = write(tmp_path, "none.py", "mixed = [1]\n")
    with pytest.raises(SettingsError, match="has no LangChain tools"):
        load_tools(str(empty))


ORDINARY = """
import asyncio, os
from openmanus_graph.loading import user_modules
from openmanus_graph.loading.graphs import load_graph
import langgraph.graph
if os.geteuid() == 0:
    os.setuid(65534)
print(type(asyncio.run(load_graph("my.py")).graph).__name__)
"""


def test_folders_that_may_not_be_read_are_passed_over() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        write(folder, "my.py", GRAPH + "graph = build()")
        (folder / "private").mkdir(mode=0)
        command = [sys.executable, "-c", ORDINARY]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
        (folder / "private").chmod(0o700)
    assert done.stdout == "StateGraph\n", done.stderr


def test_modules_that_did_not_step_aside_stay(tmp_path: Path) -> None:
    package = tmp_path / "some_shared"
    package.mkdir()
    (package / "__init__.py").write_text("")
    inside, beside = ModuleType("some_shared.inside"), ModuleType("some_shared.beside")
    inside.__file__ = str(package / "inside.py")
    sys.modules.update({"some_shared.inside": inside, "some_shared.beside": beside})
    try:
        with imports_from([tmp_path]):
            assert "some_shared.beside" not in sys.modules, "it is of another place"
        assert sys.modules["some_shared.inside"] is inside
        assert sys.modules["some_shared.beside"] is beside
    finally:
        for key in ("some_shared.inside", "some_shared.beside"):
            sys.modules.pop(key, None)
