"""Imports: the package's own namespace is the API, and asking for little loads little."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import openmanus_graph
from openmanus_graph import errors

pytestmark = pytest.mark.programs

HEAVY = ["langgraph", "litellm", "langchain_core", "langchain", "openai", "psycopg", "pydantic"]

SCRIPT = """
import json, sys
{body}
print(json.dumps(sorted(set(name.partition(".")[0] for name in sys.modules))), file=sys.stderr)
"""


def loaded(body: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `body`."""
    ran = subprocess.run([sys.executable, "-c", SCRIPT.format(body=body)], check=True, capture_output=True, text=True)
    return set(json.loads(ran.stderr.splitlines()[-1]))


def test_import_is_lazy() -> None:
    assert loaded("import openmanus_graph").intersection(HEAVY) == set()


@pytest.mark.parametrize("words", ["--help", "threads --help", "run --help", "threads show --help", "step --help"])
def test_help_is_lazy(words: str) -> None:
    body = f"""
sys.argv = ["openmanus-graph", *{words.split()!r}]
from openmanus_graph.cli import main
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
"""

    assert loaded(body).intersection(HEAVY) == set()


def test_options_and_help_of_every_command_import_no_engine() -> None:
    body = "import openmanus_graph.cli.commands"

    assert loaded(body).intersection(HEAVY) == set()


def test_what_drives_a_browser_is_imported_by_its_first_call() -> None:
    script = "import sys, openmanus_graph.tools.browser_use; print(*sys.modules, file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    driving = {
        f"openmanus_graph.tools.browser.{name}" for name in ("actions", "elements", "process", "session", "tree")
    }
    assert not (driving | {"openmanus_graph.tools.web.proxy", "playwright"}) & set(ran.stderr.split())


def test_modules_of_the_command_line_import_at_their_top(top: Path) -> None:
    late: list[str] = []
    for path in sorted((top / "openmanus_graph" / "cli").rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                imports = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
                late += [f"{path.name}:{node.lineno}" for node in imports]

    assert late == []


def test_module_runs_as_the_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "openmanus_graph", "--help"], check=True, capture_output=True, text=True
    )

    assert ran.stdout.startswith("Usage: ")


def test_exports_are_there_and_documented() -> None:
    names = openmanus_graph.__all__

    assert len(names) == len(set(names))
    for name in names:
        value = getattr(openmanus_graph, name)
        assert getattr(value, "__doc__", None), f"{name} has no docstring"


def test_every_error_is_offered() -> None:
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}

    assert classes <= set(openmanus_graph.__all__)
    assert all(getattr(openmanus_graph, name) is getattr(errors, name) for name in classes)


def test_nothing_else_is_offered() -> None:
    # Submodules appear in the namespace once something imports them, so this looks at a fresh interpreter.
    ran = subprocess.run(
        [sys.executable, "-c", "import openmanus_graph; print(*dir(openmanus_graph))"],
        check=True,
        capture_output=True,
        text=True,
    )
    public = {name for name in ran.stdout.split() if not name.startswith("_")}

    assert public == {name for name in openmanus_graph.__all__ if not name.startswith("_")}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = openmanus_graph.no_such_name  # pyright: ignore[reportAttributeAccessIssue] # the point of the test
