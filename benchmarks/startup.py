"""Startup: how long people wait before a command answers, in processes of their own."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.store import temporary_folder

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = [sys.executable, "-m", "openmanus_graph"]
PLAN = ROOT / "examples" / "package_report.yaml"
TOOLS = ROOT / "examples" / "package_tools.py"

HELP_TARGET = 0.2
IMPORT_TARGET = 0.3
THREADS_TARGET = 1.0
FIRST_SUBTASK_TARGET = 3.0


def environment(home: Path) -> dict[str, str]:
    """The environment of a user: settings of ours gone, and compiled modules kept as usual."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("OPENMANUS_GRAPH_") and key not in ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE")
    }
    return {**kept, "OPENMANUS_GRAPH_HOME": str(home)}


def _seconds(command: list[str], home: Path, repeats: int) -> float:
    """Median seconds of a command, after one run that does not count."""
    times: list[float] = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        subprocess.run(command, env=environment(home), cwd=home, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return middle(times[1:])


def _first_subtask(home: Path, folder: Path) -> float:
    """Seconds from the demo's command to the time of its first `subtask_started` event."""
    command = [*PROGRAM, "run", "--plan", str(PLAN), "--tools", str(TOOLS), "--json"]
    began = time.time()
    process = subprocess.Popen(
        [*command, "--workspace", str(folder)],
        env=environment(home),
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    started: float | None = None
    for line in process.stdout:
        event = json.loads(line)
        if started is None and event.get("type") == "subtask_started":
            started = datetime.fromisoformat(event["time"]).timestamp() - began
            process.send_signal(signal.SIGTERM)  # drains: the rest of the demo is not measured
    _, said = process.communicate(timeout=60)
    if started is None:
        raise RuntimeError(f"the demo started no subtask: {said.strip()[-500:]}")
    return started


def measure(home: Path, repeats: int) -> list[Figure]:
    """Run every command."""
    bare = _seconds([sys.executable, "-c", "pass"], home, repeats)
    plain = "python -c pass"
    found = _seconds([*PROGRAM, "--help"], home, repeats)
    figures = [Figure("openmanus-graph --help", found, "s", HELP_TARGET, bare, plain)]
    found = _seconds([sys.executable, "-c", "import openmanus_graph"], home, repeats)
    figures.append(Figure("import openmanus_graph", found, "s", IMPORT_TARGET, bare, plain))
    subprocess.run([*PROGRAM, "db", "start"], env=environment(home), cwd=home, check=True, capture_output=True)
    try:
        found = _seconds([*PROGRAM, "threads", "list"], home, repeats)
    finally:
        subprocess.run([*PROGRAM, "db", "stop"], env=environment(home), cwd=home, check=True, capture_output=True)
    figures.append(Figure("threads list, server up", found, "s", THREADS_TARGET, bare, plain))
    if not PLAN.exists():
        say(f"{PLAN.name} is not there, so the demo's start is not measured")
        return figures
    cold: list[float] = []
    warm: list[float] = []
    for number in range(max(2, repeats // 2)):
        fresh = home / f"home{number}"
        cold.append(_first_subtask(fresh, home / f"cold{number}"))
        warm.append(_first_subtask(fresh, home / f"warm{number}"))
    shown = [", ".join(f"{value:.2f}" for value in values) for values in (cold, warm)]
    say(f"first subtask of the demo: new data folder {shown[0]} s, server down {shown[1]} s")
    figures.append(Figure("first subtask of the demo, server down", middle(warm), "s", FIRST_SUBTASK_TARGET))
    figures.append(Figure("the same with a new data folder", middle(cold), "s", FIRST_SUBTASK_TARGET))
    return figures


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    given = parser.parse_args(arguments)
    with temporary_folder() as home:
        return measure(home, repeats=3 if given.quick else 7)


if __name__ == "__main__":
    say(machine())
    print(table(main()))
