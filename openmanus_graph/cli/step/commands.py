"""Step commands: what a person types to a stepper, and what it says to it, in lines of a terminal."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import indent
from typing import Any

from openmanus_graph.checkpoints.forking.edit import read_edit
from openmanus_graph.checkpoints.history.diff import state_as_json
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
    "approve": "yes | no | no: REASON | edit {WHAT CHANGES} | answer: VALUE in its place",
    "effect": "happened | no | = RESULT",
}
"""What each kind of question takes."""
CURRENT = "▸"
"""Mark of the present point in a history."""
LONGEST = 78
"""Columns that a line may take; what does not fit goes below it."""


class StepCommands:
    """Commands of the stepper, a line each."""

    def __init__(self, stepper: Stepper) -> None:
        """Bind the commands to a stepper.

        Args:
            stepper: The stepper that they command.
        """
        self.stepper = stepper
        verbs: dict[str, Callable[[str], Awaitable[Stop]]] = {
            "step": lambda words: stepper.step(words or None),
            "branch": self._branch,
            "next": lambda words: stepper.next(words or None),
            "out": lambda words: stepper.out(words or None),
            "run": lambda _: stepper.run(),
            "to": lambda words: stepper.run_to(_needed(words, "to PLACE")),
            "pause": lambda _: stepper.pause(),
            "back": lambda words: stepper.back(_number(words)),
            "goto": lambda words: stepper.goto(_needed(words, "goto POINT")),
            "set": lambda words: stepper.edit(values=dict([read_edit(words)])),
            "plan": lambda words: stepper.edit(plan=_plan(_needed(words, "plan FILE"))),
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
        """Execute a line and return the text to show."""
        name, _, words = line.strip().partition(" ")
        words = words.strip()
        try:
            if name in self._verbs:
                return clean((await self._verbs[name](words))["text"])
            if name in self._views:
                return clean(self._views[name]())
            if name == "break":
                return f"Stops at {self.stepper.breakpoints.add(_needed(words, 'break PLACE'))}."
            if name == "unbreak":
                self.stepper.breakpoints.remove(_needed(words, "unbreak PLACE"))
                return f"Does not stop at {words} any more."
        except OpenManusGraphError as error:
            return clean(f"{error.message} {error.hint or ''}".strip())
        return f"There is no command {name!r}.\n{HELP}"

    async def _branch(self, words: str) -> Stop:
        """Step the held branch with this number."""
        standing = [branch for branch in self.stepper.branches if branch["status"] == "next"]
        number = _number(words)
        if not 1 <= number <= len(standing):
            raise UsageError(f"There is no branch {number}; {len(standing)} stand.")
        return await self.stepper.step(standing[number - 1]["name"] or None)

    async def _rerun(self, words: str) -> Stop:
        """`rerun [SUBTASK] [PATH=VALUE]`."""
        first, _, rest = words.partition(" ")
        subtask, change = (None, words) if "=" in first else (first or None, rest.strip())
        return await self.stepper.rerun(subtask, values=dict([read_edit(change)]) if change else None)

    async def _answer(self, words: str) -> Stop:
        return await self.stepper.answer(_needed(words, "answer VALUE"))

    def subtasks(self) -> str:
        """The plan's subtasks with a sign each, in a line."""
        return "  ".join(f"{SIGNS.get(status, '·')} {name}" for name, status in self.stepper.subtasks.items())

    def branches(self, longest: int = LONGEST) -> str:
        """Branches of the run, a line each, then the open questions."""
        lines: list[str] = []
        number = 0
        for branch in self.stepper.branches:
            what = call_line(branch["call"]["tool"], branch["call"]["args"]) if "call" in branch else branch["node"]
            number += branch["status"] == "next"
            place = f" {number}" if branch["status"] == "next" else ""
            lines.append(one_line(f"{SIGNS[branch['status']]}{place} {branch['name'] or 'graph'}: {what}", longest))
        for question in self.stepper.questions:
            lines.append(one_line(f"? {question['subtask'] or 'graph'} asks: {question['question']}", longest))
        return "\n".join(lines) or "Nothing stands."

    def asked(self) -> str:
        """Open questions in full, each with the form of its answer."""
        questions = self.stepper.questions
        texts = [
            f"{described(question)}\nanswer {handle_of(question, questions)}={TAKEN[question['kind']]}"
            for question in questions
        ]
        return "\n\n".join(texts) or "Nothing is asked."

    def _state(self) -> str:
        return json.dumps(state_as_json(self.stepper.state), indent=2, ensure_ascii=False, default=str)

    def _diff(self) -> str:
        difference = self.stepper.diff()
        changes = [*difference["state"], *difference["results"], *difference["messages"], *difference["branches"]]
        return "\n".join(_change(change) for change in changes) or "Nothing changed since the last stop."

    def _table(self) -> str:
        rows = [f"{'node':<18}{'subtask':<14}{'status':<11}{'try':>3}{'seconds':>9}{'tokens':>8}{'cost':>9}"]
        for entry in self.stepper.table:
            seconds = "" if entry["seconds"] is None else f"{entry['seconds']:.2f}"
            cost = "?" if entry["cost_usd"] is None else f"${entry['cost_usd']:.4f}" if entry["cost_usd"] else ""
            node, subtask = one_line(entry["node"], 17), one_line(entry["subtask"], 13)
            tokens = amount(entry["tokens"]) if entry["tokens"] else ""
            attempt = entry["attempt"] or ""
            rows.append(
                f"{node:<18}{subtask:<14}{entry['status']:<11}{attempt:>3}{seconds:>9}{tokens:>8}{cost:>9}".rstrip()
            )
        return "\n".join(rows)

    def _history(self) -> str:
        lines: list[str] = []
        for moment in self.stepper.history:
            mark = CURRENT if moment["current"] else " "
            forks = f"  forked: {', '.join(moment['forks'])}" if moment["forks"] else ""
            who = moment["subtask"] or "graph"
            what = moment["what"] or moment["source"]
            text = one_line(f"{who} {', '.join(moment['nodes'])}: {what}{forks}".replace(" :", ":"), LONGEST - 6)
            lines.append(f"{mark}{moment['number']:>4} {text}")
        return "\n".join(lines) or "Nothing is stored yet."


def _change(change: ValueChange) -> str:
    sign = {"added": "+", "removed": "-", "changed": "~"}[change["kind"]]
    value = change["before"] if change["kind"] == "removed" else change["after"]
    line = f"{sign} {change['name']}: {json.dumps(value, ensure_ascii=False, default=str)}"
    if len(line) <= LONGEST:
        return line
    if lines := change.get("lines"):
        whole = "\n".join(lines.splitlines()[2:])  # without the names of files, which it has none of
    else:
        whole = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return f"{sign} {change['name']}:\n{indent(whole, '    ')}"


def _needed(words: str, usage: str) -> str:
    if not words:
        raise UsageError(f"Something is missing: {usage}.")
    return words


def _number(words: str) -> int:
    if words and not words.isdigit():
        raise UsageError(f"{words!r} is no number of points.")
    return int(words or 1)


def _plan(file: str) -> Any:
    return Plan.from_file(Path(file))
