"""Notebooks: each runs from top to bottom without a key, and prints what it has stored."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks.conftest import TOP, Runs, script

NOTEBOOKS = script()
NAMES = [path.name for path in NOTEBOOKS.notebooks()]


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures(notebook: Any) -> int:
    return sum("image/svg+xml" in output.get("data", {}) for output in outputs(notebook))


def printed(notebook: Any) -> list[Counter[str]]:
    """The lines that each cell prints; those of parallel branches come in any order."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    texts = ["".join(one.text for one in cell.outputs if one.output_type == "stream") for cell in cells]
    return [Counter(text.splitlines()) for text in texts]


@pytest.mark.postgres
@pytest.mark.parametrize("name", NAMES)
def test_runs_and_prints_what_is_stored(name: str, runs: Runs) -> None:
    ran, stored = runs.notebooks[name], NOTEBOOKS.read(NOTEBOOKS.FOLDER / name)
    if isinstance(ran, Exception):
        raise ran

    assert [output.text for output in outputs(ran) if output.get("name") == "stderr"] == []
    assert printed(ran) == printed(stored)
    assert pictures(ran) == pictures(stored)


@pytest.mark.postgres
def test_nothing_leaves_the_machine(runs: Runs) -> None:
    assert runs.reached == []


@pytest.mark.postgres
def test_nothing_is_left_beside_the_notebooks(runs: Runs) -> None:
    assert runs.left == []


@pytest.mark.parametrize("name", NAMES)
def test_stored_outputs_are_those_of_its_cells(name: str) -> None:
    assert not NOTEBOOKS.outdated(NOTEBOOKS.FOLDER / name), "run: make notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_stored_outputs_show_pictures_and_no_machine(name: str) -> None:
    stored = NOTEBOOKS.read(NOTEBOOKS.FOLDER / name)
    kinds = {kind for output in outputs(stored) for kind in output.get("data", {})}

    assert kinds <= {"image/svg+xml", "text/plain"}
    assert pictures(stored) or name.startswith("06")
    assert NOTEBOOKS.private(stored) == []
    assert "Traceback" not in str(outputs(stored))


def test_a_changed_cell_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import nbformat

    notebook = NOTEBOOKS.read(NOTEBOOKS.FOLDER / NAMES[0])
    notebook.cells[-1].source += "\n# changed"
    nbformat.write(notebook, tmp_path / NAMES[0])

    assert NOTEBOOKS.outdated(tmp_path / NAMES[0])
    assert NOTEBOOKS.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_paths_of_a_machine_are_noticed() -> None:
    notebook = NOTEBOOKS.read(NOTEBOOKS.FOLDER / NAMES[0])
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs)
    cell.outputs[0]["data"] = {"text/plain": "in /home/ada/dinner and </tmp>"}

    assert NOTEBOOKS.private(notebook) == ["/home/ada/dinner"]


def test_the_page_names_each() -> None:
    page = (TOP / "docs" / "notebooks.md").read_text(encoding="utf-8")

    assert [name for name in NAMES if f"notebooks/{name}" not in page] == []
    assert [int(found) for found in re.findall(r"\| \[(\d\d)", page)] == list(range(1, len(NAMES) + 1))
