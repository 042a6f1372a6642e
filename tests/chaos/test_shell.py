"""Kill -9 of commands at every write: `resume`, typed as a person would, makes each of them whole."""

from __future__ import annotations

import os

import pytest

from tests.chaos.conftest import ShellOf
from tests.chaos.shell import Shell
from tests.chaos.shell_shapes import SHELL_SHAPES

pytestmark = [pytest.mark.postgres, pytest.mark.kill]

SHORT = 3
"""Boundaries of each shape in the short version, spread over the run."""
UNSTEADY = ("events", "progress", "files")
"""Writes that fall differently in each run."""


def check(shell: Shell, count: list[str], most: int | None) -> None:
    """Kill at so many boundaries, or at all."""
    everything = shell.boundaries
    only = os.environ.get("CHAOS_AT")
    every = 1 if most is None else max(1, -(-len(everything) // most))
    chosen = [name for name in everything if name == only] if only else everything[every // 2 :: every]
    found = {boundary: shell.killed_at(boundary) for boundary in chosen}
    missed = [boundary for boundary, (reached, _) in found.items() if not reached]
    wrong = {boundary: problems for boundary, (_, problems) in found.items() if problems}
    killed = len(chosen) - len(missed)
    count.append(f"shell, {shell.name}: killed at {killed} of {len(everything)} boundaries, and resumed")
    told = "\n".join(f"{name}\n  " + "\n  ".join(problems) for name, problems in wrong.items())
    assert not wrong, f"after {len(wrong)} of {killed} kills (repeat one with CHAOS_AT='<its name>'):\n{told}"
    assert [name for name in missed if name.split()[1] not in UNSTEADY] == []


@pytest.mark.parametrize("shape", SHELL_SHAPES)
def test_some_boundaries(shape: str, shell_of: ShellOf, count: list[str]) -> None:
    check(shell_of(shape), count, SHORT)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shape", SHELL_SHAPES)
def test_every_boundary(shape: str, shell_of: ShellOf, count: list[str]) -> None:
    check(shell_of(shape), count, None)
