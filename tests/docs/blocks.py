"""Blocks: the fenced blocks of a page, in order.

A block after a line such as "`plan.yaml`:" is the content of that file. A block after `<!-- no-run: why -->`
is neither run nor validated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
_FILE = re.compile(r"`(?P<name>[\w.-]+\.(?:py|yaml|json|toml|txt))`[^`]*:$")
_NO_RUN = re.compile(r"<!-- no-run: \S.* -->$")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    text: str
    file: str | None
    shown_only: bool

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(TOP)}:{self.line}"


def pages() -> list[Path]:
    return [
        TOP / "README.md",
        TOP / "CONTRIBUTING.md",
        TOP / "CHANGELOG.md",
        *sorted((TOP / "docs").glob("*.md")),
    ]


def blocks_of(page: Path) -> list[Block]:
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    before = marker = ""
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        if opening is None:
            said = lines[number].strip()
            marker = said or marker
            before = before if said.startswith("<!--") else said or before
            number += 1
            continue
        end = number + 1
        while lines[end].strip() != "```":
            end += 1
        indent = len(opening["indent"])
        named = _FILE.search(before)
        text = "\n".join(line[indent:] for line in lines[number + 1 : end]) + "\n"
        shown = _NO_RUN.search(marker) is not None
        found.append(Block(page, number + 1, opening["language"], text, named["name"] if named else None, shown))
        before = marker = ""
        number = end + 1
    return found
