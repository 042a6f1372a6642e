"""Recording: replies of models in a file by place, one JSON line each, for replay without a model.

The first line is the header; every other line is one reply. Lines are only ever added, by one process or
several: a step that ran twice has two lines for one place, and the newer one counts.
"""

from __future__ import annotations

import difflib
import fcntl
import json
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from langchain_core.messages import AIMessage, BaseMessage
from pydantic import ValidationError

from openmanus_graph import shell_commands
from openmanus_graph.call_site import CallSite
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import RecordingError
from openmanus_graph.models.reply_line import (
    Redactor,
    ReplyLine,
    difference,
    message_of,
    prompt_of,
    readable,
    reply_line,
)

FORMAT = "openmanus-graph recording"
VERSION = 1
SHORTEST_SECRET = 8
"""Characters below which a value of the environment is not taken for a secret."""

Source = Literal["live", "hand"]
"""`live`: a model said it; `hand`: a person wrote it."""


def secrets_of(settings: Settings) -> list[str]:
    """The secrets that settings hold or name: keys of models and of encryption, credentials, and passwords
    of databases.
    """
    secrets = [os.environ.get(table.api_key_env or "") for table in settings.models.values()]
    secrets.append(os.environ.get(settings.model_cache.url_env or ""))
    secrets += [os.environ.get(credential.env, "").strip() for credential in settings.credentials.values()]
    if settings.neo4j_password is not None:
        secrets.append(settings.neo4j_password.get_secret_value())
    if settings.llm_api_key is not None:
        secrets.append(settings.llm_api_key.get_secret_value())
    if settings.encryption_key is not None:
        secrets += settings.encryption_key.get_secret_value().replace(",", " ").split()
    if settings.database_url is not None:
        secrets.append(urlsplit(settings.database_url.get_secret_value()).password)
    return [secret for secret in secrets if secret]


def secrets_in_reach(settings: Settings) -> list[str]:
    """The secrets that settings hold or name, and those of the environment by the names of its variables."""
    return [*secrets_of(settings), *_secrets_of_environment()]


def _secrets_of_environment() -> list[str]:
    ends = ("KEY", "TOKEN", "SECRET", "PASSWORD")
    found = [value for name, value in os.environ.items() if name.upper().endswith(ends)]
    return [value for value in found if len(value) >= SHORTEST_SECRET]


