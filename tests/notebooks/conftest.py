"""Fixtures: a shell as notebooks have it, and all notebooks after a run."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tests.conftest import new_database

TOP = Path(__file__).parents[2]
AT_ONCE = 2
"""Kernels that run side by side."""

# Python imports this by itself when it starts: kernels and what they start write down whom they want to reach.
WATCH = """


def watch(event, given):
    if event == "socket.connect":
        address = given[1]
        if isinstance(address, tuple) and address[0] not in HERE:
            note(address)
    elif event == "socket.getaddrinfo" and given[0] not in HERE:
        note(given[0])


def note(whom):
    with open({log!r}, "a") as file:
        print(whom, file=file)


sys.addaudithook(watch)
"""


def script() -> Any:
    """`scripts/notebooks.py` as a module."""
    spec = spec_from_file_location("notebooks_script", TOP / "scripts" / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[InteractiveShell]:
    """An IPython shell of its own that has loaded the extension."""
    config = Config()
    config.HistoryManager.enabled = False
    made = InteractiveShell(config=config, ipython_dir=str(tmp_path))
    made.run_line_magic("load_ext", "openmanus_graph")
    yield made
    made.restore_sys_module_state()


@dataclass
class Runs:
    """What became of the notebooks."""

    notebooks: dict[str, Any]
    """Each notebook after a run, or what it raised, by file name."""
    reached: list[str]
    """Hosts outside of this machine that anything wanted to reach."""
    left: list[str]
    """What the runs left in their folder, besides workspaces."""


@pytest.fixture(scope="session")
def runs(server: str) -> Iterator[Runs]:
    """Every notebook after a run in a kernel of its own, without a key, on one database."""
    notebooks = script()
    base = Path(tempfile.mkdtemp(prefix="omg-notebooks-"))
    base.chmod(0o755)
    folder, log = base / "notebooks", base / "reached"
    shutil.copytree(notebooks.FOLDER, folder, ignore=shutil.ignore_patterns("openmanus-work"))
    before = {path.name for path in folder.iterdir()}
    (base / "sitecustomize.py").write_text(WATCH.replace("{log!r}", repr(str(log))))
    with new_database(server) as url:
        variables = notebooks.environment(base / "home") | {"DATABASE_URL": url, "PYTHONPATH": str(base)}
        done = asyncio.run(run_all(notebooks, folder, variables))
    reached = log.read_text().splitlines() if log.exists() else []
    left = sorted({path.name for path in folder.iterdir()} - before - {"openmanus-work"})
    yield Runs(done, reached, left)
    shutil.rmtree(base)


async def run_all(notebooks: Any, folder: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Run them, a few at a time, and 04 a second time: a person runs a notebook again."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(path: Path, times: int) -> Any:
        async with limit:
            done: Any = None
            for _ in range(times):
                try:
                    done = await notebooks.execute(path, folder, variables)
                except Exception as error:  # noqa: BLE001 - the notebook's own test tells it
                    return error
            return done

    paths = notebooks.notebooks()
    found = await asyncio.gather(*(one(path, 2 if path.name.startswith("04") else 1) for path in paths))
    return {path.name: done for path, done in zip(paths, found, strict=True)}
