"""PDF page: a page of a PDF of the workspace as a picture, kept as a file beside large outputs."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.files.picture import LONGEST_SIDE
from openmanus_graph.files.safe_paths import SafePath, locate, open_file, read_file
from openmanus_graph.outputs import keep_file
from openmanus_graph.sandbox.pdf import DrawnPage, pdf_page

LARGEST_PDF = 50_000_000
"""Bytes that a PDF may have."""
_HEAD = b"%PDF-"


@dataclass(frozen=True)
class PagePicture:
    """A page as a file of the workspace."""

    path: str
    """The picture, relative to the workspace."""
    page: int
    """Which page it is, from 1."""
    pages: int
    """How many the PDF has."""


def is_pdf(workspace: Path, path: str) -> bool:
    """Whether a file of the workspace is a PDF, by how it begins; blocks.

    Raises:
        ToolError: If it is missing or outside.
    """
    place = locate(workspace, path)
    if not place.full.is_file():
        return False
    with os.fdopen(open_file(place), "rb") as stream:
        return stream.read(len(_HEAD)) == _HEAD


async def page_picture(
    workspace: Path, path: str, page: int, settings: Settings, *, sandbox: SandboxChoice | None = None
) -> PagePicture:
    """Have a page drawn, and keep the picture in the workspace.

    Args:
        workspace: The thread's folder.
        path: The PDF, relative to the workspace or absolute and inside it.
        page: Which page, from 1.
        settings: How what reads PDFs is confined.
        sandbox: The same, where the run says it.

    Raises:
        ToolError: If it is missing, outside, too large, encrypted or broken, has no such page, or what draws it is not
            installed.
    """
    place = locate(workspace, path)
    data = await asyncio.to_thread(_read, place)
    drawn = await pdf_page(data, place.path, page, settings, longest=LONGEST_SIDE, sandbox=sandbox)
    name = f"page-{hashlib.sha256(data).hexdigest()[:12]}-{page}.png"
    kept = await asyncio.to_thread(lambda: keep_file(workspace, name, _png(drawn, place.path)))
    return PagePicture(kept, page, drawn.pages)


def _read(place: SafePath) -> bytes:
    if place.full.is_file() and (size := place.full.stat().st_size) > LARGEST_PDF:
        raise ToolError(
            f"The PDF {place.path!r} has {size:,} bytes; pages of at most {LARGEST_PDF:,} can be drawn.",
            hint="Take the pages that matter out of it with a program first.",
        )
    return read_file(place, LARGEST_PDF)[0]


def _png(drawn: DrawnPage, path: str) -> bytes:
    try:
        from PIL import Image
    except ImportError as error:
        raise ToolError(
            f"No page of {path!r} can be shown, because Pillow is not installed.",
            hint=f"Get it with: {shell_commands.install('openmanus-graph[vision]')}",
        ) from error
    stream = BytesIO()
    Image.frombytes("RGB", (drawn.width, drawn.height), drawn.colours).save(stream, "PNG")
    return stream.getvalue()