def secrets_hidden(secrets: Iterable[str] = ()) -> Redactor:
    """A redactor that replaces secrets by `[redacted]`.

    Args:
        secrets: The values to hide, besides those of environment variables whose names end with `KEY`, `TOKEN`,
            `SECRET` or `PASSWORD`; shorter ones than `SHORTEST_SECRET` are words.
    """
    known = {*secrets, *_secrets_of_environment()}
    hidden = sorted((secret for secret in known if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)

    def redact(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, "[redacted]")
        return text

    return redact


def header(source: Source) -> dict[str, Any]:
    """The first line of a recording."""
    return {"format": FORMAT, "version": VERSION, "source": source}


class ReplyRecorder:
    """Adds replies to a recording, each a durable line of its own; several processes may write to one file."""

    def __init__(self, path: str | Path, *, redact: Redactor | None = None, source: Source = "live") -> None:
        """Record into a file, which is created with its first reply.

        Args:
            path: The file; replies are added to what it holds.
            redact: Takes secrets out of every text; `None` means `secrets_hidden()`.
            source: Who makes the replies.
        """
        self.path = Path(path).expanduser()
        self.redact = redact or secrets_hidden()
        self._source: Source = source

    def write(
        self, place: CallSite, model: str, messages: Sequence[BaseMessage], tools: Sequence[Any], reply: AIMessage
    ) -> None:
        """Add a reply; when this returns, it is on the disk.

        Args:
            place: The call site.
            model: The model that made it.
            messages: The prompt, of which only hashes and beginnings are kept.
            tools: The tools that were offered.
            reply: The reply.

        Raises:
            RecordingError: If the file cannot be written, or is no recording.
        """
        prompt = prompt_of(messages, tools, self.redact) if self._source == "live" else None
        self.write_line(reply_line(place, model, reply, prompt))

    def write_line(self, line: ReplyLine) -> None:
        """Add a line; see `write`."""
        fields = readable(line.model_dump(exclude_defaults=True), self.redact)
        text = json.dumps(fields, default=str) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._alone() as descriptor:
                first = self._prepared(descriptor)
                _write_all(descriptor, (first + text).encode())
                os.fsync(descriptor)
        except OSError as error:
            raise RecordingError(
                f"The recording {str(self.path)!r} cannot be written: {error.strerror or error}.",
                hint="Name another file with --record FILE.",
            ) from error

    @contextmanager
    def _alone(self) -> Generator[int]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _prepared(self, descriptor: int) -> str:
        """The text to write before the next line; half a line that a killed process left behind is cut off."""
        size = os.fstat(descriptor).st_size
        if size == 0:
            return json.dumps(header(self._source)) + "\n"
        whole = _end_of_last_line(descriptor, size)
        tail = os.pread(descriptor, size - whole, whole)
        start = os.pread(descriptor, 200, 0) if whole else tail
        begun = json.dumps(header(self._source)).encode()
        if FORMAT.encode() not in start and not begun.startswith(start):
            raise _no_recording(self.path)
        if _is_json(tail):  # a last line that a person did not end
            return "\n"
        os.ftruncate(descriptor, whole)
        return "" if whole else begun.decode() + "\n"


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _end_of_last_line(descriptor: int, size: int) -> int:
    """The number of bytes of the file that are whole lines."""
    step = 1 << 16
    end = size
    while end > 0:
        start = max(0, end - step)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _no_recording(path: Path) -> RecordingError:
    return RecordingError(
        f"The file {str(path)!r} is no recording of replies.",
        hint=f"Its first line would be {json.dumps(header('live'))}",
    )


_watchers: dict[Path, list[set[str]]] = {}


@contextmanager
def watched(path: str | Path) -> Generator[set[str]]:
    """Collect the places of a recording that this process is given replies for, by any replay.

    Args:
        path: The recording.

    Yields:
        The places, as they are asked for.
    """
    key = Path(path).expanduser().absolute()
    seen: set[str] = set()
    _watchers.setdefault(key, []).append(seen)
    try:
        yield seen
    finally:
        # By identity: two watchers may have seen the same places.
        _watchers[key] = [other for other in _watchers[key] if other is not seen]
        if not _watchers[key]:
            del _watchers[key]


class Replay:
    """Gives the replies of a recording again."""

    def __init__(self, path: str | Path) -> None:
        """Read a recording.

        Args:
            path: The file.

        Raises:
            RecordingError: If it cannot be read, or a line is no reply; the line's number is named.
        """
        self.path = Path(path).expanduser().absolute()
        self.source: Source = "live"
        self.lines: dict[str, ReplyLine] = {}
        self._drifted: set[str] = set()
        self._read()

    def _read(self) -> None:
        try:
            text = self.path.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise RecordingError(
                f"The recording {str(self.path)!r} cannot be read: {getattr(error, 'strerror', None) or error}.",
                hint=f"Make one with: {shell_commands.RECORD}",
            ) from error
        lines = text.split("\n")
        if not _is_json(lines[-1].encode()):  # a process was killed before its line was whole
            lines.pop()
        if not lines:
            raise _no_recording(self.path)
        self._read_header(lines[0])
        for number, line in enumerate(lines[1:], start=2):
            if not line.strip():
                continue
            try:
                reply = ReplyLine.model_validate_json(line)
            except ValidationError as error:
                raise self._corrupt(number, error) from error
            self.lines.pop(reply.place, None)
            self.lines[reply.place] = reply

    def _read_header(self, line: str) -> None:
        try:
            content: Any = json.loads(line)
        except ValueError as error:
            raise _no_recording(self.path) from error
        if not isinstance(content, dict) or cast("dict[str, Any]", content).get("format") != FORMAT:
            raise _no_recording(self.path)
        fields = cast("dict[str, Any]", content)
        if fields.get("version") != VERSION:
            raise RecordingError(
                f"The recording {str(self.path)!r} has version {fields.get('version')!r}, not {VERSION}.",
                hint="Record it again with --record FILE.",
            )
        self.source = "hand" if fields.get("source") == "hand" else "live"

    def _corrupt(self, number: int, error: ValidationError) -> RecordingError:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return RecordingError(
            f"Line {number} of the recording {str(self.path)!r} is no reply: "
            f"{f'{field!r}: ' if field else ''}{first['msg']}.",
            hint="Correct or remove that line.",
        )

    @property
    def places(self) -> list[str]:
        """Where replies are recorded, oldest first."""
        return list(self.lines)

    def reply(self, place: CallSite, messages: Sequence[BaseMessage] = (), tools: Sequence[Any] = ()) -> AIMessage:
        """The reply recorded for a place; the newest, if there are several.

        Args:
            place: Where it is asked for.
            messages: The prompt; it does not matter for the reply, see `drift`.
            tools: The tools offered; they do not matter either.

        Raises:
            RecordingError: If there is none; it names the place and the nearest one that is recorded.
        """
        line = self.lines.get(str(place))
        if line is None:
            raise self._missing(str(place))
        for seen in _watchers.get(self.path, ()):
            seen.add(line.place)
        return message_of(line)

    def drift(self, place: CallSite, messages: Sequence[BaseMessage], tools: Sequence[Any] = ()) -> str | None:
        """In words, how the prompt differs from the recorded one; `None` if it does not, or was said before.

        Args:
            place: Where the reply is asked for.
            messages: The prompt.
            tools: The tools offered.
        """
        line = self.lines.get(str(place))
        if line is None or line.prompt is None or line.place in self._drifted:
            return None
        now = prompt_of(messages, tools, secrets_hidden())
        if now.hash == line.prompt.hash:
            return None
        self._drifted.add(line.place)
        return f"The prompt of {line.place} is not the one that was recorded: {difference(line.prompt, now)}."

    def _missing(self, wanted: str) -> RecordingError:
        nearest = self.nearest(wanted)
        known = f"the nearest recorded one is {nearest}" if nearest else "it holds no reply at all"
        return RecordingError(
            f"The recording {str(self.path)!r} has no reply for {wanted}; {known}.",
            hint="Record the run again with --record FILE, or replay what was recorded: the same task, plan and tools.",
        )

    def nearest(self, wanted: str) -> str | None:
        """The recorded place most like another one: same role and subtask first, then the same role."""
        role, subtask, turn = _parts(wanted)

        def distance(place: str) -> tuple[bool, bool, int, float]:
            other = _parts(place)
            alike = difflib.SequenceMatcher(None, wanted, place).ratio()
            return other[0] != role, other[1] != subtask, abs(other[2] - turn), -alike

        return min(self.lines, key=distance, default=None)


def _parts(place: str) -> tuple[str, str, int]:
    role, _, rest = place.partition("/")
    subtask, _, turn = rest.rpartition("/")
    return role, subtask, int(turn) if turn.isdecimal() else 0
