"""The script that gets Chromium looks where `browser_use` looks."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from openmanus_graph.sandbox.bubblewrap import find_bubblewrap
from openmanus_graph.tools.browser.confinement import PROGRAMS
from tests.conftest import Require


def test_its_places_are_those_of_the_tool(top: Path) -> None:
    text = (top / "scripts" / "browser.sh").read_text()
    assert tuple(re.findall(r"^ +(/\S+?);? \\?(?:do)?$", text, re.MULTILINE)) == PROGRAMS
    assert "browser.sh" in (top / "scripts" / "setup.sh").read_text()


@pytest.mark.sandbox
@pytest.mark.browser
@pytest.mark.parametrize("hidden", [False, True])
def test_another_chromium_on_the_path_is_none_for_the_tool(
    hidden: bool, top: Path, tmp_path: Path, require: Require
) -> None:
    bubblewrap = find_bubblewrap()
    require(bubblewrap is not None, "bubblewrap is missing", "make setup")
    assert bubblewrap is not None
    require(any(map(os.path.exists, PROGRAMS)), "There is no Chromium to hide", "make setup")
    for name, body in (("chromium", "exit 0"), ("id", "echo 0"), ("apt-get", f'echo "$@" >>{tmp_path}/log')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    command = [bubblewrap, "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--bind", str(tmp_path), str(tmp_path)]
    for program in map(Path, PROGRAMS):
        if hidden and program.parent.exists():
            command += ["--tmpfs", str(program.parent)]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([*command, "sh", str(top / "scripts" / "browser.sh")], env=environment, check=True, timeout=60)
    log = tmp_path / "log"
    assert log.exists() == hidden
    assert "chromium" in (log.read_text() if hidden else "chromium")
