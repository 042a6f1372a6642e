"""All of it holds for an ordinary account as well, which has no rights to set things up with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from openmanus_graph.sandbox import launcher
from openmanus_graph.sandbox.layout import interpreter_paths
from tests.sandbox.conftest import OFFERED

pytestmark = pytest.mark.sandbox

ACCOUNT = (61_234, 61_234)
"""An account without a name or a home."""
ROOT = Path(__file__).parents[2]
CHOSEN = (
    "tests/sandbox/test_escapes.py",
    "tests/sandbox/test_levels.py",
    "tests/sandbox/test_bash.py::test_after_a_timeout_the_session_goes_on",
    "tests/sandbox/test_python_execute.py::test_variables_imports_and_functions_persist",
)


@pytest.mark.skipif(os.geteuid() != 0, reason="the others ran as one; as root: pytest tests/sandbox")
def test_the_escapes_fail_for_an_ordinary_account_too() -> None:
    folder = Path(tempfile.mkdtemp(prefix="openmanus-graph-user-"))
    os.chown(folder, *ACCOUNT)
    pytest_command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:cov"]
    pytest_command += [f"--basetemp={folder}/tmp", *CHOSEN]
    config = {
        "argv": ["sh", "-c", 'cd "$0" && exec "$@"', str(ROOT), *pytest_command],
        "account": ACCOUNT,
        "paths": [
            *(str(path) for path in interpreter_paths() if not path.is_relative_to(ROOT)),
            *(str(ROOT), str(folder)),
        ],
        "workspace": str(folder),
        "supervise": False,
        "confine": None,
        "parent": os.getpid(),
    }
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, launcher.__file__, json.dumps(config)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    for level in OFFERED:
        assert f"[{level}" not in done.stdout
    assert "skipped" not in done.stdout
