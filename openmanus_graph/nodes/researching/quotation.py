"""Quotation: words of a page letter by letter, and the place where they stand in its Markdown.

Compared are letters, figures and signs: how many spaces stand between, how quotation marks and dashes are written, and
the marks of Markdown make no difference, as a model that copies a sentence keeps none of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from openmanus_graph.nodes.researching.research_state import Place

LEAST_CHARACTERS = 12
"""Characters that a quotation has at least: a shorter one stands in any page by chance."""
MOST_CHARACTERS = 600
"""Characters that a quotation has at most: a longer one is the page, not a quotation."""
PAGE_CHARACTERS = 24_000
"""Characters of a page that a model is sent for one question."""

_LINK = re.compile(r"!?\[([^\[\]]*)\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+\"[^\"]*\")?\)")
_MARKS = re.compile(r"[*_`#>|\\]+")
_SPACES = re.compile(r"\s+")
_HEADING = re.compile(r"\A#{1,6}\s+(.*)")
_WORD = re.compile(r"\w{3,}")
_ALIKE = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "–": "-", "—": "-", "−": "-"}
)


def compared(text: str) -> str:
    """A text as quotations are compared."""
    plain = unicodedata.normalize("NFKC", _LINK.sub(r"\1", text)).translate(_ALIKE)
    return _SPACES.sub(" ", _MARKS.sub(" ", plain)).strip().casefold()


def blocks_of(markdown: str) -> list[str]:
    """The blocks of a text that blank lines part."""
    return [block.strip("\n") for block in re.split(r"\n\s*\n", markdown) if block.strip()]


def place_of(quotation: str, markdown: str) -> Place | None:
    """Where a quotation stands.

    Args:
        quotation: What is said to stand in the page.
        markdown: The page.

    Returns:
        The place of its first occurrence; `None` if it does not stand there, or is too short or too long to be one.
    """
    wanted = compared(quotation)
    if not len(wanted) >= LEAST_CHARACTERS or len(quotation) > MOST_CHARACTERS:
        return None
    starts, joined = _joined(blocks_of(markdown))
    at = joined.find(wanted)
    if at == -1:
        return None
    number = max(index for index, start in enumerate(starts) if start <= at)
    return Place(heading=_heading_above(blocks_of(markdown), number), paragraph=number + 1)


def _joined(blocks: Sequence[str]) -> tuple[list[int], str]:
    """Blocks as they are compared, one behind the other, and where each begins."""
    starts: list[int] = []
    text = ""
    for block in blocks:
        plain = compared(block)
        text += " " if text and plain else ""
        starts.append(len(text))
        text += plain
    return starts, text


def _heading_above(blocks: Sequence[str], number: int) -> str:
    for block in reversed(blocks[: number + 1]):
        for line in reversed(block.splitlines()):
            if (found := _HEADING.match(line)) is not None:
                return _SPACES.sub(" ", _MARKS.sub(" ", _LINK.sub(r"\1", found[1]))).strip()
    return ""


def about(markdown: str, question: str, limit: int = PAGE_CHARACTERS) -> str:
    """A page, or of a long one the blocks that share most words with a question, in their order.

    Args:
        markdown: The page.
        question: What it is read for.
        limit: Characters kept.
    """
    if len(markdown) <= limit:
        return markdown
    blocks = [part for block in blocks_of(markdown) for part in _pieces(block, limit)]
    wanted = set(_WORD.findall(question.casefold()))
    shared = [len(wanted & set(_WORD.findall(block.casefold()))) for block in blocks]
    # Headings go with what stands under them, so a block counts a little for its neighbours; the beginning first.
    near = [2 * own + (shared[index - 1] if index else 0) for index, own in enumerate(shared)]
    kept: set[int] = set()
    room = limit
    for index in sorted(range(len(blocks)), key=lambda index: (-near[index], index)):
        if len(blocks[index]) + 2 <= room:
            kept.add(index)
            room -= len(blocks[index]) + 2
    return "\n\n".join(blocks[index] for index in sorted(kept))


def _pieces(block: str, limit: int) -> list[str]:
    """A block in pieces of which several fit; a page without blank lines is one block."""
    size = max(limit // 8, 1)
    if len(block) <= size:
        return [block]
    pieces = [""]
    for line in block.splitlines(keepends=True):
        for start in range(0, len(line), size):
            part = line[start : start + size]
            if len(pieces[-1]) + len(part) > size:
                pieces.append("")
            pieces[-1] += part
    return [piece for piece in pieces if piece.strip()]
