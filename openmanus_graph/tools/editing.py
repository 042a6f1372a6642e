"""Editing: changes to a text file, each undoable, every byte outside the changed place kept."""

from __future__ import annotations

import os
import re

from openmanus_graph.errors import ToolError
from openmanus_graph.files.safe_paths import SafePath, open_parent, read_file, remove_file, write_file
from openmanus_graph.files.text import NEWLINE, UTF8, Encoding, decode_to_edit, newline_of
from openmanus_graph.tools.undo_history import open_history
from openmanus_graph.tools.viewing import numbered

EDIT_LIMIT = 10 * 2**20
"""Bytes of the largest file that can be edited; a larger one can still be viewed."""
_AROUND = 4
_SNIPPET_LINES = 40
_NAMED_MATCHES = 50


def create(place: SafePath, text: str, call: str | None) -> str:
    """Write a new file as UTF-8, its line ends as given.

    Args:
        place: Where; missing folders are made.
        text: The whole content.
        call: The call that does it, for a step that runs again after a crash.

    Raises:
        ToolError: If there is already something at `place`.
    """
    data = UTF8.encode(text)
    _check_size(place, data)
    with open_history(place, call) as history:
        if not (_exists(place) and history.made_by_this_call(read_file(place, EDIT_LIMIT)[0])):
            with open_parent(place, make=True):
                history.record(None, data, None)
            try:
                write_file(place, data, exclusive=True)
            except FileExistsError as error:
                history.cancel()
                raise ToolError(
                    f"There is already a {place.path!r}, and `create` does not overwrite.",
                    hint="Edit it with `str_replace` or `insert`.",
                ) from error
            except ToolError:
                history.cancel()
                raise
    count = len(NEWLINE.findall(text)) + bool(text and not text.endswith(("\n", "\r")))
    return f"Created {place.path!r} with {count} line{'' if count == 1 else 's'}."


def replace(place: SafePath, old: str, new: str, call: str | None) -> str:
    """Replace the one place where `old` occurs; a line feed in it stands for any line end.

    Raises:
        ToolError: If `old` is empty, equals `new`, does not occur, or occurs more than once (all lines are named).
    """
    if not old:
        raise ToolError("The argument 'old_str' is empty.", hint="Name the text to replace, or use `insert`.")
    if old == new:
        raise ToolError("The arguments 'old_str' and 'new_str' are equal, so nothing would change.")
    with open_history(place, call) as history:
        data, mode = read_file(place, EDIT_LIMIT)
        text, encoding = decode_to_edit(data, place.path)
        if history.made_by_this_call(data):
            return f"Edited {place.path!r}."
        found = _only_match(place, text, old)
        style = newline_of(found.group()) if NEWLINE.search(found.group()) else newline_of(text)
        new = _in_style(new, style)
        after = _splice(text, found.start(), found.end(), new, encoding)
        _check_size(place, after)
        history.record(data, after, mode)
        write_file(place, after)
    return _edited(place, text[: found.start()], new, text[found.end() :], encoding)


def insert(place: SafePath, line: int, new: str, call: str | None) -> str:
    """Put the lines `new` after line `line`; one line end at the end of `new` changes nothing.

    Raises:
        ToolError: If the file has fewer lines than `line`.
    """
    with open_history(place, call) as history:
        data, mode = read_file(place, EDIT_LIMIT)
        text, encoding = decode_to_edit(data, place.path)
        if history.made_by_this_call(data):
            return f"Edited {place.path!r}."
        at = _start_of_line(place, text, line)
        style = newline_of(text)
        body = _in_style(new, style)
        if (text and not body.endswith(style)) or body == "":
            body += style
        if at == len(text) and text and not text.endswith(("\n", "\r")):
            # The last line has no end, and shall have none afterwards.
            body = style + body.removesuffix(style)
        after = _splice(text, at, at, body, encoding)
        _check_size(place, after)
        history.record(data, after, mode)
        write_file(place, after)
    return _edited(place, text[:at], body, text[at:], encoding)


