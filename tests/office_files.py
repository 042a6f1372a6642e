"""Office files: the bytes of small ones, for what reads them."""

from __future__ import annotations

import importlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"


def _packed(parts: Mapping[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _relations(kind: str, **targets: str) -> str:
    found = [f'<Relationship Id="{key}" Target="{one}" Type="{_RELATIONS}/{kind}"/>' for key, one in targets.items()]
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{"".join(found)}</Relationships>'


def docx(heading: str, text: str, **more: str | bytes) -> bytes:
    """A Word document of a heading, a paragraph and a table of one row."""
    words = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    cells = "".join(f"<w:tc><w:p><w:r><w:t>{one}</w:t></w:r></w:p></w:tc>" for one in ("left", "right"))
    body = (
        f'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>{heading}</w:t></w:r></w:p>'
        f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p><w:tbl><w:tr>{cells}</w:tr></w:tbl>"
    )
    return _packed(
        {
            "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"/>',
            "_rels/.rels": _relations("officeDocument", r1="word/document.xml"),
            "word/document.xml": f'<w:document xmlns:w="{words}"><w:body>{body}</w:body></w:document>',
            **more,
        }
    )


def xlsx(*sheets: Sequence[Sequence[Any]]) -> bytes:
    """An Excel workbook with the rows of each sheet."""
    openpyxl: Any = importlib.import_module("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, 1):
        sheet = book.create_sheet(f"S{number}")
        for row in rows:
            sheet.append(list(row))
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def pptx(*slides: str, notes: str = "") -> bytes:
    """PowerPoint slides of a line each, stored in the opposite order; the first has notes."""
    parts: dict[str, str | bytes] = {"[Content_Types].xml": "<Types/>"}
    numbers = range(len(slides), 0, -1)
    for number, text in zip(numbers, slides, strict=True):
        run = f'<a:p xmlns:a="{_DRAWING}"><a:r><a:t>{text}</a:t></a:r></a:p>'
        parts[f"ppt/slides/slide{number}.xml"] = f"<sld>{run}</sld>"
    shown = "".join(f'<p:sldId r:id="r{number}"/>' for number in numbers)
    parts["ppt/presentation.xml"] = f'<p:presentation xmlns:p="p" xmlns:r="{_RELATIONS}">{shown}</p:presentation>'
    parts["ppt/_rels/presentation.xml.rels"] = _relations(
        "slide", **{f"r{one}": f"slides/slide{one}.xml" for one in numbers}
    )
    if notes:
        parts[f"ppt/slides/_rels/slide{len(slides)}.xml.rels"] = _relations(
            "notesSlide", n="../notesSlides/notesSlide1.xml"
        )
        run = f'<a:p xmlns:a="{_DRAWING}"><a:r><a:t>{notes}</a:t></a:r></a:p>'
        parts["ppt/notesSlides/notesSlide1.xml"] = f"<notes>{run}</notes>"
    return _packed(parts)
