"""Kills: one small graph of each library that is built on LangGraph, killed in a step and resumed from the shell."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo

from .runs import Ended, clean_environment
from .savers import TEMPLATE

GRAPHS = Path(__file__).parent / "libraries"
"""The graphs, with the scripted model that they have in common."""

WAIT_S = 120
"""So long a process may take; a start takes a few seconds on a busy machine."""


@dataclass(frozen=True)
class Library:
    """A library and the graph that it is tried with."""

    name: str
    """As the package index knows it."""

    graph: str
    """The file, without its ending."""

    tries: str
    """What of it the graph uses."""

    output: Mapping[str, Any]
    """What the output has at the end; a dict of its own is looked into."""


LIBRARIES = (
    Library(
        "langchain",
        "agent",
        "`create_agent` with middleware and a structured answer",
        {"structured_response": {"found": "the book", "pages": 7}},
    ),
    Library("langgraph-supervisor", "supervisor", "`create_supervisor` over an agent", {}),
    Library("langgraph-swarm", "swarm", "`create_swarm` of two agents", {}),
    Library("deepagents", "deep", "`create_deep_agent` with an agent for a part of the work", {}),
)


@dataclass(frozen=True)
class Tried:
    """How a library fared."""

    library: str
    """Its name."""

    version: str
    """The version that was tried."""

    tries: str
    """What of it was used."""

    ended: Ended
    """How it ended."""


def try_libraries(url: str, packages: Path) -> list[Tried]:
    """Run, kill and resume a graph of each library.

    Args:
        url: The server, as `server` gives it.
        packages: The folder that the libraries are installed in.
    """
    versions = {found.name: found.version for found in distributions(path=[str(packages)])}
    return [
        Tried(library.name, versions[library.name], library.tries, _try(library, url, packages))
        for library in LIBRARIES
    ]


def _try(library: Library, url: str, packages: Path) -> Ended:
    folder = Path(tempfile.mkdtemp(prefix="omg-"))
    name = f"compat_{library.graph}"
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY".encode())
        for path in GRAPHS.glob("*.py"):
            shutil.copy(path, folder)
        database = conninfo.make_conninfo(url, dbname=name)
        environment = {**clean_environment(), "PYTHONPATH": str(packages), "DATABASE_URL": database}
        _killed_and_resumed(library, folder, environment)
    except (AssertionError, subprocess.SubprocessError) as error:
        return Ended("failed", str(error))
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        shutil.rmtree(folder)
    return Ended("passed")


def _killed_and_resumed(library: Library, folder: Path, environment: dict[str, str]) -> None:
    """Kill a run in its tool and resume it.

    Raises:
        AssertionError: If it does not end as it should; the message says how.
    """

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "openmanus_graph", *words, "--json"]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, **pipes)

    def said() -> list[str]:
        log = folder / "log"
        return log.read_text("utf-8").splitlines() if log.is_file() else []

    with start("run", "--graph", f"{library.graph}.py", "find the book", "--thread", "t") as run:
        deadline = time.monotonic() + WAIT_S
        while "looks for the book" not in said():
            _check(run.poll() is None, f"It ended before its tool ran: {_rest(run)}")
            _check(time.monotonic() < deadline, f"Its tool did not run in {WAIT_S} s: {said()}")
            time.sleep(0.05)
        os.kill(run.pid, signal.SIGKILL)
    (folder / "go").touch()
    before = said()
    with start("resume", "t") as resumed:
        out, err = resumed.communicate(timeout=WAIT_S)
    _check(resumed.returncode == 0, f"The resume ended with {resumed.returncode}: {err.strip()}")
    last = json.loads(out.splitlines()[-1])
    _check(last["status"] == "completed", f"The thread is {last['status']}")
    for key, value in library.output.items():
        _check(last["output"].get(key) == value, f"{key} is {last['output'].get(key)!r}")
    again = [line for line in said()[len(before) :] if "says line" in line and line in before]
    _check(not again, f"Paid for twice: {again}")
    _check(said().count("looks for the book") == 2, f"What it did: {said()}")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _rest(run: subprocess.Popen[str]) -> str:
    return run.stderr.read().strip() if run.poll() is not None and run.stderr is not None else ""
