"""Charset: the text of a page, from the character set it states or shows (after the WHATWG standard)."""

from __future__ import annotations

import codecs
import re

from openmanus_graph.files.text import marked_encoding

_META = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]{1,40})", re.IGNORECASE)
_META_BYTES = 4096
# What the Web calls ASCII or Latin-1 is Windows-1252, and GB 2312 its superset.
_MEANT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "utf-16": "utf-16-le",
}
_KNOWN = re.compile(
    r"utf-8|utf-16(-[lb]e)?|cp125\d|cp874|cp866|cp932|cp949|iso8859-\d+|koi8-[ru]|shift_jis|euc_jp|euc_kr"
    r"|iso2022_jp|gb18030|big5|big5hkscs|mac-roman|tis-620"
)


def page_text(body: bytes, stated: str | None) -> str:
    """The text of `body`, never failing: what does not decode becomes the replacement character.

    Args:
        body: The page's bytes.
        stated: The character set of the HTTP header, or `None`.
    """
    mark = marked_encoding(body)
    if mark is not None:
        return body[len(mark.mark) :].decode(mark.codec, "replace")
    codec = _codec(stated) or _codec_in_page(body)
    if codec is not None:
        return body.decode(codec, "replace")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return decoder.decode(body)  # not the final piece: a bounded download may end inside a character
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")


def _codec(label: str | None) -> str | None:
    """Python's name for a label, if it is a character set that pages use."""
    try:
        name = codecs.lookup((label or "").strip()).name
    except (LookupError, ValueError):
        return None
    name = _MEANT.get(name, name)
    return name if _KNOWN.fullmatch(name) else None


def _codec_in_page(body: bytes) -> str | None:
    found = _META.search(body[:_META_BYTES])
    codec = _codec(found.group(1).decode("ascii")) if found else None
    # The statement could not have been read if the page really were UTF-16.
    return "utf-8" if codec is not None and codec.startswith("utf-16") else codec
