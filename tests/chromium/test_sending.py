"""What sends something is never taken for reading, and is not sent again."""

from __future__ import annotations

import pytest

from openmanus_graph.errors import ToolError
from openmanus_graph.tools.browser.actions import effect_of_action
from tests.chromium.browsing import Browsing, ref
from tests.chromium.site import Answer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("chromium")]

POST = "<!doctype html><title>Post</title><form action=/echo method=post><input name=a><button>Send</button></form>"

POPUP = POST.replace("<form", "<form target=_blank")


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


@pytest.mark.parametrize("source", [POST, POPUP], ids=["here", "in a new tab"])
async def test_a_page_that_answers_a_form_is_not_sent_again(source: str, browse: Browsing) -> None:
    browse.site.pages["/post"] = source
    page = await browse.open("/post")
    browse.site.asked.clear()
    sent = await browse("click_element", ref=ref(page, "Send"))
    assert "POST" in sent["snapshot"]
    again = await browse("refresh")
    assert "GET" in again["snapshot"]
    await browse.open("/post")
    await browse("go_back")
    await browse("refresh")
    assert [asked.method for asked in browse.site.requests("/echo")].count("POST") == 1


async def test_a_form_whose_answer_fails_is_not_sent_again(browse: Browsing) -> None:
    browse.site.pages["/post"] = POST.replace("/echo", "/round")
    browse.site.pages["/round"] = Answer("", 307, [("Location", "/round")])
    page = await browse.open("/post")
    failed = await browse("click_element", ref=ref(page, "Send"))
    assert "redirects in a circle" in failed["notes"][0]
    browse.site.asked.clear()
    with pytest.raises(ToolError, match="redirects in a circle"):
        await browse("refresh")
    assert {asked.method for asked in browse.site.requests("/round")} == {"GET"}
