"""Chunks: cuts a document into passages along its structure, each with the headings that it stands under."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from openmanus_graph.memory.ingest.document import Document
from openmanus_graph.memory.semantic.passage import Passage

TARGET = 1_000
"""Characters up to which blocks are put together."""
MOST = 1_500
"""Characters above which a block is cut itself."""
OVERLAP = 150
"""Characters at most of the end of a passage that the next one of the same section begins with."""
MOST_HEADING = 200
"""Characters of a title or a heading; what is longer is text."""

_HEADING = re.compile(r"(#{1,6})\s+(.+?)(?:\s+#+)?\s*$")
_FENCE = re.compile(r"\s*(`{3,}(?=[^`]*$)|~{3,})")
_TOP_LEVEL = re.compile(
    r"(?:async\s+def|def|class|func|fn|pub|impl|function|export|interface|struct|enum|type|package|CREATE|@\w)\b", re.I
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_SPACE = re.compile(r"\s")
_BLANK = re.compile(r"[\n ]*")


@dataclass(frozen=True)
class _Block:
    """A paragraph, a fenced piece or a function, with the headings above it."""

    headings: tuple[str, ...]
    text: str
    section: int = 0
    """Tells sections of the same headings apart."""


@dataclass(frozen=True)
class _Heading:
    """A heading that what follows stands under."""

    level: int
    name: str
    section: int


def passages_of(document: Document) -> Iterator[Passage]:
    """The passages of a document, in order; the same document gives the same ones, and every word is in one."""
    title, text = document.title, document.text
    if len(title) > MOST_HEADING:
        title, text = title[:MOST_HEADING], f"{title}\n\n{text}"
    blocks = {"code": _code_blocks, "markdown": _blocks, "text": _paragraphs}[document.kind](text)
    for position, (headings, part) in enumerate(_packed(blocks)):
        path = [title, *(heading for heading in headings if heading != title)]
        head = " > ".join(step for step in path if step)
        meta = {"title": title} if title else {}
        yield Passage(document.source, position, f"{head}\n\n{part}" if head else part, meta)


def _packed(blocks: Iterator[_Block]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Blocks of one section together, up to `TARGET`; each begins with the end of the one before it."""
    headings: tuple[str, ...] = ()
    section = 0
    parts: list[str] = []
    size = 0
    fresh = False  # whether the parts hold more than an overlap
    for block in blocks:
        for piece in _pieces(block.text):
            if fresh and (block.section != section or size + len(piece) > TARGET):
                yield headings, "\n\n".join(parts)
                parts = _overlap(parts[-1]) if block.section == section else []
                size = sum(map(len, parts))
            elif block.section != section:
                parts, size = [], 0
            headings, section = block.headings, block.section
            parts.append(piece)
            size += len(piece)
            fresh = True
    if fresh:
        yield headings, "\n\n".join(parts)


def _overlap(text: str) -> list[str]:
    """The last sentences or lines of a text, as far as they fit."""
    ends = [found.end() for found in re.finditer(r"\n|(?<=[.!?])\s+", text)]
    start = next((end for end in ends if 0 < len(text) - end <= OVERLAP), None)
    return [] if start is None else [text[start:]]


def _pieces(text: str) -> Iterator[str]:
    """A block, or what it is cut into; the text is never copied but for the pieces."""
    start = 0
    while len(text) - start > MOST:
        at = _end_of_piece(text, start)
        if piece := text[start:at].rstrip():
            yield piece
        blank = _BLANK.match(text, at)
        start = at if blank is None else blank.end()
    if rest := text[start:].rstrip():
        yield rest


def _end_of_piece(text: str, start: int) -> int:
    """Where the piece from a place on ends: at the end of a line, else of a sentence, else of a word, else anywhere."""
    least, most = start + TARGET // 2, start + MOST
    if (line := text.rfind("\n", least, most)) > 0:
        return line
    for end in (_SENTENCE_END, _SPACE):
        if places := [found.start() for found in end.finditer(text, least, most)]:
            return places[-1]
    return most


def _paragraphs(text: str) -> Iterator[_Block]:
    """Paragraphs of plain text: in it a hash or a fence means nothing."""
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            yield _Block((), "\n".join(lines))
            lines = []


def _blocks(text: str) -> Iterator[_Block]:
    """Paragraphs and fenced pieces with their headings; a heading with nothing under it is text of those above it."""
    path: list[_Heading] = []
    bare = False  # whether nothing stands under the last heading yet
    sections = 0
    for part in _markdown_parts(text):
        if isinstance(part, str):
            yield _under(path, part)
            bare = False
            continue
        level, name = part
        if bare and level <= path[-1].level:
            yield _under(path[:-1], path[-1].name)
        path = [heading for heading in path if heading.level < level]
        sections += 1
        path.append(_Heading(level, name, sections))
        bare = True
    if bare:
        yield _under(path[:-1], path[-1].name)


def _under(path: Sequence[_Heading], text: str) -> _Block:
    return _Block(tuple(heading.name for heading in path), text, path[-1].section if path else 0)


def _markdown_parts(text: str) -> Iterator[str | tuple[int, str]]:
    """Texts of paragraphs and fenced pieces, and levels and names of headings, in order."""
    lines: list[str] = []
    fence = ""

    def paragraph() -> Iterator[str]:
        if any(line.strip() for line in lines):
            yield "\n".join(lines).strip("\n")
        lines.clear()

    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence:
            lines.append(line)
            if mark and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
                yield from paragraph()
        elif mark:
            yield from paragraph()
            fence = mark[1]
            lines.append(line)
        elif len(line) <= MOST_HEADING and (heading := _HEADING.match(line)):
            yield from paragraph()
            yield len(heading[1]), heading[2]
        elif line.strip():
            lines.append(line)
        else:
            yield from paragraph()
    yield from paragraph()


def _code_blocks(text: str) -> Iterator[_Block]:
    """Functions and classes of a program; what stands before one, such as its decorators, goes with it."""
    for lines in _cut_at_top(text.splitlines()):
        if any(line.strip() for line in lines):
            yield _Block((), "\n".join(lines).strip("\n"))


def _cut_at_top(lines: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    inside = False  # whether a line of a body came since the part began
    for line in lines:
        if inside and _TOP_LEVEL.match(line):
            yield part
            part, inside = [], False
        inside = inside or (line[:1].isspace() and bool(line.strip()))
        part.append(line)
    yield part
