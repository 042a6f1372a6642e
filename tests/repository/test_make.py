"""Make: its targets explain themselves, and the documents name only targets that exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Require

WANTED = {"setup", "demo", "test", "check", "bench", "lock", "dist", "clean"}


@pytest.fixture
def make(require: Require, top: Path):
    require(shutil.which("make") is not None, "make is not installed", "apt-get install make")

    def run(*arguments: str, **environment: str) -> str:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
        clean.pop("OPENMANUS_GRAPH_REQUIRE", None)
        clean.pop("REQUIRE", None)
        ran = subprocess.run(
            ["make", "--no-print-directory", *arguments],
            cwd=top,
            env=clean | environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return ran.stdout

    return run


def targets(top: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):(?!=)", (top / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_bare_make_lists_every_target(make, top: Path) -> None:
    listed = set(re.findall(r"^  make ([a-z0-9-]+) +\S", make(), re.MULTILINE))

    assert listed == targets(top)
    assert listed >= WANTED


def test_demo_runs_without_an_activated_environment(make) -> None:
    assert ".venv/bin/openmanus-graph demo --crash" in make("--dry-run", "demo", "ARGS=--crash")


def test_test_target_sets_up_then_checks_everything(make) -> None:
    lines = make("--dry-run", "test").splitlines()
    order = ["scripts/setup.sh", "ruff check", "ruff format --check", "pyright", "pytest"]
    places = [next((number for number, line in enumerate(lines) if word in line), -1) for word in order]

    assert -1 not in places, dict(zip(order, places, strict=True))
    assert places == sorted(places)


def test_coverage_has_a_target_of_its_own(make) -> None:
    assert "--cov" not in make("--dry-run", "test")
    assert "--cov" in make("--dry-run", "coverage")


def test_require_reaches_the_tests(make, tmp_path: Path) -> None:
    extra = tmp_path / "show.mk"
    extra.write_text('show:\n\t@echo "[$$OPENMANUS_GRAPH_REQUIRE]"\n', encoding="utf-8")

    assert make("-f", "Makefile", "-f", str(extra), "show", "REQUIRE=all") == "[all]\n"
    assert make("-f", "Makefile", "-f", str(extra), "show") == "[]\n"


def test_ci_runs_the_same_command_as_people(top: Path) -> None:
    script = top / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "exec make test REQUIRE=all"


def test_nothing_calls_sudo(top: Path) -> None:
    # Naming it in a message is the point; a message is an argument of `die` or `say`, so it is quoted.
    scripts = [
        top / "Makefile",
        *sorted(path for path in (top / "scripts").iterdir() if path.is_file()),
        top / ".ci" / "run",
    ]
    found: list[str] = []
    for script in scripts:
        for line in script.read_text(encoding="utf-8").splitlines():
            code = re.sub(r'"[^"]*"', "", line.partition("#")[0])
            if re.search(r"\bsudo\b", code):
                found.append(f"{script.name}: {line}")

    assert found == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_documents_name_targets_that_exist(top: Path, name: str) -> None:
    text = (top / name).read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", code))

    assert named, f"{name} names no target"
    assert named <= targets(top)
