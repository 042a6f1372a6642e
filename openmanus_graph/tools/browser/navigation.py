"""Navigation: going to addresses, with what keeps a page from loading said in words."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urlsplit

from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.tools.browser.session import BrowserSession
from openmanus_graph.tools.browser.tab import Tab
from openmanus_graph.tools.web.download import checked_url, without_password

if TYPE_CHECKING:
    from playwright.async_api import Page

LOAD_MS = 20_000
"""Milliseconds that a page may take until its document is there."""
_MEANINGS = {
    "ERR_INVALID_AUTH_CREDENTIALS": "it asks for a user name and password",
    "ERR_TOO_MANY_REDIRECTS": "it redirects in a circle",
    "ERR_EMPTY_RESPONSE": "the server closed without an answer",
    "ERR_BLOCKED_BY_ADMINISTRATOR": "only addresses with http:// and https:// are opened",
    "ERR_BLOCKED_BY_RESPONSE": "the page refuses to be shown here",
    "ERR_ABORTED": "the server gave no page, but no content or a download",
    "ERR_CERT_AUTHORITY_INVALID": "its certificate is of an authority that is not trusted (it may be self-signed)",
    "ERR_CERT_COMMON_NAME_INVALID": "its certificate is for another host",
    "ERR_CERT_DATE_INVALID": "its certificate has expired, or is not valid yet",
    "ERR_SSL_PROTOCOL_ERROR": "the server does not speak TLS",
    "ERR_TUNNEL_CONNECTION_FAILED": "the host cannot be reached",
}


def address_of(text: str | None) -> str:
    """The address to go to, with a scheme.

    Raises:
        ToolArgumentsError: If it is none of HTTP.
    """
    if text is None or not text.strip():
        raise ToolArgumentsError("The argument 'url' is missing.", hint="Give an address.")
    stripped = text.strip()
    if "://" not in stripped and ":" not in stripped.split("/", 1)[0].rstrip("0123456789").removesuffix(":"):
        stripped = f"https://{stripped}"
    if stripped == "about:blank":
        return stripped
    try:
        return str(checked_url(stripped))
    except ToolError as error:
        raise ToolArgumentsError(error.message, hint=error.hint) from error


async def go(session: BrowserSession, tab: Tab, address: str) -> None:
    """Go to an address.

    Raises:
        ToolError: If the page does not load, with the reason.
    """

    async def load(page: Page) -> None:
        await page.goto(address, wait_until="domcontentloaded", timeout=LOAD_MS)

    await _navigated(session, tab, load, address)


async def back(session: BrowserSession, tab: Tab) -> None:
    """Go back to the page before.

    Raises:
        ToolError: If there is none, or it does not load.
    """
    before = tab.page.url

    async def load(page: Page) -> None:
        await page.go_back(wait_until="domcontentloaded", timeout=LOAD_MS)

    await _navigated(session, tab, load, before)
    if tab.page.url == before:
        raise ToolError("There is no page before this one.")


async def refresh(session: BrowserSession, tab: Tab) -> None:
    """Load the page again; what a form has sent is not sent again, but the address is opened.

    Raises:
        ToolError: If it does not load.
    """
    url = tab.page.url
    failed = url.startswith("chrome-error:")

    async def load(page: Page) -> None:
        if not tab.sent or not (failed or url.startswith(("http://", "https://"))):
            await page.reload(wait_until="domcontentloaded", timeout=LOAD_MS)
            return
        address = tab.asked if failed else url
        if address is None:
            raise ToolError("The address of the page is not known.", hint="Open it with go_to_url.")
        # With its fragment it would only be scrolled to.
        await page.goto(urldefrag(address).url, wait_until="domcontentloaded", timeout=LOAD_MS)

    await _navigated(session, tab, load, url)


async def _navigated(session: BrowserSession, tab: Tab, load: object, address: str) -> None:
    from playwright.async_api import Error
    from playwright.async_api import TimeoutError as Late

    try:
        await load(tab.page)  # type: ignore[operator] - one of the functions above
    except Late:
        session.note(f"The page {address!r} was not there in full within {LOAD_MS // 1000} s.")
    except Error as error:
        if "Download is starting" in error.message:
            await session.finish_downloads(10)
            return
        raise failure(session, address, error.message) from error
    if tab.refused is not None:
        raise failure(session, tab.refused, "")


def failure(session: BrowserSession, address: str, message: str) -> ToolError:
    """Why an address did not load: the guard's own word where it was asked, else what Chromium says, in words."""
    parts = urlsplit(address)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    problem = session.process.proxy.problem_of(parts.hostname or "", port)
    if problem is not None:
        return type(problem)(problem.message, hint=problem.hint)
    code = next((word.strip(":") for word in message.split() if "ERR_" in word), "").removeprefix("net::")
    meaning = _MEANINGS.get(code) or ("its certificate is not valid" if code.startswith("ERR_CERT") else None)
    reason = f"{meaning} ({code})" if meaning else code or (message.strip().splitlines() or ["no answer"])[0]
    return ToolError(f"The page {without_password(address)!r} did not load: {reason}.")
