"""Fixtures: data folders, and processes of several users that share the server in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.config.settings import Settings
from tests.conftest import Require
from tests.server.people import NEEDED, PROJECT, Member, Person, account, end_server, packages


@pytest.fixture(scope="session")
def me() -> Person:
    return Person("me", (sys.executable, "-P"), f"{PROJECT}:{packages()}")


@pytest.fixture(scope="session")
def common_ground() -> Iterator[Path]:
    """A folder of code that every account can read, wherever the environment lies."""
    folder = Path(tempfile.mkdtemp(prefix="omg-code-"))
    folder.chmod(0o755)
    for name in NEEDED:
        source = packages() / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("include", "pginstall", "*.a"))
        elif source.exists():
            shutil.copy(source, folder / name)
    shutil.copytree(PROJECT / "openmanus_graph", folder / "openmanus_graph")
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def root(require: Require) -> None:
    """For tests that need two users, or an account to drop to."""
    require(os.geteuid() == 0, "only root can act as several users", "sudo make test")


@pytest.fixture
def ordinary(root: None, require: Require, request: pytest.FixtureRequest) -> Person:
    """An account without rights, with an interpreter of the same version that it can run."""
    entry = account("daemon", "games")
    plain = Person(entry.pw_name, (), "", entry)
    wanted = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = [sys.executable, f"/usr/bin/{wanted}", f"/usr/local/bin/{wanted}"]
    found = next((place for place in places if plain.reaches(Path(place).resolve())), None)
    require(
        found is not None,
        "no interpreter of this version is in an ordinary user's reach",
        f"install {wanted}",
    )
    ground = request.getfixturevalue("common_ground")
    return Person(entry.pw_name, (str(found), "-S", "-P"), str(ground), entry)


@pytest.fixture
def new_home() -> Iterator[Callable[..., Path]]:
    """Makes data folders that belong to a person; what still runs in them is stopped afterwards."""
    made: list[Path] = []

    def make(person: Person | None = None, below: str = "") -> Path:
        base = Path(tempfile.mkdtemp(prefix="omg-"))
        made.append(base)
        base.chmod(0o755)
        if person and person.account:
            os.chown(base, person.account.pw_uid, person.account.pw_gid)
        return base / below

    yield make
    for base in made:
        for lock in base.rglob("alive.lock"):
            end_server(lock)
        shutil.rmtree(base)


@pytest.fixture
def home(new_home: Callable[..., Path]) -> Path:
    return new_home()


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def join(me: Person, home: Path) -> Iterator[Callable[..., Member]]:
    """Starts processes that use the server in `home`, or in another; none is left behind."""
    members: list[Member] = []

    def start(person: Person = me, place: Path = home, **options: Any) -> Member:
        members.append(person.start(place, **options))
        return members[-1]

    yield start
    for member in members:
        if member.process.poll() is None:
            member.kill()
        for pipe in (member.process.stdin, member.process.stdout):
            assert pipe
            pipe.close()
