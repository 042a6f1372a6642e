"""Checked write: where each value of a write is stored, and what of it is refused before anything is committed.

Values of the top level that JSON of Postgres has exactly stand in the checkpoint itself, all others beside it as bytes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.types import ERROR

from openmanus_graph.checkpoints.encryption.cipher import Cipher
from openmanus_graph.checkpoints.serializer import StateSerializer
from openmanus_graph.checkpoints.values.encoding import Change, UnstorableError, fits_utf8
from openmanus_graph.errors import ForeignTypeError
from openmanus_graph.langgraph_internals import (
    INTERRUPT,
    RESUME,
    RETURN,
    SENDS,
    START_CHANNEL,
    DeltaSnapshot,
    call_in,
    pulled_node,
)
from openmanus_graph.run_config import SCOPE
from openmanus_graph.values.storable_json import MOST_BITS, SEAL

logger = logging.getLogger(__name__)

LONGEST_INLINE = 2**27
"""Characters of text above which JSON of Postgres may not take it."""

_OTHERS = {
    START_CHANNEL: ("The input", "was given"),
    "__end__": ("The value", "returned"),
    RETURN: ("The value", "returned"),
    INTERRUPT: ("The question", "asked"),
    RESUME: ("The answer", "was given"),
    SENDS: ("The input of another node", "sent"),
}
"""Channels of LangGraph's own that hold a user's values, in words: what it is, and what a node did with it."""
MOST_LOGGED = 1_000
"""Changes that a process logs at most, of graphs whose runs have no events."""

_logged: set[str] = set()


@runtime_checkable
class TellsChanges(Protocol):
    """A run's scope, which says once that a field changes when it is stored."""

    def tell_change(self, field: str, text: str) -> None:
        """Say it, unless it has been said of this field."""
        ...


def fits_jsonb(value: Any) -> bool:
    """Whether JSON of Postgres gives a value of the top level back as it is.

    What was read from there must fit again: a value that has not changed is not stored beside the next checkpoint.
    """
    kind = cast("type[Any]", type(value))
    if kind is str:
        return len(value) <= LONGEST_INLINE and "\0" not in value and not value.startswith(SEAL) and fits_utf8(value)
    if kind is float:
        # From 1e16 on Python writes an exponent, and Postgres makes a whole number of that; nor does it know -0.0.
        return abs(value) < 1e16 and (value != 0.0 or math.copysign(1.0, value) > 0)
    if kind is int:
        return value.bit_length() <= MOST_BITS
    return value is None or kind is bool


class CheckedWrite:
    """One write of a checkpoint, or of a task's results."""

    def __init__(self, serializer: StateSerializer, config: RunnableConfig, task_path: str = "") -> None:
        """Check a write.

        Args:
            serializer: Makes the bytes.
            config: The write's config.
            task_path: LangGraph's path of the task that wrote; empty for a checkpoint.
        """
        self._serializer = serializer
        self._config = config
        self._writer = writer_in(task_path)

    @property
    def cipher(self) -> Cipher | None:
        """Seals what stands in the checkpoint itself; `None` leaves it plain."""
        return self._serializer.cipher

    def stored(self, channel: str, value: Any) -> tuple[str, bytes]:
        """A value as it is stored beside a checkpoint.

        Raises:
            UnstorableError: If it cannot be stored; its `channel` says which one it is.
        """
        try:
            kind, data, changes = self._serializer.serialized(value)
        except UnstorableError as error:
            error.channel = channel
            raise
        if changes and channel != ERROR:
            self._tell(channel, changes)
        return kind, data

    def split(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The values that stand in a checkpoint, and those that stand beside it."""
        inline: dict[str, Any] = {}
        beside: dict[str, Any] = {}
        for channel, value in values.items():
            if isinstance(value, DeltaSnapshot):
                inline[channel], beside[channel] = True, value
            elif fits_jsonb(value):
                inline[channel] = value
            else:
                beside[channel] = value
        return inline, beside

    def _tell(self, channel: str, changes: Sequence[Change]) -> None:
        first, *others = changes
        place = f"at {first.path!r}, " if first.path else ""
        more = f" (and {len(others)} more)" if others else ""
        text = f"{_subject(channel, self._writer)} changes when it is read again: {place}{first.text}{more}."
        scope = SCOPE.of(self._config)
        if isinstance(scope, TellsChanges):
            scope.tell_change(channel, text)
        elif text not in _logged and len(_logged) < MOST_LOGGED:
            _logged.add(text)
            logger.warning(text)


def refusal(error: UnstorableError, writer: str | None) -> ForeignTypeError:
    """The error for a value that cannot be stored.

    Args:
        error: What is wrong with it.
        writer: Who wrote it, as `writer_in` says; `None` if nobody knows.
    """
    place = f"{error.path!r} of it" if error.path else "it"
    return ForeignTypeError(
        f"{_subject(error.channel, writer)} cannot be stored: {place} {error.why}.", hint=error.cure
    )


def writer_in(task_path: str) -> str | None:
    """Who wrote, from the path of the task; `None` where it does not say that, as for a `Send`."""
    call = call_in(task_path)
    node = pulled_node(call[0] if call else task_path)
    if node is None:
        return None
    return f"a task of {node!r}" if call else f"the node {node!r}"


def _subject(channel: str, writer: str | None) -> str:
    what, verb = _OTHERS.get(channel) or (f"The field {channel!r}", "wrote")
    return f"{what} that {writer} {verb}" if writer else what
