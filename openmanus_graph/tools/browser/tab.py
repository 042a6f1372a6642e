"""Tab: a page of the browser, with what has happened in it since somebody looked last."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urldefrag

from openmanus_graph.tools.browser import page_script
from openmanus_graph.tools.browser.tree import Box, Node, Places, classify, mask, parse
from openmanus_graph.tools.web.proxy import SAID_BY_PROXY

if TYPE_CHECKING:
    from playwright.async_api import ConsoleMessage, Frame, Page, Request, Response

QUIET_MS = 300
"""Milliseconds without a change after which a page counts as settled."""
SETTLE_S = 2.0
"""Seconds that a page is waited for, whatever it still does."""
LOAD_S = 10.0
"""Seconds that a new page is waited for."""
SNAPSHOT_S = 20.0
"""Seconds that a snapshot may take."""
MOST_REQUESTS = 2_000
"""Requests of a page that are remembered."""
MOST_ERRORS = 50
"""Errors of a page's scripts that are remembered."""
MOST_SECRETS = 200
"""Values of fields for passwords that are remembered."""
_GIVEN_UP = "net::ERR_ABORTED"
"""What is said of requests that the page itself has given up, and of downloads."""
_ASK_S = 3.0
_ASKED = ("secrets", "opening", "editable", "submitting", "staying", "dragging")
_BY_REQUEST = ("http:", "https:")
"""Addresses whose pages come by a request that is seen."""
_READING = ("GET", "HEAD")
_WATCHED = frozenset({"document", "fetch", "xhr"})


@dataclass
class Done:
    """A request that has ended."""

    method: str
    """Its method."""
    url: str
    """Its address."""
    status: int = 0
    """Its HTTP status; 0 if it got no answer."""
    failure: str = ""
    """Why it got none, in Chromium's words."""
    navigation: int = 0
    """How many pages this tab had been asked for when it ended."""

    @property
    def failed(self) -> bool:
        """Whether it got no answer, or one that says that something is wrong."""
        return bool(self.failure) or self.status >= 400


