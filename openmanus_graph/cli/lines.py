"""Lines: a run as one plain line an event, for pipes and logs."""

from __future__ import annotations

import click

from openmanus_graph.agent_nodes import ACTING
from openmanus_graph.cli.run_view_model import RunViewModel
from openmanus_graph.cli.terminal import with_program
from openmanus_graph.display_text import call_line, counted, duration, one_line
from openmanus_graph.events import Event

LONGEST_ERROR = 1000
"""Characters of an error that are shown."""


class Lines:
    """Turns events into lines."""

    def __init__(self, view_model: RunViewModel) -> None:
        """Keep `view_model` up to date, for what a line says of the whole."""
        self._view_model = view_model
        self._refused: dict[str, str] = {}
        """What the last check of a subtask said that did not pass."""

    def of(self, event: Event) -> str | None:
        """Line for an event; `None` for an event that is not logged."""
        self._view_model.take(event)
        line = self._of_subtask(event) or self._of_call(event) or self._of_role(event)
        return None if line is None else with_program(line)

    def _of_subtask(self, event: Event) -> str | None:
        name, view_model = event.get("subtask", ""), self._view_model
        match event.get("type"):
            case "subtask_started":
                view_model.told.discard(name)
                if (attempt := event.get("attempt", 1)) > 1:
                    return f"  {name} started (attempt {attempt})"
                row = view_model.row(event)
                return _with_detail(f"  {name} started", None if row is None else row.goal, 120)
            case "subtask_retrying":
                return f"  {name} again in {event.get('delay_s', 0):g} s: {one_line(str(event.get('error')))}"
            case "subtask_waiting":
                return f"  {name} asks: {one_line(str(event.get('question', {}).get('question')))}"
            case "subtask_verified":
                verified = event.get("verified")
                self._refused[name] = "" if verified is not False else event.get("text", "")
                verdict = "not checked" if verified is None else "checked" if verified else "did not pass"
                return _with_detail(f"  {name} {verdict}", event.get("text"), LONGEST_ERROR)
            case "subtask_finished":
                took = f" in {event.get('elapsed_s', 0.0):.1f} s" if event.get("status") == "completed" else ""
                head = f"[{view_model.done}/{len(view_model.rows)}] {name} {event.get('status')}{took}"
                return _with_detail(head, self._failure(event), LONGEST_ERROR)
            case _:
                return None

    def _failure(self, event: Event) -> str | None:
        """Why a subtask did not end well, unless the line of its check has just said so."""
        name, error = event.get("subtask", ""), event.get("error")
        if event.get("status") == "failed":
            self._view_model.told.add(name)
        refused = self._refused.pop(name, "")
        return None if error and refused and refused in error else error

    def _of_call(self, event: Event) -> str | None:
        name = event.get("subtask", "")
        match event.get("type"):
            case "tool_called":
                return f"  {name} → {call_line(event.get('tool', ''), event.get('args', {}))}"
            case "tool_returned" if event.get("error"):
                return f"  {name} ← {event.get('tool')} failed: {one_line(str(event.get('error')))}"
            case "tool_returned":
                took = duration(event.get("elapsed_s", 0.0))
                return _with_detail(f"  {name} ← {event.get('tool')} in {took}", event.get("preview"), 120)
            case "model_retrying":
                return f"  {self._view_model.warning}"
            case "model_started" if not name:
                role = event.get("role", "model")
                return f"{role}: {ACTING.get(role, 'thinking')}"
            case _:
                return None

    def _of_role(self, event: Event) -> str | None:
        match event.get("type"):
            case "plan_started":
                kept = len(event.get("kept", []))
                number = f" (plan {self._view_model.plans})" if self._view_model.plans > 1 else ""
                kept_words = f", {kept} kept" if kept else ""
                goal = one_line(event.get("goal") or "plan")
                return f"{goal}: {counted(len(event.get('subtasks', [])), 'subtask')}{kept_words}{number}"
            case "node_started":
                return f"  {event.get('node')} started"
            case "node_progress":
                return _with_detail(f"  {event.get('node')}", event.get("text"))
            case "node_finished":
                took = duration(event.get("elapsed_s", 0.0))
                failed = event.get("status") == "failed"  # which is told at the end, with its place
                words = None if failed else event.get("error")
                return _with_detail(f"  {event.get('node')} {event.get('status')} in {took}", words)
            case "decided":
                return _with_detail(f"coordinator: {event.get('decision')}", event.get("text"))
            case "recalled" if event.get("text"):
                return _with_detail("knowledge", event.get("text"))
            case "plan_refused":
                return _with_detail("planner: the plan is refused", "; ".join(event.get("problems", [])))
            case "question_asked":
                return f"asks: {one_line(str(event.get('question', {}).get('question')))}"
            case "site_allowed":
                return f"  {event.get('subtask')}: {one_line(event.get('text', ''))} is allowed for this request"
            case "budget_reached" | "warned":
                return f"note: {one_line(event.get('text', ''))}"
            case _:
                return None


class LineView:
    """One plain line an event, on stderr."""

    def __init__(self, view_model: RunViewModel) -> None:
        """Show what happens on `view_model`."""
        self._lines = Lines(view_model)

    def start(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Print it."""
        click.echo(text, err=True)

    def show(self, event: Event) -> None:
        """Print its line, if it has one."""
        line = self._lines.of(event)
        if line is not None:
            click.echo(line, err=True)


def _with_detail(head: str, words: str | None, longest: int = 400) -> str:
    return f"{head}: {one_line(words, longest)}" if words else head
