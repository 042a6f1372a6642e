"""Locks: what they promise about the project's dependencies, and what no tracked file may tell."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = [f"requirements{name}.lock" for name in ("", "-dev", "-compat", "-libraries", "-rivals", "-mcp-servers")]


def entries(lock: Path) -> dict[str, tuple[str, int]]:
    """Name to version and number of hashes, for every pinned package."""
    joined = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, tuple[str, int]] = {}
    for line in joined.splitlines():
        if pinned := re.match(r"([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==(\S+)", line):
            found[canonicalize_name(pinned[1])] = (pinned[2], line.count("--hash=sha256:"))
        else:
            assert line.lstrip()[:1] in ("", "#"), f"{lock.name} holds something else than pins: {line!r}"
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_hash(top: Path, name: str) -> None:
    assert [package for package, (_, hashes) in entries(top / name).items() if not hashes] == []


def test_locks_agree(top: Path) -> None:
    run, dev, *beside = (entries(top / name) for name in LOCKS)

    assert {name: pin for name, pin in run.items() if dev.get(name) != pin} == {}
    for lock in beside:
        assert {name: pin for name, pin in lock.items() if dev.get(name, pin) != pin} == {}


def test_locks_fit_the_project(top: Path) -> None:
    project = tomllib.loads((top / "pyproject.toml").read_text(encoding="utf-8"))
    run, dev, compat, libraries, rivals, servers = (entries(top / name) for name in LOCKS)
    extras = [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    wanted = [
        *((line, run, LOCKS[0]) for line in project["project"]["dependencies"]),
        *((line, dev, LOCKS[1]) for line in [*extras, *project["dependency-groups"]["dev"]]),
        *((line, compat, LOCKS[2]) for line in project["dependency-groups"]["compat"]),
        *((line, libraries, LOCKS[3]) for line in project["dependency-groups"]["libraries"]),
        *((line, rivals, LOCKS[4]) for line in project["dependency-groups"]["rivals"]),
        *((line, servers, LOCKS[5]) for line in project["dependency-groups"]["mcp-servers"]),
    ]
    problems: list[str] = []
    for line, pins, lock in wanted:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name == "openmanus-graph":
            continue
        version = pins.get(name, ("nothing", 0))[0]
        if version == "nothing" or not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{line}: {lock} has {version}; run: make lock")

    assert problems == []


def private_places(top: Path) -> list[str]:
    """Folders of this machine that nothing portable names."""
    places = [top]
    if Path.home() not in (Path("/root"), Path("/")):
        places.append(Path.home())
    if not sys.base_prefix.startswith(("/usr", "/opt")):
        places.append(Path(sys.base_prefix))
    return [f"{place}{end}" for place in places for end in ("/", '"', "'", "\n")]


def test_tracked_files_name_neither_registries_nor_this_machine(top: Path, tracked: list[Path]) -> None:
    # In pieces, so that this file does not name them either.
    hosts = [
        ".".join(labels)
        for labels in [
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "org"),
            ("npmjs", "com"),
            ("yarnpkg", "com"),
            ("anaconda", "org"),
            ("rubygems", "org"),
            ("golang", "org"),
            ("crates", "io"),
            ("maven", "org"),
            ("deb", "debian", "org"),
            ("archive", "ubuntu", "com"),
            ("nodejs", "org"),
            ("docker", "io"),
        ]
    ]
    # A registry may also be private: whatever an index option names.
    options = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host")
    forbidden = [*hosts, *private_places(top)]
    found: list[str] = []
    for path in tracked:
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path}: {word!r}" for word in forbidden if word in text]
        if path.suffix == ".lock":
            found += [f"{path}: {match[0]}" for match in options.finditer(text)]
            found += [f"{path}: {match[0]}" for match in re.finditer(r"https?://\S+|\(?/\w+/\S*", text)]

    assert found == []


def test_foreign_lock_is_ignored(top: Path, tracked: list[Path]) -> None:
    assert "uv.lock" in (top / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert [path for path in tracked if path.name == "uv.lock"] == []
