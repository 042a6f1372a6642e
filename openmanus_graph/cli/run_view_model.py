"""Run view model: state of a run for views, derived from its events alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from openmanus_graph.agent_nodes import ACTING
from openmanus_graph.config.sections import BudgetSettings
from openmanus_graph.display_text import call_line, cost, counted, duration, one_line
from openmanus_graph.events import Event, Usage
from openmanus_graph.usage import NO_USAGE, add_usage

ENDED = frozenset({"completed", "failed", "blocked", "skipped"})
"""Statuses of a subtask that has ended."""
_BEGINS = frozenset({"plan_started", "subtask_started", "model_started", "node_started"})
"""Events after which something is still to come."""
TAIL = 2000
"""Characters kept of a reply that is being written."""


@dataclass
class SubtaskRow:
    """One subtask."""

    id: str
    goal: str = ""
    runs: str = ""
    """The tool or agent that runs it."""
    needs: list[str] = field(default_factory=list[str])
    status: str = "pending"
    kept: bool = False
    """Whether its result was there before this run."""
    verified: bool | None = None
    why: str = ""
    """What a check, a failure or a question said."""
    progress: str = ""
    """What its tool says it is doing."""
    calls: dict[str, str] = field(default_factory=dict[str, str])
    """Tool calls that have not returned, by id."""
    role: str = ""
    """The role whose model is replying for it."""
    tail: str = ""
    """The end of that reply."""
    tokens: int = 0
    attempt: int = 1
    began: float | None = None
    took: float | None = None

    @property
    def doing(self) -> str:
        """Line about the present work, or the reason for the status."""
        if self.status == "running":
            return self._running()
        if self.status in ("waiting", "failed", "blocked", "skipped") and self.why:
            return one_line(self.why)
        if self.status == "pending" and self.needs:
            return one_line(f"{self.goal}  ← {', '.join(self.needs)}")
        return one_line(self.goal)

    def _running(self) -> str:
        if self.calls:
            more = f" (and {len(self.calls) - 1} more)" if len(self.calls) > 1 else ""
            return one_line(next(reversed(self.calls.values()))) + more
        if self.role:
            reply = one_line(self.tail[-200:])
            return f"{ACTING.get(self.role, 'thinking')}{': ' + reply if reply else ''}"
        return one_line(self.progress or self.goal)


@dataclass
class ActiveRole:
    """Role of the graph, outside any subtask, whose model is replying."""

    model: str
    began: float
    reply: str = ""


class RunViewModel:
    """The state of a run, event by event."""

    def __init__(
        self,
        thread_id: str,
        *,
        task: str = "",
        budget: BudgetSettings | None = None,
        before: Usage | None = None,
        active_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin empty.

        Args:
            thread_id: The thread.
            task: What was asked, until there is a plan.
            budget: The limits of the request, for the share of them that is used.
            before: What the request had used before this process.
            active_s: Seconds it had been running.
            clock: Where the time comes from.
        """
        self.thread_id = thread_id
        self.goal = task
        self.rows: dict[str, SubtaskRow] = {}
        self.active_roles: dict[str, ActiveRole] = {}
        self.usage: Usage = before or cast("Usage", dict(NO_USAGE))
        self.plans = 0
        self.note = ""
        """The last thing that a role decided, in a line."""
        self.warning = ""
        self.questions: list[dict[str, Any]] = []
        self.told: set[str] = set()
        """Subtasks whose failure a view has said in full, so that nobody says it again."""
        self.over = False
        """Whether nothing comes any more, so that what failed is told at the end of the run."""
        self._has_roles = False
        self._goes_on = False
        """Whether a new stream goes on with the plan that is known, and announces it once more."""
        self.clock = clock
        self._budget = budget or BudgetSettings()
        self._before_s = active_s
        self._began = clock()
        self._seen: set[str] = set()

    @property
    def elapsed_s(self) -> float:
        """Seconds since this process began."""
        return self.clock() - self._began

    @property
    def counts(self) -> dict[str, int]:
        """Subtasks by status."""
        counts: dict[str, int] = {}
        for row in self.rows.values():
            counts[row.status] = counts.get(row.status, 0) + 1
        return counts

    @property
    def done(self) -> int:
        """Subtasks that have ended."""
        return sum(row.status in ENDED for row in self.rows.values())

    @property
    def budget_share(self) -> str:
        """Used share of the budget that is nearest to its end, such as `24% of $0.50`; empty without budgets."""
        usage, budget = self.usage, self._budget
        tokens = usage["input_tokens"] + usage["output_tokens"]
        shares: list[tuple[float, str]] = []
        if budget.tokens:
            shares.append((tokens / budget.tokens, counted(budget.tokens, "token")))
        if budget.usd:
            shares.append(((usage["cost_usd"] or 0.0) / budget.usd, cost(budget.usd)))
        if budget.wall_s:
            shares.append(((self._before_s + self.elapsed_s) / budget.wall_s, duration(budget.wall_s)))
        if budget.model_calls:
            shares.append((usage["calls"] / budget.model_calls, counted(budget.model_calls, "call")))
        if not shares:
            return ""
        share, words = max(shares)
        return f"{share:.0%} of {words}"

    def take(self, event: Event) -> None:
        """Apply one event; types without a handler change nothing."""
        kind = str(event.get("type"))
        if kind in ("decided", "plan_made"):
            self._has_roles, self._goes_on = True, False
        self.over = self._ends(event) or (self.over and kind not in _BEGINS)
        handler = _HANDLERS.get(str(event.get("type")))
        if handler is not None:
            handler(self, event)

    def _ends(self, event: Event) -> bool:
        """Whether an event is the last of its run: the answer, without roles the end of the plan, or a failed node."""
        kind = event.get("type")
        failed = kind == "node_finished" and event.get("status") == "failed"
        return kind == "answered" or failed or (kind == "plan_finished" and not self._has_roles)

    def row(self, event: Event) -> SubtaskRow | None:
        """The row an event is about."""
        return self.rows.get(event.get("subtask") or event.get("node") or "")

    def again(self) -> None:
        """Clear unfinished calls, replies and questions when a stream has ended."""
        self._goes_on = True
        self.active_roles.clear()
        self.questions.clear()
        for row in self.rows.values():
            row.calls.clear()
            row.role = row.tail = ""
            if row.status == "running":
                row.status = "pending"

    def _plan_started(self, event: Event) -> None:
        identity = str(event.get("id"))
        if identity not in self._seen:
            self._seen.add(identity)
            self.plans += 0 if self._goes_on and self.plans else 1
        self._goes_on = False
        self.goal = event.get("goal") or self.goal
        self.questions.clear()  # a node that asked repeats its question when it is resumed with the answer
        kept = set(event.get("kept", []))
        old, self.rows = self.rows, {}
        for outline in event.get("subtasks", []):
            name = str(outline["id"])
            row = old.get(name) if name in kept else None
            if row is None or row.status != "completed":
                row = SubtaskRow(name, kept=name in kept, status="completed" if name in kept else "pending")
            row.goal, row.runs = str(outline.get("goal") or ""), str(outline.get("runs") or "")
            row.needs = [str(need) for need in outline.get("needs") or ()]
            self.rows[name] = row

    def _subtask_started(self, event: Event) -> None:
        row = self.row(event)
        if row is not None:
            row.status, row.attempt, row.progress = "running", event.get("attempt", 1), ""
            row.began = self.clock()

    def _subtask_progress(self, event: Event) -> None:
        row = self.row(event)
        if row is not None:
            row.progress = event.get("text", "")

    def _subtask_retrying(self, event: Event) -> None:
        row = self.row(event)
        if row is not None:
            row.calls.clear()
            row.progress = f"again in {event.get('delay_s', 0):g} s: {event.get('error')}"

    def _subtask_waiting(self, event: Event) -> None:
        self._question_asked(event)
        row = self.row(event)
        if row is not None:
            row.status, row.why = "waiting", str(event.get("question", {}).get("question", ""))

    def _subtask_verified(self, event: Event) -> None:
        row = self.row(event)
        if row is not None:
            row.verified, row.why = event.get("verified"), event.get("text", "")

    def _subtask_finished(self, event: Event) -> None:
        row = self.row(event)
        if row is not None:
            row.status, row.took = event.get("status", "completed"), event.get("elapsed_s", 0.0)
            row.why = event.get("error") or row.why
            row.calls.clear()
            row.role = row.tail = ""

    def _question_asked(self, event: Event) -> None:
        question = event.get("question")
        if question and all(question.get("id") != known.get("id") for known in self.questions):
            self.questions.append(question)

    def _model_started(self, event: Event) -> None:
        role, row = event.get("role", "model"), self.row(event)
        self.warning = ""
        if row is None:
            self.active_roles[role] = ActiveRole(event.get("model", ""), self.clock())
            return
        row.role, row.tail = role, ""
        if row.status == "pending":  # an agent's subtask says so by its first call
            row.status, row.began = "running", self.clock()

    def _model_tokens(self, event: Event) -> None:
        row, active = self.row(event), self.active_roles.get(event.get("role", ""))
        if row is not None:
            row.role = row.role or event.get("role") or "model"
            row.tail = (row.tail + event.get("text", ""))[-TAIL:]
        elif active is not None:
            active.reply = (active.reply + event.get("text", ""))[-TAIL:]

    def _model_retrying(self, event: Event) -> None:
        where = f" for {event.get('subtask')}" if event.get("subtask") else ""
        delay = f"again in {event.get('delay_s', 0):.3g} s"
        self.warning = one_line(f"{event.get('role', 'model')}{where} {delay}: {event.get('error')}")

    def _model_finished(self, event: Event) -> None:
        row, usage = self.row(event), event.get("usage")
        identity = str(event.get("id"))
        if usage is not None and identity not in self._seen:  # a resume repeats what a suspended node began with
            self._seen.add(identity)
            self.usage = add_usage(self.usage, cast("Mapping[str, Any]", usage))
            if row is not None:
                row.tokens += usage["input_tokens"] + usage["output_tokens"]
        if row is None:
            self.active_roles.pop(event.get("role", "model"), None)
        else:
            row.role = row.tail = ""

    def _tool_called(self, event: Event) -> None:
        row = self.row(event)
        if row is not None:
            row.calls[event.get("call", "")] = call_line(event.get("tool", ""), event.get("args", {}))

    def _tool_returned(self, event: Event) -> None:
        row = self.row(event)
        if row is not None:
            row.calls.pop(event.get("call", ""), None)

    def _node_started(self, event: Event) -> None:
        """A node of a graph that is not ours: a row of its own, from the moment it begins."""
        name = event.get("node", "")
        self.rows[name] = SubtaskRow(name, goal="", status="running", began=self.clock())

    def _node_progress(self, event: Event) -> None:
        row = self.rows.get(event.get("node", ""))
        if row is not None:
            row.progress = event.get("text", "")

    def _node_finished(self, event: Event) -> None:
        row = self.rows.get(event.get("node", ""))
        if row is not None:
            row.status, row.took = event.get("status", "completed"), event.get("elapsed_s", 0.0)
            row.why, row.goal, row.tail = event.get("error") or "", event.get("preview", ""), ""

    def _decided(self, event: Event) -> None:
        words = event.get("text", "")
        if event.get("decision") == "answer":  # which is to be seen at once
            self.note = ""
            return
        self.note = one_line(f"{event.get('decision', '')}{': ' + words if words else ''}")

    def _recalled(self, event: Event) -> None:
        self.note = one_line(event.get("text", ""))

    def _plan_refused(self, event: Event) -> None:
        problems = event.get("problems", [])
        self.warning = one_line(f"the plan is refused: {'; '.join(problems)}")

    def _site_allowed(self, event: Event) -> None:
        self.note = f"{one_line(event.get('text', ''))} is allowed for this request"

    def _warned(self, event: Event) -> None:
        self.warning = one_line(event.get("text", ""))


_HANDLERS: dict[str, Callable[[RunViewModel, Event], None]] = {
    name.removeprefix("_"): handler
    for name, handler in vars(RunViewModel).items()
    if name.startswith(("_plan_", "_subtask_", "_question_", "_model_", "_tool_", "_node_"))
    or name in ("_decided", "_recalled", "_warned", "_site_allowed")
}
_HANDLERS["budget_reached"] = _HANDLERS["warned"]
