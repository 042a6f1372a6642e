"""Office worker: reads a Word document, an Excel workbook or PowerPoint slides from standard input inside the sandbox,
and writes their text as JSON to standard output.

It imports nothing of the package, which is not there inside.
"""

import datetime
import importlib
import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_CELL_CHARACTERS = 2_000
_COLUMNS = 200


class _Refused(Exception):  # noqa: N818 - an outcome that its own caller reports
    """The file is not read; its text is the reason, by a word that the caller knows."""


def main() -> None:
    """Read a file; the arguments are how many bytes it may unfold to, and how many characters are written."""
    unfolded, most = int(sys.argv[1]), int(sys.argv[2])
    data = io.BytesIO(sys.stdin.buffer.read())
    try:
        said = _read(data, unfolded, most)
    except _Refused as error:
        said = {"error": str(error)}
    except ImportError:
        raise
    except Exception:  # noqa: BLE001 - what a broken file does to a parser is not to be known beforehand
        said = {"error": "broken"}
    sys.stdout.buffer.write(json.dumps(said, ensure_ascii=True).encode())


def _read(data: io.BytesIO, unfolded: int, most: int) -> dict[str, object]:
    with zipfile.ZipFile(data) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > unfolded:
            raise _Refused("large")
        names = {entry.filename for entry in entries}
        # A header may lie of how much is inside: what is really there is counted too.
        total = 0
        for entry in entries:
            with archive.open(entry) as stream:
                while piece := stream.read(1 << 20):
                    total += len(piece)
                    if total > unfolded:
                        raise _Refused("large")
        if any(name.startswith("ppt/") for name in names):
            return _bounded("markdown", _slides(archive, names), most)
    data.seek(0)
    if any(name.startswith("word/") for name in names):
        return _bounded("html", iter([_word(data)]), most)
    if any(name.startswith("xl/") for name in names):
        return _bounded("markdown", _sheets(data), most)
    raise _Refused("other")


def _bounded(kind: str, parts: Iterator[str], most: int) -> dict[str, object]:
    """As many of the parts as fit, and whether some did not."""
    kept: list[str] = []
    left = most
    for part in parts:
        kept.append(part[:left])
        left -= len(part)
        if left < 0:
            return {kind: "".join(kept), "cut": True}
    return {kind: "".join(kept), "cut": False}


def _word(data: io.BytesIO) -> str:
    mammoth: Any = importlib.import_module("mammoth")
    no_picture = mammoth.images.img_element(lambda _: {"src": ""})  # pyright: ignore[reportUnknownLambdaType]
    return str(mammoth.convert_to_html(data, convert_image=no_picture, external_file_access=False).value)


def _sheets(data: io.BytesIO) -> Iterator[str]:
    openpyxl: Any = importlib.import_module("openpyxl")
    book = openpyxl.load_workbook(data, read_only=True, data_only=True, keep_links=False)
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            continue
        yield f"## {sheet.title}\n\n"
        is_first = True
        # What a sheet says of its own size may be a million rows of nothing.
        sheet.reset_dimensions()
        for row in sheet.iter_rows(values_only=True, max_col=_COLUMNS):
            cells = [_cell(value) for value in row]
            while cells and not cells[-1]:
                cells.pop()
            if not cells:
                continue
            yield f"| {' | '.join(cells)} |\n"
            if is_first:
                yield "|" + " --- |" * len(cells) + "\n"
                is_first = False
        yield "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    is_moment = isinstance(value, datetime.datetime)
    text = value.isoformat(" ").removesuffix(" 00:00:00") if is_moment else str(value)
    return re.sub(r"\s+", " ", text[:_CELL_CHARACTERS]).replace("|", "\\|").strip()


def _slides(archive: zipfile.ZipFile, names: set[str]) -> Iterator[str]:
    """The words of each slide, then those of its notes."""
    slides = [re.fullmatch(r"ppt/slides/slide(\d{1,6})\.xml", name) for name in names]
    numbers = sorted(int(found[1]) for found in slides if found)
    for place, number in enumerate(_in_order(archive, names) or numbers, 1):
        yield f"## Slide {place}\n\n"
        yield from _paragraphs(archive.read(f"ppt/slides/slide{number}.xml"))
        relations = f"ppt/slides/_rels/slide{number}.xml.rels"
        for target in _targets(archive, relations).values() if relations in names else ():
            found = re.search(r"notesSlides/(notesSlide\d{1,6}\.xml)$", target)
            if found and (notes := f"ppt/notesSlides/{found[1]}") in names:
                yield "Notes:\n\n"
                yield from _paragraphs(archive.read(notes))


def _in_order(archive: zipfile.ZipFile, names: set[str]) -> list[int]:
    """The numbers of the slides' files in the order in which they are shown, without hidden ones."""
    if not {"ppt/presentation.xml", "ppt/_rels/presentation.xml.rels"} <= names:
        return []
    targets = _targets(archive, "ppt/_rels/presentation.xml.rels")
    shown: list[int] = []
    for element in _parsed(archive.read("ppt/presentation.xml")).iter():
        if element.tag.endswith("}sldId"):
            id = next((value for key, value in element.attrib.items() if key.endswith("}id")), "")
            found = re.search(r"slides/slide(\d{1,6})\.xml$", targets.get(id, ""))
            if found and f"ppt/slides/slide{found[1]}.xml" in names:
                shown.append(int(found[1]))
    return shown


def _targets(archive: zipfile.ZipFile, name: str) -> dict[str, str]:
    root = _parsed(archive.read(name))
    return {one.get("Id", ""): one.get("Target", "") for one in root if one.get("TargetMode") != "External"}


def _paragraphs(xml: bytes) -> Iterator[str]:
    for paragraph in _parsed(xml).iter(f"{_DRAWING}p"):
        parts = [
            "\n" if one.tag == f"{_DRAWING}br" else one.text or "" for one in paragraph.iter() if one.tag in _WORDS
        ]
        if text := "".join(parts).strip():
            yield f"{text}\n\n"


def _parsed(xml: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(xml)  # noqa: S314 - confined, with limits of memory and time; expat fetches nothing


_WORDS = {f"{_DRAWING}t", f"{_DRAWING}br"}


if __name__ == "__main__":
    main()
