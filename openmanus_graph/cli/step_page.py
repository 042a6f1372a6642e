"""Step page: a text that is longer than the terminal, shown a screenful at a time."""

from __future__ import annotations

import unicodedata


def columns(text: str) -> int:
    """How many columns of a terminal a text takes; wide characters take two, those that combine none."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char) or char in "\u200c\u200d\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The beginning of a line that fits."""
    if columns(text) <= width:
        return text
    while columns(text) >= width:
        text = text[:-1]
    return text + "…"


def folded(line: str, width: int) -> list[str]:
    """A line in pieces that fit, between words where that leaves no large gap."""
    pieces: list[str] = []
    piece, taken = "", 0
    for char in line.expandtabs(4):
        size = _columns(char)
        if taken + size > width:
            words, space, rest = piece.rpartition(" ")
            if space and len(rest) < width // 3:
                pieces.append(words)
                piece, taken = rest, columns(rest)
            else:
                pieces.append(piece)
                piece, taken = "", 0
        piece += char
        taken += size
    return [*pieces, piece]


class Page:
    """A text and the place in it that is shown."""

    def __init__(self, text: str, mark: str = "") -> None:
        """Show a text from its beginning.

        Args:
            text: The text.
            mark: What the line that is to be seen first begins with.
        """
        self.text = text
        self._mark = mark
        self._top: int | None = None
        self._rows = 1

    def turn(self, pages: int) -> None:
        """Show the next page, or the one before for -1."""
        self.move(pages * max(self._rows - 1, 1))

    def move(self, lines: int) -> None:
        """Show what is so many lines further, or before for less than 0."""
        self._top = (self._top or 0) + lines

    def shown(self, width: int, rows: int) -> list[str]:
        """What fits, with a line about the rest if there is any."""
        lines = [piece for line in self.text.splitlines() or [""] for piece in folded(line, width)]
        if len(lines) <= rows:
            self._top, self._rows = 0, rows
            return lines
        self._rows = rows = max(rows - 1, 1)
        if self._top is None:
            marked = next((place for place, line in enumerate(lines) if self._mark and line.startswith(self._mark)), 0)
            self._top = marked - rows + 1
        top = self._top = min(max(self._top, 0), len(lines) - rows)
        told = f"── lines {top + 1} to {top + rows} of {len(lines)}: space further, - back, arrows a line"
        return [*lines[top : top + rows], cut(told, width)]
