"""Office page: the text of a file of an office program as Markdown."""

from __future__ import annotations

from openmanus_graph.sandbox.office import MOST_CHARACTERS, OfficeText
from openmanus_graph.tools.web.page import Page, read_page

_CUT = f"\n\n[What comes after its first {MOST_CHARACTERS:,} characters was left out.]"


def office_page(found: OfficeText, url: str) -> Page:
    """A file as a page; blocks.

    Args:
        found: Its text.
        url: Where it is, for links in it.
    """
    page = read_page(found.text, url) if found.form == "html" else Page("", found.text.strip())
    return Page(page.title, page.markdown + _CUT, page.links) if found.cut else page
