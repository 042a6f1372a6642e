"""Fetch page: the tool that reads pages of the Web as Markdown, without a browser."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.context import tool_context
from openmanus_graph.errors import AddressRefusedError, ScannedPdfError, ToolError
from openmanus_graph.outputs import keep_file
from openmanus_graph.plans.output_shape import ANY, TEXT
from openmanus_graph.sandbox.article import article_html
from openmanus_graph.sandbox.office import is_office, office_text
from openmanus_graph.sandbox.pdf import pdf_text
from openmanus_graph.tools.documents.office_page import office_page
from openmanus_graph.tools.spec import ToolSpec, builtin_tool
from openmanus_graph.tools.web.address import Resolver, resolve
from openmanus_graph.tools.web.charset import page_text
from openmanus_graph.tools.web.download import MAX_PDF_BYTES, PDF, Download, Downloader, without_password
from openmanus_graph.tools.web.page import Page, read_page, without_main

Read = Callable[[Download], Awaitable[Page]]
"""Reads what was downloaded."""

_NONE = ("", "")
_WORTH = 2_000
"""Characters of Markdown from which on an article is looked for in a page."""
_LEAST = 500
"""Characters of Markdown below which what was found is no article."""
_LEAST_SHARE = 0.1
"""Share of the page's text below which it is none either."""
MAX_URLS = 50
"""Pages of one call."""
_AT_ONCE = 8
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_TEXTS = frozenset(
    {
        "application/json",
        "application/xml",
        "application/javascript",
        "application/yaml",
        "application/x-yaml",
        "application/toml",
        "application/x-ndjson",
    }
)
_FENCED = {
    "json": "json",
    "xml": "xml",
    "javascript": "javascript",
    "yaml": "yaml",
    "css": "css",
    "csv": "csv",
}

_PAGE = dict.fromkeys(("url", "title", "markdown", "status", "error", "truncated"), TEXT) | {"links": ANY}


def read_addresses(args: Mapping[str, Any], output: Any) -> list[str]:
    """The addresses of the pages that could be read."""
    del args
    return [page["url"] for page in output["pages"] if page["error"] is None]


SPEC = ToolSpec(
    effect="read",
    idempotent=True,
    returns={"pages": [_PAGE]},
    free_text=("url", "title", "markdown", "error", "links"),
    source=read_addresses,
)


class FetchArguments(BaseModel):
    """Which pages to read, and how much of them."""

    model_config = ConfigDict(extra="forbid")

    urls: list[str] | str = Field(description="Addresses with http:// or https://, or one of them.")
    timeout: float = Field(default=30, gt=0, le=600, description="Seconds each page may take.")
    max_chars: int | None = Field(default=None, ge=1, description="Characters of Markdown kept of each page.")


@builtin_tool("fetch_page", FetchArguments, SPEC)
async def fetch_page(
    *,
    urls: list[str] | str,
    timeout: float = 30,  # noqa: ASYNC109 - the tool's own parameter, applied to each page by itself
    max_chars: int | None = None,
) -> dict[str, Any]:
    """Read pages of the Web as Markdown; each comes with its title and links.

    A page that cannot be read has an `error`, and the others are read all the same. Scripts are not run.
    """
    return await fetch_in_call(urls, timeout, max_chars)


@builtin_tool("crawl4ai", FetchArguments, replace(SPEC, alias_of="fetch_page"))
async def crawl4ai(
    *,
    urls: list[str] | str,
    timeout: float = 30,  # noqa: ASYNC109 - the tool's own parameter, applied to each page by itself
    max_chars: int | None = None,
) -> dict[str, Any]:
    """Read pages of the Web as Markdown. The same as `fetch_page`."""
    return await fetch_in_call(urls, timeout, max_chars)


async def fetch_in_call(urls: list[str] | str, timeout: float, max_chars: int | None) -> dict[str, Any]:  # noqa: ASYNC109
    """Read pages for the call of a tool that is running, by its settings; see `fetch`."""
    context = tool_context()
    return await fetch(
        [urls] if isinstance(urls, str) else urls,
        context.settings.allow_hosts,
        timeout=timeout,
        max_chars=max_chars,
        settings=context.settings,
        sandbox=context.sandbox,
        workspace=context.workspace,
    )


async def fetch(
    urls: list[str],
    allow_hosts: tuple[str, ...],
    *,
    timeout: float = 30,  # noqa: ASYNC109 - as in `fetch_page`
    max_chars: int | None = None,
    resolver: Resolver = resolve,
    settings: Settings | None = None,
    sandbox: SandboxChoice | None = None,
    workspace: Path | None = None,
) -> dict[str, Any]:
    """Read all pages, some at the same time.

    Args:
        urls: Their addresses.
        allow_hosts: Hosts that may be reached although their address is not public.
        timeout: Seconds for each.
        max_chars: Characters of Markdown kept of each; `None` keeps all.
        resolver: How host names are resolved.
        settings: How what reads PDFs is confined; `None` means those of the environment.
        sandbox: The same, where the run says it.
        workspace: Where a PDF without text is kept, so that its pages can be looked at; `None` keeps none.

    Raises:
        AddressRefusedError: If no page could be read, and the first for this reason.
        ToolError: If no page could be read, or there are none or too many addresses.
    """
    if not 1 <= len(urls) <= MAX_URLS:
        raise ToolError(f"The argument 'urls' has {len(urls)} addresses, and 1 to {MAX_URLS} are read at once.")
    downloader = Downloader(allow_hosts, resolver=resolver)

    async def read(answer: Download) -> Page:
        chosen = settings or Settings.load()
        if not _is_document(answer):
            return await _text_page(answer, chosen, sandbox)
        try:
            return await _document(answer, chosen, sandbox)
        except ScannedPdfError as error:
            if workspace is None:
                raise
            name = f"scan-{hashlib.sha256(answer.body).hexdigest()[:12]}.pdf"
            path = await asyncio.to_thread(keep_file, workspace, name, answer.body)
            raise ToolError(
                error.message, hint=f"Look at a page with `view_image`, path {path!r} and `page`."
            ) from error

    slots = asyncio.Semaphore(_AT_ONCE)
    try:
        results = await asyncio.gather(
            *(_read_one(url, downloader, slots, read, timeout=timeout, max_chars=max_chars) for url in urls)
        )
    finally:
        await downloader.aclose()
    failures = [failure for _, failure in results if failure is not None]
    if len(failures) == len(urls):
        first = failures[0]
        kind = AddressRefusedError if isinstance(first, AddressRefusedError) else ToolError
        message = " ".join(dict.fromkeys(failure.message for failure in failures))
        raise kind(message, hint=first.hint) from first
    return {"pages": [page for page, _ in results]}


