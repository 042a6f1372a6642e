"""Release: what must not be released is refused, and the Pythons that are tried are the ones that run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from openmanus_graph import __version__
from tests.repository.scripts import script

pytestmark = pytest.mark.programs


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, in a clean repository of its own."""
    module = script("release")
    monkeypatch.setattr(module, "TOP", tmp_path / "checkout")
    (tmp_path / "checkout" / "openmanus_graph").mkdir(parents=True)
    write(module, "openmanus_graph/_version.py", '__version__ = "0.3.0"\n')
    write(module, "CHANGELOG.md", "# Changelog\n\n## [0.3.0] - 2031-05-01\n\n## [0.2.0] - 2030-01-01\n")
    module.git("init", "--quiet")
    commit(module)
    return module


def write(release: ModuleType, name: str, text: str) -> None:
    (release.TOP / name).write_text(text, encoding="utf-8")


def commit(release: ModuleType) -> None:
    release.git("add", ".")
    release.git("-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "--quiet", "-m", "Change")


def test_a_clean_version_with_its_changes_is_ready(release: ModuleType) -> None:
    assert release.refuse_unready(release.version()) == "2031-05-01"


def test_the_version_is_the_package_s() -> None:
    assert script("release").version() == __version__


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new.txt"])
def test_what_is_uncommitted_is_refused_by_name(release: ModuleType, name: str) -> None:
    write(release, name, "## [0.3.0] - 2031-05-01\n\nmore\n")

    with pytest.raises(release.ReleaseError, match=rf"uncommitted.*\n.*{name}"):
        release.refuse_unready("0.3.0")


def test_a_version_without_a_section_is_refused(release: ModuleType) -> None:
    with pytest.raises(release.ReleaseError, match=r"no section '## \[0\.4\.0\]"):
        release.refuse_unready("0.4.0")


def test_a_version_that_has_a_tag_is_refused(release: ModuleType) -> None:
    release.git("tag", "v0.3.0")

    with pytest.raises(release.ReleaseError, match=r"tag 'v0\.3\.0' is there"):
        release.refuse_unready("0.3.0")


@pytest.fixture
def pythons(release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A machine with 3.11 on the PATH, 3.12 as a shim that runs nothing and twice with pyenv, and a wrong 3.13."""
    versions = {
        "path/python3.11": "3.11",
        "path/python3.12": "",
        "path/python3.13": "3.9",
        "pyenv/versions/3.12.4/bin/python": "3.12",
        "pyenv/versions/3.12.11/bin/python": "3.12",
    }
    for name, says in versions.items():
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{f'echo {says}' if says else 'exit 127'}\n", encoding="utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path") + os.pathsep + "/nowhere")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return release


def test_pythons_that_run_are_found(pythons: ModuleType, tmp_path: Path) -> None:
    newest = tmp_path / "pyenv" / "versions" / "3.12.11" / "bin" / "python"

    assert pythons.interpreters() == {"3.11": "python3.11", "3.12": str(newest)}


@pytest.mark.parametrize(
    ("arguments", "tried"), [([], ["3.11", "3.12"]), (["--fast"], ["3.12"]), (["--only", "3.11"], ["3.11"])]
)
def test_every_other_python_is_named_as_not_checked(
    pythons: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    tried: list[str],
) -> None:
    wheel = pythons.TOP / "some.whl"
    wheel.write_bytes(b"a wheel")
    monkeypatch.setattr(pythons, "build", lambda: [wheel])
    seen: list[str] = []
    monkeypatch.setattr(pythons, "try_wheel", lambda wheel, minor, python: seen.append(minor))
    monkeypatch.setattr(pythons, "refuse_unready", lambda name: "2031-05-01")

    assert pythons.main(arguments) == 0

    printed = capsys.readouterr().out
    assert seen == tried
    assert all((f"Not checked with Python {minor}:" in printed) != (minor in tried) for minor in pythons.PYTHONS)
    assert "twine upload some.whl" in printed
    assert "Nothing was uploaded" in printed


def test_a_python_that_is_asked_for_and_not_there_is_an_error(
    pythons: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pythons, "refuse_unready", lambda name: "2031-05-01")

    assert pythons.main(["--only", "3.14"]) == 1
    assert "Python 3.14 is not on the PATH" in capsys.readouterr().err


def test_an_unreleased_section_ends_without_the_command(
    pythons: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = pythons.TOP / "some.whl"
    wheel.write_bytes(b"a wheel")
    monkeypatch.setattr(pythons, "build", lambda: [wheel])
    monkeypatch.setattr(pythons, "try_wheel", lambda wheel, minor, python: None)
    monkeypatch.setattr(pythons, "refuse_unready", lambda name: "unreleased")

    assert pythons.main([]) == 1

    printed = capsys.readouterr()
    assert "calls 0.3.0 'unreleased'" in printed.err
    assert "twine" not in printed.out


def test_a_command_that_fails_shows_what_it_said(release: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(release.ReleaseError, match="ended with 3:\nwhy"):
        release.call([sys.executable, "-c", "print('why'); raise SystemExit(3)"], "failing")
    assert capsys.readouterr().out.startswith("  failing ...")


def test_the_plan_that_is_tried_is_a_plan(release: ModuleType, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(release.PLAN, encoding="utf-8")
    program = Path(sys.executable).with_name("openmanus-graph")

    subprocess.run([program, "plan", "check", plan], check=True, capture_output=True)
