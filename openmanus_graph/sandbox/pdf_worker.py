"""PDF worker: reads a PDF from standard input inside the sandbox, and writes its text, or a picture of a page, to
standard output.

It imports nothing of the package, which is not there inside.
"""

import json
import sys
from typing import Any


def main() -> None:
    """Read a file: `text MOST_PAGES` writes its pages as JSON; `page NUMBER LONGEST_SIDE` a line of JSON and the
    picture's bytes, three a pixel.
    """
    import pypdfium2  # type: ignore[import-untyped]

    picture = b""
    try:
        document: Any = pypdfium2.PdfDocument(sys.stdin.buffer.read())
        if sys.argv[1] == "text":
            said = _text(document, int(sys.argv[2]))
        else:
            said, picture = _page(document, int(sys.argv[2]), int(sys.argv[3]))
    except pypdfium2.PdfiumError as error:
        said = {"error": "encrypted" if "password" in str(error).lower() else "broken"}
    # What a page has of half characters cannot be told.
    sys.stdout.buffer.write(json.dumps(said, ensure_ascii=True).encode() + b"\n" + picture)


def _text(document: Any, most: int) -> dict[str, object]:
    count = len(document)
    pages: list[str] = []
    for number in range(min(count, most)):
        text_page = document[number].get_textpage()
        pages.append(str(text_page.get_text_range()).replace("\r\n", "\n").strip())
        text_page.close()
    return {"pages": pages, "beyond": max(count - most, 0)}


def _page(document: Any, number: int, longest: int) -> tuple[dict[str, object], bytes]:
    count = len(document)
    if number > count:
        return {"error": "no page", "count": count}, b""
    document.init_forms()  # what was filled in is drawn, too
    page = document[number - 1]
    width, height = page.get_size()
    # Whatever size a page claims to have, so many pixels are drawn.
    scale = longest / max(width, height, 1.0)
    bitmap = page.render(scale=scale, rev_byteorder=True, force_bitmap_format=2)
    wide, high, stride = bitmap.width, bitmap.height, bitmap.stride
    if max(wide, high) > longest + 1:
        return {"error": "broken"}, b""
    drawn = bytes(bitmap.buffer)
    rows = b"".join(drawn[stride * row : stride * row + 3 * wide] for row in range(high))
    return {"width": wide, "height": high, "count": count}, rows


if __name__ == "__main__":
    main()
