"""Actions: what the tool `browser_use` does, under OpenManus' names, and what it shows afterwards."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from openmanus_graph.context import AskAboutText
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.files.safe_paths import locate, open_parent, write_file
from openmanus_graph.tools.browser import assertions, elements, navigation
from openmanus_graph.tools.browser.arguments import ASSERTIONS, BrowserArguments
from openmanus_graph.tools.browser.masking import hidden, look_for_secrets
from openmanus_graph.tools.browser.rendering import BUDGET, found, render
from openmanus_graph.tools.browser.saved_state import StatePlace
from openmanus_graph.tools.browser.session import BrowserSession
from openmanus_graph.tools.browser.site import check_site
from openmanus_graph.tools.browser.tab import Tab
from openmanus_graph.tools.browser.tree import Node
from openmanus_graph.tools.web.page import read_page

LONGEST_TEXT = 18_000
"""Characters of a page's text that one action gives."""
LONGEST_ASKED = 60_000
"""Characters of a page's text that a model is asked about."""
STALE_BUDGET = 1_500
"""Tokens of the page that the error about a ref shows."""
_KEEPING = frozenset(
    {"scroll_down", "scroll_up", "wait", "extract_content", "screenshot", "snapshot", "find", "get_dropdown_options"}
)
"""Actions after which nothing is saved, because they change nothing that would be."""
_TEXTUAL = frozenset({"extract_content", "screenshot", "find", "get_dropdown_options", *ASSERTIONS})
"""Actions that give a text or a file, and no snapshot beside it."""
_MODIFIERS = frozenset({"Control", "Shift", "Alt", "Meta", "ControlOrMeta"})
_KEY = re.compile(r"(?:[A-Z][A-Za-z]+|F\d{1,2}|\S)")


@dataclass(frozen=True)
class Done:
    """What an action gives besides the page."""

    text: str = ""
    """Text that was asked for."""
    path: str = ""
    """A file in the workspace."""
    passed: bool | None = None
    """Whether an assertion holds; `None` of other actions, and of a comparison that made its baseline."""
    why: str = ""
    """Why it does not, or what was made."""


Search = Callable[[str], Awaitable[list[dict[str, Any]]]]
"""Searches the Web: title, address and description of each result."""


@dataclass(frozen=True)
class Means:
    """What actions need from outside of the browser."""

    search: Search
    """Searches the Web."""
    ask: AskAboutText | None = None
    """Asks a model about a text; `None` where there is none."""
    fails: bool = False
    """Whether a call fails whose assertion does not hold."""
    site: str | None = None
    """The site that somebody has consented to; `None` leaves it open."""
    state: StatePlace | None = None
    """Where the browser's state is; `None` leaves it where it is."""


async def perform(session: BrowserSession, given: BrowserArguments, means: Means) -> dict[str, Any]:
    """Do an action and show what is there then.

    Raises:
        ToolError: If it was not done, with the reason.
        ConnectionError: If the browser ended during it.
        TimeoutError: If it may have been done.
    """
    from playwright.async_api import Error

    async with session.turn:
        session.state = means.state or session.state
        await session.ready()
        waits = session.dialog is not None and given.action != "dialog"
        if waits and session.dialog is not None:
            raise ToolError(
                f"A dialog is open: {session.dialog.type} {session.dialog.message[:500]!r}.",
                hint="Answer it with the action 'dialog'.",
            )
        if means.site is not None:
            await check_site(session, given.model_dump(), means.site)
        try:
            done = await session.until_dialog(lambda: _ACTIONS[given.action](session, given, means))
        except elements.StaleRefError as error:
            shown = await look(session, budget=STALE_BUDGET)
            message = hidden(error.message, session)
            raise ToolError(f"{message} This is there now:\n{shown['snapshot']}", hint=error.hint) from error
        except ToolError as error:
            await look_for_secrets(session)
            raise type(error)(hidden(error.message, session), hint=error.hint) from None  # which has it unhidden
        except Error as error:
            if session.process.alive:
                await look_for_secrets(session)
                what = hidden(error.message.splitlines()[0], session)
                raise ToolError(f"The browser did not do it: {what}") from None
            raise ConnectionError("The browser ended during the action, which may have happened.") from error
        shown = await look(session, textual=given.action in _TEXTUAL)
        if given.action not in _KEEPING and session.dialog is None:
            await session.save()
            shown["notes"] += [hidden(note, session) for note in session.take_notes()]
        done = done or Done()
        return {
            "passed": done.passed,
            "why": hidden(done.why, session),
            **shown,
            "text": hidden(done.text, session),
            "path": done.path,
        }


