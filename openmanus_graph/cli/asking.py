"""Asking: questions of a run, asked at the terminal with the facts for a decision."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import click
import yaml

from openmanus_graph.display_text import clean, visible
from openmanus_graph.drawing.plan import plan_text
from openmanus_graph.errors import OpenManusGraphError, PlanError
from openmanus_graph.nodes.material.prompt_context import work_of
from openmanus_graph.plan import Plan
from openmanus_graph.questions import Answer, Question, answers_for

APPROVE_HELP = "y: yes   n: no   n: REASON   e: edit the arguments   a: ANSWER in its place"
SITE_HELP = "   s: yes for this site"
CONSENT_HELP = "y: yes   n: no   n: REASON"
EFFECT_HELP = "happened: it did   no: it did not happen, call again   = RESULT: it did, and returned that"
REVIEW_HELP = "y: yes   n: no   n: WHAT TO DO OTHERWISE   e: edit the plan"


class Person(Protocol):
    """Source of answers: a person at a terminal, or lines of a pipe."""

    def say(self, text: str) -> None:
        """Show something."""

    def listen(self, prompt: str) -> str | None:
        """A line, or `None` if there is none to come."""

    def edit(self, text: str, suffix: str) -> str | None:
        """The text as changed in an editor, or `None` if it was not."""


class AtTerminal:
    """A person at the terminal."""

    def say(self, text: str) -> None:
        """Print it on stderr."""
        click.echo(text, err=True)

    def listen(self, prompt: str) -> str | None:
        """Read a line; `None` at its end or at Ctrl-C."""
        try:
            return str(click.prompt(prompt, default="", show_default=False, prompt_suffix=" ", err=True))
        except click.Abort:
            click.echo("", err=True)
            return None

    def edit(self, text: str, suffix: str) -> str | None:
        """Open `$EDITOR`."""
        try:
            return click.edit(text, extension=suffix)
        except click.ClickException as error:
            self.say(error.format_message())
            return None


class InLines:
    """Answers from a pipe, line by line."""

    def say(self, text: str) -> None:
        """Print it on stderr."""
        click.echo(text, err=True)

    def listen(self, prompt: str) -> str | None:
        """The next line; `None` at the end."""
        del prompt
        line = sys.stdin.readline()
        return line.rstrip("\n") if line else None

    def edit(self, text: str, suffix: str) -> str | None:
        """Refuse: a pipe has no editor."""
        del text, suffix
        self.say("There is no terminal to edit at; give the JSON in the same line.")
        return None


Check = Callable[[Question, Answer], None]
"""Raises for an answer that cannot be taken; then it is asked again."""


def _takes_all(question: Question, answer: Answer) -> None:
    """Nothing: the node that asks checks what it is given."""


def ask_all(questions: Sequence[Question], person: Person, check: Check = _takes_all) -> dict[str, Answer] | None:
    """Ask every open question, one after the other.

    Args:
        questions: The questions.
        person: Who is asked.
        check: What an answer must pass.

    Returns:
        Answers by interrupt id; `None` if the person would rather not answer any.
    """
    answers: dict[str, Answer] = {}
    for number, question in enumerate(questions, 1):
        if len(questions) > 1:
            person.say(f"\nQuestion {number} of {len(questions)}")
        answer = ask_one(question, person, check)
        if answer is None:
            break
        answers[question["id"]] = answer
    return answers or None


def ask_one(question: Question, person: Person, check: Check = _takes_all) -> Answer | None:
    """Ask until the answer fits the question; `None` if there is none to come."""
    person.say(described(question))
    approving = question["kind"] == "approve"
    if question["kind"] == "effect":
        person.say(EFFECT_HELP)
    if approving:
        said = REVIEW_HELP if "plan" in question else APPROVE_HELP if "tool" in question else CONSENT_HELP
        person.say(f"{said}{SITE_HELP if 'site' in question else ''}")
    while True:
        typed = person.listen(">")
        if typed is None:
            return None
        if not typed.strip():
            continue
        try:
            answer = _approval(question, typed.strip(), person) if approving else _parsed(question, typed)
            if answer is not None:
                check(question, answer)
        except OpenManusGraphError as error:
            person.say(f"{error.message} {error.hint or ''}".rstrip())
            continue
        if answer is not None:
            return answer


def described(question: Question) -> str:
    """Question text with its plan, arguments, reason and the last refusal."""
    who = f"{question['subtask']}: " if question["subtask"] else ""
    words = visible(question["question"])
    if "plan" in question:  # drawn here, whatever the question says of it
        plan = Plan.parse(question["plan"])
        work = "\n".join(visible(f"{subtask.id}: {work_of(subtask)}") for subtask in plan.subtasks)
        lines = [f"{who}{words.split(chr(10))[0]}", _indented(clean(plan_text(plan))), _indented(work)]
    elif question["kind"] == "approve" and "tool" in question:  # laid out here, to be read
        lines = [f"{who}may {visible(question['tool'])} be called?", *_arguments(question.get("args") or {})]
    else:
        lines = [f"{who}{words}"]
    if reason := question.get("reason"):
        lines.append(f"  why it is asked: {visible(reason)}")
    if refused := question.get("refused"):
        lines.append(f"  the last answer was not taken: {visible(refused)}")
    return "\n".join(lines)


def _arguments(args: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for key, value in args.items():
        text = visible(value) if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        lines.append(f"  {key}:{' ' + text if chr(10) not in text else chr(10) + _indented(text, 4)}")
    return lines


def _indented(text: str, spaces: int = 2) -> str:
    return "\n".join(" " * spaces + line for line in text.split("\n"))


def _plan_as_text(plan: Any) -> str:
    return clean(plan_text(Plan.parse(plan)))


def _parsed(question: Question, text: str) -> Answer:
    return answers_for([question], [f"{question['id']}={text}"])[question["id"]]


def _approval(question: Question, typed: str, person: Person) -> Answer | None:
    """The answer to an approval; `None` to ask again."""
    first, _, rest = typed.partition(" ")
    if first.lower() in ("e", "edit"):
        if "plan" in question and not rest.strip():
            return _edited_plan(question, question["plan"], person)
        if "plan" not in question:
            return _edited_arguments(question, question.get("args") or {}, rest.strip(), person)
    if typed.lower() == "s" and "site" in question:
        typed = "yes for this site"
    if typed.lower() == "a":
        value = person.listen("answer:")
        return _parsed(question, f"answer: {value}") if value else None
    if typed[:2].lower() == "a:":
        typed = f"answer: {typed[2:]}"
    return _parsed(question, typed)


def _edited_arguments(question: Question, args: Mapping[str, Any], inline: str, person: Person) -> Answer | None:
    text = inline
    if not text:
        text = person.edit(json.dumps(dict(args), indent=2, ensure_ascii=False) + "\n", ".json") or ""
    whole = not inline
    if not text.strip():
        person.say("Nothing was changed.")
        return None
    try:
        given: Any = json.loads(text)
    except ValueError as error:
        person.say(f"That is no JSON: {error}.")
        return None
    if whole and isinstance(given, dict):
        given = _difference(args, cast("dict[str, Any]", given))
        if not given:
            person.say("Nothing was changed.")
            return None
    return _parsed(question, f"edit {json.dumps(given, ensure_ascii=False)}")


def _difference(args: Mapping[str, Any], edited: Mapping[str, Any]) -> dict[str, Any]:
    """What an edit names for all arguments as they stood in the editor: those that differ, and `None` for one gone."""
    changed = {name: value for name, value in edited.items() if name not in args or args[name] != value}
    return changed | {name: None for name in args if name not in edited}


def _edited_plan(question: Question, plan: Any, person: Person) -> Answer | None:
    text = yaml.safe_dump(Plan.parse(plan).to_dict(), sort_keys=False, allow_unicode=True, width=100)
    while True:
        changed = person.edit(text, ".yaml")
        if changed is None or not changed.strip():
            person.say("Nothing was changed.")
            return None
        try:
            edited = Plan.parse(yaml.safe_load(changed))
        except (PlanError, yaml.YAMLError) as error:
            person.say(str(error))
            if (person.listen("Edit again? [y/n]") or "n").strip().lower() not in ("y", "yes"):
                return None
            text = changed
            continue
        person.say(_indented(clean(_plan_as_text(edited.to_dict()))))
        return Answer(kind="approve", value={"action": "edit", "plan": edited.to_dict()})
