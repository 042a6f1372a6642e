"""Assertions: what a page is to show or to have done, waited for a while, with a sentence on why it is not so."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.tools.browser import navigation
from openmanus_graph.tools.browser.accessibility import violations
from openmanus_graph.tools.browser.arguments import BrowserArguments
from openmanus_graph.tools.browser.baseline import Compared, compare
from openmanus_graph.tools.browser.roles import with_role
from openmanus_graph.tools.browser.session import BrowserSession
from openmanus_graph.tools.browser.tab import Tab

if TYPE_CHECKING:
    from playwright.async_api import Locator

WAIT_S = 5.0
"""Seconds that a page is waited for until it is as it should be."""
MOST_TOLD = 5
"""Errors or requests that a sentence names."""
_LOOK_S = 0.1


async def check(session: BrowserSession, given: BrowserArguments) -> Compared:
    """Whether an assertion holds, and why not.

    Args:
        session: The browser.
        given: The assertion; its `url` is opened first.

    Raises:
        ToolArgumentsError: If it says nothing to assert.
        ToolError: If the page does not load.
    """
    if given.url is not None:
        await navigation.go(session, session.tab, navigation.address_of(given.url))
    if given.action in ("assert_console", "assert_network", "assert_accessible", "assert_screenshot"):
        await session.settle()  # what has not happened yet cannot have gone wrong
    if given.action == "assert_screenshot":
        return await compare(session, given, given.seconds or WAIT_S)
    looking = _CHECKS[given.action]
    end = asyncio.get_running_loop().time() + (given.seconds or WAIT_S)
    while (why := await looking(session.tab, given)) and asyncio.get_running_loop().time() < end:
        if given.action in ("assert_console", "assert_accessible") or (
            given.action == "assert_network" and given.text is None and given.status is None
        ):
            break  # what has gone wrong does not go right
        await asyncio.sleep(_LOOK_S)
    return Compared(not why, why)


def _needed(value: str | None, name: str) -> str:
    if not value:
        raise ToolArgumentsError(f"The argument {name!r} is missing.")
    return value


async def _visible(sought: list[Locator]) -> bool:
    """Whether the page or a frame in it shows what is looked for."""
    from playwright.async_api import Error

    for place in sought:
        try:
            if await place.count():
                return True
        except Error:  # the frame is gone, or another page comes in its place
            continue
    return False


async def _text(tab: Tab, given: BrowserArguments) -> str:
    text = _needed(given.text, "text")
    shown = await _visible([frame.get_by_text(text).filter(visible=True) for frame in tab.page.frames])
    return "" if shown else f"The page {tab.page.url!r} does not show the text {text!r}."


async def _role(tab: Tab, given: BrowserArguments) -> str:
    shown = await _visible(with_role(tab, given.role, given.name))
    what = f"{given.role} {given.name!r}" if given.name is not None else str(given.role)
    return "" if shown else f"The page {tab.page.url!r} shows no {what}."


def fits(url: str, pattern: str) -> bool:
    """Whether an address is as a pattern says, in which `*` stands for anything; one without a host is its end."""
    sought = re.escape(pattern).replace(r"\*", ".*")
    return re.fullmatch(sought if "://" in pattern else f".*{sought}", url, re.DOTALL) is not None


async def _url(tab: Tab, given: BrowserArguments) -> str:
    pattern = _needed(given.text, "text")
    return "" if fits(tab.page.url, pattern) else f"The address is {tab.page.url!r}, and not {pattern!r}."


async def _console(tab: Tab, given: BrowserArguments) -> str:
    del given
    return f"The page's scripts failed: {_told(tab.console)}" if tab.console else ""


async def _network(tab: Tab, given: BrowserArguments) -> str:
    if given.text is None and given.status is None:
        failed = [f"{done.method} {done.url}: {done.status or done.failure}" for done in tab.requests if done.failed]
        return f"Requests failed: {_told(failed)}" if failed else ""
    sought = given.text or "*"
    found = [done for done in tab.requests if fits(done.url, sought)]
    if not found:
        unknown = f", of those that are remembered: {tab.left_out} are not" if tab.left_out else ""
        return f"The page made no request to {sought!r}{unknown}."
    if given.status is None or any(done.status == given.status for done in found):
        return ""
    told = [f"{done.method} {done.url}: {done.status or done.failure}" for done in found]
    return f"No request to {sought!r} was answered with {given.status}: {_told(told)}"


async def _accessible(tab: Tab, given: BrowserArguments) -> str:
    del given
    found = await violations(tab.page)
    return f"Not everybody can use the page: {_told(found)}" if found else ""


def _told(parts: list[str]) -> str:
    more = f" and {len(parts) - MOST_TOLD} more" if len(parts) > MOST_TOLD else ""
    return "; ".join(part[:200] for part in parts[:MOST_TOLD]) + more


_CHECKS: dict[str, Callable[[Tab, BrowserArguments], Awaitable[str]]] = {
    "assert_text": _text,
    "assert_role": _role,
    "assert_url": _url,
    "assert_console": _console,
    "assert_network": _network,
    "assert_accessible": _accessible,
}
