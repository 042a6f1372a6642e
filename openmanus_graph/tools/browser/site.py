"""Site: scheme, host and port that an action of the browser has its effect on, which a person may allow whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from openmanus_graph.errors import ToolError
from openmanus_graph.tools.browser.refs import ref_of
from openmanus_graph.tools.browser.session import BrowserSession

if TYPE_CHECKING:
    from playwright.async_api import ElementHandle, Frame

COVERED = frozenset({"click_element", "input_text", "select_dropdown_option", "send_keys", "drag", "dialog"})
"""Actions that a yes for a site is for; a file is uploaded after a yes of its own."""
_ON_A_REF = frozenset({"click_element", "input_text", "select_dropdown_option"})
_ASK_MS = 3_000
_ACTIVE = "() => document.activeElement"
_AT = "([x, y]) => document.elementFromPoint(x, y)"
_SENT_TO = """element => {
  const control = element.closest('button, input, label, select, textarea') || element;
  const field = control.localName === 'label' && control.control || control;
  const form = field.form || element.closest('form');
  if (!form) return [];
  const actions = [form, ...form.elements].map(one => one.getAttribute(one === form ? 'action' : 'formaction'));
  return actions.filter(action => action !== null).map(action => new URL(action, document.baseURI).href);
}"""
"""The addresses that the form of an element may be sent to, besides that of the page."""


def origin_of(url: str) -> str | None:
    """Scheme, host and port of an address; `None` if it is none of HTTP."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}{'' if port in (None, usual) else f':{port}'}"


async def site_of(session: BrowserSession, args: Mapping[str, Any]) -> str | None:
    """The site of an action on the page in front; `None` if it may have its effect on another one, too.

    A page could have a frame or a form of another site where the action lands, which nobody has named.

    Args:
        session: A browser that is open.
        args: The action.
    """
    from playwright.async_api import Error

    if args.get("action") not in COVERED or not session.tabs:
        return None
    page = session.tab.page
    site = origin_of(page.url)
    if site is None or args.get("action") in ("dialog", "drag"):
        return site if site is not None and _is_alone(page.frames, site) else None
    try:
        async with asyncio.timeout(_ASK_MS / 1000):
            element = await _element(session, args)
            frame = None if element is None else await element.owner_frame()
            if element is None or frame is not page.main_frame or await element.content_frame() is not None:
                return None
            sent_to: list[str] = await element.evaluate(_SENT_TO)
    except (Error, TimeoutError, ToolError):
        return None
    return site if all(origin_of(url) == site for url in sent_to) else None


def _is_alone(frames: list[Frame], site: str) -> bool:
    return all(origin_of(frame.url) == site for frame in frames)


async def _element(session: BrowserSession, args: Mapping[str, Any]) -> ElementHandle | None:
    """What an action acts on first."""
    page = session.tab.page
    ref = args.get("ref") if args.get("ref") is not None else args.get("index")
    if args.get("action") in _ON_A_REF and ref not in (None, ""):
        target = session.refs.find(ref_of(ref))
        if target is None or target.tab != session.tab.number:
            return None
        return await page.get_by_ref(target.ref).element_handle(timeout=_ASK_MS)
    place = [args.get("x"), args.get("y")]
    found = await (page.evaluate_handle(_ACTIVE) if None in place else page.evaluate_handle(_AT, place))
    return found.as_element()


async def check_site(session: BrowserSession, args: Mapping[str, Any], allowed: str) -> None:
    """See that an action has its effect where somebody has consented to.

    Raises:
        ToolError: If it does not, or that cannot be told any more.
    """
    now = await site_of(session, args)
    if now != allowed:
        raise ToolError(
            f"The action was allowed on {allowed}, and was not done: it would act on {now or 'another site, too'}.",
            hint="Look at the page with the action 'snapshot'.",
        )
