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
MOST_PASSAGES = 5_000
"""Passages of one document."""

_HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*$")
_FENCE = re.compile(r"\s*(```+|~~~+)")
_TOP_LEVEL = re.compile(
    r"(?:async\s+def|def|class|func|fn|pub|impl|function|export|interface|struct|enum|type|package|CREATE|@\w)\b", re.I
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class _Block:
    """A paragraph, a fenced piece or a function, with the headings above it."""

    headings: tuple[str, ...]
    text: str


def passages_of(document: Document) -> list[Passage]:
    """The passages of a document, in order; the same document gives the same ones."""
    blocks = _code_blocks(document.text) if document.kind == "code" else _blocks(document.text)
    title = document.title
    made: list[Passage] = []
    for headings, text in _packed(blocks):
        if len(made) >= MOST_PASSAGES:
            break
        path = [title, *(heading for heading in headings if heading != title)]
        head = " > ".join(part for part in path if part)
        meta = {"title": title} if title else {}
        made.append(Passage(document.source, len(made), f"{head}\n\n{text}" if head else text, meta))
    return made


def _packed(blocks: Iterator[_Block]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Blocks of one section together, up to `TARGET`; each begins with the end of the one before it."""
    headings: tuple[str, ...] = ()
    parts: list[str] = []
    fresh = False  # whether the parts hold more than an overlap
    for block in blocks:
        for piece in _pieces(block.text):
            full = sum(map(len, parts)) + len(piece) > TARGET
            if fresh and (block.headings != headings or full):
                yield headings, "\n\n".join(parts)
                parts = _overlap(parts[-1]) if block.headings == headings else []
                fresh = False
            elif block.headings != headings:
                parts = []
            headings = block.headings
            parts.append(piece)
            fresh = True
    if fresh:
        yield headings, "\n\n".join(parts)


def _overlap(text: str) -> list[str]:
    """The last sentences or lines of a text, as far as they fit."""
    ends = [found.end() for found in re.finditer(r"\n|(?<=[.!?])\s+", text)]
    start = next((end for end in ends if 0 < len(text) - end <= OVERLAP), None)
    return [] if start is None else [text[start:]]


def _pieces(text: str) -> Iterator[str]:
    """A block, or what it is cut into: at ends of lines, else of sentences, else of words, else anywhere."""
    while len(text) > MOST:
        at = max(text.rfind("\n", TARGET // 2, MOST), 0)
        if not at:
            ends = [found.start() for found in _SENTENCE_END.finditer(text[:MOST])]
            at = ends[-1] if ends and ends[-1] > TARGET // 2 else max(text.rfind(" ", TARGET // 2, MOST), 0) or MOST
        yield text[:at].rstrip()
        text = text[at:].lstrip("\n ")
    if text.strip():
        yield text


def _blocks(text: str) -> Iterator[_Block]:
    """Paragraphs and fenced pieces with their headings."""
    headings: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""

    def block() -> Iterator[_Block]:
        if any(line.strip() for line in lines):
            yield _Block(tuple(name for _, name in headings), "\n".join(lines).strip("\n"))
        lines.clear()

    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence:
            lines.append(line)
            if mark and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
                yield from block()
        elif mark:
            yield from block()
            fence = mark[1]
            lines.append(line)
        elif heading := _HEADING.match(line):
            yield from block()
            level = len(heading[1])
            headings = [(above, name) for above, name in headings if above < level]
            headings.append((level, heading[2]))
        elif line.strip():
            lines.append(line)
        else:
            yield from block()
    yield from block()


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
