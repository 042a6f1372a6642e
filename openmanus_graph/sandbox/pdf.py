"""PDF: the text of a PDF file, page by page, or a page as a picture, by PDFium in a confined process of its own.

What reads PDFs is native code that strangers' files are fed to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.display_text import counted
from openmanus_graph.errors import ScannedPdfError, ToolError
from openmanus_graph.sandbox.reader import read_confined
from openmanus_graph.sandbox.worker import program_of

MOST_PAGES = 3_000
"""Pages that are read."""
_ANEW = "Save it anew, without a password."


async def pdf_text(
    data: bytes, source: str, settings: Settings, *, sandbox: SandboxChoice | None = None
) -> tuple[str, int]:
    """The text of a PDF, its pages apart by an empty line, and how many pages at its end were not read.

    Args:
        data: The file.
        source: Its name, for messages.
        settings: The account to drop to, and how to confine unless `sandbox` says it.
        sandbox: How to confine.

    Raises:
        ScannedPdfError: If it has no text.
        ToolError: If it is encrypted or broken, takes too long, or PDFium is not installed.
        SandboxUnavailableError: If it cannot be confined as chosen.
    """
    said = await _run(["text", str(MOST_PAGES)], data, source, settings, sandbox or settings.sandbox)
    found = _said(said, source)
    text = "\n\n".join(page for page in found["pages"] if page)
    if not text:
        count = len(found["pages"]) + int(found["beyond"])
        raise ScannedPdfError(
            f"The PDF {source!r} has pictures of text only, on {counted(count, 'page')}.",
            hint="Look at a page with `view_image`, which takes the file in the workspace and `page`.",
        )
    return text, int(found["beyond"])


@dataclass(frozen=True)
class DrawnPage:
    """A page of a PDF as it was drawn."""

    width: int
    """Pixels."""
    height: int
    """The same."""
    colours: bytes
    """Red, green and blue of each pixel, row by row."""
    pages: int
    """How many pages the PDF has."""


async def pdf_page(
    data: bytes, source: str, page: int, settings: Settings, *, longest: int, sandbox: SandboxChoice | None = None
) -> DrawnPage:
    """A page of a PDF, drawn.

    Args:
        data: The file.
        source: Its name, for messages.
        page: Which page, from 1.
        settings: The account to drop to, and how to confine unless `sandbox` says it.
        longest: Pixels of the longer side, whatever size the page says it has.
        sandbox: How to confine.

    Raises:
        ToolError: If it is encrypted or broken, has no such page, takes too long, or PDFium is not installed.
        SandboxUnavailableError: If it cannot be confined as chosen.
    """
    said = await _run(["page", str(page), str(longest)], data, source, settings, sandbox or settings.sandbox)
    head, _, colours = said.partition(b"\n")
    found = _said(head, source)
    width, height = int(found["width"]), int(found["height"])
    if not (0 < width <= longest + 1 and 0 < height <= longest + 1) or len(colours) != 3 * width * height:
        raise _broken(source)
    return DrawnPage(width, height, colours, int(found["count"]))


def _said(said: bytes, source: str) -> dict[str, Any]:
    """What the reader says of a file.

    Raises:
        ToolError: If it could not be read.
    """
    try:
        found = dict[str, Any](json.loads(said))
    except ValueError as error:  # it ended in the middle of the file
        raise _broken(source) from error
    if (why := found.get("error")) == "encrypted":
        raise ToolError(f"The PDF {source!r} is encrypted and cannot be read.", hint=_ANEW)
    if why == "no page":
        raise ToolError(f"The PDF {source!r} has {counted(int(found['count']), 'page')}.", hint="Give one of them.")
    if why is not None:
        raise _broken(source)
    return found


def _broken(source: str) -> ToolError:
    return ToolError(f"The PDF {source!r} is broken and cannot be read.", hint=_ANEW)


async def _run(arguments: Sequence[str], data: bytes, source: str, settings: Settings, sandbox: SandboxChoice) -> bytes:
    """What the confined reader writes of a file."""
    if find_spec("pypdfium2") is None:
        raise ToolError(
            f"The file {source!r} is a PDF, and what reads those is not installed.",
            hint=f"Get it with: {shell_commands.install('openmanus-graph[pdf]')}",
        )
    program = program_of("openmanus_graph.sandbox", "pdf_worker.py")
    return await read_confined(program, arguments, data, source, settings, sandbox)
