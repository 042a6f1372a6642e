"""Document text: what a PDF or a file of an office program in the workspace says, as lines that can be viewed."""

from __future__ import annotations

import asyncio
import os

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.files.safe_paths import SafePath, open_file, read_file
from openmanus_graph.sandbox.office import ENDINGS, is_office, office_text
from openmanus_graph.sandbox.pdf import pdf_text
from openmanus_graph.tools.documents.office_page import office_page

LARGEST = 50_000_000
"""Bytes that a file may have."""
_HEADS = (b"%PDF-", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


async def document_text(place: SafePath, settings: Settings, sandbox: SandboxChoice) -> str | None:
    """The text of a document; `None` of any other file.

    Args:
        place: The file.
        settings: How what reads it is confined.
        sandbox: The same, as the run says it.

    Raises:
        ToolError: If it is a document that cannot be read.
    """
    data = await asyncio.to_thread(_read, place)
    if data is None:
        return None
    if data.startswith(b"%PDF-"):
        text, beyond = await pdf_text(data, place.path, settings, sandbox=sandbox)
        return f"{text}\n\n[{beyond:,} pages more]" if beyond else text
    if not is_office(data, place.path):
        return None
    found = await office_text(data, place.path, settings, sandbox=sandbox)
    page = await asyncio.to_thread(office_page, found, f"file:///{place.path}")
    return page.markdown


def _read(place: SafePath) -> bytes | None:
    """The file, if it begins as a document does."""
    if not place.full.is_file():
        return None
    with os.fdopen(open_file(place), "rb") as stream:
        head = stream.read(8)
    if not head.startswith(_HEADS) or (head.startswith(_HEADS[2]) and not place.path.lower().endswith(_OFFICE)):
        return None
    return read_file(place, LARGEST)[0]


_OFFICE = (*ENDINGS, ".doc", ".xls", ".ppt")
