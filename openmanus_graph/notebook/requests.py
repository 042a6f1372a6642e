"""Requests: translates messages of a widget's page to verbs of its stepper."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import yaml

from openmanus_graph.checkpoints.forking.edit import read_edit
from openmanus_graph.errors import UsageError
from openmanus_graph.stepping.stepper import Stepper
from openmanus_graph.stepping.view import Stop

PageMessage = Mapping[str, Any]
"""A message of the page: `do` names the verb, the rest its arguments."""


def verb_of(stepper: Stepper, message: PageMessage) -> Awaitable[Stop]:
    """Begin the verb that the page asks for.

    Args:
        stepper: What is to do it.
        message: The page's message.

    Returns:
        Where it ends, to be awaited.

    Raises:
        UsageError: If it makes no sense; the sentence is for the person.
    """
    subtask = str(message["subtask"]) if message.get("subtask") else None
    verbs: dict[str, Callable[[], Awaitable[Stop]]] = {
        "step": lambda: stepper.step(subtask),
        "next": lambda: stepper.next(subtask),
        "out": lambda: stepper.out(subtask),
        "run": stepper.run,
        "pause": stepper.pause,
        "back": stepper.back,
        "head": lambda: stepper.goto(None),
        "goto": lambda: stepper.goto(int(message["point"])),
        "to": lambda: stepper.run_to(str(message["place"])),
        "rerun": lambda: stepper.rerun(values=_values(message) if message.get("path") else None),
        "answer": lambda: stepper.answer(str(message.get("value", "")), str(message["question"])),
        "edit": lambda: _edited(stepper, message),
        "refresh": stepper.refresh,
    }
    name = str(message.get("do"))
    if name not in verbs:
        raise UsageError(f"There is nothing to do by the name of {name!r}.", hint="Reload the page.")
    return verbs[name]()


def _edited(stepper: Stepper, message: PageMessage) -> Awaitable[Stop]:
    text = str(message.get("value", ""))
    match message.get("what"):
        case "plan":
            return stepper.edit(plan=_plan(text))
        case "result":
            name, value = read_edit(f"{message.get('path')}={text}")
            return stepper.edit(results={name: value})
        case _:
            return stepper.edit(values=_values(message))


def _values(message: PageMessage) -> dict[str, Any]:
    path, value = read_edit(f"{message.get('path')}={message.get('value', '')}")
    return {path: value}


def _plan(text: str) -> Mapping[str, Any]:
    try:
        read: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where is not None else ""
        raise UsageError(
            f"The plan is no YAML: {getattr(error, 'problem', None) or error}{line}.", hint="Nothing was changed."
        ) from error
    if not isinstance(read, dict):
        raise UsageError("The plan is empty.", hint="It needs a list of `subtasks`; nothing was changed.")
    return read  # pyright: ignore[reportUnknownVariableType] # the plan's own check looks at it
