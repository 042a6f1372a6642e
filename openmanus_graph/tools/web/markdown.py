"""Markdown: written from a tree of HTML elements, in CommonMark with tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

from openmanus_graph.tools.web.markup import BLOCKS, Element, names

_BLANKS = re.compile(r"[ \t\n\r\f\v\u00a0]+")
_HEADING = re.compile(r"h([1-6])")
_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang)-([\w+#.-]+)")
_LOOKS_LIKE_MARKUP = re.compile(r"\A(#{1,6}|[-+*>]|\d{1,9}[.)])(?=\s)")
_TICKS = re.compile(r"`+")
_UNSEEN = names(
    "head noscript template svg canvas object audio video map button select input textarea dialog "
    "datalist progress meter title link meta"
)
_EMPHASIS = {"b": "**", "strong": "**", "i": "*", "em": "*", "cite": "*", "del": "~~", "s": "~~"}
_CODE = names("code kbd samp tt")
_PERMALINKS = frozenset(("", *"#¶§🔗\uf0c1"))
_LISTS = names("ul ol menu dir")
_MAX_SPAN = 50
_MAX_COLUMNS = 100
_MAX_LEVELS = 12


def collapsed(text: str) -> str:
    """The text with every run of blanks as one, none around it."""
    return _BLANKS.sub(" ", text).strip()


def is_hidden(element: Element) -> bool:
    """Whether the page keeps the element from its readers."""
    attributes = element.attributes
    style = attributes.get("style", "").replace(" ", "").lower()
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or "display:none" in style
        or "visibility:hidden" in style
    )


class MarkdownWriter:
    """Writes elements as Markdown; nesting is bounded by the tree's depth."""

    def __init__(self, base: str, url: str, *, dropped: Callable[[Element], bool]) -> None:
        """Prepare.

        Args:
            base: What relative addresses are relative to.
            url: The page's own address.
            dropped: Which elements to leave out besides what no reader sees.
        """
        self._base = base
        self._page = url.partition("#")[0]
        self._dropped = dropped
        self._blocky: dict[int, bool] = {}
        self._level = 0

    def write(self, element: Element) -> str:
        """The Markdown of everything below `element`."""
        return "\n\n".join(self._blocks(element))

    def _blocks(self, element: Element) -> list[str]:
        """The blocks below `element`, one text each."""
        blocks: list[str] = []
        line: list[Element | str] = []
        for child in element.children:
            if isinstance(child, Element) and self._is_unseen(child):
                continue
            if isinstance(child, Element) and self._is_block(child):
                blocks += self._paragraph(line)
                line = []
                blocks += self._block(child)
            else:
                line.append(child)
        return blocks + self._paragraph(line)

    def _block(self, element: Element) -> list[str]:
        write: dict[str, Callable[[Element], list[str]]] = {
            "hr": lambda _: ["---"],
            "pre": _fenced,
            "blockquote": self._quote,
            "table": self._table,
            "dd": self._definition,
        }
        if element.tag in _LISTS:
            items = self._items(element)
            return ["\n".join(items)] if items else []
        if _HEADING.fullmatch(element.tag):
            return self._heading(element)
        return write.get(element.tag, self._blocks)(element)

    def _heading(self, element: Element) -> list[str]:
        text = self._line(element).replace("\n", " ")
        return [f"{'#' * int(element.tag[1])} {text}"] if text else []

    def _quote(self, element: Element) -> list[str]:
        with self._nested() as shifted:
            text = "\n\n".join(self._blocks(element))
        if not shifted or not text:
            return [text] if text else []
        return ["\n".join(f"> {line}".rstrip() for line in text.split("\n"))]

    def _definition(self, element: Element) -> list[str]:
        with self._nested() as shifted:
            text = "\n\n".join(self._blocks(element))
        return [":   " + _indented(text, 4 if shifted else 0)] if text else []

    @contextmanager
    def _nested(self) -> Generator[bool]:
        """One level further in; whether it is to be seen, since each level makes every line longer."""
        self._level += 1
        try:
            yield self._level <= _MAX_LEVELS
        finally:
            self._level -= 1

    def _paragraph(self, line: list[Element | str]) -> list[str]:
        text = _tidy("".join(self._inline(child, frozenset()) for child in line))
        if not text:
            return []
        return ["\n".join(_LOOKS_LIKE_MARKUP.sub(_escaped, part, count=1) for part in text.split("\n"))]

    def _line(self, element: Element) -> str:
        return _tidy("".join(self._inline(child, frozenset()) for child in element.children))

    def _inline(self, node: Element | str, within: frozenset[str]) -> str:
        if isinstance(node, str):
            return _BLANKS.sub(" ", node)
        if self._is_unseen(node):
            return ""
        leaf = self._leaf(node)
        if leaf is not None:
            return leaf
        mark = _EMPHASIS.get(node.tag, "")
        inner = "".join(self._inline(child, within | {mark} if mark else within) for child in node.children)
        if mark and mark not in within:
            return _around(mark, inner)
        if node.tag == "a":
            return self._link(node, inner)
        return f" {inner} " if node.tag in BLOCKS else inner

    def _leaf(self, element: Element) -> str | None:
        """The text of an inline element whose children are not written one by one, else `None`."""
        if element.tag == "br":
            return "\n"
        if element.tag == "img":
            return self._image(element)
        if element.tag in _CODE or element.tag == "pre":
            return _code(collapsed(element.text()))
        if element.tag == "math" and "alttext" in element.attributes:
            return f"${collapsed(element.attributes['alttext'])}$"
        return None

    def _link(self, element: Element, inner: str) -> str:
        text = _tidy(inner).replace("\n", " ")
        if text in _PERMALINKS:
            return ""
        target = self._address(element.attributes.get("href", ""))
        if target is None:
            return inner
        lead, trail = inner[: 1 if inner[:1] == " " else 0], " " if inner.endswith(" ") else ""
        if "](" not in text:  # an image keeps its brackets
            text = text.replace("[", "\\[").replace("]", "\\]")
        return f"{lead}[{text}]({target}){trail}"

    def _image(self, element: Element) -> str:
        alt = collapsed(element.attributes.get("alt", ""))
        target = self._address(element.attributes.get("src", ""))
        if not alt or target is None:
            return alt
        return f"![{alt.replace('[', '(').replace(']', ')')}]({target})"

    def _address(self, href: str) -> str | None:
        """The absolute address, `None` if it leads nowhere else."""
        try:
            target = urljoin(self._base, href.strip())
            scheme = urlsplit(target).scheme
        except ValueError:
            return None
        if scheme not in ("http", "https", "mailto") or target.partition("#")[0] == self._page:
            return None
        return _BLANKS.sub("%20", target).replace("(", "%28").replace(")", "%29")

    def _items(self, element: Element) -> list[str]:
        items: list[str] = []
        number = _whole(element.attributes.get("start"), 1)
        with self._nested() as shifted:
            for child in element.children:
                item = child if isinstance(child, Element) else Element("li", children=[child])
                if self._is_unseen(item):
                    continue
                if item.tag in _LISTS:  # a list right inside a list, as some editors write it
                    items += ["  " * shifted + _indented(text, 2 * shifted) for text in self._items(item)]
                elif text := self._item(item):
                    marker = f"{number}. " if element.tag == "ol" else "- "
                    items.append(marker + _indented(text, len(marker) * shifted))
                    number += 1
        return items

    def _item(self, element: Element) -> str:
        """An item's text; a list inside it follows without an empty line."""
        text = ""
        for is_list, piece in _pieces(element):
            for block in self._blocks(piece):
                text += (("\n" if is_list else "\n\n") if text else "") + block
        return text

    def _table(self, element: Element) -> list[str]:
        inside = element.elements()
        next(inside)
        if any(inner.tag == "table" for inner in inside):
            return self._blocks(element)  # it only arranges things
        rows = [row for row in element.elements() if row.tag == "tr" and not self._is_unseen(row)]
        caption = [
            text
            for child in element.children
            if isinstance(child, Element) and child.tag == "caption"
            for text in self._paragraph(child.children)
        ]
        cells = [self._cells(row) for row in rows]
        width = max((len(row) for row in cells), default=0)
        if not 2 <= width <= _MAX_COLUMNS:
            return self._blocks(element)
        head = rows[0]
        has_head = any(isinstance(child, Element) and child.tag == "th" for child in head.children)
        if not has_head:
            cells.insert(0, [])
        lines = [" | ".join(row + [""] * (width - len(row))) for row in cells]
        lines.insert(1, " | ".join(["---"] * width))
        return [*caption, "\n".join(f"| {line} |" for line in lines)]

    def _cells(self, row: Element) -> list[str]:
        cells: list[str] = []
        for child in row.children:
            if isinstance(child, Element) and child.tag in ("td", "th"):
                text = collapsed(self._line(child)).replace("|", "\\|")
                span = max(1, min(_whole(child.attributes.get("colspan"), 1), _MAX_SPAN))
                cells += [text, *[""] * (span - 1)]
        return cells

    def _is_unseen(self, element: Element) -> bool:
        return element.tag in _UNSEEN or is_hidden(element) or self._dropped(element)

    def _is_block(self, element: Element) -> bool:
        """Whether it is a block, or an unknown or inline element around one; a link never is."""
        if element.tag in BLOCKS:
            return True
        if element.tag == "a" or element.tag in _CODE:
            return False
        key = id(element)
        if key not in self._blocky:
            self._blocky[key] = any(isinstance(child, Element) and self._is_block(child) for child in element.children)
        return self._blocky[key]


