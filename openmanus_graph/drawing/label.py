"""Label: measures, clips and escapes text in a picture.

Pictures bring no font, so widths are estimates for the sans-serif fonts of the common systems, on the wide side.
"""

from __future__ import annotations

import html
import re
import unicodedata

_NARROW = frozenset("iljtfrI.,:;'|!()[]{}`\" -/\\")
_WIDE = frozenset("mwMW@%&—…→←✓")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")
"""What no XML document may hold, not even escaped."""
_TURNING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that turn the direction of the text around them, and could make it look like another."""
_SPACE = re.compile(r"\s+")


def _share(char: str) -> float:
    """The width of a character, as a share of the font's size."""
    if char in _NARROW:
        return 0.36
    if char in _WIDE:
        return 0.92
    if char.isascii():
        return 0.7 if char.isupper() else 0.58
    if unicodedata.combining(char):
        return 0.0
    return 1.05 if unicodedata.east_asian_width(char) in "WF" else 0.66


_ASCII = [_share(chr(code)) for code in range(128)]


def width_of(text: str, size: float) -> float:
    """The estimated width of a line of text, in pixels.

    Args:
        text: The line.
        size: The font's size in pixels.
    """
    return size * sum(_ASCII[ord(char)] if char < "\x80" else _share(char) for char in text)


def without_forbidden(text: str) -> str:
    """The text with what no XML document may hold replaced."""
    return _NOT_XML.sub("\ufffd", text)


def plain(text: str) -> str:
    """The text in one line, without what XML forbids and what turns its direction around."""
    return _SPACE.sub(" ", _TURNING.sub("", without_forbidden(text))).strip()


def clipped(text: str, room: float, size: float) -> str:
    """The line as it is, or its beginning and `…`, so that it fits.

    Args:
        text: The line.
        room: Pixels that there are.
        size: The font's size in pixels.
    """
    if len(text) * size * 1.05 <= room or width_of(text, size) <= room:
        return text
    left = room - size * _share("…")
    kept: list[str] = []
    for char in text:
        left -= size * _share(char)
        if left < 0:
            break
        kept.append(char)
    return "".join(kept).rstrip() + "…"


def escaped(text: str) -> str:
    """The text as content or as a quoted attribute of XML and HTML; characters that XML forbids are replaced."""
    return html.escape(_TURNING.sub("", without_forbidden(text)))


def number(value: float) -> str:
    """A coordinate with at most one digit after the point, the same on every machine."""
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text
