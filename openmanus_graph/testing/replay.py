"""Replay: recordings in tests, written by hand or by a model, and the check that nothing recorded was left over."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import RecordingError
from openmanus_graph.models.recording import Replay, ReplyRecorder, header, watched
from openmanus_graph.models.reply_line import ReplyLine


@dataclass
class Replayed:
    """A recording that is being replayed."""

    path: Path
    """The recording."""
    settings: Settings
    """Settings under which every role replays it."""
    used: set[str] = field(default_factory=set[str])
    """Places whose replies were given so far."""

    @property
    def unused(self) -> list[str]:
        """Places whose replies nobody has asked for."""
        return [place for place in Replay(self.path).places if place not in self.used]


@contextmanager
def replaying(path: str | Path, *, all_used: bool = True, **settings: Any) -> Generator[Replayed]:
    """Replay a recording in a test: no key, no network, no cost.

    Args:
        path: The recording.
        all_used: Whether a recorded reply that nobody asked for by the end of the block is a failure.
        **settings: More settings, by name.

    Yields:
        The recording, with the settings to build graphs with.

    Raises:
        RecordingError: If it cannot be read.
        AssertionError: If replies were left over.
    """
    place = Path(path).expanduser().absolute()
    Replay(place)
    with watched(place) as used:
        chosen = Settings.load(**settings, llm_model=f"replay:{place}")
        # What the developer's own files and environment say of models must not reach a test.
        own: dict[str, Any] = {"models": {}, "record": None, **settings}
        replayed = Replayed(place, chosen.model_copy(update={key: own[key] for key in ("models", "record")}), used)
        yield replayed
    if all_used and replayed.unused:
        raise AssertionError(f"Nobody asked for the recorded replies of {', '.join(replayed.unused)}.")


def write_recording(path: str | Path, replies: Mapping[str, str | Mapping[str, Any]]) -> Path:
    """Write a recording by hand.

    Args:
        path: The file, which is replaced.
        replies: By place (`planner/-/1`, `executor/s3/2`) a text, or the fields of a line: `text`, `tool_calls` as
            `{"name": …, "args": {…}}`, `finish_reason`, `usage`.

    Returns:
        The file.

    Raises:
        RecordingError: If a reply has other fields, or the file cannot be written.
    """
    file = Path(path)
    file.write_text(json.dumps(header("hand")) + "\n", encoding="utf-8")
    recorder = ReplyRecorder(file, source="hand")
    for place, given in replies.items():
        fields: dict[str, Any] = {"text": given} if isinstance(given, str) else dict(given)
        try:
            line = ReplyLine.model_validate({**fields, "place": place})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise RecordingError(f"The reply for {place!r} cannot have {name!r}: {first['msg']}.") from error
        recorder.write_line(line)
    return file
