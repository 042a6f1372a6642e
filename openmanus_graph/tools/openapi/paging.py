"""Paging: the next page of a list, found in an answer or made of the parameters that asked for this one.

Followed are links of the same origin only. A page that brings nothing new ends the list, so a service that gives the
same page for ever costs two requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

from openmanus_graph.plans.json_schema import list_of, mapping_of

_NUMBERS = ("page", "page_number", "pagenumber", "page_no")
_OFFSETS = ("offset", "start", "skip", "limit_start", "startat", "start_index")
_SIZES = ("per_page", "perpage", "page_size", "pagesize", "page_length", "limit", "limit_page_length", "count", "size")
_CURSORS = (
    "page_token",
    "pagetoken",
    "next_token",
    "cursor",
    "after",
    "continuation_token",
    "next_cursor",
    "page_cursor",
    "starting_after",
)
PARAMETERS = frozenset({*_NUMBERS, *_OFFSETS, *_CURSORS})
"""Parameters, in small letters, by which an operation is known to give a list in pages."""
_LINKS = ("next", "next_url", "nexturl", "next_page_url", "nextlink", "@odata.nextlink", "next_page", "href")
_TOKENS = (
    "next_page_token",
    "nextpagetoken",
    "next_token",
    "nexttoken",
    "next_cursor",
    "nextcursor",
    "cursor",
    "after",
    "end_cursor",
    "endcursor",
    "continuation_token",
)
_AROUND = ("links", "_links", "pages", "paging", "pagination", "meta", "cursors", "response_metadata", "page", "next")
"""Members in which links and cursors are looked for."""
_ITEMS = ("data", "items", "results", "records", "entries", "values", "value", "list", "message")
_NEXT = re.compile(r"<([^<>]*)>\s*((?:;[^,<]*)*)")
_REL = re.compile(r";\s*rel\s*=\s*\"?([^\";]*)", re.IGNORECASE)


@dataclass(frozen=True)
class NextPage:
    """How the next page is asked for."""

    url: str | None = None
    """An address; `None` means with other arguments."""
    arguments: Mapping[str, Any] | None = None
    """Arguments in place of those of this page."""


def items_of(answer: Any) -> tuple[str | None, list[Any]]:
    """The items of a page, and the member that has them; `None` if the answer itself is the list.

    A member with a usual name is taken, else the only one that is a list.
    """
    if isinstance(answer, list):
        return None, cast("list[Any]", answer)
    fields = mapping_of(answer)
    lists = [name for name, value in fields.items() if isinstance(value, list)]
    named = [name for name in _ITEMS if name in lists]
    chosen = named or (lists if len(lists) == 1 else [])
    return (chosen[0], list_of(fields[chosen[0]])) if chosen else ("", [])


def next_page(
    url: str,
    parameters: Mapping[str, str],
    arguments: Mapping[str, Any],
    output: Mapping[str, Any],
    *,
    links_only: bool = False,
) -> NextPage | None:
    """The page that comes after one; `None` if it is the last.

    Args:
        url: The address that gave it.
        parameters: The argument of each query parameter.
        arguments: The arguments that asked for it.
        output: What came.
        links_only: Whether this page came by a link, so that one without a link is the last.
    """
    answer = output.get("json")
    link = _link(str(mapping_of(output.get("headers")).get("link", ""))) or next(_found(answer, _LINKS, _is_link), None)
    if link is not None:
        target = urljoin(url, str(link))
        same = _origin(target) == _origin(url)
        return NextPage(url=target) if same and target != url else None
    if links_only:
        return None
    by_name = {name.lower(): argument for name, argument in parameters.items()}
    _, items = items_of(answer)
    cursor = next((by_name[name] for name in _CURSORS if name in by_name), None)
    if cursor is not None:
        return _by_cursor(cursor, by_name, arguments, answer, items)
    if not items or mapping_of(answer).get("has_more") is False:
        return None
    size = next((arguments.get(by_name[name]) for name in _SIZES if name in by_name), None)
    if isinstance(size, int) and len(items) < size:
        return None
    for names, step in ((_OFFSETS, len(items)), (_NUMBERS, 1)):
        for name in names:
            if name in by_name:
                now = arguments.get(by_name[name], 0 if names is _OFFSETS else 1)
                following = {**arguments, by_name[name]: now + step} if isinstance(now, int) else None
                return None if following is None else NextPage(arguments=following)
    return None


def _by_cursor(
    cursor: str, by_name: Mapping[str, str], arguments: Mapping[str, Any], answer: Any, items: list[Any]
) -> NextPage | None:
    """The next page by a cursor: one that the answer gives, or the last item where it says that there is more."""
    given = next(_found(answer, _TOKENS, _is_token), None)
    if given is None and mapping_of(answer).get("has_more") is True and items:
        given = mapping_of(items[-1]).get("id")
        cursor = by_name.get("starting_after", cursor)
    if given is None or given == arguments.get(cursor):
        return None
    return NextPage(arguments={**arguments, cursor: given})


def _link(header: str) -> str | None:
    """The link of a header field that leads to the next page."""
    for found in _NEXT.finditer(header):
        relation = _REL.search(found[2])
        if relation is not None and "next" in relation[1].lower().split():
            return found[1]
    return None


def _found(answer: Any, names: tuple[str, ...], fits: Any) -> Iterator[Any]:
    """The members of these names, in the answer and in what is usually around them."""
    waiting: list[tuple[Any, int, str]] = [(answer, 0, "")]
    while waiting:
        part, depth, around = waiting.pop(0)
        fields = {str(name).lower(): value for name, value in mapping_of(part).items()}
        for name in names:
            if name in fields and (name != "href" or around == "next") and fits(fields[name]):
                yield fields[name]
        if depth < 3:
            waiting += [(fields[name], depth + 1, name) for name in _AROUND if isinstance(fields.get(name), dict)]


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and (value.startswith(("http://", "https://", "/", "?")))


def _is_token(value: Any) -> bool:
    return (isinstance(value, str) and bool(value) and not _is_link(value)) or (
        isinstance(value, int) and not isinstance(value, bool)
    )


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower())
    except ValueError:
        return None
    return parts.scheme.lower(), parts.hostname, port
