"""Viewing: a file with line numbers as `cat -n` prints it, in bounded memory, or the entries of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.files.safe_paths import SafePath, open_file
from openmanus_graph.files.text import stream_encoding, stream_text
from openmanus_graph.tools.glob import Glob, walk

VIEW_LINES = 2_000
"""Lines shown when no range is given."""
VIEW_CHARACTERS = 200_000
"""Characters shown at most."""
LINE_CHARACTERS = 2_000
"""Characters of one line shown at most."""
FOLDER_ENTRIES = 500
"""Files of a folder shown at most."""
_OF_DOCUMENT = "[This is the text of the document, which cannot be edited so.]"


def view(place: SafePath, view_range: list[int] | None, document: str | None = None) -> str:
    """The text that a model is shown of `place`.

    Args:
        place: A text file, or a folder.
        view_range: First and last line, counted from 1; `-1` as the last means the end.
        document: What the file says where it is a document, such as a PDF; `None` if it is text itself.

    Raises:
        ToolArgumentsError: If the range is none, or begins behind the end.
        ToolError: If the file is missing or binary.
    """
    if place.full.is_dir():
        if view_range is not None:
            raise ToolArgumentsError("The argument 'view_range' is for files; the path is a folder.")
        return _folder(place)
    first, last = _checked(view_range)
    shown, note = _Shown(first, last), _OF_DOCUMENT
    if document is None:
        with os.fdopen(open_file(place), "rb") as stream:
            encoding = stream_encoding(stream, place.path)
            total, note = _collect(stream_text(stream, encoding, place.path), shown), encoding.note
    else:
        total = _collect(iter([document]), shown)
    if total == 0:
        return f"[The file {place.path!r} is empty.]"
    if first > total:
        raise ToolArgumentsError(
            f"The argument 'view_range' begins at line {first}, and {place.path!r} has {total} lines."
        )
    seen = max(shown.lines)
    wanted = total if last is None or view_range is None else min(last, total)
    more = f"[Lines {first}-{seen} of {total:,} shown; see more with `view_range`.]" if seen < wanted else ""
    return "\n".join(part for part in (shown.text(), more, note) if part)


def numbered(lines: list[str], first: int) -> str:
    """The lines with their numbers, beginning at `first`."""
    shown = _Shown(first, None)
    for number, line in enumerate(lines, first):
        shown.add(number, line)
    return shown.text()


def _more(count: int) -> str:
    return f" [{count:,} characters more]" if count else ""


def _folder(place: SafePath) -> str:
    found = walk(place, Glob("**/*"), limit=FOLDER_ENTRIES)
    lines = [f"[The folder {place.path!r} holds {len(found.files)} files, hidden ones not counted.]"]
    if found.truncated:
        lines = [f"[The first {len(found.files)} files of the folder {place.path!r}, hidden ones not shown.]"]
    return "\n".join([*lines, *found.files])


def _checked(view_range: list[int] | None) -> tuple[int, int | None]:
    if view_range is None:
        return 1, VIEW_LINES
    first, last = view_range
    if first < 1 or (last != -1 and last < first):
        raise ToolArgumentsError(
            f"The argument 'view_range' cannot be {view_range!r}: it is the first and the last line,"
            " counted from 1, or -1 for the end."
        )
    return first, None if last == -1 else last


class _Shown:
    """The wanted lines, as far as they fit."""

    def __init__(self, first: int, last: int | None) -> None:
        self.first, self.last = first, last
        self.lines: dict[int, str] = {}
        self.lengths: dict[int, int] = {}
        self.room = VIEW_CHARACTERS

    def wants(self, start: int, end: int) -> bool:
        return self.room > 0 and end >= self.first and (self.last is None or start <= self.last)

    def add(self, number: int, part: str) -> None:
        if number not in self.lines and not self.wants(number, number):
            return
        have = self.lines.setdefault(number, "")
        kept = part[: LINE_CHARACTERS - len(have)]
        self.lines[number] = have + kept
        self.lengths[number] = self.lengths.get(number, 0) + len(part)
        self.room -= len(kept) + (0 if have else 8)

    def text(self) -> str:
        return "\n".join(
            f"{number:6}\t{line}{_more(self.lengths[number] - len(line))}" for number, line in self.lines.items()
        )


def _collect(pieces: Iterator[str], shown: _Shown) -> int:
    """Read to the end, and return how many lines there are."""
    number, empty = 1, True  # the open line, and whether it is still empty
    for piece in pieces:
        parts = piece.split("\n")
        end = number + len(parts) - 1
        if shown.wants(number, end) or number in shown.lines:
            for at, part in enumerate(parts, number):
                shown.add(at, part)
        empty = not parts[-1] and (len(parts) > 1 or empty)
        number = end
    if empty:
        shown.lines.pop(number, None)
    return number - 1 if empty else number
