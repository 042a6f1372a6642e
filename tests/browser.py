"""Browser: a page in a real Chromium, with every address that it asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, Playwright, sync_playwright

CHROMIUM = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""What keeps Chromium itself from asking its maker for anything."""


def chromium() -> str | None:
    """The system's Chromium; `None` if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Tab:
    """A page of a browser, with every address that it asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    @property
    def left(self) -> list[str]:
        """Addresses outside of this machine."""
        parts = [(url, urlsplit(url)) for url in self.asked]
        return [
            url for url, one in parts if one.scheme in ("http", "https", "ws", "wss") and one.hostname != "127.0.0.1"
        ]


@contextmanager
def browser_page(profile: Path, **options: Any) -> Iterator[Tab]:
    """A page in a new Chromium.

    Args:
        profile: An empty folder for what it keeps.
        options: More for the browser, such as `color_scheme`.
    """
    with sync_playwright() as playwright:
        context = _launched(playwright, profile, options)
        try:
            tab = Tab(context.new_page())
            yield tab
        finally:
            context.close()


def _launched(playwright: Playwright, profile: Path, options: dict[str, Any]) -> Any:
    return playwright.chromium.launch_persistent_context(
        str(profile), executable_path=chromium(), headless=True, args=CHROMIUM, **options
    )
