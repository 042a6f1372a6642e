"""PDF: the text of a PDF file, page by page, by PDFium."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from openmanus_graph import shell_commands
from openmanus_graph.errors import ToolError

MOST_PAGES = 3_000
"""Pages that are read."""


def pdf_text(data: bytes, source: str) -> tuple[str, int]:
    """The text of a PDF, its pages apart by an empty line, and how many pages at its end were not read.

    Args:
        data: The file.
        source: Its name, for messages.

    Raises:
        ToolError: If it is encrypted, broken, or has no text, or PDFium is not installed.
    """
    try:
        pdfium: Any = import_module("pypdfium2")
    except ImportError as error:
        raise ToolError(
            f"The file {source!r} is a PDF, and what reads those is not installed.",
            hint=f"Get it with: {shell_commands.install('openmanus-graph[pdf]')}",
        ) from error
    try:
        document: Any = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        what = "is encrypted" if "password" in str(error).lower() else "is broken"
        raise ToolError(
            f"The PDF {source!r} {what} and cannot be read.", hint="Save it anew, without a password."
        ) from error
    try:
        count = len(document)
        pages = [_page_text(document, number) for number in range(min(count, MOST_PAGES))]
    except pdfium.PdfiumError as error:
        raise ToolError(f"The PDF {source!r} is broken and cannot be read.", hint="Save it anew.") from error
    finally:
        document.close()
    text = "\n\n".join(page for page in pages if page)
    if not text:
        raise ToolError(
            f"The PDF {source!r} has pictures of text only.", hint="Have a program recognise the text first."
        )
    return text, max(count - MOST_PAGES, 0)


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    text_page = page.get_textpage()
    try:
        return str(text_page.get_text_range()).replace("\r\n", "\n").strip()
    finally:
        text_page.close()
        page.close()