class Tab:
    """A page that is open."""

    def __init__(self, number: int, page: Page) -> None:
        self.number = number
        """Its number, which no other tab of this browser gets."""
        self.page = page
        """Playwright's page."""
        self.crashed = False
        """Whether its process is gone, after which nothing works in it."""
        self.status: int | None = None
        """The HTTP status of the page."""
        self.failure: str | None = None
        """Why the last page did not load, in Chromium's words."""
        self.refused: str | None = None
        """The address that the proxy did not reach."""
        self.authenticate = False
        """Whether the page asks for a user name and password."""
        self.asked: str | None = None
        """The address that was asked for last for the page itself."""
        self.sent = True
        """Whether a page of this tab may be the answer to a form, which loading it again would send again. Of a tab
        that a page has opened the first request is not seen, so it counts as one."""
        self.errors: list[str] = []
        """What scripts of the page failed with, or wrote as errors, since somebody looked."""
        self.console: list[str] = []
        """What scripts failed with, or wrote as errors, since the page came."""
        self.requests: list[Done] = []
        """Requests that have ended since the page was asked for, the oldest first; of too many not all."""
        self.left_out = 0
        """How many of them are not remembered; none that failed, unless too many have."""
        self.secrets: dict[str, None] = {}
        """Values that fields for passwords had in pages of this tab, the newest last."""
        self._open_requests: set[Request] = set()
        self._navigations = 0
        self._coming: Request | None = None
        self._shown = ""
        page.on("response", self._answered)
        page.on("request", self._asked)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", self._failed)
        page.on("framenavigated", self._navigated)
        page.on("crash", self._crash)
        page.on("pageerror", lambda error: self._error(str(error)))
        page.on("console", self._said)

    def _is_own(self, request: Request) -> bool:
        """Whether it is for the page itself, and not for something in it."""
        frame: Frame | None = None
        with suppress(Exception):  # Playwright raises its own error while a frame is not there yet
            frame = request.frame
        return request.is_navigation_request() and frame is self.page.main_frame

    def _asked(self, request: Request) -> None:
        if request.resource_type in _WATCHED:
            self._open_requests.add(request)
        if self._is_own(request):
            if request.redirected_from is None:
                self._navigations += 1
            self._coming = request
            self.status = self.failure = self.refused = None
            self.authenticate = False
            self.asked = request.url
            self.sent = self.sent or request.method not in _READING

    def _answered(self, response: Response) -> None:
        self._end(Done(response.request.method, response.url, response.status))
        if self._is_own(response.request):
            self.status = response.status
            self.refused = response.url if SAID_BY_PROXY in response.headers else None
            self.authenticate = response.status == 401

    def _ended(self, request: Request) -> None:
        self._open_requests.discard(request)

    def _failed(self, request: Request) -> None:
        self._open_requests.discard(request)
        if request.failure != _GIVEN_UP:
            self._end(Done(request.method, request.url, failure=request.failure or "no answer"))
        if self._is_own(request):
            if request is self._coming and request.failure == _GIVEN_UP:
                self._coming = None
            self.failure = request.failure
            self.refused = request.url if "ERR_TUNNEL" in (request.failure or "") else None

    def _end(self, done: Done) -> None:
        done.navigation = self._navigations
        if len(self.requests) >= MOST_REQUESTS:
            self.left_out += 1
            good = next((at for at, other in enumerate(self.requests) if not other.failed), None)
            if good is None or not done.failed:
                return
            del self.requests[good]
        self.requests.append(done)

    def _navigated(self, frame: Frame) -> None:
        """Begin anew where another page has come; what was asked for may also bring none, as downloads do."""
        if frame is not self.page.main_frame:
            return
        before, self._shown = self._shown, urldefrag(frame.url).url
        asked_for = self._coming is not None and urldefrag(self._coming.url).url == self._shown
        of_its_own = not self._shown.startswith(_BY_REQUEST) and self._shown != before
        if not asked_for and not of_its_own:
            return  # the page itself has changed its address
        self._coming = None
        self.console, self.left_out = [], 0
        self.requests = [done for done in self.requests if done.navigation == self._navigations]

    def _crash(self, page: Page) -> None:
        del page
        self.crashed = True

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self._error(message.text)

    def _error(self, text: str) -> None:
        if len(self.console) < MOST_ERRORS:
            self.console.append(text[:200])
        if len(self.errors) < 5:
            self.errors.append(text[:200])

    async def settle(self, quiet_ms: int = QUIET_MS) -> None:
        """Wait until the page neither loads nor changes, within limits; never for a silent network."""
        from playwright.async_api import Error

        loop = asyncio.get_running_loop()
        end = loop.time() + SETTLE_S
        with suppress(Error):
            await self.page.wait_for_load_state("domcontentloaded", timeout=LOAD_S * 1000)
            end = max(end, loop.time() + SETTLE_S / 2)
        while (left := end - loop.time()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self.page.evaluate(page_script.QUIET, quiet_ms)
            except TimeoutError:
                return
            except Error:  # another page came in its place
                if self.page.is_closed() or self.crashed:
                    return
                with suppress(Error):
                    await self.page.wait_for_load_state("domcontentloaded", timeout=max(left, 0.1) * 1000)
                continue
            if not self._open_requests:
                return

    async def tree(self) -> tuple[Node, bool]:
        """What the page shows, passwords hidden; and whether it could be told which fields are for passwords.

        Raises:
            Error: Of Playwright, if the page does not answer.
        """
        before = await self._facts()
        snapshot = await self.page.aria_snapshot(mode="ai", boxes=True, timeout=SNAPSHOT_S * 1000)
        after = await self._facts()
        facts = [*before, *after]
        known = None not in facts
        root = await asyncio.to_thread(parse, snapshot)
        mask(root, _secrets(facts), everything=not known)
        classify(root, _places(after))
        return root, known

    async def _facts(self) -> list[dict[str, list[Any]] | None]:
        """What the snapshot does not tell, of the page and each frame in it; `None` for one that did not answer.

        The secrets among it are remembered, also of pages that are gone: their addresses and errors may tell them.
        """
        from playwright.async_api import Error

        async def ask(frame: Frame) -> Any:
            try:
                async with asyncio.timeout(_ASK_S):
                    return await frame.evaluate(page_script.FACTS)
            except (Error, TimeoutError):
                return dict.fromkeys(_ASKED, ()) if frame.is_detached() else None

        facts: list[dict[str, list[Any]] | None] = await asyncio.gather(*(ask(frame) for frame in self.page.frames))
        for secret in _secrets(facts):
            self.secrets.pop(secret, None)
            self.secrets[secret] = None
        while len(self.secrets) > MOST_SECRETS:
            del self.secrets[next(iter(self.secrets))]
        return facts

    async def look_for_secrets(self) -> None:
        """See what fields for passwords hold now, without a snapshot."""
        await self._facts()

    async def view(self) -> tuple[int, int, int]:
        """The window's height, how far it is scrolled, and the height of the page."""
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(_ASK_S):
                found: dict[str, int] = await self.page.evaluate(page_script.VIEW)
        except (Error, TimeoutError):
            return 720, 0, 720
        return found["height"], found["y"], found["whole"]

    async def title(self) -> str:
        """The page's title; empty if it does not answer."""
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(_ASK_S):
                return (await self.page.title())[:200]
        except (Error, TimeoutError):
            return ""


def _secrets(facts: list[dict[str, list[Any]] | None]) -> list[str]:
    return [str(secret) for fact in facts if fact is not None for secret in fact["secrets"]]


def _places(facts: list[dict[str, list[Any]] | None]) -> Places:
    """What the page and its frames tell of themselves, for the tree."""
    own, *framed = facts
    inside = [fact for fact in framed if fact is not None]
    told = [fact for fact in facts if fact is not None]
    staying = {" ".join(str(url).split()) for fact in told for url in fact["staying"]}
    return Places(
        opening=_boxes([own] if own else [], "opening"),
        editable=_boxes([own] if own else [], "editable"),
        submitting=None if own is None else _boxes([own], "submitting"),
        submitting_in_frames=None if len(inside) < len(framed) else _boxes(inside, "submitting"),
        dragging=_boxes([own] if own else [], "dragging"),
        staying=None if len(told) < len(facts) else staying,
    )


def _boxes(facts: list[dict[str, list[Any]]], key: str) -> frozenset[Box]:
    return frozenset(cast("Box", tuple(box)) for fact in facts for box in fact[key])
