"""Arguments: what the tool `browser_use` is called with, and what a call does, as far as they tell.

Every start of the program imports this, and nothing that drives a browser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.tools.browser.refs import effect_of_ref, ref_of

if TYPE_CHECKING:
    from openmanus_graph.tools.browser.tree import Effect

Action = Literal[
    "go_to_url", "click_element", "input_text", "scroll_down", "scroll_up", "scroll_to_text", "send_keys",
    "get_dropdown_options", "select_dropdown_option", "go_back", "refresh", "wait", "extract_content", "switch_tab",
    "open_tab", "close_tab", "web_search", "screenshot", "snapshot", "find", "dialog", "upload_file", "drag",
    "assert_text", "assert_role", "assert_url", "assert_console", "assert_network",
    "assert_accessible", "assert_screenshot",
]  # fmt: skip
_ON_A_REF = frozenset({"click_element", "input_text", "select_dropdown_option"})
"""Actions that do what their element does: the letter of its ref says what that may be."""
ASSERTIONS = frozenset(action for action in get_args(Action) if action.startswith("assert_"))
"""Actions that say whether a page is as it should be."""
_MOVING = frozenset(
    "Tab Escape ArrowUp ArrowDown ArrowLeft ArrowRight PageUp PageDown Home End Backspace Delete".split()  # noqa: SIM905
)


class BrowserArguments(BaseModel):
    """An action and what it needs."""

    model_config = ConfigDict(extra="forbid")

    action: Action = Field(description="What to do.")
    url: str | None = Field(default=None, description="go_to_url, open_tab: the address; assertions: opened before.")
    ref: str | int | None = Field(default=None, description="The element: its ref in the newest snapshot, e.g. e12.")
    index: str | int | None = Field(default=None, description="The same as ref.")
    to_ref: str | int | None = Field(
        default=None, description="drag: the element to drop on; or text that stands there."
    )
    text: str | None = Field(
        default=None,
        description="input_text ('' empties), scroll_to_text, find, select_dropdown_option, dialog, drag, "
        "assert_text, assert_url and assert_network (an address, * for anything).",
    )
    keys: str | None = Field(default=None, description="send_keys: such as Enter, Control+a, or text to type.")
    scroll_amount: int | None = Field(default=None, gt=0, description="Pixels; by default most of the window.")
    seconds: float | None = Field(default=None, gt=0, le=60, description="wait: how long, 3 by default; assertions: 5.")
    goal: str | None = Field(default=None, description="extract_content: what you look for.")
    query: str | None = Field(default=None, description="web_search: opens the first result.")
    tab_id: int | None = Field(default=None, description="switch_tab, close_tab: the tab's number.")
    path: str | None = Field(
        default=None, description="upload_file: a file of the workspace; assert_screenshot: a PNG to compare with."
    )
    role: str | None = Field(
        default=None,
        description="assert_role: such as button; the page must show one. assert_screenshot: of this.",
    )
    name: str | None = Field(default=None, description="assert_role: its name, or a part of it.")
    masks: list[str] | None = Field(
        default=None, description='assert_screenshot: what changes, by refs or roles, such as img or heading "Today".'
    )
    tolerance: float | None = Field(
        default=None, ge=0, le=1, description="assert_screenshot: the share of pixels that may differ, 0 by default."
    )
    status: int | None = Field(default=None, description="assert_network: the status of such a request.")
    accept: bool | None = Field(default=None, description="dialog: true for OK, false for Cancel.")
    x: int | None = Field(default=None, description="click_element at a place of the window, for canvases.")
    y: int | None = Field(default=None, description="See x.")


def effect_of_action(args: Any) -> Effect:
    """What a call does: it reads, unless it clicks, presses, uploads or agrees to what may do anything."""
    action = args.get("action")
    if action in _ON_A_REF:
        ref = args.get("ref") if args.get("ref") is not None else args.get("index")
        return effect_of_ref(ref_of(ref)) if ref not in (None, "") else "external"
    if action == "send_keys":
        presses = str(args.get("keys") or "").split()
        return "read" if presses and all(_moves(press) for press in presses) else "external"
    if action == "dialog":
        return "read" if args.get("accept") is False else "external"
    return "external" if action in ("upload_file", "drag", None) else "read"


def _moves(press: str) -> bool:
    *modifiers, key = press.split("+")
    return key in _MOVING and set(modifiers) <= {"Shift"}
