"""Office files: what Word documents, workbooks and slides say, wherever files are read; bounded and confined."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import ToolError
from openmanus_graph.memory.ingest.document import read_document
from openmanus_graph.memory.ingest.ingest import READ
from openmanus_graph.sandbox import office
from openmanus_graph.sandbox.office import office_text
from openmanus_graph.tools.registry import builtin
from tests.office_files import docx, pptx, xlsx

from .conftest import Service

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
DATE = datetime.date(2026, 1, 2)
ROWS = [["Whale", "Long | wide"], ["Blue", 29.5], [], ["Seen", DATE], [None, "line\nbreak"]]
TABLE = (
    "## S1\n\n| Whale | Long \\| wide |\n| --- | --- |\n| Blue | 29.5 |\n| Seen | 2026-01-02 |\n|  | line break |\n\n"
    "## S2\n\n| 1 |\n| --- |"
)

pytestmark = pytest.mark.usefixtures("needs_office")


async def fetched(context: ToolContext, url: str) -> dict[str, Any]:
    with using_tool_context(replace(context, settings=Settings(allow_hosts=("127.0.0.1",)))):
        return (await builtin("fetch_page").ainvoke({"urls": url}))["pages"][0]


@pytest.mark.parametrize(
    ("data", "markdown"),
    [
        (docx("Whales", "They sing."), "# Whales\n\nThey sing.\n\n|  |  |\n| --- | --- |\n| left | right |"),
        (xlsx(ROWS, [[1]]), TABLE),
        (
            pptx("Whales", "They sing.", notes="Say it slowly."),
            "## Slide 1\n\nWhales\n\nNotes:\n\nSay it slowly.\n\n## Slide 2\n\nThey sing.",
        ),
    ],
    ids=["docx", "xlsx", "pptx"],
)
class TestReading:
    @pytest.mark.parametrize("kind", [WORD, "application/octet-stream", "application/zip"])
    async def test_a_page(self, context: ToolContext, service: Service, data: bytes, markdown: str, kind: str) -> None:
        page = await fetched(context, service.gives("/a", data, kind=kind))
        assert (page["error"], page["markdown"]) == (None, markdown)

    async def test_a_file_that_is_viewed(self, context: ToolContext, data: bytes, markdown: str) -> None:
        (context.workspace / "a.bin").write_bytes(data)
        shown = await builtin("str_replace_editor").ainvoke({"command": "view", "path": "a.bin"})
        lines = shown["text"].splitlines()
        assert [line.split("\t", 1)[1] for line in lines[:-1]] == markdown.split("\n")
        assert lines[-1] == "[This is the text of the document, which cannot be edited so.]"

    async def test_a_file_that_is_remembered(self, data: bytes, markdown: str, tmp_path: Path) -> None:
        (tmp_path / "a.docx").write_bytes(data)
        document = await read_document(tmp_path / "a.docx")
        assert (document.text, document.kind, document.left_out) == (markdown, "markdown", "")
        assert set(READ) >= {".docx", ".xlsx", ".pptx"}


async def test_a_pdf_is_viewed_as_its_text(context: ToolContext) -> None:
    from tests.pdf_file import pdf

    (context.workspace / "a.pdf").write_bytes(pdf("Whales", pages=2))
    shown = await builtin("str_replace_editor").ainvoke({"command": "view", "path": "a.pdf", "view_range": [3, -1]})
    assert shown["text"].startswith("     3\tWhales")


async def test_an_archive_that_is_no_document_stays_one(context: ToolContext, service: Service) -> None:
    (context.workspace / "a.zip").write_bytes(b"PK\x03\x04\0word/")
    with pytest.raises(ToolError, match="binary"):
        await builtin("str_replace_editor").ainvoke({"command": "view", "path": "a.zip"})
    with pytest.raises(ToolError, match="is not text but 'application/zip'"):
        await fetched(context, service.gives("/a", b"PK\x03\x04\0word/", kind="application/zip"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (docx("a", "b")[:-40], "is broken and cannot be read"),
        (docx("a", "b").replace(b"word/document", b"word/dokument"), "is broken and cannot be read"),
        (docx("", "", **{"word/x": b"\0" * (office.MOST_UNFOLDED + 1)}), "unfolds to more than 200 MB"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "is encrypted, or of an office program before 2007"),
        (pptx(), "has no text"),
    ],
    ids=["cut short", "without its main part", "unfolding", "old", "empty"],
)
async def test_one_that_cannot_be_read_is_said(data: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(data)
    with pytest.raises(ToolError, match=why):
        await read_document(tmp_path / "a.docx")


async def test_a_large_sheet_is_cut_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, context: ToolContext, service: Service
) -> None:
    monkeypatch.setattr(office, "MOST_CHARACTERS", 1_000)
    data = xlsx([["row", number] for number in range(1_000)])
    (tmp_path / "a.xlsx").write_bytes(data)

    assert len((await office_text(data, "a.xlsx", Settings())).text) == 1_000
    assert "characters was left out" in (await read_document(tmp_path / "a.xlsx")).left_out
    page = await fetched(context, service.gives("/a", data))
    assert page["markdown"].endswith("characters was left out.]")


async def test_what_ends_the_reader_costs_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "office_worker.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(office, "program_of", lambda _, name: (tmp_path / name).read_text())
    with pytest.raises(ToolError, match="is broken and cannot be read"):
        await office_text(docx("a", "b"), "a.docx", Settings())


async def test_without_what_reads_them_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "find_spec", lambda _: None)
    with pytest.raises(ToolError, match=r"pip install 'openmanus-graph\[office\]'"):
        await office_text(docx("a", "b"), "a.docx", Settings())