async def _read_one(
    url: str,
    downloader: Downloader,
    slots: asyncio.Semaphore,
    read: Read,
    *,
    timeout: float,  # noqa: ASYNC109 - as in `fetch_page`
    max_chars: int | None,
) -> tuple[dict[str, Any], ToolError | None]:
    """Read one page; the error if it failed, else `None`."""
    shown = without_password(url)
    page: dict[str, Any] = {"url": shown, "title": "", "markdown": "", "links": [], "status": None}
    try:
        async with slots, asyncio.timeout(timeout):
            answer = await downloader.get(url)
        page |= {"url": answer.url, "status": answer.status}
        content = await read(answer)
    except TimeoutError:
        failure = ToolError(f"The page {shown!r} did not answer in full within {timeout:g} s.")
        return page | {"error": failure.message, "truncated": False}, failure
    except ToolError as error:
        return page | {"error": str(error), "truncated": False}, error
    markdown, cut = _cut(content.markdown, max_chars)
    page |= {"title": content.title, "markdown": markdown, "links": content.links}
    failure = None
    if answer.status >= 400:
        failure = ToolError(f"The page {answer.url!r} answered {answer.status} {answer.reason}.")
    return page | {
        "error": None if failure is None else failure.message,
        "truncated": cut or answer.truncated,
    }, failure


async def _text_page(answer: Download, settings: Settings, sandbox: SandboxChoice | None) -> Page:
    """The text of a downloaded page; of one that does not say where its main part is, the article that is found in it.

    Raises:
        ToolError: If it is not text.
    """
    page, (html, base) = await asyncio.to_thread(_content, answer)
    if not html:
        return page
    found = await article_html(html, answer.url, settings, sandbox)
    article = await asyncio.to_thread(read_page, found, base) if found else None
    # A list of links or a form is no article, and little is left of it.
    is_found = article is not None and len(article.markdown) >= max(_LEAST, _LEAST_SHARE * len(page.markdown))
    return replace(page, markdown=article.markdown) if article is not None and is_found else page


def _content(answer: Download) -> tuple[Page, tuple[str, str]]:
    """The text of a downloaded page; and where an article is looked for in it, the HTML with its base, else nothing.

    Raises:
        ToolError: If it is not text.
    """
    kind = answer.content_type
    head = answer.body[:1024].lstrip().lower()
    is_html = kind in _HTML or (not kind and head.startswith((b"<!doctype html", b"<html", b"<head", b"<body")))
    is_text = is_html or not kind or kind.startswith("text/") or kind in _TEXTS or kind.endswith(("+json", "+xml"))
    wide = answer.body[:2] in (b"\xff\xfe", b"\xfe\xff") or (answer.charset or "").startswith("utf-16")
    if not is_text or (b"\0" in answer.body and not wide):
        raise ToolError(
            f"The page {answer.url!r} is not text but {kind or 'binary'!r}.",
            hint="Download it with a program that knows the format.",
        )
    text = page_text(answer.body, answer.charset)
    if is_html:
        page = read_page(text, answer.url)
        is_worth_it = len(page.markdown) >= _WORTH and find_spec("trafilatura") is not None
        return page, without_main(text, answer.url) if is_worth_it else _NONE
    text = text.replace("\r\n", "\n").strip()
    language = next((fence for part, fence in _FENCED.items() if kind.endswith(part)), None)
    return Page("", f"```{language}\n{text}\n```" if language else text), _NONE


def _is_document(answer: Download) -> bool:
    return _is_pdf(answer) or is_office(answer.body, answer.content_type)


def _is_pdf(answer: Download) -> bool:
    return answer.content_type == PDF or answer.body.startswith(b"%PDF-")


async def _document(answer: Download, settings: Settings, sandbox: SandboxChoice | None) -> Page:
    """The text of a PDF or of a file of an office program.

    Raises:
        ToolError: If it cannot be read, or is too large to be here whole.
    """
    kind = "PDF" if _is_pdf(answer) else "file"
    if answer.truncated:
        raise ToolError(
            f"The {kind} {answer.url!r} has more than {MAX_PDF_BYTES / 2**20:.0f} MB, and is read whole or not at all.",
            hint="Download it with a program, and read it there.",
        )
    if kind == "PDF":
        text, beyond = await pdf_text(answer.body, answer.url, settings, sandbox=sandbox)
        return Page("", f"{text}\n\n[{beyond:,} pages more]" if beyond else text)
    found = await office_text(answer.body, answer.url, settings, sandbox=sandbox)
    return await asyncio.to_thread(office_page, found, answer.url)


def _cut(markdown: str, max_chars: int | None) -> tuple[str, bool]:
    if max_chars is None or len(markdown) <= max_chars:
        return markdown, False
    return f"{markdown[:max_chars]}\n\n[{len(markdown) - max_chars:,} characters more]", True
