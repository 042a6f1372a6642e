"""Namespaces: node and task names in checkpoint namespaces, written and parsed in this module alone.

A namespace is the path to a graph that runs inside another: levels joined by `|`, each the name of a node or a call,
with the id of its task behind a `:` unless the inner graph keeps its own state. A subtask of a dispatch runs in
`dispatcher|subtask <id> <definition hash> r<round>`. Rows of old threads hold these names: they never change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DISPATCHER = "dispatcher"
"""The node that executes a plan."""
LEVEL = "|"
"""Separates the levels of a namespace."""
TASK_ID = ":"
"""Separates a name from the id of its task."""
SUBTASKS = f"{DISPATCHER}{LEVEL}subtask "
"""What the namespaces of all subtasks begin with, in a thread whose own graph has the dispatcher."""

_TASK = re.compile(r"subtask (?P<id>\S+) (?P<definition>\S+) r(?P<round>\d+)")
_IN_NAMESPACE = re.compile(rf"(?:^|\|){DISPATCHER}\|{_TASK.pattern}(?=\||$)")
_TASK_IDS = re.compile(r":([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?=\||$)")


@dataclass(frozen=True, slots=True)
class SubtaskTask:
    """The branch of one subtask in one round."""

    subtask: str
    """The subtask's id."""
    definition: str
    """Hash of its definition."""
    round: int
    """The dispatch, counted from 1."""

    @property
    def name(self) -> str:
        """The name of the branch."""
        return f"subtask {self.subtask} {self.definition} r{self.round}"

    @property
    def namespace(self) -> str:
        """The subtask's namespace, in a thread whose own graph has the dispatcher."""
        return f"{DISPATCHER}{LEVEL}{self.name}"


def task_of(name: str) -> SubtaskTask | None:
    """The subtask of a branch's name; `None` for any other name."""
    found = _TASK.fullmatch(name)
    return None if found is None else _made(found)


def innermost_subtask(namespace: str) -> SubtaskTask | None:
    """The innermost subtask that a namespace is in; `None` outside of any."""
    found = list(_IN_NAMESPACE.finditer(namespace))
    return _made(found[-1]) if found else None


def subtask_at(namespace: str) -> SubtaskTask | None:
    """The subtask whose own graph has this namespace; `None` for graphs inside of it, and outside of any."""
    found = list(_IN_NAMESPACE.finditer(namespace))
    return _made(found[-1]) if found and found[-1].end() == len(namespace) else None


def dispatched(namespace: str, level: str = "") -> SubtaskTask | None:
    """The subtask that a namespace is in, of those that the graph at `level` dispatches itself.

    Args:
        namespace: The namespace.
        level: The namespace of the graph with the dispatcher; empty for the thread's own graph.
    """
    found = _IN_NAMESPACE.match(namespace.removeprefix(level))
    return None if found is None else _made(found)


def home_of(namespace: str) -> str:
    """The namespace of the subtask that the thread's own graph dispatched; empty outside of any."""
    found = dispatched(namespace)
    return "" if found is None else found.namespace


def levels_of(namespace: str) -> tuple[str, ...]:
    """The nodes and tasks around a namespace, the outermost first, without ids; empty for the graph itself."""
    return tuple(part.partition(TASK_ID)[0] for part in namespace.split(LEVEL)) if namespace else ()


def plain_namespace(namespace: str) -> str:
    """A namespace without the ids of tasks, which change with each step."""
    return LEVEL.join(levels_of(namespace))


def task_ids_in(namespace: str) -> list[str]:
    """The ids of the tasks that a namespace is inside of."""
    return _TASK_IDS.findall(namespace)


def _made(found: re.Match[str]) -> SubtaskTask:
    return SubtaskTask(found["id"], found["definition"], int(found["round"]))
