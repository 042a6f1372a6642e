"""Untrusted text: marks text of pages, files, tools and agents in prompts, so that it is not read as instructions."""

from __future__ import annotations

import re

from openmanus_graph.models.fence import fenced

__all__ = ["fenced", "in_one_line", "set_apart"]

_WORD = re.compile(r"[\w./:@%+,=&?#-]{1,200}")


def set_apart(text: str) -> str:
    """A value inside a sentence: a single word, such as a number, a path or an address, as it is, all else fenced."""
    return text if _WORD.fullmatch(text) else f"\n{fenced(text)}\n"


def in_one_line(text: str, characters: int) -> str:
    """The beginning of a text that stands for itself in a heading or a list, without line ends."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= characters else f"{line[: characters - 2]} …"
