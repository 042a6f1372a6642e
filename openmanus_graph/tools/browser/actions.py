"""Actions: what the tool `browser_use` does, under OpenManus' names, and what it shows afterwards."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.files.safe_paths import locate, open_parent, write_file
from openmanus_graph.tools.browser import elements, navigation
from openmanus_graph.tools.browser.arguments import BrowserArguments
from openmanus_graph.tools.browser.rendering import BUDGET, found, render
from openmanus_graph.tools.browser.session import BrowserSession
from openmanus_graph.tools.browser.tab import Tab
from openmanus_graph.tools.browser.tree import MASK, Node
from openmanus_graph.tools.web.page import read_page

LONGEST_TEXT = 18_000
"""Characters of a page's text that one action gives."""
STALE_BUDGET = 1_500
"""Tokens of the page that the error about a ref shows."""
_KEEPING = frozenset(
    {"scroll_down", "scroll_up", "wait", "extract_content", "screenshot", "snapshot", "find", "get_dropdown_options"}
)
"""Actions after which nothing is saved, because they change nothing that would be."""
_TEXTUAL = frozenset({"extract_content", "screenshot", "find", "get_dropdown_options"})
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


Search = Callable[[str], Awaitable[list[dict[str, Any]]]]
"""Searches the Web: title, address and description of each result."""


async def perform(session: BrowserSession, given: BrowserArguments, search: Search) -> dict[str, Any]:
    """Do an action and show what is there then.

    Raises:
        ToolError: If it was not done, with the reason.
        ConnectionError: If the browser ended during it.
        TimeoutError: If it may have been done.
    """
    from playwright.async_api import Error

    async with session.turn:
        await session.ready()
        waits = session.dialog is not None and given.action != "dialog"
        if waits and session.dialog is not None:
            raise ToolError(
                f"A dialog is open: {session.dialog.type} {session.dialog.message[:500]!r}.",
                hint="Answer it with the action 'dialog'.",
            )
        try:
            done = await session.until_dialog(lambda: _ACTIONS[given.action](session, given, search))
        except elements.StaleRefError as error:
            shown = await look(session, budget=STALE_BUDGET)
            raise ToolError(f"{error.message} This is there now:\n{shown['snapshot']}", hint=error.hint) from error
        except Error as error:
            if session.process.alive:
                raise ToolError(f"The browser did not do it: {error.message.splitlines()[0]}") from error
            raise ConnectionError("The browser ended during the action, which may have happened.") from error
        shown = await look(session, textual=given.action in _TEXTUAL)
        if given.action not in _KEEPING and session.dialog is None:
            await session.save()
            shown["notes"] += [_hidden(note, session) for note in session.take_notes()]
        return {**shown, "text": _hidden(done.text, session) if done else "", "path": done.path if done else ""}


async def look(session: BrowserSession, *, budget: int = BUDGET, textual: bool = False) -> dict[str, Any]:
    """The state of the browser: address, title, tabs, what has happened, and what the page shows.

    Args:
        session: The browser.
        budget: Tokens that the page may cost.
        textual: Whether a text was asked for, and the page is left out.
    """
    if session.dialog is None and not textual:
        await session.settle()
    tab = session.tab
    snapshot = ""
    if session.dialog is None:
        snapshot = "" if textual else await _snapshot(session, tab, budget)
    else:
        dialog = session.dialog
        session.note(f"A dialog is open: {dialog.type} {dialog.message[:500]!r}. Answer it with 'dialog'.")
    _note(session, tab)
    tabs = list(session.tabs)  # a page may open another one meanwhile
    titles = await asyncio.gather(*(_title(session, one) for one in tabs))
    return {
        "url": _hidden(tab.page.url, session),
        "title": _hidden(titles[tabs.index(tab)], session),
        "tabs": [
            {"tab_id": one.number, "url": _hidden(one.page.url[:300], session), "title": title, "current": one is tab}
            for one, title in zip(tabs, titles, strict=True)
        ],
        "notes": [_hidden(note, session) for note in session.take_notes()],
        "snapshot": snapshot,
    }


