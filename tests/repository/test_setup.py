"""Set-up: from nothing, again, interrupted, and on a machine that lacks something; with the real script.

The script runs on a small project of its own whose packages lie in a folder, so nothing is downloaded.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

BACKEND = '''
"""Build backend: the smallest one that makes an editable install."""
import os, zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "openmanus_graph-0.1.0-py3-none-any.whl"
    info = "openmanus_graph-0.1.0.dist-info"
    files = {
        "openmanus_graph.pth": os.getcwd(),
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: openmanus-graph\\nVersion: 0.1.0\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{info}/entry_points.txt": "[console_scripts]\\nopenmanus-graph = openmanus_graph:main\\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name
'''

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "openmanus-graph"
version = "0.1.0"
"""


def publish(folder: Path, name: str, version: str) -> str:
    """Put a package with one module into the folder and return its line for a lock."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


class Project:
    """A checkout with the real set-up script and packages from a folder."""

    def __init__(self, top: Path, folder: Path) -> None:
        self.folder = folder
        self.packages = folder.parent / "packages"  # pip splits its list of folders at spaces
        (folder / "scripts").mkdir(parents=True)
        (folder / "openmanus_graph").mkdir()
        for name in ("setup.sh", "browser.sh"):
            shutil.copy(top / "scripts" / name, folder / "scripts")
        (folder / "openmanus_graph" / "__init__.py").write_text("def main(): print('hello')\n")
        (folder / "openmanus_graph" / "_version.py").write_text("__version__ = '0.1.0'\n")
        (folder / "backend.py").write_text(BACKEND)
        (folder / "pyproject.toml").write_text(PYPROJECT)
        self.lock("1")

    def lock(self, version: str) -> None:
        (self.folder / "requirements-dev.lock").write_text(publish(self.packages, "sample", version))

    @property
    def environment(self) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
        return clean | {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.packages),
            "PIP_NO_CACHE_DIR": "1",
            "PYTHON": sys.executable,
        }

    def start(self, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["sh", "scripts/setup.sh"],
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def set_up(self, **environment: str) -> tuple[int, str]:
        """Exit code, and what was said."""
        running = self.start(**environment)
        output, said = running.communicate(timeout=120)
        assert output == "", "set-up speaks on stderr, so that a target's own output stays clean"
        return running.returncode, said

    def works(self) -> bool:
        command = self.folder / ".venv" / "bin" / "openmanus-graph"
        return command.exists() and subprocess.check_output([command]) == b"hello\n"

    def installed(self) -> str:
        python = self.folder / ".venv" / "bin" / "python"
        script = "import sample; print(sample.version)"
        ran = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True)
        return ran.stdout.strip()


@pytest.fixture(scope="module")
def ready(top: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that was set up once; tests leave it working."""
    project = Project(top, tmp_path_factory.mktemp("ready") / "a folder with spaces")
    code, said = project.set_up()
    assert code == 0, said
    return project


def test_sets_up_from_nothing_then_does_nothing(ready: Project) -> None:
    assert ready.works()
    assert ready.installed() == "1"
    assert ready.set_up() == (0, "")


def test_changed_lock_is_installed_into_the_same_environment(ready: Project) -> None:
    marker = ready.folder / ".venv" / "marker"
    marker.touch()
    ready.lock("2")

    code, said = ready.set_up()

    assert code == 0, said
    assert ready.installed() == "2"
    assert marker.exists()
    assert ready.set_up() == (0, "")


def test_missing_command_is_repaired(ready: Project) -> None:
    (ready.folder / ".venv" / "bin" / "openmanus-graph").unlink()

    code, said = ready.set_up()

    assert code == 0, said
    assert ready.works()


def test_unreachable_packages_are_said_and_the_old_environment_stays(ready: Project) -> None:
    lock = ready.folder / "requirements-dev.lock"
    kept = lock.read_text()
    lock.write_text(kept.replace("sample==2", "sample==3"))

    code, said = ready.set_up()
    lock.write_text(kept)

    assert code == 1
    assert "the packages could not be installed" in said
    assert "PIP_INDEX_URL" in said
    assert ready.works()
    assert ready.set_up() == (0, "")


def test_package_with_another_content_is_refused(ready: Project) -> None:
    lock = ready.folder / "requirements-dev.lock"
    kept = lock.read_text()
    lock.write_text("sample==4 --hash=sha256:" + "0" * 64 + "\n")
    publish(ready.packages, "sample", "4")

    code, said = ready.set_up()
    lock.write_text(kept)

    assert code == 1
    assert "HASHES" in said.upper()
    assert ready.installed() == "2"


