"""Session: the browser of one subtask, that is its tabs, dialogs and refs in a Chromium that the thread shares.

A Chromium that is gone is started again, and the subtask's tabs and storage opened from the saved state; typed text is
lost and refs are void, which the model is told. Nothing is ever reattached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import Sealing
from openmanus_graph.errors import EncryptionKeyError, ToolError
from openmanus_graph.tools.browser import downloads, page_script
from openmanus_graph.tools.browser.process import END_SECONDS, BrowserProcess
from openmanus_graph.tools.browser.refs import Refs
from openmanus_graph.tools.browser.saved_state import SavedState, SavedTab, StatePlace, load, save
from openmanus_graph.tools.browser.tab import Tab
from openmanus_graph.tools.web.proxy import Inside

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Dialog, Download, Page, StorageState

T = TypeVar("T")

MOST_TABS = 10
"""Tabs that may be open; what a page opens beyond them is closed again."""
DIALOG_S = 120.0
"""Seconds after which a dialog that nobody answered is dismissed."""
MOST_DIALOGS = 5
"""Dialogs in a row, without an action between them, after which more are dismissed."""
MOST_NOTES = 20
"""Notes that one result has."""
SAVE_S = 5.0
"""Seconds that reading the storage may take."""
RESTORE_S = 15.0
"""Seconds that a tab has to open again."""
RESTARTED = "The browser was started again: its tabs were opened anew, typed text is lost, and refs of before are void."


class ThreadBrowser:
    """The Chromium of a thread, started when it is first needed and again when it is gone."""

    lasts = True
    """Whether it stays open while a person is asked something."""

    def __init__(self, settings: Settings, inside: Inside | None = None) -> None:
        self._settings = settings
        self._inside = inside
        self._process: BrowserProcess | None = None
        self._lock = asyncio.Lock()

    async def process(self) -> BrowserProcess:
        """A Chromium that runs.

        Raises:
            ToolError: If none can be started.
        """
        async with self._lock:
            if self._process is not None and not self._process.alive:
                await self._process.aclose()
                self._process = None
            if self._process is None:
                self._process = await BrowserProcess.open(self._settings, inside=self._inside)
            return self._process

    async def aclose(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            await process.aclose()


class BrowserSession:
    """The browser of a subtask; calls wait for each other."""

    lasts = True
    """Whether it stays open while a person is asked something: a form that is half filled in is not had again."""

    def __init__(
        self, thread: ThreadBrowser, state: StatePlace, workspace: Path, sealing: Sealing | None = None
    ) -> None:
        self._thread = thread
        self.state = state
        """Where its state is, as of the call that is made."""
        self._sealing = sealing
        self.workspace = workspace
        """The thread's folder."""
        self.turn = asyncio.Lock()
        """Held during an action."""
        self.tabs: list[Tab] = []
        """The open tabs, in order."""
        self.refs = Refs(1)
        """Names of elements."""
        self.notes: list[str] = []
        """What the model is to be told with the next result."""
        self.dialog: Dialog | None = None
        """The dialog that waits for an answer, and holds up its page."""
        self._process: BrowserProcess | None = None
        self._context: BrowserContext | None = None
        self._current = 0
        self._numbers = 0
        self._told = 0
        self._generation = 0
        self._dialogs = 0
        self._asked = asyncio.Event()
        self._pending: asyncio.Task[Any] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._downloads: set[asyncio.Task[None]] = set()
        self._dismissal: asyncio.Task[None] | None = None

    @property
    def process(self) -> BrowserProcess:
        """The Chromium; there is one after `ready`."""
        assert self._process is not None  # noqa: S101 - see above
        return self._process

    @property
    def tab(self) -> Tab:
        """The tab in front."""
        return next((tab for tab in self.tabs if tab.number == self._current), self.tabs[-1])

    def note(self, text: str) -> None:
        """Tell the model something with the next result; a page that says too much is cut short."""
        if len(self.notes) < MOST_NOTES:
            self.notes.append(text)

    def take_notes(self) -> list[str]:
        """What the model is to be told, which is told once."""
        taken, self.notes = self.notes, []
        return taken

    def bring(self, tab: Tab) -> None:
        """Bring a tab to the front."""
        self._current = tab.number

    async def ready(self) -> None:
        """Have a browser with at least one tab, opened from the saved state if it is new.

        Raises:
            ToolError: If no Chromium can be started.
        """
        process = await self._thread.process()
        if process is not self._process or self._context is None:
            await self._open(process)
        self.tabs = [tab for tab in self.tabs if not tab.page.is_closed()]
        for tab in [tab for tab in self.tabs if tab.crashed]:
            self.note(f"The page {tab.page.url!r} crashed; a new tab has its address.")
            await self._replace(tab)
        if not self.tabs:
            await self.new_tab()
        self._dialogs = 0

    async def _open(self, process: BrowserProcess) -> None:
        found: SavedState | None = None
        try:
            found = await asyncio.to_thread(_load, self.state, self._sealing)
        except EncryptionKeyError as error:
            self.note(f"The tabs of before stay closed: {error.message}")
        saved = found or SavedState(generation=0)
        if saved.within:  # before anything that was opened within can send something
            process.proxy.keep_within()
        self._process = process
        self._generation = max(saved.generation, self._generation) + 1
        self.refs = Refs(self._generation)
        self.tabs, self.dialog, self._pending = [], None, None
        storage: StorageState | None = saved.storage or None  # type: ignore[assignment] - as it was given
        self._context = await process.browser.new_context(storage_state=storage, accept_downloads=True)
        self._context.set_default_timeout(5_000)
        await self._context.add_init_script(page_script.BEFORE_SCRIPTS)
        self._context.on("page", self._adopt)
        if found is not None:
            await self._write(replace(saved, generation=self._generation))
            self.note(RESTARTED)
            await self._restore(saved)

    async def _restore(self, saved: SavedState) -> None:
        from playwright.async_api import Error

        assert self._context is not None  # noqa: S101 - `_open` has made it
        for kept in saved.tabs[:MOST_TABS]:
            tab = await self.new_tab()
            if not kept.url.startswith(("http://", "https://")):
                continue
            try:
                # Taken back then, so that what the page clears itself stays cleared.
                async with await tab.page.add_init_script(page_script.restored_storage(kept.url, kept.session)):
                    await tab.page.goto(kept.url, wait_until="domcontentloaded", timeout=RESTORE_S * 1000)
                await tab.page.evaluate("y => scrollTo(0, y)", kept.scroll)
            except Error as error:
                self.note(f"The page {kept.url!r} did not open again: {error.message.splitlines()[0]}")
        if saved.current < len(self.tabs):
            self.bring(self.tabs[saved.current])

    async def _replace(self, tab: Tab) -> None:
        from playwright.async_api import Error

        url = tab.page.url
        self.refs.forget(tab.number)
        self.tabs.remove(tab)
        with suppress(Error):
            await tab.page.close()
        fresh = await self.new_tab()
        with suppress(Error):
            await fresh.page.goto(url, wait_until="domcontentloaded", timeout=RESTORE_S * 1000)

    async def new_tab(self) -> Tab:
        """Open an empty tab and bring it to the front.

        Raises:
            ToolError: If there are too many.
        """
        assert self._context is not None  # noqa: S101 - there is one after `ready`
        if len(self.tabs) >= MOST_TABS:
            raise ToolError(f"There are {MOST_TABS} tabs open.", hint="Close one first with close_tab.")
        page = await self._context.new_page()
        if all(tab.page is not page for tab in self.tabs):
            self._adopt(page)
        tab = next(tab for tab in self.tabs if tab.page is page)
        tab.sent = False
        self.bring(tab)
        self._told = self._numbers
        return tab

    async def close_tab(self, tab: Tab) -> None:
        """Close a tab without asking its page."""
        self.refs.forget(tab.number)
        place = self.tabs.index(tab)
        self.tabs.remove(tab)
        await tab.page.close()
        if self.tabs and tab.number == self._current:
            self.bring(self.tabs[max(place - 1, 0)])

    async def settle(self) -> None:
        """Wait until the page in front is settled; a tab that it has opened comes to the front."""
        before = self.tab
        await before.settle()
        opened = [tab for tab in self.tabs if tab.number > self._told]
        self._told = self._numbers
        if opened and before is self.tab:
            self.bring(opened[-1])
            self.note(f"A new tab was opened: {opened[-1].number}. The one before is {before.number}.")
            await opened[-1].settle()

    def _adopt(self, page: Page) -> None:
        """Take a page that was opened, by us or by a page, as a tab."""
        if len(self.tabs) >= MOST_TABS:
            self.note(f"A page opened another tab, which was closed: there are {MOST_TABS} already.")
            self._later(page.close())
            return
        self._numbers += 1
        tab = Tab(self._numbers, page)
        page.on("dialog", self._dialog_opened)
        page.on("download", self._downloaded)
        self.tabs.append(tab)

    def _later(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        """Do something that an event asks for, besides the action that goes on."""
        from playwright.async_api import Error

        async def done() -> None:
            with suppress(Error):  # its page is gone
                await work

        task = asyncio.ensure_future(done())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _dialog_opened(self, dialog: Dialog) -> None:
        self._dialogs += 1
        text = f"{dialog.type}: {dialog.message[:500]!r}"
        if dialog.type in ("alert", "beforeunload"):
            self.note(f"The page showed {text}, which was accepted.")
            self._later(dialog.accept())
        elif self._dialogs > MOST_DIALOGS or self.dialog is not None:
            self.note(f"The page showed {text}, which was dismissed: there were too many.")
            self._later(dialog.dismiss())
        else:
            self.dialog = dialog
            self._asked.set()
            self._dismissal = self._later(self._dismiss_in_time(dialog))

    async def _dismiss_in_time(self, dialog: Dialog) -> None:
        await asyncio.sleep(DIALOG_S)
        if self.dialog is dialog:
            self.dialog = None
            self.note(f"The dialog {dialog.message[:200]!r} was dismissed: nobody answered in {DIALOG_S:g} s.")
            await dialog.dismiss()

    def _downloaded(self, download: Download) -> None:
        async def kept() -> None:
            self.note(await downloads.keep(download, self.process.downloads, self.workspace))

        task = self._later(kept())
        self._downloads.add(task)
        task.add_done_callback(self._downloads.discard)

    async def finish_downloads(self, seconds: float) -> None:
        """Wait for downloads that are under way, for a while."""
        if self._downloads:
            await asyncio.wait(self._downloads, timeout=seconds)

    async def until_dialog(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Do something; `None` if a dialog opened before it was done, which then waits for its answer."""
        self._asked.clear()
        doing: asyncio.Task[T] = asyncio.ensure_future(_awaited(work))
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait([doing, asked], return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            self._pending = doing
            return None
        except BaseException:
            doing.cancel()
            raise
        finally:
            asked.cancel()

    async def answer_dialog(self, accept: bool, text: str | None) -> None:
        """Answer the dialog that is open, and wait for the action that it held up.

        Raises:
            ToolError: If none is open.
        """
        from playwright.async_api import Error

        dialog, self.dialog = self.dialog, None
        if dialog is None:
            raise ToolError("No dialog is open.")
        if self._dismissal is not None:
            self._dismissal.cancel()
        try:
            await (
                dialog.accept(text) if accept and text is not None else dialog.accept() if accept else dialog.dismiss()
            )
        except Error as error:
            self.note(f"The dialog was gone already: {error.message.splitlines()[0]}")
        pending, self._pending = self._pending, None
        if pending is not None:
            with suppress(Error, ToolError, TimeoutError):
                async with asyncio.timeout(10):
                    await pending

    async def save(self) -> None:
        """Write tabs and storage down, for a browser that is opened again."""
        from playwright.async_api import Error

        assert self._context is not None  # noqa: S101 - there is one after `ready`
        storage: Any = {}
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(SAVE_S):
                storage = await self._context.storage_state(indexed_db=True)
        tabs: list[SavedTab] = []
        for tab in self.tabs:
            kept = SavedTab(tab.page.url)
            with suppress(Error, TimeoutError):
                async with asyncio.timeout(1):
                    kept.scroll = int(await tab.page.evaluate("() => Math.round(scrollY)"))
                    kept.session = str(await tab.page.evaluate(page_script.SESSION_STORAGE))
            tabs.append(kept)
        current = next((place for place, tab in enumerate(self.tabs) if tab is self.tab), 0)
        # Looked at last: what is saved was opened before.
        await self._write(SavedState(tabs, current, storage, self._generation, self.process.proxy.within))

    async def _write(self, state: SavedState) -> None:
        """Write a state down; what hinders that is a note, since what led to the state has been done."""
        try:
            if not await asyncio.to_thread(_save, self.state, state, self._sealing):
                self.note("What the pages keep is too large to be saved in full: after a restart some of it is gone.")
        except OSError as error:
            self.note(f"The tabs could not be saved, and would be gone after a restart: {error.strerror or error}.")

    async def aclose(self) -> None:
        """Close the tabs; the Chromium stays for other subtasks."""
        from playwright.async_api import Error

        for task in [*self._running, *([self._pending] if self._pending else [])]:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        context, self._context = self._context, None
        if context is not None:
            with suppress(Error, TimeoutError):  # it is gone already, or ends with its Chromium
                async with asyncio.timeout(END_SECONDS):
                    await context.close()


def _load(place: StatePlace, sealing: Sealing | None) -> SavedState | None:
    path = place.found()
    return None if path is None else load(path, sealing)


def _save(place: StatePlace, state: SavedState, sealing: Sealing | None) -> bool:
    whole = save(place.path, state, sealing)
    place.remove_old()
    return whole


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
