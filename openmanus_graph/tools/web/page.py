"""Page: the content of an HTML page as Markdown, with its title and links."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from openmanus_graph.tools.web.markdown import MarkdownWriter, collapsed, is_hidden
from openmanus_graph.tools.web.markup import Element, names, parse, written

MAX_LINKS = 500
"""Links of a page that are returned."""
_MAIN_CHARACTERS = 200
_MAIN_SHARE = 0.3
_ARTICLE_SHARE = 0.5
_AROUND = names("nav footer aside")
_AROUND_ROLES = names("navigation contentinfo complementary search banner")


@dataclass(frozen=True)
class Page:
    """A page as a reader sees it."""

    title: str
    """From the page's head, else its first heading; may be empty."""
    markdown: str
    """The content, without navigation, scripts and what is hidden."""
    links: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """`text` and absolute `url` of every link to another page, navigation included, each once."""


def read_page(text: str, url: str) -> Page:
    """Read the HTML `text` that came from `url`."""
    root = parse(text)
    base = _base(root, url)
    body = next((element for element in root.elements() if element.tag == "body"), root)
    main = _main(body)
    writer = MarkdownWriter(base, url, dropped=_is_navigation if main is not body else _is_around)
    markdown = writer.write(main)
    if not markdown and main is not body:
        markdown = MarkdownWriter(base, url, dropped=_is_around).write(body)
    return Page(_title(root), markdown, _links(root, base, url))


def without_main(text: str, url: str) -> tuple[str, str]:
    """The HTML of a page that does not mark its main part, without what no reader sees, and what addresses in it are
    relative to; an empty text of any other page.
    """
    root = parse(text)
    body = next((element for element in root.elements() if element.tag == "body"), root)
    return ("" if _main(body) is not body else written(root, left_out=is_hidden)), _base(root, url)


def _base(root: Element, url: str) -> str:
    for element in root.elements():
        if element.tag == "base" and "href" in element.attributes:
            return _joined(url, element.attributes["href"]) or url
    return url


def _title(root: Element) -> str:
    heading = ""
    for element in root.elements():
        if element.tag == "title" and (title := collapsed(element.text())):
            return title
        if element.tag == "h1" and not heading:
            heading = collapsed(element.text())
    return heading


def _main(body: Element) -> Element:
    """The element with the content proper, or `body`."""
    size = len(collapsed(body.text()))
    articles: list[Element] = []
    for element in body.elements():
        if element.tag == "main" or element.attributes.get("role") == "main":
            have = len(collapsed(element.text()))
            if have >= _MAIN_CHARACTERS or have >= size * _MAIN_SHARE:
                return element
        elif element.tag == "article":
            articles.append(element)
    if len(articles) == 1 and len(collapsed(articles[0].text())) >= size * _ARTICLE_SHARE:
        return articles[0]
    return body


def _is_navigation(element: Element) -> bool:
    return element.tag == "nav" or element.attributes.get("role") in ("navigation", "search")


def _is_around(element: Element) -> bool:
    return element.tag in _AROUND or element.attributes.get("role") in _AROUND_ROLES


def _links(root: Element, base: str, url: str) -> list[dict[str, str]]:
    links: dict[str, dict[str, str]] = {}
    page = url.partition("#")[0]
    for element in root.elements():
        if len(links) >= MAX_LINKS:
            break
        if element.tag != "a" or "href" not in element.attributes or is_hidden(element):
            continue
        target = _joined(base, element.attributes["href"])
        if target is None or target in links or target.partition("#")[0] == page:
            continue
        links[target] = {"text": collapsed(element.text()), "url": target}
    return list(links.values())


def _joined(base: str, href: str) -> str | None:
    try:
        target = urljoin(base, href.strip())
        return target if urlsplit(target).scheme in ("http", "https") else None
    except ValueError:
        return None
