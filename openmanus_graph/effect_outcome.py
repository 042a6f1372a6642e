"""Happening: a person's word on a call whose outcome nobody knows: it happened, it did not, or with which result."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from openmanus_graph.errors import UnknownQuestionError

_HAPPENED = re.compile(r"(?:it )?happened[.!]?", re.IGNORECASE)
_NOT = re.compile(r"no|n|(?:it )?did(?: not|n't) happen[.!]?", re.IGNORECASE)
_RESULT = re.compile(r"(?:happened\s*)?=\s*(?P<value>\S.*)", re.IGNORECASE | re.DOTALL)
HINT = "Answer with happened, with no (it did not happen), or with = RESULT (it happened, and that is its result)."


@dataclass(frozen=True)
class Happening:
    """What became of a call."""

    happened: bool
    """Whether the call was made."""
    has_result: bool = False
    """Whether it is known what it returned."""
    result: Any = None
    """That result."""

    @property
    def output(self) -> Any:
        """What stands for the call's output."""
        return self.result if self.has_result else {"happened": True}

    def plain(self) -> dict[str, Any]:
        """The same as built-in types, as `happening_of` takes it."""
        return {"happened": self.happened, **({"result": self.result} if self.has_result else {})}


def happening_of(value: Any, question: Mapping[str, Any] | None = None) -> Happening:
    """Read what somebody says of a call.

    Args:
        value: `{"happened": bool, "result": ...}`, the result being optional, or text: `happened`, `no`,
            `did not happen` or `= RESULT`. A plain yes is none of these: it may mean either.
        question: What was asked; not looked at.

    Raises:
        UnknownQuestionError: If it is none of these.
    """
    del question
    if isinstance(value, Happening):
        return value
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        happened = fields.get("happened")
        if isinstance(happened, bool) and fields.keys() <= {"happened", "result"}:
            known = happened and "result" in fields
            return Happening(happened, known, fields["result"] if known else None)
    raise _odd(value)


def _from_text(text: str) -> Happening:
    word = text.strip()
    if _HAPPENED.fullmatch(word):
        return Happening(True)
    if _NOT.fullmatch(word):
        return Happening(False)
    if found := _RESULT.fullmatch(word):
        return Happening(True, True, _json_or_text(found["value"]))
    raise _odd(text)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _odd(value: Any) -> UnknownQuestionError:
    return UnknownQuestionError(f"The answer {value!r} does not say whether the call happened.", hint=HINT)
