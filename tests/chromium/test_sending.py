"""What sends something is never taken for reading, and is not sent again."""

from __future__ import annotations

import pytest

from openmanus_graph.errors import ToolError
from openmanus_graph.tools.browser.arguments import effect_of_action
from tests.chromium.browsing import Browsing, ref
from tests.chromium.site import Answer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("chromium")]

POST = "<!doctype html><title>Post</title><form action=/echo method=post><input name=a><button>Send</button></form>"

POPUP = POST.replace("<form", "<form target=_blank")

DISGUISED = """<!doctype html><title>Disguised</title><form action=/echo method=post>
<div aria-expanded=false role=button class=tight><button>In a menu</button></div>
<div aria-expanded=false role=button class=wide><input type=submit value="In a wide menu"></div>
<div role=tab class=wide><button>In a wide tab</button></div>
<button><span role=tab>Tab in a button</span></button> <button><span aria-expanded=true>Opens</span></button>
<button role=tab>As a tab</button> <button role=combobox>As a list</button>
<input type=submit role=checkbox aria-label="As a box"> <label for=send role=tab>For it</label>
<div contenteditable class=tight><button id=send>In a text</button></div></form>
<div aria-expanded=false role=button class=tight><span onclick="0">Script</span></div>
<a href="#" onclick="fetch('/echo')">Buy</a> <a href="" onclick="fetch('/echo')">Empty</a>
<a href="http://[::1#x">Half</a> <a id=here>Here</a> <a href="/inner#place">There</a>
<button type=button role=tab>Plain tab</button>
<button type=button aria-expanded=false onclick="this.textContent='Opened'">Menu</button>
<iframe srcdoc="<form><button role=tab>Framed tab</button><button type=button role=tab>Framed plain</button></form>">
</iframe><style>.tight, .wide { display: inline-block } .wide { padding: 9px }</style>
<script>here.href = location.pathname + '#place'</script>"""
AS_OPTION = POST.replace("<button>", "<div role=combobox>List</div><button role=option>")


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


async def test_what_sends_is_external_in_every_disguise(browse: Browsing) -> None:
    browse.site.pages["/disguised"] = DISGUISED
    page = await browse.open("/disguised")
    for name in ("As a tab", "As a list", "As a box", "For it", "Buy", "Empty", "Half", "Here", "Framed tab"):
        assert ref(page, name).startswith("x"), name
    read = [line.partition("] ")[2] for line in page["snapshot"].splitlines() if "[e" in line]
    assert read == ['link "There"', 'tab "Plain tab"', 'button "Menu"', 'tab "Framed plain"'], page["snapshot"]


async def test_an_option_that_sends_a_form_is_not_chosen(browse: Browsing) -> None:
    browse.site.pages["/post"] = AS_OPTION
    page = await browse.open("/post")
    browse.site.asked.clear()
    with pytest.raises(ToolError, match="'Send' sends a form"):
        await browse("select_dropdown_option", ref=ref(page, "List"), text="Send")
    assert not browse.site.requests("/echo")
