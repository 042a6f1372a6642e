"""Step commands: what a person types to a stepper, and what it says to it, in lines of a terminal."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import indent
from typing import Any

from openmanus_graph.checkpoints.forking.edit import read_edit
from openmanus_graph.checkpoints.history.diff import plain
from openmanus_graph.cli.asking import described
from openmanus_graph.display_text import amount, call_line, clean, one_line
from openmanus_graph.errors import OpenManusGraphError, UsageError
from openmanus_graph.plan import Plan
from openmanus_graph.questions import handle_of
from openmanus_graph.stepping.stepper import Stepper
from openmanus_graph.stepping.view import Stop, ValueChange

SIGNS = {"completed": "✓", "failed": "✗", "blocked": "⊘", "skipped": "–", "next": "▸", "running": "●", "waiting": "?"}
"""A sign for each status, so that none is told by its colour alone."""
HELP = """step [SUBTASK]    one node of the next branch
next [SUBTASK]    the same, with all that is inside of the node
out [SUBTASK]     to the end of the subtask
run               to a stop or the end
pause             stop each branch before its next node
to PLACE          run to a node, tool:NAME or subtask:ID
break PLACE       stop there from now on; unbreak PLACE: no longer
back [N]          look at an earlier point
goto POINT        look at a point; goto head: where the thread goes on
set PATH=VALUE    change the state, in a fork
plan FILE         another plan, in a fork
rerun [SUBTASK] [PATH=VALUE]    the last step again, with another input
answer [WHO=]VALUE              answer a question; asked shows them whole
branch N          one node of the Nth branch that stands
state  diff  table  history  branches  asked  help  quit"""
TAKEN = {
    "answer": "WORDS",
    "approve": "yes | no | no: REASON | edit {ARGUMENTS} | answer: VALUE in its place",
    "effect": "happened | no | = RESULT",
}
"""What each kind of question takes."""
CURRENT = "▸"
"""What the line of a history begins with that is looked at."""
LONGEST = 78
"""Columns that a line may take; what does not fit goes below it."""


class StepCommands:
    """Does what a line says."""

    def __init__(self, stepper: Stepper) -> None:
        """Command a stepper.

        Args:
            stepper: It.
        """
        self.stepper = stepper
        verbs: dict[str, Callable[[str], Awaitable[Stop]]] = {
            "step": lambda said: stepper.step(said or None),
            "branch": self._branch,
            "next": lambda said: stepper.next(said or None),
            "out": lambda said: stepper.out(said or None),
            "run": lambda _: stepper.run(),
            "to": lambda said: stepper.run_to(_needed(said, "to PLACE")),
            "pause": lambda _: stepper.pause(),
            "back": lambda said: stepper.back(_number(said)),
            "goto": lambda said: stepper.goto(_needed(said, "goto POINT")),
            "set": lambda said: stepper.edit(values=dict([read_edit(said)])),
            "plan": lambda said: stepper.edit(plan=_plan(_needed(said, "plan FILE"))),
            "rerun": self._rerun,
            "answer": self._answer,
        }
        self._verbs = verbs
        self._views: dict[str, Callable[[], str]] = {
            "state": self._state,
            "diff": self._diff,
            "table": self._table,
            "history": self._history,
            "branches": self.branches,
            "asked": self.asked,
            "help": lambda: HELP,
        }

    async def do(self, line: str) -> str:
        """Do what a line says, and give what is to be shown."""
        name, _, said = line.strip().partition(" ")
        said = said.strip()
        try:
            if name in self._verbs:
                return clean((await self._verbs[name](said))["text"])
            if name in self._views:
                return clean(self._views[name]())
            if name == "break":
                return f"Stops at {self.stepper.breakpoints.add(_needed(said, 'break PLACE'))}."
            if name == "unbreak":
                self.stepper.breakpoints.remove(_needed(said, "unbreak PLACE"))
                return f"Does not stop at {said} any more."
        except OpenManusGraphError as error:
            return clean(f"{error.message} {error.hint or ''}".strip())
        return f"There is no command {name!r}.\n{HELP}"

    async def _branch(self, said: str) -> Stop:
        """A step of the branch with this number among those that stand."""
        standing = [one for one in self.stepper.branches if one["status"] == "next"]
        number = _number(said)
        if not 1 <= number <= len(standing):
            raise UsageError(f"There is no branch {number}; {len(standing)} stand.")
        return await self.stepper.step(standing[number - 1]["name"] or None)

    async def _rerun(self, said: str) -> Stop:
        """`rerun [SUBTASK] [PATH=VALUE]`."""
        first, _, rest = said.partition(" ")
        subtask, change = (None, said) if "=" in first else (first or None, rest.strip())
        return await self.stepper.rerun(subtask, values=dict([read_edit(change)]) if change else None)

    async def _answer(self, said: str) -> Stop:
        return await self.stepper.answer(_needed(said, "answer VALUE"))

    def subtasks(self) -> str:
        """The plan's subtasks with a sign each, in a line."""
        return "  ".join(f"{SIGNS.get(status, '·')} {name}" for name, status in self.stepper.subtasks.items())

    def branches(self, longest: int = LONGEST) -> str:
        """Where the run stands, a line each, and what is asked."""
        lines: list[str] = []
        number = 0
        for one in self.stepper.branches:
            what = call_line(one["call"]["tool"], one["call"]["args"]) if "call" in one else one["node"]
            number += one["status"] == "next"
            place = f" {number}" if one["status"] == "next" else ""
            lines.append(one_line(f"{SIGNS[one['status']]}{place} {one['name'] or 'graph'}: {what}", longest))
        for question in self.stepper.questions:
            lines.append(one_line(f"? {question['subtask'] or 'graph'} asks: {question['question']}", longest))
        return "\n".join(lines) or "Nothing stands."

    def asked(self) -> str:
        """All that is asked, with all that is needed to answer."""
        open_ones = self.stepper.questions
        return (
            "\n\n".join(
                f"{described(one)}\nanswer {handle_of(one, open_ones)}={TAKEN[one['kind']]}" for one in open_ones
            )
            or "Nothing is asked."
        )

    def _state(self) -> str:
        return json.dumps(plain(self.stepper.state), indent=2, ensure_ascii=False, default=str)

    def _diff(self) -> str:
        found = self.stepper.diff()
        changes = [*found["state"], *found["results"], *found["messages"], *found["branches"]]
        return "\n".join(_change(one) for one in changes) or "Nothing changed since the last stop."

    def _table(self) -> str:
        rows = [f"{'node':<18}{'subtask':<14}{'status':<11}{'try':>3}{'seconds':>9}{'tokens':>8}{'cost':>9}"]
        for one in self.stepper.table:
            seconds = "" if one["seconds"] is None else f"{one['seconds']:.2f}"
            cost = "?" if one["cost_usd"] is None else f"${one['cost_usd']:.4f}" if one["cost_usd"] else ""
            node, subtask = one_line(one["node"], 17), one_line(one["subtask"], 13)
            tokens = amount(one["tokens"]) if one["tokens"] else ""
            attempt = one["attempt"] or ""
            rows.append(
                f"{node:<18}{subtask:<14}{one['status']:<11}{attempt:>3}{seconds:>9}{tokens:>8}{cost:>9}".rstrip()
            )
        return "\n".join(rows)

    def _history(self) -> str:
        lines: list[str] = []
        for one in self.stepper.history:
            mark = CURRENT if one["current"] else " "
            forks = f"  forked: {', '.join(one['forks'])}" if one["forks"] else ""
            who = one["subtask"] or "graph"
            what = one["what"] or one["source"]
            told = one_line(f"{who} {', '.join(one['nodes'])}: {what}{forks}".replace(" :", ":"), LONGEST - 6)
            lines.append(f"{mark}{one['number']:>4} {told}")
        return "\n".join(lines) or "Nothing is stored yet."


def _change(one: ValueChange) -> str:
    sign = {"added": "+", "removed": "-", "changed": "~"}[one["kind"]]
    value = one["before"] if one["kind"] == "removed" else one["after"]
    line = f"{sign} {one['name']}: {json.dumps(value, ensure_ascii=False, default=str)}"
    if len(line) <= LONGEST:
        return line
    if lines := one.get("lines"):
        whole = "\n".join(lines.splitlines()[2:])  # without the names of files, which it has none of
    else:
        whole = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return f"{sign} {one['name']}:\n{indent(whole, '    ')}"


def _needed(said: str, usage: str) -> str:
    if not said:
        raise UsageError(f"Something is missing: {usage}.")
    return said


def _number(said: str) -> int:
    if said and not said.isdigit():
        raise UsageError(f"{said!r} is no number of points.")
    return int(said or 1)


def _plan(file: str) -> Any:
    return Plan.from_file(Path(file))
