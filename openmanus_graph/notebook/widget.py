"""Widget: shows a stepper in a notebook's page, live, and leaves a picture in the saved notebook."""

# Neither anywidget nor ipywidgets declares the types of what is used here.
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
from IPython.display import DisplayHandle
from traitlets import Dict, Unicode

from openmanus_graph.display_text import one_line
from openmanus_graph.drawing.style import STATES, host_style, icon
from openmanus_graph.errors import OpenManusGraphError, UsageError
from openmanus_graph.notebook.panels import TABS, panel_of
from openmanus_graph.notebook.pictures import SVG, TEXT
from openmanus_graph.notebook.requests import PageMessage, verb_of
from openmanus_graph.notebook.screen import Screen
from openmanus_graph.stepping.stepper import Stepper
from openmanus_graph.stepping.view import Stop

FOLDER = Path(__file__).parent
STILL = "omgw-still"
"""What marks the pictures that stay."""
KEEP_S = 0.3
"""Seconds after a stop until that picture is renewed: the page comes first."""
RUNNING_S = 0.1
"""Seconds between two looks at a run that goes on; where it stands is shown at once."""
LONGEST_MESSAGE = 200
"""Characters that are shown of a message of the page that was not understood."""


class StepperWidget(anywidget.AnyWidget):
    """Shows a stepper and takes clicks and keys; everything it does is one of the stepper's verbs."""

    _esm = FOLDER / "widget.js"
    _css = (FOLDER / "widget.css").read_text(encoding="utf-8") + host_style(".omgw.light", ".omgw.dark")
    head: Any = Dict().tag(sync=True)
    graph: Any = Unicode().tag(sync=True)
    plan: Any = Unicode().tag(sync=True)
    states: Any = Dict().tag(sync=True)
    panel: Any = Dict().tag(sync=True)
    _forget: Callable[[], None] | None = None  # ipywidgets closes also what never came to be
    mark: Any = Unicode().tag(sync=True)
    tabs: Any = Dict(TABS).tag(sync=True)
    signs: Any = Dict({state: icon(state, "0", "0") for state in STATES}).tag(sync=True)

    def __init__(self, stepper: Stepper) -> None:
        """Show a stepper.

        Args:
            stepper: It; the same event loop must be running.

        Raises:
            UsageError: If no event loop is running.
        """
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError as error:
            raise UsageError(
                "A widget needs a running event loop.", hint="Show it in a notebook, whose kernel has one."
            ) from error
        self.stepper = stepper
        """What it shows."""
        self.screen = Screen(stepper)
        """What it reads of that."""
        self._tab = "changes"
        self._notice: dict[str, str] = {}
        self._acknowledged = 0
        self._keeping: asyncio.TimerHandle | None = None
        self._due: asyncio.Handle | None = None
        self._shown: Stop | None = None
        self._panelling: asyncio.Task[None] | None = None
        self._kept: DisplayHandle | None = None
        self._working: set[asyncio.Task[None]] = set()
        super().__init__(mark=f"{STILL}-{uuid.uuid4().hex}")
        self.on_msg(self._heard)
        self._forget = stepper.on_change(self._soon)
        self._show()

    def __repr__(self) -> str:
        """Text where there are no widgets."""
        return f"<The live view of {self.stepper.thread_id!r}: run this cell to have it.>"

    def still(self) -> dict[str, str]:
        """The picture that a saved notebook keeps, by media type; the page hides it beside the live widget."""
        picture = self.screen.still().replace('class="omg"', f'class="omg {STILL} {self.mark}"', 1)
        return {SVG: picture, TEXT: self.screen.text()}

    def keep(self, handle: DisplayHandle | None) -> None:
        """Renew a picture in the notebook at every stop.

        Args:
            handle: Where `still()` was displayed.
        """
        self._kept = handle

    def take_over(self, others: Sequence[Stepper]) -> None:
        """Take the thread over from steppers that were shown before, as when a cell is run again.

        Args:
            others: They; one that is on the same thread and stands, lets it go.
        """
        holding = [
            stepper
            for stepper in others
            if stepper.thread_id == self.stepper.thread_id and stepper.status == "standing"
        ]
        if holding:
            self._begin(self._taken_over(holding))

    async def _taken_over(self, holding: Sequence[Stepper]) -> Stop:
        for stepper in holding:
            await stepper.close()
        return await self.stepper.refresh()

    def close(self) -> None:
        """Show nothing more; the stepper stays as it is."""
        if self._forget is not None:
            self._forget()
            self._forget = None
            for timer in (self._due, self._keeping):
                if timer is not None:
                    timer.cancel()
            self.layout.close()
        super().close()

    def set_state(self, sync_data: Any) -> None:
        """Ignore state that the page sets: it asks with messages, and the kernel owns what is shown."""
        del sync_data

    def _heard(self, _: Any, message: PageMessage, buffers: Any) -> None:
        """Take a message of the page, possibly in another thread: newer kernels have one for widgets."""
        del buffers
        self._loop.call_soon_threadsafe(self._take, message)

    def _take(self, message: PageMessage) -> None:
        self._notice = {}
        try:
            self._acknowledged = int(message.get("sent", 0))
            if message.get("do") == "tab":
                self._tab = str(message["tab"]) if message.get("tab") in TABS else self._tab
            elif message.get("do") == "break":
                self._toggle(self._place(message))
            else:
                place = {"place": self._place(message)} if message.get("do") == "to" else {}
                self._begin(verb_of(self.stepper, {**message, **place}))
                self._soon()  # the page hears that it was heard
                return
        except OpenManusGraphError as error:
            self._notice = {"message": error.message, "hint": error.hint or ""}
        except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            shown = one_line(repr(message), LONGEST_MESSAGE)
            self._notice = {
                "message": f"The page's message {shown} was not understood: {error}.",
                "hint": "",
            }
        self._show()

    def _place(self, message: PageMessage) -> str:
        """Target that the page names, or that of the box that was pointed at."""
        if message.get("place"):
            return str(message["place"])
        return self.screen.target(str(message["picture"]), str(message["key"]))

    def _toggle(self, place: str) -> None:
        breakpoints = self.stepper.breakpoints
        if place in {str(known.target) for known in breakpoints}:
            breakpoints.remove(place)
        else:
            breakpoints.add(place)

    def _begin(self, verb: Awaitable[Stop]) -> None:
        task = self._loop.create_task(self._done(verb))
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _done(self, verb: Awaitable[Stop]) -> None:
        """Wait for a verb; its failure is a value of the stepper."""
        await verb

    def _keep_later(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
        self._keeping = self._loop.call_later(KEEP_S, self._keep)

    def _keep(self) -> None:
        """Renew the picture that stays, unless the run goes on."""
        self._keeping = None
        if self._kept is not None and self.stepper.status != "running":
            self._kept.update(self.still(), raw=True)

    def _soon(self) -> None:
        """Show what has changed: at once where a verb has ended, else not too often."""
        under_way = self.stepper.status == "running" or self.stepper.last is self._shown
        if self._due is not None:
            if under_way:
                return
            self._due.cancel()
        self._due = self._loop.call_later(RUNNING_S, self._show) if under_way else self._loop.call_soon(self._show)

    def _show(self) -> None:
        """Send the page what has changed."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._shown is not self.stepper.last:
            self._shown = self.stepper.last
            self._keep_later()
        head, states = self.screen.now()
        with self.hold_sync():
            self.graph, self.plan, self.states = self.screen.graph(), self.screen.plan(), states
            self.head = head | {"notice": self._notice, "acknowledged": self._acknowledged, "tab": self._tab}
        if self._panelling is None or self._panelling.done():
            self._panelling = self._loop.create_task(self._show_panel())

    async def _show_panel(self) -> None:
        """Fill the open tab, again if another one was opened meanwhile."""
        while True:
            tab, version = self._tab, self.head
            try:
                panel = await panel_of(self.stepper, tab)
            except Exception as error:  # noqa: BLE001 - such as a database that is gone: shown where the panel would be
                panel = {"tab": tab, "error": f"{TABS[tab]} cannot be shown: {error}"}
            if tab == self._tab:
                self.panel = panel
            if tab == self._tab and version is self.head:
                return