async def look(session: BrowserSession, *, budget: int = BUDGET, textual: bool = False) -> dict[str, Any]:
    """The state of the browser: address, title, tabs, what has happened, and what the page shows.

    Args:
        session: The browser.
        budget: Tokens that the page may cost.
        textual: Whether a text was asked for, and the page is left out.
    """
    if textual:
        await look_for_secrets(session)  # which the snapshot would have told
    elif session.dialog is None:
        await session.settle()
    tab = session.tab
    tabs = list(session.tabs)  # a page may open another one meanwhile
    if session.dialog is not None:
        dialog = session.dialog
        session.note(f"A dialog is open: {dialog.type} {dialog.message[:500]!r}. Answer it with 'dialog'.")
    shows = session.dialog is None and not textual
    snapshot, titles = await asyncio.gather(
        _snapshot(session, tab, budget) if shows else _no_snapshot(),
        asyncio.gather(*(_title(session, one) for one in tabs)),
    )
    _note(session, tab)
    titles = [hidden(title, session) for title in titles]  # the snapshot has told what is hidden
    return {
        "url": hidden(tab.page.url, session),
        "title": titles[tabs.index(tab)],
        "tabs": [
            {"tab_id": one.number, "url": hidden(one.page.url[:300], session), "title": title, "current": one is tab}
            for one, title in zip(tabs, titles, strict=True)
        ],
        "notes": [hidden(note, session) for note in session.take_notes()],
        "snapshot": snapshot,
    }


async def _title(session: BrowserSession, tab: Tab) -> str:
    return "" if session.dialog is not None else await tab.title()


async def _no_snapshot() -> str:
    return ""


async def _snapshot(session: BrowserSession, tab: Tab, budget: int) -> str:
    from playwright.async_api import Error

    try:
        root, known = await tab.tree()
    except Error as error:
        session.note(f"The page does not answer: {error.message.splitlines()[0]} Use refresh or close_tab.")
        return ""
    if not known:
        session.note("A part of the page does not answer, so what fields hold is not shown.")
    height, y, whole = await tab.view()
    lines = await asyncio.to_thread(render, root, height, lambda node: session.refs.label(tab.number, node), budget)
    if not lines.strip():
        return "[Nothing here can be read or named: take a screenshot; click_element takes x and y.]"
    place = f"[window {y} to {y + height} of {whole} px]\n" if whole > height else ""
    return place + lines


def _note(session: BrowserSession, tab: Tab) -> None:
    """Tell what has happened to the page."""
    if tab.authenticate:
        session.note("The page asks for a user name and password.")
    elif tab.refused is not None:
        session.note(navigation.failure(session, tab.refused, tab.failure or "").message)
    elif tab.failure is not None and tab.page.url.startswith("chrome-error:"):
        session.note(navigation.failure(session, tab.page.url, tab.failure).message)
    elif tab.status is not None and tab.status >= 400:
        session.note(f"The page answered {tab.status}.")
    if tab.errors:
        session.note(f"Errors of the page's scripts: {'; '.join(tab.errors)}")
        tab.errors.clear()


def _needed(value: str | None, name: str) -> str:
    if value is None:
        raise ToolArgumentsError(f"The argument {name!r} is missing.")
    return value


def _ref(given: BrowserArguments) -> str | int | None:
    return given.ref if given.ref is not None else given.index