def undo(place: SafePath, call: str | None) -> str:
    """Take back the last edit of the file, byte for byte.

    Raises:
        ToolError: If there is none, or something else has changed the file since.
    """
    with open_history(place, call) as history:
        if not history.undone_by_this_call():
            current = read_file(place, EDIT_LIMIT)[0] if _exists(place) else None
            before, mode = history.begin_undo(current)
            if before is None:
                remove_file(place)
            else:
                write_file(place, before, mode=mode)
            history.end_undo()
    if _exists(place):
        return f"Took back the last edit of {place.path!r}."
    return f"Took back the creation of {place.path!r}: the file is removed."


def _only_match(place: SafePath, text: str, old: str) -> re.Match[str]:
    pieces = re.split(r"(\r\n|\n)", old)
    pattern = re.compile("".join(r"(?:\r\n|\n|\r)" if p == "\n" else re.escape(p) for p in pieces))
    first = pattern.search(text)
    if first is None:
        raise ToolError(
            f"The text to replace does not occur in {place.path!r}.",
            hint="View the file, and give 'old_str' exactly as it stands there, blanks included.",
        )
    # Overlapping occurrences count: replacing one of them would be a guess as well.
    others = [first]
    while (found := pattern.search(text, others[-1].start() + 1)) and len(others) <= _NAMED_MATCHES:
        others.append(found)
    if len(others) == 1:
        return first
    lines = sorted({_line_of(text, found.start()) for found in others[:_NAMED_MATCHES]})
    named = ", ".join(map(str, lines)) + (", …" if len(others) > _NAMED_MATCHES else "")
    raise ToolError(
        f"The text to replace occurs more than once in {place.path!r}, at the lines {named}.",
        hint="Give more of the text around the place that is meant.",
    )


def _line_of(text: str, at: int) -> int:
    return sum(1 for _ in NEWLINE.finditer(text, 0, at)) + 1


def _start_of_line(place: SafePath, text: str, line: int) -> int:
    """Where the line behind line `line` begins."""
    starts = [0, *(found.end() for found in NEWLINE.finditer(text))]
    if text and starts[-1] != len(text):
        starts.append(len(text))
    if line >= len(starts):
        raise ToolError(
            f"The argument 'insert_line' cannot be {line}: {place.path!r} has {len(starts) - 1} lines.",
            hint="Use 0 for the top of the file.",
        )
    return starts[line]


def _in_style(new: str, style: str) -> str:
    """`new` with the file's own line ends; ends that are not plain line feeds were meant as they are."""
    return new if style == "\n" else NEWLINE.sub(lambda _: style, new)


def _splice(text: str, start: int, end: int, new: str, encoding: Encoding) -> bytes:
    return encoding.mark + encoding.encode(text[:start]) + encoding.encode(new) + encoding.encode(text[end:])


def _check_size(place: SafePath, data: bytes) -> None:
    if len(data) > EDIT_LIMIT:
        raise ToolError(
            f"The file {place.path!r} would have {len(data):,} bytes, and the limit is {EDIT_LIMIT:,}.",
            hint="Write it with a program.",
        )


def _exists(place: SafePath) -> bool:
    if not place.full.parent.is_dir():
        return False
    with open_parent(place) as (folder, name):
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
    return True


def _edited(place: SafePath, before: str, new: str, behind: str, encoding: Encoding) -> str:
    """The changed place as it is now, with some lines around it."""
    lines = NEWLINE.split(before + new + behind)
    start = _line_of(before, len(before))
    first = max(1, start - _AROUND)
    last = start + len(NEWLINE.findall(new)) + _AROUND
    shown = lines[first - 1 : min(last, first + _SNIPPET_LINES)]
    if shown and first - 1 + len(shown) == len(lines) and not shown[-1]:
        shown.pop()  # what is behind the last line end is no line
    note = f"\n{encoding.note}" if encoding.note else ""
    return f"Edited {place.path!r}. It now reads there:\n{numbered(shown, first)}{note}"
