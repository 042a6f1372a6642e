"""Elements: finding the element of a ref, and acting on it; what does not work says why and what is there now."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, cast

from openmanus_graph.errors import ToolError
from openmanus_graph.tools.browser import downloads, page_script
from openmanus_graph.tools.browser.refs import ref_of
from openmanus_graph.tools.browser.session import BrowserSession
from openmanus_graph.tools.browser.tab import Tab
from openmanus_graph.tools.browser.tree import MASK

if TYPE_CHECKING:
    from playwright.async_api import Locator

ACT_MS = 2_000
"""Milliseconds that an element is waited for until it can be acted on."""
_ASK_S = 3.0
_LISTS = frozenset({"combobox", "listbox"})
"""Roles of lists that scripts have made."""
_PERFORMED = "performing "
_COVER = re.compile(r"- (<.{1,150}?>).* intercepts pointer events")


class StaleRefError(ToolError):
    """A ref that stands for nothing in the page as it is now."""


async def element_of(session: BrowserSession, given: str | int | None) -> tuple[Tab, Locator, dict[str, Any]]:
    """The tab and element of a ref, and what is known of it.

    Raises:
        StaleRefError: If it is of an older page, or there never was one.
    """
    from playwright.async_api import Error

    ref = ref_of(given)
    target = session.refs.find(ref)
    tab = next((tab for tab in session.tabs if target is not None and tab.number == target.tab), None)
    if target is None or tab is None:
        raise StaleRefError(f"There is no element {ref!r}.")
    if tab is not session.tab:
        raise StaleRefError(f"The element {ref!r} is of another tab.", hint="Bring it to the front with switch_tab.")
    locator = tab.page.get_by_ref(target.ref)
    try:
        async with asyncio.timeout(_ASK_S):
            if not await locator.count():
                raise StaleRefError(f"The element {ref!r} ({target.words}) is no longer there.")
            facts = cast("dict[str, Any]", await locator.evaluate(page_script.FIELD))
    except (Error, TimeoutError) as error:
        raise StaleRefError(f"The element {ref!r} ({target.words}) does not answer.") from error
    return tab, locator, {**facts, "words": target.words, "role": target.role}


async def click(session: BrowserSession, given: str | int | None) -> None:
    """Click an element.

    Raises:
        ToolError: If it was not clicked, with the reason.
        TimeoutError: If it may have been.
    """
    from playwright.async_api import Error

    _, locator, facts = await element_of(session, given)
    if facts["disabled"]:
        raise ToolError(f"The {facts['words']} is disabled, and was not clicked.")
    if facts["tag"] == "option":
        raise ToolError(f"The {facts['words']} is chosen with select_dropdown_option.")
    try:
        await locator.click(timeout=ACT_MS)
    except Error as error:
        raise _why(error.message, facts["words"], "clicked") from error


def _why(message: str, words: str, done: str) -> Exception:
    """The reason why an action did not end, from Playwright's log of it."""
    if _PERFORMED in message and "Timeout" in message:
        return TimeoutError(f"The {words} may have been {done}: the browser did not say in time.")
    if (cover := _COVER.search(message)) is not None:
        return ToolError(
            f"The {words} was not {done}: {cover[1]} covers it.", hint="Close what covers it, or scroll it free."
        )
    for said, reason in (
        ("element is not enabled", "it is disabled"),
        ("element is not visible", "it cannot be seen"),
        ("element is not stable", "it keeps moving"),
        ("element is outside of the viewport", "it lies outside of the window"),
        ("element is not editable", "it cannot be written to"),
        ("did not find some options", "it has no such option"),
        ("option being selected is not enabled", "that option is disabled"),
        ("detached", "it was taken out of the page"),
    ):
        if said in message:
            return ToolError(f"The {words} was not {done}: {reason}.")
    return ToolError(f"The {words} was not {done}: {message.strip().splitlines()[0]}")


async def click_at(session: BrowserSession, x: int, y: int) -> None:
    """Click at a place of the window, such as on a canvas."""
    await session.tab.page.mouse.click(x, y)


