"""Markup: HTML as a tree, read in one pass in time proportional to its length, whatever it holds.

A reduced form of the WHATWG tokenizer and tree builder. The standard library's parser takes quadratic
time on crafted input before Python 3.11.13, and a page is somebody else's input.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MAX_NODES = 200_000
"""Elements and texts of a page that are kept."""
MAX_DEPTH = 100
"""Depth of the tree; what is nested deeper is put there."""


def names(text: str) -> frozenset[str]:
    """The words of `text`, as a set of element names."""
    return frozenset(text.split())


BLOCKS = names(
    "address article aside blockquote body center dd details dialog dir div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html li main menu nav ol p pre "
    "section summary table tbody td tfoot th thead tr ul caption"
)
"""Elements that begin on a line of their own."""

_VOID = names("area base br col embed hr img input link meta param source track wbr")
_RAW = names("script style textarea title xmp iframe noembed noframes")
_UNSEEN = names("script style xmp iframe noembed noframes")
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9-]*")
_KEPT = names("href src alt title class id role itemprop itemtype property name content lang colspan rowspan datetime")
"""Attributes that say what an element is."""
_NAME = re.compile(r"[A-Za-z][^\s/>]{0,100}")
_GAP = re.compile(r"[\s/]*+")
_ATTRIBUTE = re.compile(r"([^\s/>][^\s/>=]*+)(\s*+=\s*+)?")
_BARE = re.compile(r"[^\s>]*+")

# What a start tag ends, if it is met before one of the elements behind the stroke.
_ENDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    name: (names(ends), names(within))
    for name, ends, within in (
        ("li", "li", "ul ol menu dir"),
        ("dt", "dt dd", "dl"),
        ("dd", "dt dd", "dl"),
        ("tr", "tr", "table"),
        ("td", "td th", "tr table"),
        ("th", "td th", "tr table"),
        ("thead", "thead tbody tfoot", "table"),
        ("tbody", "thead tbody tfoot caption", "table"),
        ("tfoot", "thead tbody tfoot", "table"),
        ("option", "option", "select"),
    )
}


@dataclass(slots=True)
class Element:
    """One element."""

    tag: str
    """Its name in small letters."""
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    """Its attributes, names in small letters, the first of each name."""
    children: list[Element | str] = field(default_factory=list["Element | str"])
    """Elements and texts, in order."""

    def elements(self) -> Iterator[Element]:
        """This one and all below it, in the order of the page."""
        todo: list[Element] = [self]
        while todo:
            current = todo.pop()
            yield current
            todo.extend(child for child in reversed(current.children) if isinstance(child, Element))

    def text(self) -> str:
        """All text below it, blanks as they are."""
        parts: list[str] = []
        todo: list[Element | str] = [self]
        while todo:
            current = todo.pop()
            if isinstance(current, str):
                parts.append(current)
            elif current.tag == "br":
                parts.append("\n")
            else:
                todo.extend(reversed(current.children))
        return "".join(parts)


def written(root: Element, *, left_out: Callable[[Element], bool]) -> str:
    """The tree as HTML, well-formed, without scripts and the elements that `left_out` names."""
    parts: list[str] = []
    todo: list[Element | str | _Tag] = [root]
    while todo:
        current = todo.pop()
        if isinstance(current, str):
            parts.append(html.escape(current, quote=False))
            continue
        if isinstance(current, _Tag):
            parts.append(f"</{current.name}>")
            continue
        if current.tag in _UNSEEN or not _PLAIN_NAME.fullmatch(current.tag) or left_out(current):
            continue
        attributes = [f' {name}="{html.escape(text)}"' for name, text in current.attributes.items() if name in _KEPT]
        parts.append(f"<{current.tag}{''.join(attributes)}>")
        if current.tag not in _VOID:
            todo.append(_Tag(current.tag, {}, closing=True))
            todo.extend(reversed(current.children))
    return "".join(parts)


@dataclass(slots=True)
class _Tag:
    name: str
    attributes: dict[str, str]
    closing: bool = False


def parse(text: str) -> Element:
    """The page's tree below an element `html`; a page beyond the bounds is cut there."""
    root = Element("html")
    stack, deeper = [root], 0
    for count, token in enumerate(_tokens(text)):
        if count >= MAX_NODES:
            break
        if isinstance(token, str):
            stack[-1].children.append(token)
        elif token.closing:
            if deeper:
                deeper -= 1
            else:
                _close(stack, token.name)
        else:
            if not deeper:
                _close_implied(stack, token.name)
            if token.name == "html":
                root.attributes.update(token.attributes)
                continue
            element = Element(token.name, token.attributes)
            stack[-1].children.append(element)
            if token.name in _VOID:
                continue
            if len(stack) < MAX_DEPTH:
                stack.append(element)
            else:
                deeper += 1
    return root