def _tidy(text: str) -> str:
    """Inline text without blanks around line breaks, at its ends, and no more than one elsewhere."""
    lines = (re.sub(r" {2,}", " ", line).strip() for line in text.split("\n"))
    return re.sub(r"\n{2,}", "\n", "\n".join(lines)).strip()


def _around(mark: str, inner: str) -> str:
    """Emphasis; the blanks at its ends go outside, where Markdown wants them."""
    text = inner.strip()
    if not text:
        return inner
    lead = " " if inner[:1].isspace() else ""
    trail = " " if inner[-1:].isspace() else ""
    return f"{lead}{mark}{text}{mark}{trail}"


def _code(text: str) -> str:
    if not text:
        return ""
    ticks = "`" * (max((len(run) for run in _TICKS.findall(text)), default=0) + 1)
    return f"{ticks} {text} {ticks}" if text[0] == "`" or text[-1] == "`" else f"{ticks}{text}{ticks}"


def _fenced(element: Element) -> list[str]:
    text = element.text().replace("\r\n", "\n").removeprefix("\n").rstrip()
    if not text.strip():
        return []
    language = ""
    for inner in element.elements():
        if found := _LANGUAGE.search(inner.attributes.get("class", "")):
            language = found.group(1)
            break
    fence = "`" * max(3, max((len(run) for run in _TICKS.findall(text)), default=0) + 1)
    return [f"{fence}{language}\n{text}\n{fence}"]


def _pieces(element: Element) -> list[tuple[bool, Element]]:
    """The element cut so that each list right inside it, marked `True`, is a piece of its own."""
    pieces: list[tuple[bool, Element]] = [(False, Element("li"))]
    for child in element.children:
        if isinstance(child, Element) and child.tag in _LISTS:
            pieces += [(True, Element("li", children=[child])), (False, Element("li"))]
        else:
            pieces[-1][1].children.append(child)
    return pieces


def _indented(text: str, count: int) -> str:
    """The text with all lines but the first moved to the right."""
    return re.sub(r"\n(?=[^\n])", "\n" + " " * count, text)


def _escaped(found: re.Match[str]) -> str:
    mark = found.group(1)
    return f"{mark[:-1]}\\{mark[-1]}" if mark[0].isdigit() else f"\\{mark}"


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,6}", text.strip()) else otherwise
