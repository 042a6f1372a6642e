"""Template: a plan with parameters and holes in place of what one task named, and how its runs went."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

HOLE = "{{?}}"
"""Stands where a run filled in what it had found on the way."""
PLACEHOLDER = re.compile(r"\{\{(?:\?|(?P<name>p\d{1,4})(?::(?P<type>[a-z]+))?)\}\}")
"""A hole or a parameter; one that was a number says which type it had, `int` or `float`, and one in the file of a
template what it may be filled with."""
Kind = Literal["words", "number", "address", "email", "path"]
"""What a parameter may be filled with."""
KINDS: Mapping[str, str] = {
    "words": r"\S+(?:[ \t]\S+){0,5}",
    "number": r"\d+(?:[.,:/-]\d+)*",
    "address": r"[A-Za-z][A-Za-z0-9+.-]*://\S+",
    "email": r"[^\s@]+@[^\s@]+",
    "path": r"\S*[/\\.]\S+",
}
"""Pattern of what a parameter of each kind is filled with."""
MOST_TASK_CHARACTERS = 4_000
"""Characters of the longest task that is generalised, or read by rules; in longer ones the words say too little."""
HALF_LIFE_S = 30 * 24 * 3600.0
"""Seconds after which a run weighs half."""
LEAST_RATE = 0.4
"""Share of successes below which a template is not offered, once it has had `ENOUGH_RUNS`."""
SURE_RATE = 0.8
"""Share of successes from which a template that rules fill is proposed without a model."""
ENOUGH_RUNS = 3
"""Runs from which the share of successes says something."""
DIFFERENT_TASKS = 2
"""Tasks that a template must have worked for before its plan is proposed without a model."""


@dataclass(frozen=True)
class TemplateStep:
    """One step of a template."""

    id: str
    """Its name, unique in the template."""
    definition: dict[str, Any]
    """The subtask as plain data, with placeholders, without its id."""
    needs: tuple[str, ...] = ()
    """Ids of the steps that it waits for."""
    runs: int = 0
    """Completed runs that had it."""
    failures: int = 0
    """Runs in which it failed."""
    mean_s: float = 0.0
    """Mean seconds it took."""
    spread_s: float = 0.0
    """Standard deviation of those seconds; 0 before the second run."""

    @property
    def work(self) -> str:
        """Its tool, or its agent with an `@`."""
        return str(self.definition.get("tool") or f"@{self.definition.get('agent')}")


@dataclass(frozen=True)
class Template:
    """A way of doing a kind of task."""

    key: str
    """Hash of its shape and constants: the same way has the same key."""
    task: str
    """The task, with parameters in place of what it named."""
    steps: tuple[TemplateStep, ...]
    """Its steps in plan order."""
    goal: str = ""
    """What the plan was for."""
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    """Kind by name; one that is not in the task is filled by no rule."""

    @property
    def words(self) -> str:
        """What it is found by: its task and the goals of its steps, without placeholders."""
        goals = [str(step.definition.get("goal") or "") for step in self.steps]
        return PLACEHOLDER.sub(" ", "\n".join([self.task, *goals]))[:20_000]

    @property
    def holes(self) -> tuple[str, ...]:
        """Where something must be found on the way, such as `s3.url`."""
        return tuple(
            f"{step.id}.{'.'.join(path)}"
            for step in self.steps
            for path, text in texts_in(step.definition)
            if HOLE in text
        )

    @property
    def is_filled_by_rules(self) -> bool:
        """Whether a task of the same words says all that its steps need, and nothing that they leave out."""
        used = {name for step in self.steps for _, text in texts_in(step.definition) for name in names_in(text)}
        return not self.holes and used == set(names_in(self.task)) == set(self.parameters)

    def as_plan(self) -> dict[str, Any]:
        """The plan as plain data, with placeholders."""
        steps = [{"id": step.id, **step.definition} for step in self.steps]
        return {"goal": self.goal, "subtasks": steps} if self.goal else {"subtasks": steps}

    def fits(self, tools: Collection[str], agents: Collection[str]) -> bool:
        """Whether all its tools and agents are there."""
        known = {*tools, *(f"@{agent}" for agent in agents)}
        return all(step.work in known for step in self.steps)


@dataclass(frozen=True)
class TemplateRun:
    """How one request went that counts for a template."""

    thread_id: str
    """Its thread; stores keep a digest of it."""
    request: int
    """Which request of the thread, from 1."""
    succeeded: bool
    """Whether all of it was completed."""
    ended_at: float
    """When it ended, Unix time in seconds."""
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    """What each completed step took, by its id in the template."""
    failed: tuple[str, ...] = ()
    """Steps that failed; those after them count for nothing."""
    task_digest: str = ""
    """Digest of the task, so that runs of different tasks can be told apart."""
    was_replaced: bool = False
    """Whether it is of a plan by rules that failed, and in whose place another one was made; the other has its own."""
    digest_of_thread: str = ""
    """What names the thread where its id is not known any more; empty: what is made of the id."""

    @property
    def thread(self) -> str:
        """What names its thread in a ledger of runs."""
        return self.digest_of_thread or thread_digest(self.thread_id)

    def renamed(self, names: Mapping[str, str]) -> TemplateRun:
        """The run with other ids of its steps; of several that are the same then, the longest counts.

        Args:
            names: The new id by the former one; a step without one is left out.
        """
        seconds: dict[str, float] = {}
        for name, took in self.seconds.items():
            if name in names:
                seconds[names[name]] = max(took, seconds.get(names[name], 0.0))
        failed = tuple(dict.fromkeys(names[name] for name in self.failed if name in names))
        return replace(self, seconds=seconds, failed=failed)


def persons_word(key: str, moment: float) -> TemplateRun:
    """What a person who gives or corrects a template says by that: one run that worked, however often they say it.

    Without one that worked, a template is not offered.

    Args:
        key: The template's key.
        moment: When they said it, Unix time in seconds.
    """
    return TemplateRun(f"import {key}", 1, succeeded=True, ended_at=moment)


@dataclass(frozen=True)
class KnownTemplate:
    """A template as a store has it, with how its runs went."""

    template: Template
    """The template."""
    runs: int = 0
    """Requests that counted for it."""
    successes: float = 0.0
    """Runs that succeeded, each weighing half after every 30 days."""
    failures: float = 0.0
    """The same of those that did not."""
    worked: int = 0
    """Runs that succeeded, each weighing one."""
    tasks: int = 0
    """Different tasks that it has worked for."""
    mean_s: float = 0.0
    """Mean seconds of its runs, all steps together."""
    likeness: float = 1.0
    """How well it fits the task that it was found for, 0 to 1."""
    is_proven: bool = True
    """Whether its steps are those of a run that succeeded, and so stay."""
    used_at: float | None = None
    """When its last run ended, Unix time in seconds; `None` without any."""

    @property
    def rate(self) -> float:
        """Share of successes, 0 to 1, newer runs weighing more; 0 without any run."""
        total = self.successes + self.failures
        return self.successes / total if total else 0.0

    @property
    def weight(self) -> float:
        """The share of successes that is to be expected (Laplace), 0 to 1."""
        return (self.successes + 1) / (self.successes + self.failures + 2)

    @property
    def is_offered(self) -> bool:
        """Whether it may be shown to a model: it has worked, and not failed too often."""
        return self.worked > 0 and not (self.runs >= ENOUGH_RUNS and self.rate < LEAST_RATE)

    @property
    def is_sure(self) -> bool:
        """Whether its plan may be proposed without a model.

        It must have worked for different tasks: only then it is known that its constants belong to none of them.
        """
        is_tried = self.runs >= ENOUGH_RUNS and self.tasks >= DIFFERENT_TASKS
        return is_tried and self.rate >= SURE_RATE and self.template.is_filled_by_rules


def texts_in(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in a plain value, with the way to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, inside in cast("dict[str, Any]", value).items():
            yield from texts_in(inside, path if name == "args" and not path else (*path, str(name)))
    elif isinstance(value, list):
        for index, inside in enumerate(cast("list[Any]", value)):
            yield from texts_in(inside, (*path, str(index)))


def names_in(text: str) -> list[str]:
    """The parameters in a text, in order."""
    return [found["name"] for found in PLACEHOLDER.finditer(text) if found["name"]]


def task_digest(task: str) -> str:
    """What tells tasks apart, whatever their blanks and capitals."""
    return _digest("task", " ".join(task.casefold().split()))


def thread_digest(thread_id: str) -> str:
    """What names a thread in the ledger of runs: its id begins with words of a task, which are not kept."""
    return _digest("thread", thread_id)


def _digest(what: str, text: str) -> str:
    return hashlib.sha256(f"openmanus_graph {what}: {text}".encode(errors="surrogatepass")).hexdigest()[:32]


def spread(runs: int, m2: float) -> float:
    """Standard deviation of so many values with this sum of squared differences from their mean."""
    return math.sqrt(m2 / (runs - 1)) if runs > 1 else 0.0