def _close(stack: list[Element], name: str) -> None:
    for at in range(len(stack) - 1, 0, -1):
        if stack[at].tag == name:
            del stack[at:]
            return
        if stack[at].tag in ("td", "th", "table") and name not in (
            "td",
            "th",
            "tr",
            "tbody",
            "thead",
            "table",
        ):
            return  # a stray end tag in a cell does not end what is around the table


def _close_implied(stack: list[Element], name: str) -> None:
    ends, within = _ENDS.get(name, (frozenset[str](), frozenset[str]()))
    for at in range(len(stack) - 1, 0, -1):
        tag = stack[at].tag
        if tag in ends or (tag == "p" and name in BLOCKS):
            del stack[at:]
            if tag != "p" or not ends:
                return
        elif (tag in within) if ends else (tag in BLOCKS):
            return


def _tokens(text: str) -> Iterator[_Tag | str]:
    at, end = 0, len(text)
    while at < end:
        start = text.find("<", at)
        if start < 0:
            start = end
        if start > at:
            yield _unescaped(text[at:start])
        if start == end:
            return
        behind = text[start + 1 : start + 2]
        if behind.isascii() and behind.isalpha():
            tag, at = _start_tag(text, start + 1)
            if tag is None:
                return  # as in a browser, an unfinished tag takes the rest of the page with it
            yield tag
            if tag.name in _RAW:
                content, at = _raw(text, at, tag.name)
                if tag.name not in _UNSEEN:
                    yield _unescaped(content)
        elif behind == "/" and (name := _NAME.match(text, start + 2)):
            yield _Tag(name.group().lower(), {}, closing=True)
            at = _behind(text, ">", name.end())
        elif text.startswith("<!--", start):
            at = start + 5 if text.startswith("<!-->", start) else _behind(text, "-->", start + 4)
        elif behind in ("!", "?", "/"):
            at = _behind(text, ">", start + 2)
        else:
            yield "<"
            at = start + 1


def _behind(text: str, mark: str, at: int) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found + len(mark)


def _start_tag(text: str, at: int) -> tuple[_Tag | None, int]:
    """The tag whose name begins at `at`, and where it ends; `None` if it does not end."""
    name = _NAME.match(text, at)
    if name is None:
        return None, len(text)
    attributes: dict[str, str] = {}
    at = name.end()
    while True:
        gap = _GAP.match(text, at)
        at = gap.end() if gap else at
        if at >= len(text):
            return None, at
        if text[at] == ">":
            return _Tag(name.group().lower(), attributes), at + 1
        key = _ATTRIBUTE.match(text, at)
        if key is None:
            return None, len(text)
        value, at = "", key.end()
        if key.group(2):
            quote = text[at : at + 1]
            if quote in ('"', "'"):
                close = text.find(quote, at + 1)
                if close < 0:
                    return None, len(text)
                value, at = text[at + 1 : close], close + 1
            elif bare := _BARE.match(text, at):
                value, at = bare.group(), bare.end()
        attributes.setdefault(key.group(1).lower(), _unescaped(value))


def _raw(text: str, at: int, name: str) -> tuple[str, int]:
    """The text up to the end tag of `name`, and where that begins."""
    found = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(text, at)
    end = found.start() if found else len(text)
    return text[at:end], end


def _unescaped(text: str) -> str:
    if "&" not in text:
        return text
    try:
        return html.unescape(text)
    except ValueError:
        return text  # a character reference of thousands of digits
