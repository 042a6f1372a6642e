"""Tests of other promises, run once more with a key: what they say holds for encrypted threads, too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.postgres

PLUGIN = "tests.encryption.must_seal"
TOP = Path(__file__).parents[2]
LONG = [
    "tests/retention/test_moving.py::test_an_input_that_was_never_taken_finds_its_folder",
    "tests/retention/test_moving.py::test_an_input_that_no_checkpoint_has_moves_too",
    "tests/retention/test_prune.py::test_growing_lists_of_any_reducer",
    "tests/retention/test_prune.py::test_a_fork_after_an_edited_plan_makes_no_call_again",
    "tests/travel/test_going_back.py",
    "tests/travel/test_workspaces.py",
    "tests/storage/test_values.py",
]
PLACES = ["tests/conformance", *(pytest.param(place, marks=pytest.mark.chaos) for place in LONG)]
"""Tests whose stores are opened in their own process, and so encrypt if a key is set there."""


@pytest.mark.parametrize("place", PLACES)
def test_with_a_key(place: str, key: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", PLUGIN, place],
        cwd=TOP,
        env={**kept, "OPENMANUS_GRAPH_ENCRYPTION_KEY": key},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
