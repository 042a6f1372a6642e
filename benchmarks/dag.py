"""Dag: a workflow of timed tasks, read from a file or generated, with the bounds of its makespan.

A DAG file is JSON: `{"name": …, "tasks": [{"id": …, "type": …, "seconds": …, "needs": [ids]}]}`.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

SHORTEST_EXPECTED_SECONDS = 0.001


@dataclass(frozen=True)
class Task:
    """One timed task."""

    id: str
    kind: str
    """What class of work it is."""
    seconds: float
    """How long it takes."""
    needs: tuple[str, ...]
    """Which tasks it waits for; they come earlier in the DAG."""


@dataclass(frozen=True)
class Dag:
    """Tasks in an order in which every task comes after what it needs."""

    name: str
    tasks: tuple[Task, ...]

    @cached_property
    def critical_path(self) -> float:
        """Seconds of the longest chain."""
        ends: dict[str, float] = {}
        for task in self.tasks:
            ends[task.id] = task.seconds + max((ends[need] for need in task.needs), default=0.0)
        return max(ends.values())

    @cached_property
    def work(self) -> float:
        """Seconds of all tasks together."""
        return sum(task.seconds for task in self.tasks)

    @cached_property
    def levels(self) -> list[list[Task]]:
        """Tasks by how many hops they are from a start: the waves of a wave schedule."""
        depth: dict[str, int] = {}
        levels: list[list[Task]] = []
        for task in self.tasks:
            depth[task.id] = max((depth[need] + 1 for need in task.needs), default=0)
            while len(levels) <= depth[task.id]:
                levels.append([])
            levels[depth[task.id]].append(task)
        return levels

    def bound(self, slots: int) -> float:
        """Seconds that no schedule on so many slots can beat: `max(CP, W/P)`."""
        return max(self.critical_path, self.work / slots)

    def graham(self, slots: int) -> float:
        """Seconds that no schedule without idle slots exceeds: `W/P + (1 − 1/P)·CP`.

        R. L. Graham, "Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math. 17(2), 1969.
        """
        return self.work / slots + (1 - 1 / slots) * self.critical_path

    def scaled(self, factor: float) -> Dag:
        """The same DAG with all durations multiplied."""
        return Dag(self.name, tuple(replace(task, seconds=task.seconds * factor) for task in self.tasks))

    def plan(self, *, expected: bool) -> dict[str, Any]:
        """The DAG as a plan of `wait` calls.

        Args:
            expected: Whether the plan tells `kind` and `expected_s`.
        """
        subtasks: list[dict[str, Any]] = []
        for task in self.tasks:
            step: dict[str, Any] = {
                "id": task.id,
                "needs": list(task.needs),
                "tool": "wait",
                "args": {"seconds": task.seconds},
            }
            if expected:
                step |= {"kind": task.kind, "expected_s": max(task.seconds, SHORTEST_EXPECTED_SECONDS)}
            subtasks.append(step)
        return {"subtasks": subtasks}


def read_dags(folder: Path) -> list[Dag]:
    """The DAG files (`*.json`) of a folder, by name."""
    found: list[Dag] = []
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        given = {
            task["id"]: Task(task["id"], task.get("type") or "task", float(task["seconds"]), tuple(task["needs"]))
            for task in data["tasks"]
        }
        found.append(Dag(data.get("name") or path.stem, tuple(_in_order(given))))
    return found


def _in_order(tasks: dict[str, Task]) -> list[Task]:
    """The tasks, those first that are first in the file where their needs allow."""
    done: dict[str, Task] = {}
    left = list(tasks.values())
    while left:
        ready = [task for task in left if all(need in done for need in task.needs)]
        if not ready:
            raise ValueError("the DAG file has a cycle or an unknown id")
        done |= {task.id: task for task in ready}
        left = [task for task in left if task.id not in done]
    return list(done.values())


def generated_dags(seed: int = 2026) -> list[Dag]:
    """Three shapes that workflows have, always the same: layered, fan-out and fan-in, and chains."""
    rng = random.Random(seed)
    return [_layered(rng), _mosaic(rng), _chains(rng)]


def _layered(rng: random.Random, layers: int = 12, width: int = 12) -> Dag:
    """Layers of random width; each task needs one to three tasks of the two layers before."""
    tasks: list[Task] = []
    earlier: list[list[str]] = []
    for layer in range(layers):
        pool = [name for names in earlier[-2:] for name in names]
        names: list[str] = []
        for _ in range(rng.randint(3, width)):
            needs = rng.sample(pool, min(len(pool), rng.randint(1, 3))) if pool else []
            name = f"t{len(tasks)}"
            tasks.append(Task(name, f"layer{layer % 4}", rng.lognormvariate(0, 0.9), tuple(needs)))
            names.append(name)
        earlier.append(names)
    return Dag("layered", tuple(tasks))


def _mosaic(rng: random.Random, tiles: int = 60) -> Dag:
    """The shape of an image mosaic: project, compare neighbours, fit, correct each, add up."""
    tasks = [Task(f"project{i}", "project", rng.uniform(6, 10), ()) for i in range(tiles)]
    for i in range(tiles - 1):
        tasks.append(Task(f"diff{i}", "diff", rng.uniform(0.2, 3), (f"project{i}", f"project{i + 1}")))
    tasks.append(Task("fit", "fit", 3.0, tuple(f"diff{i}" for i in range(tiles - 1))))
    tasks.append(Task("model", "model", 5.0, ("fit",)))
    for i in range(tiles):
        tasks.append(Task(f"correct{i}", "correct", rng.uniform(0.5, 2), (f"project{i}", "model")))
    tasks.append(Task("add", "add", 8.0, tuple(f"correct{i}" for i in range(tiles))))
    return Dag("mosaic", tuple(tasks))


def _chains(rng: random.Random, chains: int = 16, length: int = 8) -> Dag:
    """Samples that go through the same stages, each at its own pace, and one summary of all."""
    tasks: list[Task] = []
    for chain in range(chains):
        for stage in range(length):
            needs = (f"c{chain}s{stage - 1}",) if stage else ()
            tasks.append(Task(f"c{chain}s{stage}", f"stage{stage}", rng.lognormvariate(0, 0.8), needs))
    tasks.append(Task("summary", "summary", 1.0, tuple(f"c{chain}s{length - 1}" for chain in range(chains))))
    return Dag("chains", tuple(tasks))
