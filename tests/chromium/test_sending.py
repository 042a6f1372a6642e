"""What sends something is never taken for reading, and is not sent again."""

from __future__ import annotations

import pytest

from openmanus_graph.errors import ToolError
from openmanus_graph.tools.browser.actions import effect_of_action
from tests.chromium.browsing import Browsing, ref

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("chromium")]

POST = "<!doctype html><title>Post</title><form action=/echo method=post><input name=a><button>Send</button></form>"


async def test_choosing_does_not_click_what_is_no_list(browse: Browsing) -> None:
    browse.site.pages["/post"] = POST
    page = await browse.open("/post")
    before = len(browse.site.requests("/echo"))
    call = {"action": "select_dropdown_option", "ref": ref(page, "Send"), "text": "Send"}
    assert effect_of_action(call) == "external"
    with pytest.raises(ToolError, match="'Send' is no list"):
        await browse(**call)
    await browse("wait", seconds=0.3)
    assert len(browse.site.requests("/echo")) == before
