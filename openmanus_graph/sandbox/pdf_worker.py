"""PDF worker: reads a PDF from standard input inside the sandbox, and writes its pages as JSON to standard output.

It imports nothing of the package, which is not there inside.
"""

import json
import sys


def main() -> None:
    """Read a file; the argument says how many pages at most."""
    import pypdfium2  # type: ignore[import-untyped]

    most = int(sys.argv[1])
    try:
        document = pypdfium2.PdfDocument(sys.stdin.buffer.read())
        count = len(document)
        pages: list[str] = []
        for number in range(min(count, most)):
            text_page = document[number].get_textpage()
            pages.append(str(text_page.get_text_range()).replace("\r\n", "\n").strip())
            text_page.close()
    except pypdfium2.PdfiumError as error:
        said: dict[str, object] = {"error": "encrypted" if "password" in str(error).lower() else "broken"}
    else:
        said = {"pages": pages, "beyond": max(count - most, 0)}
    # What a page has of half characters cannot be told.
    sys.stdout.buffer.write(json.dumps(said, ensure_ascii=True).encode())


if __name__ == "__main__":
    main()
