"""Approval: a person's answer about one action: yes, no, other arguments, or a result in its place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

from openmanus_graph.errors import UnknownQuestionError

Action = Literal["approve", "edit", "reject", "answer"]
"""`approve`: do it; `edit`: do it with some arguments changed, or take this plan; `reject`: do not; `answer`: take this
value for the call's result."""

Covers = Literal["call", "site"]
"""What a yes is for."""

_YES = ("y", "yes", "true", "approve", "ok")
_NO = ("n", "no", "false", "reject")
_REASONED_NO = re.compile(r"(?:no?|reject)\b[\s:,;.–—-]+(?P<reason>\S.*)", re.IGNORECASE | re.DOTALL)
_EDIT = re.compile(r"edit\b\s*:?\s*(?P<json>.*)", re.IGNORECASE | re.DOTALL)
_ANSWER = re.compile(r"(?:answer\s*:|=)\s*(?P<value>\S.*)", re.IGNORECASE | re.DOTALL)
_SITE = re.compile(
    r"(?:(?:y|yes|approve|ok)\b[\s,:;]*)?(?:for\s+)?(?:this\s+|the\s+)?site(?:\s+for\s+(?:the\s+rest\s+of\s+)?this\s+run)?",
    re.IGNORECASE,
)
_FIELDS = frozenset({"action", "args", "plan", "reason", "value", "covers"})


@dataclass(frozen=True)
class Approval:
    """A person's answer to an `approve` question; true only where the action may go on exactly as asked."""

    action: Action
    """What to do."""
    args: dict[str, Any] | None = None
    """With `edit`: the arguments that change, `None` for one that goes; as `ask` returns it, all arguments to call
    with."""
    reason: str = ""
    """With `reject`: why, for the model or the subtask's error."""
    value: Any = None
    """With `answer`: what stands for the call's output."""
    plan: dict[str, Any] | None = None
    """With `edit` of a plan: the plan to take."""
    covers: Covers = "call"
    """With `approve`: the `call`, or those to come on the question's `site`, too, until the request is over."""

    def __bool__(self) -> bool:
        """Whether it is a plain yes: an edit or an answer is one only for who looks at it."""
        return self.action == "approve"

    def applied_to(self, args: Mapping[str, Any] | None) -> Approval:
        """The same with all arguments of the call: an edit changes those that it names, and leaves the others.

        Args:
            args: The arguments that were asked about; `None` where it was about no call.

        Raises:
            UnknownQuestionError: If it takes an argument away that is not there.
        """
        if self.args is None or args is None:
            return self
        for name, value in self.args.items():
            if value is None and name not in args:
                raise UnknownQuestionError(
                    f"The edit takes away the argument {name!r}, which the call does not have.",
                    hint=f"It has {', '.join(args) or 'none'}; null takes an argument away.",
                )
        changed = {**args, **self.args}
        gone = {name for name, value in self.args.items() if value is None}
        return replace(self, args={name: value for name, value in changed.items() if name not in gone})

    def plain(self) -> dict[str, Any]:
        """The same as built-in types, as `approval_of` takes it."""
        fields: dict[str, Any] = {"action": self.action}
        if self.action == "answer":
            fields["value"] = self.value
        covers = None if self.covers == "call" else self.covers
        more = {"args": self.args, "reason": self.reason, "plan": self.plan, "covers": covers}
        return fields | {key: value for key, value in more.items() if value not in (None, "")}


def approval_of(value: Any, question: Mapping[str, Any] | None = None) -> Approval:
    """Read the value of an answer to an `approve` question.

    Args:
        value: True or false; `{"action": ..., "args": ..., "reason": ..., "value": ..., "plan": ..., "covers": ...}`;
            or text: `yes`, `yes for this site`, `no`, `no: REASON`, `edit {JSON}`, `answer: VALUE` or `= VALUE`.
        question: What was asked; without it, what the action is about is not checked.

    Raises:
        UnknownQuestionError: If it is none of these, or does not suit the question.
    """
    if isinstance(value, Approval):
        return value
    if isinstance(value, bool):
        return Approval("approve" if value else "reject")
    if isinstance(value, str):
        fields = _from_text(value, about_plan=question is not None and "plan" in question)
    elif isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
    else:
        raise _odd(value)
    _check(fields, value, question)
    return Approval(
        action=fields["action"],
        args=fields.get("args"),
        reason=str(fields.get("reason") or ""),
        value=fields.get("value"),
        plan=fields.get("plan"),
        covers=fields.get("covers", "call"),
    )


