"""Article worker: finds the article of an HTML page from standard input inside the sandbox, and writes it as JSON.

It imports nothing of the package, which is not there inside.
"""

import importlib
import json
import sys
from typing import Any


def main() -> None:
    """Read a page, in UTF-8."""
    trafilatura: Any = importlib.import_module("trafilatura")
    page = sys.stdin.buffer.read().decode("utf-8", "replace")
    found = trafilatura.extract(
        page, output_format="html", include_links=True, include_formatting=True, include_tables=True,
        include_comments=False,
    )  # fmt: skip
    sys.stdout.buffer.write(json.dumps({"html": found or ""}, ensure_ascii=True).encode())


if __name__ == "__main__":
    main()
