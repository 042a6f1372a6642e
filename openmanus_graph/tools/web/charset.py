"""Charset: the text of a page, from the character set it states or shows (after the WHATWG standard)."""

from __future__ import annotations

import codecs
import re

from openmanus_graph.files.text import marked_encoding

_META = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]{1,40})", re.IGNORECASE)
_META_BYTES = 4096
_GUESSED_BYTES = 64 * 1024
"""The beginning of a page by which its character set is guessed."""
_LEAST_MARKS = 16
"""Bytes beyond ASCII that a guess needs: a text of another script has them in its first line."""
_GUESSES = [
    *("cp1252", "cp1251", "cp1253", "cp1255", "cp1256", "iso8859_7", "koi8_r"),
    *("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
]
"""What old pages are written in: the West, and other scripts. Other sets of Latin letters look too much like the West's
to be told apart by a few lines."""
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
        return body.decode(_guessed(body), "replace")


def _guessed(body: bytes) -> str:
    """The character set that a text which states none is likely to have; where nothing is likely, that of the West."""
    if sum(byte >= 0x80 for byte in body[:_GUESSED_BYTES]) < _LEAST_MARKS:
        return "cp1252"
    from charset_normalizer import from_bytes

    found = from_bytes(body[:_GUESSED_BYTES], cp_isolation=_GUESSES).best()
    return "cp1252" if found is None else found.encoding


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