def _from_text(text: str, *, about_plan: bool) -> dict[str, Any]:
    word = text.strip()
    if word.startswith("{"):
        with suppress(ValueError):
            return cast("dict[str, Any]", json.loads(word))
    if word.lower() in _YES:
        return {"action": "approve"}
    if word.lower() in _NO:
        return {"action": "reject"}
    if _SITE.fullmatch(word):
        return {"action": "approve", "covers": "site"}
    if found := _REASONED_NO.fullmatch(word):
        return {"action": "reject", "reason": found["reason"]}
    if found := _ANSWER.fullmatch(word):
        return {"action": "answer", "value": _json_or_text(found["value"])}
    if found := _EDIT.fullmatch(word):
        try:
            given = json.loads(found["json"])
        except ValueError as error:
            raise UnknownQuestionError(
                f"What follows 'edit' in the answer {text!r} is not JSON: {error}.",
                hint="""Write what changes as one JSON object, such as: edit {"command": "ls"}""",
            ) from error
        return {"action": "edit", "plan" if about_plan else "args": given}
    raise _odd(text)


def _json_or_text(text: str) -> Any:
    if text[0] in "{[":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _check(fields: dict[str, Any], value: Any, question: Mapping[str, Any] | None) -> None:
    action = fields.get("action")
    if action not in get_args(Action) or not fields.keys() <= _FIELDS:
        raise _odd(value)
    needs = {"edit": ("args", "plan"), "answer": ("value",), "reject": (), "approve": ()}[str(action)]
    takes = {*needs, "action", *{"reject": ("reason",), "approve": ("covers",)}.get(str(action), ())}
    if extra := sorted(fields.keys() - takes):
        raise UnknownQuestionError(f"An answer with the action {action!r} takes no {extra[0]!r}.")
    given = [key for key in needs if key in fields]
    if needs and len(given) != 1:
        words = " or ".join(map(repr, needs))
        raise UnknownQuestionError(f"An answer with the action {action!r} takes {words}.")
    if action == "edit":
        inside = fields[given[0]]
        if not isinstance(inside, dict) or not all(isinstance(key, str) for key in cast("dict[Any, Any]", inside)):
            raise UnknownQuestionError(f"The {given[0]!r} of an edit is a mapping, not {inside!r}.")
    covers = fields.get("covers", "call")
    if covers not in get_args(Covers):
        raise UnknownQuestionError(f"A yes is for the 'call' or the 'site', not for {covers!r}.")
    if covers == "site" and question is not None and "site" not in question:
        raise UnknownQuestionError("This question has no site that could be allowed.", hint="Answer with yes or no.")
    if question is not None and action in ("edit", "answer"):
        asked = "args" if "tool" in question else "plan" if "plan" in question else None
        if asked is None or (action == "answer" and asked == "plan") or (action == "edit" and given != [asked]):
            raise UnknownQuestionError(
                f"This question takes no {action!r} with {given[0]!r}.",
                hint=f"Answer with yes, with no: REASON{', or with edit {PLAN AS JSON}' if asked == 'plan' else ''}.",
            )


def _odd(value: Any) -> UnknownQuestionError:
    if isinstance(value, str):
        return UnknownQuestionError(
            f"The answer {value!r} is neither yes nor no.",
            hint="Answer with yes, no, no: REASON, edit {JSON}, or answer: VALUE.",
        )
    return UnknownQuestionError(
        f"The answer {value!r} is no approval.",
        hint='Answer with true, false, or {"action": "approve" | "edit" | "reject" | "answer", ...}.',
    )
