"""Wheel: what an installation holds is the package, all of it and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from openmanus_graph import Settings
from openmanus_graph.sandbox.level import probe
from tests.conftest import Require

pytestmark = pytest.mark.programs


def build(source: Path, kind: str, folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (built,) = folder.iterdir()
    return built


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(top: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(top, "wheel", tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_the_package_and_nothing_else(top: Path, wheel: Path) -> None:
    package = top / "openmanus_graph"
    kept = {
        path.relative_to(top).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert contents(wheel) == kept
    assert "openmanus_graph/py.typed" in kept
    assert any(name.endswith(".sql") for name in kept)


def test_wheel_names_its_command_and_its_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (entry_points,) = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        commands = archive.read(entry_points).decode()
        fields = archive.read(metadata).decode()

    assert "openmanus-graph = openmanus_graph.cli:main" in commands
    assert "License-Expression: MIT" in fields
    assert "Requires-Python: >=3.11" in fields
    assert "Provides-Extra: all" in fields


@pytest.mark.postgres
def test_demo_runs_from_what_the_wheel_holds(wheel: Path, tmp_path: Path, database: str, require: Require) -> None:
    works = any(report.works for report in probe(Settings.load()))
    require(works, "no sandbox works here, and the demo runs Python", "apt-get install bubblewrap")
    unpacked, folder = tmp_path / "unpacked", tmp_path / "anywhere"
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    variables = {"PATH": os.environ["PATH"], "DATABASE_URL": database, "PYTHONPATH": str(unpacked)}
    call = [sys.executable, "-m", "openmanus_graph"]
    options = {"cwd": folder, "env": variables, "capture_output": True, "text": True}

    ran = subprocess.run([*call, "demo", "--quiet"], check=False, **options)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("I recommend **Cedar Supply**")
    where = "import openmanus_graph; print(openmanus_graph.__file__)"
    found = subprocess.run([sys.executable, "-c", where], check=True, **options)
    assert found.stdout.startswith(str(unpacked))


def test_source_archive_builds_the_same_wheel(top: Path, wheel: Path, tmp_path: Path) -> None:
    archive = build(top, "sdist", tmp_path / "sdist")
    # The program and not `tarfile`, whose safe way to extract came with Python 3.11.4.
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    (unpacked,) = tmp_path.glob("openmanus_graph-*")
    names = {path.name for path in unpacked.iterdir()}

    assert names.isdisjoint({".venv", "openmanus-work", "graphs", "nodes", "tools", "checkpoints"})
    assert contents(build(unpacked, "wheel", tmp_path / "again")) == contents(wheel)
