"""Document: the text of a file or a page, with what it is, before it is cut."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import counted
from openmanus_graph.errors import ToolError, UsageError
from openmanus_graph.files.text import decode
from openmanus_graph.sandbox.office import MOST_CHARACTERS, is_office, office_text
from openmanus_graph.sandbox.pdf import MOST_PAGES, pdf_text
from openmanus_graph.tools.documents.office_page import office_page
from openmanus_graph.tools.fetch_page import fetch
from openmanus_graph.tools.web.download import MAX_BYTES
from openmanus_graph.tools.web.page import MAX_LINKS, read_page

Kind = Literal["markdown", "code", "text"]

MOST_BYTES = 20 * 2**20
"""Bytes of a file that is read; what is larger is data, and no text to look things up in."""
CODE = frozenset(
    {".c", ".cc", ".cpp", ".cs", ".css", ".go", ".h", ".hpp", ".java", ".jl", ".js", ".jsx", ".kt", ".lua", ".php"}
    | {".pl", ".py", ".r", ".rb", ".rs", ".scala", ".sh", ".sql", ".swift", ".ts", ".tsx"}
)
"""Endings of programs, which are cut between their functions and classes."""
MARKDOWN = frozenset({".md", ".markdown", ".mdx", ".rst"})
HTML = frozenset({".html", ".htm", ".xhtml"})


@dataclass(frozen=True)
class Document:
    """The text of a source."""

    source: str
    """The absolute path, or the address."""
    title: str
    """What it is called; may be empty."""
    text: str
    """Its text."""
    kind: Kind
    """What it is cut along."""
    links: tuple[str, ...] = ()
    """Addresses that a page leads to."""
    left_out: str = ""
    """What of the source is not in the text, in a sentence; empty if all of it is."""


async def read_document(path: Path) -> Document:
    """The text of a file.

    Args:
        path: The file: text, Markdown, HTML, PDF, one of an office program, or a program.

    Raises:
        UsageError: If it is missing, no file, or too large.
        ToolError: If it is binary, or a document that cannot be read.
    """
    source, data = await asyncio.to_thread(_bytes_of, path)
    name = Path(source).name
    if is_office(data, name):
        found = await office_text(data, source, Settings.load())
        page = await asyncio.to_thread(office_page, replace(found, cut=False), Path(source).as_uri())
        rest = f"What comes after its first {MOST_CHARACTERS:,} characters was left out." if found.cut else ""
        return Document(source, name, page.markdown, "markdown", left_out=rest)
    if not data.startswith(b"%PDF-") and not source.lower().endswith(".pdf"):
        return await asyncio.to_thread(_decoded, Path(source), data)
    text, beyond = await pdf_text(data, source, Settings.load())
    pages = f"Its last {counted(beyond, 'page')} were left out: {MOST_PAGES:,} are read of a PDF."
    return Document(source, name, text, "text", left_out=pages if beyond else "")


def _bytes_of(path: Path) -> tuple[str, bytes]:
    """The absolute path of a file, and what is in it."""
    path = Path(os.path.normpath(path.expanduser().absolute()))  # one name for a file, from wherever it is named
    source = str(path)
    try:
        if not path.is_file():
            raise UsageError(f"There is no file {source!r}.", hint="Name a file, a folder, or an address.")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UsageError(
                f"The file {source!r} has {size:,} bytes; at most {MOST_BYTES:,} are taken into memory.",
                hint="Take out of it what is to be found again.",
            )
        return source, path.read_bytes()
    except OSError as error:
        raise UsageError(f"The file {source!r} cannot be read: {error.strerror}.") from error


def _decoded(path: Path, data: bytes) -> Document:
    """The text of a file that is no PDF."""
    source, ending = str(path), path.suffix.lower()
    text, _ = decode(data, source)
    if ending in HTML:
        page = read_page(text, path.as_uri())
        return Document(source, page.title or path.name, page.markdown, "markdown")
    kind: Kind = "code" if ending in CODE else "markdown" if ending in MARKDOWN else "text"
    return Document(source, path.name, text, kind)


async def read_pages(urls: list[str], allow_hosts: tuple[str, ...]) -> tuple[list[Document], list[tuple[str, str]]]:
    """Pages of the Web, through the guard that tools have, and those that could not be read with the reason.

    Args:
        urls: Their addresses.
        allow_hosts: Hosts that may be reached although their address is not public.
    """
    try:
        answers = (await fetch(urls, allow_hosts))["pages"]
    except ToolError as error:
        return [], [(url, error.message) for url in urls]
    read = [page for page in answers if page["error"] is None]
    documents = [
        Document(
            page["url"].partition("#")[0],
            page["title"],
            page["markdown"],
            "markdown",
            tuple(link["url"].partition("#")[0] for link in page["links"]),
            _not_read(page),
        )
        for page in read
    ]
    return documents, [(page["url"], page["error"]) for page in answers if page["error"] is not None]


def _not_read(page: dict[str, Any]) -> str:
    """What of a page was not read, in a sentence; empty for nothing."""
    if page["truncated"]:
        return f"What comes after its first {MAX_BYTES:,} bytes was left out."
    if len(page["links"]) >= MAX_LINKS:
        return f"Pages that it leads to after its first {MAX_LINKS} links were left out."
    return ""