async def _title(session: BrowserSession, tab: Tab) -> str:
    return "" if session.dialog is not None else _hidden(await tab.title(), session)


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


def _hidden(text: str, session: BrowserSession) -> str:
    """A text without what fields for passwords hold."""
    for tab in session.tabs:
        for secret in tab.secrets:
            if len(secret) >= 4:
                text = text.replace(secret, MASK)
    return text


def _needed(value: str | None, name: str) -> str:
    if value is None:
        raise ToolArgumentsError(f"The argument {name!r} is missing.")
    return value


def _ref(given: BrowserArguments) -> str | int | None:
    return given.ref if given.ref is not None else given.index


async def _go_to_url(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    await navigation.go(session, session.tab, navigation.address_of(given.url))
    return Done()


async def _click_element(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    if _ref(given) is None and given.x is not None and given.y is not None:
        await elements.click_at(session, given.x, given.y)
    else:
        await elements.click(session, _ref(given))
    return Done()


async def _input_text(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    await elements.write(session, _ref(given), _needed(given.text, "text"))
    return Done()


async def _scroll(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
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


async def _scroll_to_text(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    from playwright.async_api import Error

    del search
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


async def _send_keys(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    from playwright.async_api import Error

    del search
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


async def _get_dropdown_options(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    return Done(await elements.options_of(session, _ref(given)))


async def _select_dropdown_option(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    await elements.choose(session, _ref(given), _needed(given.text, "text"))
    return Done()


async def _go_back(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del given, search
    await navigation.back(session, session.tab)
    return Done()


async def _refresh(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del given, search
    await navigation.refresh(session, session.tab)
    return Done()


async def _wait(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    await asyncio.sleep(given.seconds or 3)
    await session.finish_downloads(0)
    return Done()


async def _extract_content(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    page = session.tab.page
    read = await asyncio.to_thread(read_page, await page.content(), page.url)
    return Done(passages(read.markdown, given.goal or ""))


def passages(text: str, goal: str) -> str:
    """A text, of a long one the passages with the words of a goal, in their order."""
    if len(text) <= LONGEST_TEXT:
        return text
    words = {word for word in re.findall(r"\w{3,}", goal.casefold())}
    blocks = text.split("\n\n")
    ranked = sorted(range(len(blocks)), key=lambda place: (-_score(blocks[place], words), place))
    kept: set[int] = set()
    left = LONGEST_TEXT
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


async def _switch_tab(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    tab = _tab(session, given.tab_id)
    session.bring(tab)
    await tab.page.bring_to_front()
    return Done()


async def _open_tab(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    address = None if given.url is None else navigation.address_of(given.url)
    tab = await session.new_tab()
    if address is not None:
        await navigation.go(session, tab, address)
    return Done()


async def _close_tab(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    await session.close_tab(session.tab if given.tab_id is None else _tab(session, given.tab_id))
    if not session.tabs:
        await session.new_tab()
    return Done()


async def _web_search(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    results = await search(_needed(given.query, "query"))
    text = "\n".join(f"{one['title']}\n{one['url']}\n{one['description']}\n" for one in results)
    if results:
        try:
            await navigation.go(session, session.tab, results[0]["url"])
        except ToolError as error:
            session.note(error.message)
    return Done(text or "Nothing was found.")


async def _screenshot(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del given, search
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


async def _snapshot_only(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del session, given, search
    return Done()


async def _find(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    tab, text = session.tab, _needed(given.text, "text")
    root: Node = (await tab.tree())[0]
    places = await asyncio.to_thread(found, root, text, lambda node: session.refs.label(tab.number, node))
    return Done("\n".join(places) or f"The page does not have {text!r}.")


async def _dialog(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    if given.accept is None:
        raise ToolArgumentsError("The argument 'accept' is missing.", hint="Give true or false.")
    await session.answer_dialog(given.accept, given.text)
    return Done()


async def _upload_file(session: BrowserSession, given: BrowserArguments, search: Search) -> Done:
    del search
    await elements.upload(session, _ref(given), _needed(given.path, "path"))
    return Done()


_ACTIONS: dict[str, Callable[[BrowserSession, BrowserArguments, Search], Awaitable[Done]]] = {
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
}
