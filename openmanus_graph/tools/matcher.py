"""Matcher: the process that searches files, apart from the engine because a pattern can take for ever.

`re` cannot be interrupted and holds the interpreter's lock while it works, so only a process of its own
can be ended. It reads one request from standard input and answers with one JSON object a line.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openmanus_graph.errors import OpenManusGraphError, ToolError
from openmanus_graph.files.safe_paths import SafePath, locate, open_file
from openmanus_graph.files.text import Encoding, decode
from openmanus_graph.tools.glob import Glob, walk

FILE_LIMIT = 20 * 2**20
"""Bytes of the largest file that is searched."""
MAX_FILES = 100_000
"""Files searched at most."""
TEXT_CHARACTERS = 400
"""Characters of a matching line that are returned."""
_LEAD = 100
_SNIFFED = 8192


def search(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Search as asked.

    Yields:
        `{"file"}` before each file, `{"match"}` for each line, and `{"truncated"}` at the end.
    """
    pattern = re.compile(request["pattern"], re.IGNORECASE if request["ignore_case"] else 0)
    place = locate(Path(request["workspace"]), request["path"])
    room = int(request["max_results"])
    files, truncated = _candidates(place, request)
    for file in files:
        yield {"file": file.path}
        try:
            read = _text_of(file)
        except ToolError:
            if file == place:
                raise  # named by the caller, who must hear that it is binary or gone
            continue
        if read is None:
            truncated = True
            continue
        text, encoding = read
        guess = {"encoding": encoding.label} if encoding.guessed else {}
        for number, line in enumerate(text.split("\n"), 1):
            found = pattern.search(line.removesuffix("\r"))
            if found is None:
                continue
            if room == 0:
                yield {"truncated": True}
                return
            room -= 1
            yield {"match": {"path": file.path, "line": number, "text": _excerpt(line, found.start()), **guess}}
    yield {"truncated": truncated}


def _candidates(place: SafePath, request: dict[str, Any]) -> tuple[list[SafePath], bool]:
    if place.full.is_file():
        return [place], False
    glob = Glob(request["glob"], include_hidden=request["include_hidden"])
    found = walk(place, glob, limit=MAX_FILES)
    files = [SafePath(place.root, tuple(path.split("/"))) for path in found.files]
    # What a link leads to is searched under its own name.
    return [file for file in files if not file.full.is_symlink()], found.truncated


def _text_of(file: SafePath) -> tuple[str, Encoding] | None:
    """The text of a file and how it holds it, `None` if it is too large to search.

    Raises:
        ToolError: If it is binary or cannot be opened.
    """
    with os.fdopen(open_file(file), "rb") as stream:
        data = stream.read(_SNIFFED)
        if not data.startswith((b"\xff\xfe", b"\xfe\xff")) and b"\0" in data:
            return decode(data, file.path)
        if os.fstat(stream.fileno()).st_size > FILE_LIMIT:
            return None
        data += stream.read(FILE_LIMIT)
    return decode(data, file.path)


def _excerpt(line: str, at: int) -> str:
    """The line, or the part of a long one around `at`."""
    line = line.removesuffix("\r")
    if len(line) <= TEXT_CHARACTERS:
        return line
    start = max(0, min(at - _LEAD, len(line) - TEXT_CHARACTERS))
    end = start + TEXT_CHARACTERS
    return f"{'… ' if start else ''}{line[start:end]}{' …' if end < len(line) else ''}"


def main() -> None:
    """Answer one request."""
    try:
        for answer in search(json.load(sys.stdin)):
            print(json.dumps(answer), flush=True)
    except OpenManusGraphError as error:
        kind = type(error).__name__
        print(json.dumps({"error": {"kind": kind, "message": error.message, "hint": error.hint}}))


if __name__ == "__main__":
    main()