async def _go_to_url(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    await navigation.go(session, session.tab, navigation.address_of(given.url))
    return Done()


async def _click_element(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    if _ref(given) is None and given.x is not None and given.y is not None:
        await elements.click_at(session, given.x, given.y)
    else:
        await elements.click(session, _ref(given))
    return Done()


async def _input_text(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    await elements.write(session, _ref(given), _needed(given.text, "text"))
    return Done()


async def _scroll(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    tab = session.tab
    height, _, _ = await tab.view()
    size = tab.page.viewport_size or {"width": 1280, "height": height}
    x, y = size["width"] / 2, height / 2
    if _ref(given) is not None:
        _, locator, _ = await elements.element_of(session, _ref(given))
        box = await locator.bounding_box()
        if box is not None:
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    amount = given.scroll_amount or int(height * 0.8)
    await tab.page.mouse.move(x, y)
    await tab.page.mouse.wheel(0, amount if given.action == "scroll_down" else -amount)
    return Done()


async def _scroll_to_text(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    from playwright.async_api import Error

    del means
    text, tab = _needed(given.text, "text"), session.tab
    height, _, _ = await tab.view()
    for _ in range(20):
        place = tab.page.get_by_text(text).first
        if await place.count():
            with suppress(Error):
                await place.scroll_into_view_if_needed(timeout=elements.ACT_MS)
            return Done()
        _, before, whole = await tab.view()
        await tab.page.mouse.wheel(0, height * 0.9)
        await tab.settle(150)
        if (await tab.view())[1:] == (before, whole):
            break
    raise ToolError(f"The page does not show the text {text!r}.", hint="Look for a shorter one.")


async def _send_keys(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    from playwright.async_api import Error

    del means
    keys, keyboard = _needed(given.keys, "keys"), session.tab.page.keyboard
    presses = keys.split()
    if not presses or not all(_is_key(press) for press in presses):
        await keyboard.type(keys)
        return Done()
    for press in presses:
        try:
            await keyboard.press(press)
        except Error as error:
            raise ToolError(f"There is no key {press!r}.", hint="Such as Enter, Tab, Control+a.") from error
    return Done()


def _is_key(press: str) -> bool:
    *modifiers, key = press.split("+") if len(press) > 1 else [press]
    return set(modifiers) <= _MODIFIERS and _KEY.fullmatch(key) is not None


async def _get_dropdown_options(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    return Done(await elements.options_of(session, _ref(given)))


async def _select_dropdown_option(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    await elements.choose(session, _ref(given), _needed(given.text, "text"))
    return Done()


async def _go_back(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del given, means
    await navigation.back(session, session.tab)
    return Done()


async def _refresh(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del given, means
    await navigation.refresh(session, session.tab)
    return Done()


async def _wait(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    await asyncio.sleep(given.seconds or 3)
    await session.finish_downloads(0)
    return Done()


async def _extract_content(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    page = session.tab.page
    read = await asyncio.to_thread(read_page, await page.content(), page.url)
    await look_for_secrets(session)  # before a model is sent it
    goal = given.goal or ""
    if means.ask is not None and goal:
        try:
            return Done(await means.ask(goal, passages(hidden(read.markdown, session), goal, LONGEST_ASKED)))
        except ToolError as error:
            session.note(f"No model has looked for it, so this is the page's text: {error.message}")
    return Done(passages(read.markdown, goal))


def passages(text: str, goal: str, most: int = LONGEST_TEXT) -> str:
    """A text, of a long one the passages with the words of a goal, in their order.

    Args:
        text: The text.
        goal: What is looked for in it.
        most: Characters that may be left of it.
    """
    if len(text) <= most:
        return text
    words = {word for word in re.findall(r"\w{3,}", goal.casefold())}
    blocks = text.split("\n\n")
    ranked = sorted(range(len(blocks)), key=lambda place: (-_score(blocks[place], words), place))
    kept: set[int] = set()
    left = most
    for place in ranked:
        left -= len(blocks[place]) + 2
        if left < 0:
            break
        kept.add(place)
    parts: list[str] = []
    for place, block in enumerate(blocks):
        if place in kept:
            parts.append(block)
        elif parts[-1:] != ["[…]"]:
            parts.append("[…]")
    return "\n\n".join(parts)


def _score(block: str, words: set[str]) -> int:
    inside = block.casefold()
    return sum(word in inside for word in words)


def _tab(session: BrowserSession, number: int | None) -> Tab:
    found_tab = next((tab for tab in session.tabs if tab.number == number), None)
    if found_tab is None:
        there = ", ".join(str(tab.number) for tab in session.tabs)
        raise ToolArgumentsError(f"There is no tab {number!r}.", hint=f"There are: {there}.")
    return found_tab


async def _switch_tab(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    tab = _tab(session, given.tab_id)
    session.bring(tab)
    await tab.page.bring_to_front()
    return Done()


async def _open_tab(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    address = None if given.url is None else navigation.address_of(given.url)
    tab = await session.new_tab()
    if address is not None:
        await navigation.go(session, tab, address)
    return Done()


async def _close_tab(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    await session.close_tab(session.tab if given.tab_id is None else _tab(session, given.tab_id))
    if not session.tabs:
        await session.new_tab()
    return Done()


async def _web_search(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    results = await means.search(_needed(given.query, "query"))
    text = "\n".join(f"{one['title']}\n{one['url']}\n{one['description']}\n" for one in results)
    if results:
        try:
            await navigation.go(session, session.tab, results[0]["url"])
        except ToolError as error:
            session.note(error.message)
    return Done(text or "Nothing was found.")


async def _screenshot(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del given, means
    picture = await session.tab.page.screenshot(timeout=10_000)
    return Done(path=await asyncio.to_thread(_put_picture, session, picture))


def _put_picture(session: BrowserSession, picture: bytes) -> str:
    with open_parent(locate(session.workspace, "screenshots/x"), make=True) as (folder, _):
        number = sum(1 for _ in os.scandir(folder)) + 1
    while True:
        place = locate(session.workspace, f"screenshots/screenshot-{number}.png")
        with suppress(FileExistsError):
            write_file(place, picture, exclusive=True)
            return place.path
        number += 1


async def _snapshot_only(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del session, given, means
    return Done()


async def _find(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    tab, text = session.tab, _needed(given.text, "text")
    root: Node = (await tab.tree())[0]
    places = await asyncio.to_thread(found, root, text, lambda node: session.refs.label(tab.number, node))
    return Done("\n".join(places) or f"The page does not have {text!r}.")


async def _dialog(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    if given.accept is None:
        raise ToolArgumentsError("The argument 'accept' is missing.", hint="Give true or false.")
    await session.answer_dialog(given.accept, given.text)
    return Done()


async def _upload_file(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    await elements.upload(session, _ref(given), _needed(given.path, "path"))
    return Done()


async def _drag(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    del means
    await elements.drag(session, _ref(given), given.to_ref, given.text)
    return Done()


async def _assert(session: BrowserSession, given: BrowserArguments, means: Means) -> Done:
    found = await assertions.check(session, given)
    if found.passed is False and means.fails:
        raise ToolError(found.why)
    return Done(path=found.path, passed=found.passed, why=found.why)


_ACTIONS: dict[str, Callable[[BrowserSession, BrowserArguments, Means], Awaitable[Done]]] = {
    "go_to_url": _go_to_url,
    "click_element": _click_element,
    "input_text": _input_text,
    "scroll_down": _scroll,
    "scroll_up": _scroll,
    "scroll_to_text": _scroll_to_text,
    "send_keys": _send_keys,
    "get_dropdown_options": _get_dropdown_options,
    "select_dropdown_option": _select_dropdown_option,
    "go_back": _go_back,
    "refresh": _refresh,
    "wait": _wait,
    "extract_content": _extract_content,
    "switch_tab": _switch_tab,
    "open_tab": _open_tab,
    "close_tab": _close_tab,
    "web_search": _web_search,
    "screenshot": _screenshot,
    "snapshot": _snapshot_only,
    "find": _find,
    "dialog": _dialog,
    "upload_file": _upload_file,
    "drag": _drag,
    **dict.fromkeys(ASSERTIONS, _assert),
}
