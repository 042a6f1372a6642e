"""Mutants: the same ones for the same seed, each judged by the tests that come to its place, once."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import Require
from tests.repository.scripts import script

pytestmark = pytest.mark.programs

CODE = '''"""Small."""

from __future__ import annotations

LIMIT = 7


def within(number: int | None) -> bool:
    return number is not None and number < LIMIT


def told(number: int) -> str:
    seen = [number]
    seen.clear()
    return "many" if number == 3 else "few"


def never(number: int) -> int:
    return number + 1
'''
TESTS = """
from openmanus_graph.small import told, within


def test_within():
    assert within(6)
    assert not within(7)
    assert not within(None)


def test_told():
    assert told(1)
"""
PROJECT = """
[tool.pytest.ini_options]
addopts = ["--import-mode=importlib"]
"""


@pytest.fixture
def mutants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Require) -> ModuleType:
    """The script, on a project of one module that half of its tests know."""
    module = script("mutants")
    top = tmp_path / "project"
    for name, text in {
        "openmanus_graph/small.py": CODE,
        "openmanus_graph/__init__.py": "",
        "tests/test_small.py": TESTS,
        "pyproject.toml": PROJECT,
    }.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=top, check=True)
    monkeypatch.setattr(module, "TOP", top)
    monkeypatch.setattr(module, "PLACE", tmp_path / "results")
    monkeypatch.setattr(module, "AREAS", {"small": module.Area(("openmanus_graph",), ("tests",), 20)})
    return module


def sample(mutants: ModuleType, size: int, seed: int) -> list[Any]:
    return mutants.sample(mutants.AREAS["small"], "small", size, seed)


def test_a_seed_takes_the_same_mutants(mutants: ModuleType) -> None:
    first = sample(mutants, 6, 1)

    assert len(first) == 6
    assert sample(mutants, 6, 1) == first
    assert sample(mutants, 6, 2) != first


def test_a_place_is_taken_once_and_annotations_never(mutants: ModuleType) -> None:
    everything = sample(mutants, 1000, 0)

    code = CODE.splitlines()
    changed = [code[mutant.line - 1].strip() for mutant in everything]
    assert changed.count("seen.clear()") == 1
    assert "def within(number: int | None) -> bool:" not in changed
    assert {mutant.definition for mutant in everything} == {"", "within", "told", "never"}


def test_every_mutant_is_a_module_that_differs(mutants: ModuleType) -> None:
    changers = mutants.operators()

    for mutant in sample(mutants, 1000, 0):
        changed = mutants.mutate_code(CODE, changers[mutant.operator], mutant.occurrence)
        compile(changed, mutant.path, "exec")
        assert changed != CODE


def test_what_no_test_notices_is_listed_and_nothing_is_judged_twice(
    mutants: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mutants.main(["--sample", "100", "--workers", "2"]) == 0
    printed = capsys.readouterr().out

    results = {result.mutant: result for result in mutants.known("small", None)}
    assert set(results) == set(sample(mutants, 100, 0))
    outcomes = {(one.mutant.definition, one.outcome) for one in results.values()}
    assert ("within", "killed") in outcomes
    assert ("never", "not run") in outcomes
    dropped = next(one for one in results.values() if one.mutant.operator == "DropCall")
    assert (dropped.outcome, dropped.tests) == ("survived", 1)
    assert (dropped.before, dropped.after) == ("    seen.clear()", "    pass")
    assert all(one.outcome == "killed" and one.tests == 0 for one in results.values() if not one.mutant.definition)
    assert "    - seen.clear()\n    + pass" in printed
    assert (mutants.TOP / "openmanus_graph" / "small.py").read_text(encoding="utf-8") == CODE

    # As after a Ctrl-C in the middle of a line.
    file = mutants.PLACE / "small.jsonl"
    *kept, last = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([*kept, last[:20]]), encoding="utf-8")
    assert mutants.main(["--sample", "100", "--workers", "1"]) == 0
    again = capsys.readouterr().out
    assert f"{len(results)} mutants, {len(results) - 1} of them judged before" in again
    assert set(one.mutant for one in mutants.known("small", None)) == set(results)

    assert mutants.main(["--report"]) == 0
    assert capsys.readouterr().out.strip() in again


def test_other_tests_are_another_question(mutants: ModuleType) -> None:
    area, chosen = mutants.AREAS["small"], sample(mutants, 3, 0)
    before = mutants.fingerprint(area, chosen)
    (mutants.TOP / "tests" / "test_small.py").write_text(f"{TESTS}\n", encoding="utf-8")

    assert mutants.fingerprint(area, chosen) != before


def test_tests_that_fail_anyway_judge_nothing(mutants: ModuleType) -> None:
    (mutants.TOP / "tests" / "test_small.py").write_text("def test_it():\n    assert False\n", encoding="utf-8")

    with pytest.raises(SystemExit, match="fail without a mutant"):
        mutants.main([])


def test_the_areas_are_there(top: Path) -> None:
    for area in script("mutants").AREAS.values():
        assert all((top / path).exists() for path in (*area.sources, *area.tests))