async def write(session: BrowserSession, given: str | int | None, text: str) -> None:
    """Put a text in place of what a field holds, and say if the field holds something else then.

    Raises:
        ToolError: If nothing can be written there.
    """
    from playwright.async_api import Error

    _, locator, facts = await element_of(session, given)
    if facts["disabled"] or facts["readonly"]:
        raise ToolError(f"The {facts['words']} is {'disabled' if facts['disabled'] else 'read-only'}.")
    if facts["tag"] == "select":
        raise ToolError(f"The {facts['words']} is a list.", hint="Choose with select_dropdown_option.")
    if facts["type"] == "file":
        raise ToolError(f"The {facts['words']} takes a file.", hint="Give one with upload_file.")
    try:
        await locator.fill(text, timeout=ACT_MS)
        async with asyncio.timeout(_ASK_S):
            now = str((await locator.evaluate(page_script.FIELD))["value"])
    except Error as error:
        raise _why(error.message, facts["words"], "written to") from error
    except TimeoutError:
        session.note("What the field holds now cannot be read.")
        return
    if now.strip() != text.strip():
        shown = MASK if facts["secret"] else repr(now[:200])
        kind = f" of the type {facts['type']!r}" if facts["type"] else ""
        session.note(f"The field{kind} holds {shown} now, and not what was typed.")


async def options_of(session: BrowserSession, given: str | int | None) -> str:
    """The options of a list, one a line.

    Raises:
        ToolError: If it is no native list.
    """
    _, _, facts = await element_of(session, given)
    if facts["options"] is None:
        raise ToolError(f"The {facts['words']} is no native list.", hint="Click it, and then the option that appears.")
    return "\n".join(
        f"{option['text']}{' (selected)' if option['selected'] else ''}{' (disabled)' if option['disabled'] else ''}"
        for option in facts["options"]
    )


async def choose(session: BrowserSession, given: str | int | None, text: str) -> None:
    """Choose an option by its text or value; one of a list made by scripts, after opening the list.

    Raises:
        ToolError: If there is none, or it is disabled, or the element is no list: that is never clicked.
    """
    from playwright.async_api import Error

    tab, locator, facts = await element_of(session, given)
    if facts["options"] is None:
        if facts["role"] not in _LISTS:
            raise ToolError(
                f"The {facts['words']} is no list.", hint="Click what opens the list, and then the option that appears."
            )
        try:
            await locator.click(timeout=ACT_MS)
            option = tab.page.get_by_role("option", name=text, exact=True).first
            if (await option.evaluate(page_script.FIELD, timeout=ACT_MS))["submits"]:
                raise ToolError(
                    f"The option {text!r} sends a form.", hint="Click it, which a person may be asked about."
                )
            await option.click(timeout=ACT_MS)
        except Error as error:
            raise ToolError(f"The {facts['words']} shows no option {text!r}.") from error
        return
    for key in ("text", "value"):
        found = next((option for option in facts["options"] if str(option[key]).strip() == text.strip()), None)
        if found is None:
            continue
        if found["disabled"]:
            raise ToolError(f"The option {text!r} of the {facts['words']} is disabled.")
        try:
            await locator.select_option(value=found["value"], timeout=ACT_MS)
        except Error as error:
            raise _why(error.message, facts["words"], "changed") from error
        return
    there = ", ".join(repr(option["text"]) for option in facts["options"][:30])
    raise ToolError(f"The {facts['words']} has no option {text!r}: it has {there}.")


async def upload(session: BrowserSession, given: str | int | None, path: str) -> None:
    """Give a file of the workspace to a field, or to the button that asks for one.

    Raises:
        ToolError: If the file cannot be read, or nothing takes it.
    """
    from playwright.async_api import Error

    tab, locator, facts = await element_of(session, given)
    file = await asyncio.to_thread(downloads.payload, session.workspace, path)
    try:
        if facts["type"] == "file":
            await locator.set_input_files(file, timeout=ACT_MS)
            return
        async with tab.page.expect_file_chooser(timeout=ACT_MS) as waiting:
            await locator.click(timeout=ACT_MS)
        await (await waiting.value).set_files(file)
    except Error as error:
        raise ToolError(f"The {facts['words']} takes no file: {error.message.splitlines()[0]}") from error
