"""Layout: the shape that people find their way by."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

LINKS = ["checkpoints", "graphs", "nodes", "tools"]
MODULE_LINES = 500
FUNCTION_LINES = 60


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@pytest.mark.parametrize("name", LINKS)
def test_root_link_points_into_the_package(top: Path, name: str) -> None:
    link = top / name

    assert link.is_symlink()
    assert link.readlink() == Path("openmanus_graph") / name
    assert link.is_dir()


def test_nothing_imports_through_a_root_link(tracked: list[Path]) -> None:
    found: list[str] = []
    for path in tracked:
        if path.suffix != ".py":
            continue
        for node in ast.walk(parse(path)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            found += [f"{path}: {name}" for name in names if name.split(".")[0] in LINKS]

    assert found == []


def test_no_test_imports_from_another_test(top: Path, tracked: list[Path]) -> None:
    # What two tests share lives in a helper beside them: a test can then be moved, renamed or dropped alone.
    found: list[str] = []
    for path in tracked:
        if path.suffix != ".py" or not path.is_relative_to(top / "tests"):
            continue
        for node in ast.walk(parse(path)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                # `from . import test_x` names the module behind the `import`.
                names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
            found += [f"{path}: {name}" for name in names if re.search(r"(^|\.)test_", name)]

    assert found == []


def test_modules_stay_readable_in_one_go(top: Path, tracked: list[Path]) -> None:
    python = [path for path in tracked if path.suffix == ".py"]
    lengths = {str(path): len((top / path).read_text(encoding="utf-8").splitlines()) for path in python}

    assert {path: lines for path, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_functions_stay_readable_in_one_go(top: Path, tracked: list[Path]) -> None:
    long: dict[str, int] = {}
    for path in (path for path in tracked if path.suffix == ".py"):
        for node in ast.walk(parse(top / path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long[f"{path}:{node.lineno} {node.name}"] = lines

    assert long == {}


def test_every_module_begins_with_its_noun(top: Path, modules: list[Path]) -> None:
    nameless: list[str] = []
    for path in modules:
        docstring = ast.get_docstring(parse(top / path)) or ""
        # `python -m openmanus_graph` is what `__main__` is called by; it has no noun of its own.
        wanted = r"\S" if path.name == "__main__.py" else r"[\w -]+: \S"
        if not re.match(wanted, docstring):
            nameless.append(f"{path}: {docstring.splitlines()[:1]}")

    assert nameless == []


def test_every_folder_of_modules_is_a_package(top: Path, modules: list[Path]) -> None:
    folders = {parent for path in modules for parent in path.parents if parent != Path()}

    assert [str(folder) for folder in sorted(folders) if not (top / folder / "__init__.py").is_file()] == []


def test_linter_reads_every_module(top: Path, modules: list[Path]) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    listing = subprocess.run([ruff, "check", "--show-files"], cwd=top, check=True, capture_output=True, text=True)
    seen = {Path(line).relative_to(top) for line in listing.stdout.splitlines() if line}

    assert set(modules) - seen == set()
    assert [path for path in seen if path.parts[0] in LINKS] == [], "read twice, through a root link"


def test_type_checker_reads_the_package_strictly(top: Path) -> None:
    configured = tomllib.loads((top / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pyright"]
    off = [key for key, value in configured.items() if key.startswith("report") and value in (False, "none")]

    assert configured["strict"] == ["openmanus_graph"]
    assert {"openmanus_graph", "tests", "examples", "benchmarks"} <= set(configured["include"])
    assert off == []


def test_package_says_that_it_is_typed(top: Path) -> None:
    assert (top / "openmanus_graph" / "py.typed").is_file()


def test_hooks_run_what_the_environment_holds(top: Path) -> None:
    hooks = yaml.safe_load((top / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"].split()[0] for repo in hooks["repos"] for hook in repo["hooks"]]

    assert {repo["repo"] for repo in hooks["repos"]} == {"local"}
    # Also when this very run uses another environment than .venv.
    assert [entry for entry in entries if not Path(sys.executable).with_name(Path(entry).name).exists()] == []
