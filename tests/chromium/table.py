"""Table: opens a page for every way of sending a packet, in a browser that a test hands in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import unquote

from playwright.async_api import BrowserContext, Error

from tests.chromium.canary import Canary
from tests.chromium.site import Answer, Asked, Site
from tests.chromium.ways import Way

AT_ONCE = 10
"""Pages open at the same time."""
QUIET_S = 0.35
"""Seconds without a packet after which a page counts as done."""
LONGEST_S = 5.0
MOST = 10**9
"""Packets after which a page is not waited for any longer: as good as never."""


def _filled(text: str, port: int) -> str:
    host = f"127.0.0.1:{port}"
    return text.replace("$U", f"http://{host}/x").replace("$H", host).replace("$P", str(port))


def _page(way: Way, port: int) -> Answer:
    headers = [(name, _filled(value, port)) for name, value in way.headers]
    return Answer(f"<!doctype html><title>way</title>{_filled(way.html, port)}", way.status, headers)


def _worker(asked: Asked) -> Answer:
    query = asked.query
    text = f"fetch('{query['fetch']}')" if "fetch" in query else f"importScripts('{query.get('import')}')"
    return Answer(text, kind="text/javascript", headers=[("Service-Worker-Allowed", "/")])


def _redirect(asked: Asked) -> Answer:
    target = unquote(next(iter(asked.query), "")) or "/empty"
    return Answer("", 302, [("Location", target)])


async def open_table(
    context: BrowserContext, site: Site, canary: Canary, ways: Mapping[str, Way], *, one_is_enough: bool = False
) -> None:
    """Open every page, those of frames together, and wait until no more packets come.

    Args:
        context: The browser.
        site: Where the pages are.
        canary: What hears the packets.
        ways: The ways.
        one_is_enough: Whether the first packet ends it.
    """
    names = list(ways)
    await canary.listen(name for name in names if name not in canary.ports)
    for number, name in enumerate(names):
        site.pages[f"/way/{number}"] = _page(ways[name], canary.ports[name])
    site.pages["/empty"] = ""
    site.pages["/worker.js"] = _worker
    framed = [number for number, name in enumerate(names) if not ways[name].alone]
    frames = "".join(f"<iframe src=/way/{number}></iframe>" for number in framed)
    site.pages["/frames"] = f"<!doctype html>{frames}"
    await _visit(context, f"{site.url}/frames", canary, 1 if one_is_enough else MOST)
    if one_is_enough and canary.heard:
        return
    slots = asyncio.Semaphore(AT_ONCE)

    async def alone(number: int) -> None:
        async with slots:
            await _visit(context, f"{site.url}/way/{number}", canary)

    await asyncio.gather(*(alone(number) for number, name in enumerate(names) if ways[name].alone))
    for page in context.pages:
        await page.close()


async def _visit(context: BrowserContext, address: str, canary: Canary, enough: int = MOST) -> None:
    page = await context.new_page()
    with suppress(Error):  # a page that leads to the canary is not to load
        await page.goto(address, timeout=LONGEST_S * 1000)
    heard, waited = -1, 0.0
    while heard != sum(canary.heard.values()) < enough and waited < LONGEST_S:
        heard = sum(canary.heard.values())
        await asyncio.sleep(QUIET_S)
        waited += QUIET_S
    await page.close()


def serve_redirects(site: Site) -> None:
    """Make `/to?ADDRESS` lead there; the address stands for itself, without a name."""

    def answer(asked: Asked) -> Answer:
        return _redirect(asked)

    site.pages["/to"] = answer
