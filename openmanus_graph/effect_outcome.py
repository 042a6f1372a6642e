"""Effect outcome: a person's statement about a call of unknown outcome: it happened, perhaps with a result, or not."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, cast

from openmanus_graph.errors import UnknownQuestionError

_HAPPENED = re.compile(r"(?:it )?happened[.!]?", re.IGNORECASE)
_NOT = re.compile(r"no|n|(?:it )?did(?: not|n't) happen[.!]?", re.IGNORECASE)
_RESULT = re.compile(r"(?:happened\s*)?=\s*(?P<value>\S.*)", re.IGNORECASE | re.DOTALL)
HINT = "Answer with happened, with no (it did not happen), or with = RESULT (it happened, and that is its result)."


@dataclass(frozen=True)
class EffectOutcome:
    """Whether a call was made, and what it returned."""

    happened: bool
    """Whether the call was made."""
    has_result: bool = False
    """Whether it is known what it returned."""
    result: Any = None
    """That result."""

    @property
    def output(self) -> Any:
        """The call's output; where only its being made is known, a mapping that says so."""
        return self.result if self.has_result else {"happened": True}

    def plain(self) -> dict[str, Any]:
        """The same as built-in types, as `effect_outcome_of` takes it."""
        return {"happened": self.happened, **({"result": self.result} if self.has_result else {})}


def effect_outcome_of(value: Any) -> EffectOutcome:
    """Read a statement about a call.

    Args:
        value: `{"happened": bool, "result": ...}`, the result being optional, or text: `happened`, `no`,
            `did not happen` or `= RESULT`. A plain yes is none of these: it may mean either.

    Raises:
        UnknownQuestionError: If it is none of these.
    """
    if isinstance(value, EffectOutcome):
        return value
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        happened = fields.get("happened")
        if isinstance(happened, bool) and fields.keys() <= {"happened", "result"}:
            known = happened and "result" in fields
            return EffectOutcome(happened, known, fields["result"] if known else None)
    raise _odd(value)


def _from_text(text: str) -> EffectOutcome:
    word = text.strip()
    if _HAPPENED.fullmatch(word):
        return EffectOutcome(True)
    if _NOT.fullmatch(word):
        return EffectOutcome(False)
    if found := _RESULT.fullmatch(word):
        return EffectOutcome(True, True, _json_or_text(found["value"]))
    raise _odd(text)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _odd(value: Any) -> UnknownQuestionError:
    return UnknownQuestionError(f"The answer {value!r} does not say whether the call happened.", hint=HINT)
