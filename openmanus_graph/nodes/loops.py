"""Loops: detects an executor that goes round in circles, by the results of its steps, not by its words.

A step is a turn of the model with the results of its calls. Results are compared without times, process ids and the
like, so a poll whose answer changes is progress, and one whose clock alone changes is not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from openmanus_graph.display_text import counted
from openmanus_graph.models.context import KEPT, LEFT_OUT, SUMMARY, exchanges
from openmanus_graph.models.volatile import steady

Kind = Literal["repeating", "alternating", "no_progress"]
"""`repeating`: the same calls with the same results in a row; `alternating`: two such steps in turn; `no_progress`:
steps that find nothing new and change nothing."""

LOOP_WARNING = "loop_warning"
"""Name of the message that tells the model."""
REMINDER = "reminder"
"""Name of a message of the engine's own to the model about its last reply."""

SHOWN = 160
"""Characters of a call or result that evidence shows."""
LEAST_ARGUMENT = 3
"""Characters below which an argument is not looked for in the words of a failure."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """An executor that goes round in circles."""

    kind: Kind
    evidence: str
    """What shows it, in one sentence with the calls and their result."""
    was_warned: bool
    """Whether the model was told before; then the subtask fails."""

    def warning(self) -> HumanMessage:
        """What the model is told the first time; `stuck` knows the message again by its name."""
        text = (
            f"You are going round in circles. {self.evidence} Do not repeat this. Try something different, or, if you "
            "wait for something, wait longer in one call. If the task cannot be done, say so and why."
        )
        return HumanMessage(text, name=LOOP_WARNING, additional_kwargs={"loop": self.kind, KEPT: True})

    def failure(self) -> str:
        """Why the subtask fails, the second time."""
        return f"It went round in circles, also after it was told so. {self.evidence}"


@dataclass(frozen=True, slots=True)
class _Call:
    words: str
    """The call as evidence shows it."""
    made: str
    """The call, to be compared."""
    found: str
    """What came of it, to be compared."""
    shown: str
    """What came of it, as evidence shows it."""
    reads: bool
    """Whether only what it found can be progress: it reads, or it failed."""


@dataclass(frozen=True, slots=True)
class _Step:
    calls: tuple[_Call, ...]
    progress: bool

    @property
    def same(self) -> tuple[tuple[str, str], ...]:
        """What makes two steps the same, whatever the order of their calls."""
        return tuple(sorted((call.made, call.found) for call in self.calls))


def stuck(messages: Sequence[BaseMessage], *, reads: Collection[str], limit: int = 3, window: int = 8) -> Stuck | None:
    """Whether an executor goes round in circles; asked before each of its turns.

    Args:
        messages: The executor's conversation with all results, and with warnings given earlier.
        reads: Tools that change nothing: a new call of one is progress by what it finds, not by being made.
        limit: How often the same step, or pair of steps, may come in a row.
        window: How many steps in a row may bring nothing new.

    Returns:
        What it does, or `None`. A person's or the verifier's word starts the count anew, and so does a warning; what
        the engine reminds the model of does not.
    """
    row = _row(messages, reads)
    was_warned = any(_is_warning(message) for message in messages)
    if _goes_round(row, 1, limit):
        return Stuck("repeating", _in_a_row(row[-1], _times(row)), was_warned)
    if _goes_round(row, 2, limit):
        return Stuck("alternating", _in_turn(row[-2], row[-1], limit), was_warned)
    if len(row) >= window and not any(step.progress for step in row[-window:]):
        return Stuck("no_progress", _nothing_new(row[-window:]), was_warned)
    return None


def _is_warning(message: BaseMessage) -> bool:
    return isinstance(message, HumanMessage) and message.name == LOOP_WARNING


def _row(messages: Sequence[BaseMessage], reads: Collection[str]) -> list[_Step]:
    """The steps since the last message to the model; results of earlier ones are no longer new."""
    row: list[_Step] = []
    seen: set[object] = set()
    for exchange in exchanges(messages):
        first = exchange.messages[0]
        if isinstance(first, HumanMessage) and first.name not in (SUMMARY, LEFT_OUT, REMINDER):
            row = []
        if not isinstance(first, AIMessage) or not first.tool_calls:
            continue
        results = {result.tool_call_id: result for result in exchange.messages if isinstance(result, ToolMessage)}
        calls = tuple(_call(call, results[call["id"] or ""], reads) for call in first.tool_calls)
        brought: set[object] = {call.found if call.reads else (call.made, call.found) for call in calls}
        row.append(_Step(calls, progress=not brought <= seen))
        seen |= brought | {call.found for call in calls}
    return row


def _call(call: Any, result: ToolMessage, reads: Collection[str]) -> _Call:
    args = json.dumps(call["args"], sort_keys=True, ensure_ascii=False, default=str)
    text = result.text if isinstance(result.content, str) else str(result.content)
    failed = result.status == "error" or _says_failure(text)
    found = _without_arguments(text, call["args"]) if failed else text
    return _Call(
        words=_cut(f"{call['name']}({args})"),
        made=f"{call['name']} {args}",  # as it is: files in a temporary folder are different files
        found=steady(found),
        shown=_cut(text.strip()),
        reads=failed or call["name"] in reads,
    )


def _says_failure(text: str) -> bool:
    """Whether a result in JSON says that the call failed, as results of shells and scripts do."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        value: Any = json.loads(text)
    except ValueError:
        return False
    fields = cast("dict[str, Any]", value)
    return bool(fields.get("exit_code")) or fields.get("timed_out") is True or bool(fields.get("error"))


def _without_arguments(text: str, args: Any) -> str:
    """A failure without the arguments it quotes: ten misses are told apart by more than by what was asked for."""
    quoted = [value for value in cast("dict[str, Any]", args or {}).values() if isinstance(value, str)]
    for value in sorted(quoted, key=len, reverse=True):
        if len(value) >= LEAST_ARGUMENT:
            text = text.replace(value, "<argument>").replace(json.dumps(value)[1:-1], "<argument>")
    return text


def _goes_round(row: Sequence[_Step], period: int, limit: int) -> bool:
    """Whether the last steps are the same `period` steps, `limit` times."""
    length = period * limit
    if len(row) < length:
        return False
    last = [step.same for step in row[-length:]]
    return all(last[index] == last[index - period] for index in range(period, length))


def _times(row: Sequence[_Step]) -> int:
    """How often the last step came in a row."""
    times = 0
    for step in reversed(row):
        if step.same != row[-1].same:
            break
        times += 1
    return times


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 2]} …"


def _words(step: _Step) -> str:
    return " with ".join(call.words for call in step.calls[:3])


def _in_a_row(step: _Step, times: int) -> str:
    return f"{_words(step)} was called {times} times in a row with the same result: {step.calls[0].shown!r}."


def _in_turn(step: _Step, other: _Step, times: int) -> str:
    return (
        f"{_words(step)} and {_words(other)} were called in turn {times} times with the same results: "
        f"{step.calls[0].shown!r} and {other.calls[0].shown!r}."
    )


def _nothing_new(steps: Sequence[_Step]) -> str:
    made = Counter(call.words for step in steps for call in step.calls)
    calls = ", ".join(f"{words} {times}×" for words, times in made.most_common(3))
    more = f" and {counted(len(made) - 3, 'other call')}" if len(made) > 3 else ""
    return (
        f"The last {len(steps)} steps found nothing new and changed nothing: {calls}{more}; "
        f"the last result is {steps[-1].calls[-1].shown!r}."
    )