def test_set_up_in_progress_is_waited_for(ready: Project) -> None:
    ready.lock("5")
    both = [ready.start(), ready.start()]
    said = [running.communicate(timeout=120)[1] for running in both]

    assert [running.returncode for running in both] == [0, 0], said
    assert sorted("Installing" in words for words in said) == [False, True], said
    assert ready.installed() == "5"


@pytest.mark.kill
def test_killed_set_up_is_repaired_by_the_next(top: Path, tmp_path: Path) -> None:
    project = Project(top, tmp_path / "project")
    running = project.start()
    deadline = time.monotonic() + 60
    while not (project.folder / ".venv" / "bin" / "python").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)  # so that some files of a package exist and others do not
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert not project.works()

    code, said = project.set_up()

    assert code == 0, said
    assert project.works()
    assert project.installed() == "1"


class Machine:
    """A PATH on which only what a small machine has is found."""

    TOOLS = ("cat", "cut", "dirname", "env", "flock", "grep", "mkdir", "mv", "rm", "sed", "sh", "sha256sum")

    def __init__(self, folder: Path, project: Project, *, user: int) -> None:
        self.folder = folder
        self.project = project
        self.log = folder.parent / "log"
        folder.mkdir(parents=True)
        for tool in self.TOOLS:
            found = shutil.which(tool)
            assert found, tool
            (folder / tool).symlink_to(found)
        self.program("id", f"echo {user}")

    def program(self, name: str, body: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.folder / name).chmod(0o755)

    def set_up(self) -> tuple[int, str, str]:
        code, said = self.project.set_up(PATH=str(self.folder), PYTHON="")
        return code, said, self.log.read_text() if self.log.exists() else ""


@pytest.mark.parametrize("present", ["", "3.10.4"])
def test_missing_python_is_named(top: Path, tmp_path: Path, present: str) -> None:
    machine = Machine(tmp_path / "bin", Project(top, tmp_path / "project"), user=0)
    if present:
        machine.program("python3", f'[ "$1" = --version ] && echo Python {present} && exit 0; exit 1')

    code, said, _ = machine.set_up()

    assert code == 1
    assert "Python 3.11 or newer is needed" in said
    assert (present or "no python3 at all") in said
    assert "make setup PYTHON=" in said
    assert not (tmp_path / "project" / ".venv").exists()


@pytest.mark.parametrize("user", [0, 1000])
def test_only_root_installs_system_packages(top: Path, tmp_path: Path, user: int) -> None:
    machine = Machine(tmp_path / "bin", Project(top, tmp_path / "project"), user=user)
    machine.program("apt-get", f'echo apt-get "$@" >> "{machine.log}"')
    machine.program("apt-cache", '[ "$2" = python3.12-venv ]')
    machine.program("sudo", f'echo sudo "$@" >> "{machine.log}"; exit 1')

    code, said, log = machine.set_up()

    assert code == 1, "the pretended apt-get installs nothing"
    assert "sudo apt-get install" in said
    assert "sudo" not in log
    if user == 0:
        assert "install -y --no-install-recommends python3.12 python3.12-venv" in log
    else:
        assert log == ""


def test_missing_venv_module_is_named(top: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "bin", Project(top, tmp_path / "project"), user=1000)
    machine.program("python3", f'case "$2" in *ensurepip*) exit 1;; esac; exec "{sys.executable}" "$@"')

    code, said, _ = machine.set_up()

    assert code == 1
    assert "its venv module is missing" in said
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in said


@pytest.mark.parametrize("apt", [True, False])
def test_missing_bubblewrap_is_said_and_set_up_goes_on(top: Path, tmp_path: Path, apt: bool) -> None:
    machine = Machine(tmp_path / "bin", Project(top, tmp_path / "project"), user=1000)
    machine.program("python3", f'exec "{sys.executable}" "$@"')
    if apt:
        machine.program("apt-get", "exit 1")

    code, said, _ = machine.set_up()

    assert code == 0, said
    assert "bubblewrap is missing" in said
    assert ("sudo apt-get install bubblewrap" in said) is apt
    assert machine.project.works()


def test_named_python_that_does_not_fit_is_refused(top: Path, tmp_path: Path) -> None:
    project = Project(top, tmp_path / "project")

    code, said = project.set_up(PYTHON="/no/such/python")

    assert code == 1
    assert "PYTHON=/no/such/python is not a Python 3.11 or newer" in said
