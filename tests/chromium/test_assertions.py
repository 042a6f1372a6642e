"""Assertions: whether a page is as it should be: a result for an agent, the end of a subtask in a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from openmanus_graph import Settings, ThreadSaver, build_manus_graph, find_thread
from openmanus_graph.drawing.junit import junit_xml
from openmanus_graph.drawing.record import record_of
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.tools.browser import accessibility, tab
from openmanus_graph.tools.browser.arguments import ASSERTIONS, effect_of_action
from openmanus_graph.tools.browser.assertions import fits
from openmanus_graph.tools.browser_use import browser_use
from tests.chromium.browsing import Browsing, ref, session_of
from tests.chromium.site import Answer, Site
from tests.engine.plans import plan, thread
from tests.ledger.model import TurnsModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("chromium")]

SHOP = """<!doctype html><title>Shop</title><h1>Lamps</h1><iframe src=/inner></iframe><p hidden>Sold out</p>
<button onclick="fetch('/buy', {method: 'POST'}).then(() => p.textContent = 'Thank you')">Buy</button><p id=p></p>
<button onclick="setTimeout(() => p.textContent = 'Late', 700)">Wait</button>
<button onclick="console.error('no stock')">Log</button><button onclick="fetch('/gone')">Lose</button>"""


@pytest.fixture
def shop(pages: Site) -> Site:
    pages.pages.update({"/shop": SHOP, "/buy": Answer("", 201), "/moving": Answer("", 302, [("Location", "/shop")])})
    return pages


async def asked(browse: Browsing, action: str, **given: Any) -> tuple[bool, str]:
    result = await browse(action, seconds=given.pop("seconds", 0.5), **given)
    return result["passed"], result["why"]


async def test_texts_and_roles_are_what_the_page_shows(browse: Browsing, shop: Site) -> None:
    page = await browse.open("/shop")
    assert (page["passed"], page["why"]) == (None, "")
    assert await asked(browse, "assert_text", text="Lamps") == (True, "")
    assert await asked(browse, "assert_text", text="inside") == (True, "")  # in the frame
    url = f"{shop.url}/shop"
    sold = await asked(browse, "assert_text", text="Sold out")
    assert sold == (False, f"The page {url!r} does not show the text 'Sold out'.")
    assert await asked(browse, "assert_role", role="button", name="Buy") == (True, "")
    assert await asked(browse, "assert_role", role="heading") == (True, "")
    missing = await asked(browse, "assert_role", role="button", name="Sell")
    assert missing == (False, f"The page {url!r} shows no button 'Sell'.")
    with pytest.raises(ToolArgumentsError, match="'text' is missing"):
        await browse("assert_text")


async def test_what_comes_late_is_waited_for(browse: Browsing, shop: Site) -> None:
    page = await browse("go_to_url", url=f"{shop.url}/shop")
    await browse("click_element", ref=ref(page, "Wait"))
    assert await asked(browse, "assert_text", text="Late", seconds=30) == (True, "")


async def test_a_request_with_a_status_is_waited_for(browse: Browsing, shop: Site) -> None:
    shop.pages["/later"] = (
        "<title>Later</title><script>setTimeout(() => fetch('/buy', {method: 'POST'}), 1500)</script>"
    )
    assert await asked(browse, "assert_network", url=f"{shop.url}/later", status=201, seconds=30) == (True, "")


async def test_a_role_that_there_is_not_is_refused_at_once(browse: Browsing, shop: Site) -> None:
    for wrong, near in (("buton", "'button'"), ("lamp", "There are: "), ("header", "'heading'")):
        with pytest.raises(ToolArgumentsError, match=f"There is no role {wrong!r}") as refused:
            await browse("assert_role", url=f"{shop.url}/shop", role=wrong, seconds=60)
        assert near in str(refused.value.hint)
    assert await asked(browse, "assert_role", role="Heading", name="lamp") == (True, "")


async def test_addresses_are_compared_with_a_pattern(browse: Browsing, shop: Site) -> None:
    assert await asked(browse, "assert_url", url=f"{shop.url}/moving", text="/shop") == (True, "")
    assert await asked(browse, "assert_url", text=f"{shop.url}/s*") == (True, "")
    assert await asked(browse, "assert_url", text="/cart") == (
        False,
        f"The address is '{shop.url}/shop', and not '/cart'.",
    )
    assert fits("https://a.example/x?y=1", "/x*")
    assert not fits("https://a.example/x", "https://a.example/")


async def test_errors_and_requests_of_a_page_are_told(browse: Browsing, shop: Site) -> None:
    page = await browse("go_to_url", url=f"{shop.url}/shop")
    assert await asked(browse, "assert_console") == (True, "")
    assert await asked(browse, "assert_network") == (True, "")
    await browse("click_element", ref=ref(page, "Log"))
    assert await asked(browse, "assert_console") == (False, "The page's scripts failed: no stock")
    await browse("click_element", ref=ref(page, "Buy"))
    assert await asked(browse, "assert_network", text="/buy", status=201) == (True, "")
    other = await asked(browse, "assert_network", text="/buy", status=200)
    assert other == (False, f"No request to '/buy' was answered with 200: POST {shop.url}/buy: 201")
    assert await asked(browse, "assert_network", text="/never") == (False, "The page made no request to '/never'.")
    await browse("click_element", ref=ref(page, "Lose"))
    lost = await asked(browse, "assert_network")
    assert lost == (False, f"Requests failed: GET {shop.url}/gone: 404")
    await browse("go_to_url", url=f"{shop.url}/shop")
    assert await asked(browse, "assert_console") == (True, "")
    assert await asked(browse, "assert_network") == (True, "")


async def test_what_went_wrong_stays_until_another_page_has_come(browse: Browsing, shop: Site) -> None:
    shop.pages["/empty"] = Answer("", 204)
    shop.pages["/aborted"] = Answer("late", wait_s=5)
    shop.pages["/shop"] = f"{SHOP}<button onclick=\"location = '/aborted'; setTimeout(stop, 50)\">Stop</button>"
    page = await browse.open("/shop")
    await browse("click_element", ref=ref(page, "Log"))
    await browse("click_element", ref=ref(page, "Lose"))
    assert (await browse("go_to_url", url=f"{shop.url}/report"))["notes"]  # a download
    with pytest.raises(ToolError, match="no content"):
        await browse("go_to_url", url=f"{shop.url}/empty")
    await browse("click_element", ref=ref(page, "Stop"))
    await browse("go_to_url", url=f"{shop.url}/shop#part")
    assert await asked(browse, "assert_console") == (False, "The page's scripts failed: no stock")
    assert await asked(browse, "assert_network") == (False, f"Requests failed: GET {shop.url}/gone: 404")
    await browse("go_to_url", url="about:blank")
    assert await asked(browse, "assert_console") == (True, "")
    assert await asked(browse, "assert_network") == (True, "")


async def test_a_redirect_is_one_of_the_requests_of_its_page(browse: Browsing, shop: Site) -> None:
    page = await browse.open("/shop")
    await browse("click_element", ref=ref(page, "Log"))
    await browse.open("/moving")
    assert await asked(browse, "assert_network", text="/moving", status=302) == (True, "")
    assert await asked(browse, "assert_network", text="/shop", status=200) == (True, "")
    assert await asked(browse, "assert_console") == (True, "")


async def test_what_does_not_load_is_no_error_of_a_script(browse: Browsing, shop: Site) -> None:
    shop.pages["/broken"] = "<!doctype html><title>Broken</title><img src=/gone><script src=/gone.js></script>"
    assert await asked(browse, "assert_console", url=f"{shop.url}/broken") == (True, "")
    passed, why = await asked(browse, "assert_network")
    assert (passed, why.count("404")) == (False, 2)


async def test_errors_that_come_soon_after_the_page_are_seen(browse: Browsing, shop: Site) -> None:
    shop.pages["/soon"] = (
        "<!doctype html><title>Soon</title><script>setTimeout(() => console.error('later'), 200)</script>"
    )
    assert await asked(browse, "assert_console", url=f"{shop.url}/soon") == (False, "The page's scripts failed: later")


async def test_of_very_many_requests_those_that_failed_are_remembered(
    browse: Browsing, shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tab, "MOST_REQUESTS", 5)
    many = "for (let at = 0; at < 9; at++) await fetch(`/buy?${at}`)"
    lost = "for (let at = 0; at < 3; at++) await fetch(`/gone?${at}`)"
    shop.pages["/many"] = f"<!doctype html><title>Many</title><p>none<script type=module>{many}; {lost}; {many};"
    shop.pages["/many"] += "document.querySelector('p').textContent = 'all'</script>"
    assert await asked(browse, "assert_text", url=f"{shop.url}/many", text="all", seconds=30) == (True, "")
    passed, why = await asked(browse, "assert_network")
    assert (passed, why.count("404")) == (False, 3)
    why = (await asked(browse, "assert_network", text="/never"))[1]
    assert why == "The page made no request to '/never', of those that are remembered: 17 are not."
    assert len((await session_of(browse)).tab.requests) == 5


async def test_what_keeps_people_out_is_named_by_rule(browse: Browsing, shop: Site) -> None:
    shop.pages["/closed"] = (
        "<!doctype html><title>Closed</title><main><h1>Lamps</h1><img src=data:,><iframe src=/in2 title=x>"
    )
    shop.pages["/in2"] = "<!doctype html><html lang=en><title>In</title><main><h1>In</h1><input></main>"
    shop.pages["/open"] = (
        "<!doctype html><html lang=en><title>Open</title><main><h1>Lamps</h1><img src=data:, alt=Lamp></main>"
    )
    passed, why = await asked(browse, "assert_accessible", url=f"{shop.url}/closed")
    assert not passed
    assert "image-alt (critical, 1 ×): Images must have alternative text" in why
    assert "html-has-lang" in why
    assert "label (critical, 1 ×): Form elements must have labels: iframe input" in why
    assert await asked(browse, "assert_accessible", url=f"{shop.url}/open") == (True, "")


async def test_a_frame_is_judged_as_a_part_of_the_page(browse: Browsing, shop: Site) -> None:
    part, bad = "<!doctype html><html lang=en><p>Part</p>", "<!doctype html><html><img src=data:,>"
    shop.pages["/part"], shop.pages["/bad"] = part, bad
    shop.pages["/around"] = f"{part}<iframe srcdoc='{bad}' title=Inner></iframe>"
    page = (
        "<!doctype html><html lang=en><title>Page</title><main><h1>Lamps</h1><iframe src=/part title=Part></iframe>"
        "<iframe src=/bad hidden></iframe><div style='display: none'><iframe src=/bad></iframe></div>"
    )
    shop.pages["/whole"], shop.pages["/nested"] = page, f"{page}<iframe src=/around title=Around></iframe>"
    assert await asked(browse, "assert_accessible", url=f"{shop.url}/whole") == (True, "")
    passed, why = await asked(browse, "assert_accessible", url=f"{shop.url}/nested")
    assert not passed
    assert "image-alt (critical, 1 ×): Images must have alternative text: " in why
    assert "img" in why.partition("image-alt")[2]
    assert "document-title" not in why


LOGIN = """<!doctype html><html lang=en><title>Login</title><main><h1>Login</h1>
<form action=/inner><input type=password name=word value="hunter 2!"><button>Enter</button></form></main><script>
console.error(`wrong: ${document.querySelector('input').value}`); fetch('/gone?word=hunter%202!')</script>"""


@pytest.mark.parametrize(
    ("action", "given"),
    [
        ("assert_console", {}),
        ("assert_network", {}),
        ("assert_network", {"text": "/gone*", "status": 200}),
        ("assert_accessible", {}),
        ("assert_url", {"text": "/elsewhere"}),
    ],
)
@pytest.mark.parametrize("direct", [False, True])
async def test_a_password_is_not_told_by_what_does_not_hold(
    browse: Browsing, shop: Site, action: str, given: dict[str, Any], direct: bool
) -> None:
    shop.pages["/login"] = LOGIN
    browse.context = replace(browse.context, direct=direct)
    given = {"url": f"{shop.url}/login?word=hunter+2%21", "seconds": 0.5, **given}
    if direct:
        with pytest.raises(ToolError) as failed:
            await browse(action, **given)
        told = str(failed.value) + str(failed.value.__cause__)
    else:
        result = await browse(action, **given)
        assert not result["passed"]
        told = str(result)
    assert "hunter" not in told


async def test_a_password_that_was_sent_is_not_told_by_the_next_page(browse: Browsing, shop: Site) -> None:
    shop.pages["/login"] = LOGIN
    page = await browse.open("/login")
    sent = await browse("click_element", ref=ref(page, "Enter"))
    assert sent["title"] == "Inner"
    told = [page, sent, await browse("assert_url", text="/elsewhere", seconds=0.5), await browse("extract_content")]
    assert "hunter" not in str(told)


async def test_another_script_than_axe_is_not_run(
    browse: Browsing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "axe.min.js").write_text("document.title = 'run'")
    monkeypatch.setattr(accessibility, "AXE", tmp_path / "axe.min.js")
    accessibility.axe_source.cache_clear()
    await browse.open("/inner")
    with pytest.raises(ToolError, match=r"is not axe-core 4\.14\.1, and was not run"):
        await browse("assert_accessible")
    assert (await browse("snapshot"))["title"] == "Inner"


async def test_assertions_only_read(browse: Browsing) -> None:
    assert {effect_of_action({"action": action}) for action in ASSERTIONS} == {"read"}


@pytest.mark.asyncio(loop_scope="function")
async def test_in_a_plan_what_does_not_hold_fails_and_is_reported(
    saver: ThreadSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    site = Site(
        {"/shop": SHOP, "/inner": "inside", "/odd": r"<script>console.error('no \uffff\ufffe\ufdd0 good')</script>"}
    )
    await site.start()
    given = {"action": "assert_text", "url": f"{site.url}/shop", "seconds": 0.5}
    turns = [
        [("browser_use", {**given, "text": "Chairs"})],
        [("browser_use", {**given, "text": "Lamps"})],
        [("browser_use", {"action": "assert_role", "role": "button", "name": "A <strange> name", "seconds": 0.5})],
        [("browser_use", {"action": "snapshot"})],
    ]
    steps = plan(
        {"id": "shows", "tool": "browser_use", "args": {**given, "text": "Lamps"}},
        {"id": "lacks", "tool": "browser_use", "args": {**given, "text": "Chairs"}},
        {"id": "blocked", "tool": "browser_use", "args": {**given, "text": "Lamps"}, "needs": ["lacks"]},
        {"id": "odd", "tool": "browser_use", "args": {"action": "assert_console", "url": f"{site.url}/odd"}},
        {"id": "opens", "tool": "browser_use", "args": {"action": "go_to_url", "url": f"{site.url}/shop"}},
        {"id": "agent", "goal": "look", "agent": "executor", "tools": ["browser_use"]},
    )
    try:
        settings = Settings(allow_hosts=(site.host,), home=tmp_path / "home")
        model = TurnsModel(turns=turns)
        app = build_manus_graph(model, tools=[browser_use], settings=settings).compile(checkpointer=saver)
        results = (await app.ainvoke({"plan": steps}, thread()))["results"]
    finally:
        site.stop()
    assert (results["shows"]["status"], results["shows"]["output"]["passed"]) == ("completed", True)
    assert results["lacks"]["status"] == "failed"
    assert results["agent"]["status"] == "completed"
    assert any('"passed": false' in text for text in model.told)

    record = await record_of(saver, await find_thread(saver, "t"), whole=True)
    suite = ElementTree.fromstring(junit_xml(record))
    cases = {case.get("name"): case for case in suite}
    assert list(cases) == ["shows", "lacks", "blocked", "odd", "agent"]
    assert [suite.get(key) for key in ("tests", "failures", "skipped", "errors")] == ["5", "3", "1", "0"]
    assert not len(cases["shows"])
    assert "does not show the text 'Chairs'" in str(cases["lacks"].findtext("failure"))
    assert cases["blocked"].find("skipped") is not None
    assert "no \ufffd\ufffd\ufffd good" in str(cases["odd"].findtext("failure"))
    words = str(cases["agent"].findtext("failure"))
    assert "shows no button 'A <strange> name'" in words
    assert "Chairs" in words


@pytest.mark.asyncio(loop_scope="function")
async def test_what_an_earlier_request_asserted_is_not_reported_with_the_newest(
    saver: ThreadSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    site = Site({"/shop": SHOP, "/inner": "inside"})
    await site.start()
    given = {"action": "assert_text", "url": f"{site.url}/shop", "seconds": 0.5}
    steps = plan({"id": "agent", "goal": "look", "agent": "executor", "tools": ["browser_use"]})
    settings = Settings(allow_hosts=(site.host,), home=tmp_path / "home")
    reports: list[Any] = []
    try:
        for turns in (
            [[("browser_use", {**given, "text": "Chairs"})]],
            [[("browser_use", {**given, "text": "Lamps"})]],
            [],
        ):
            app = build_manus_graph(TurnsModel(turns=turns), tools=[browser_use], settings=settings)
            await app.compile(checkpointer=saver).ainvoke({"plan": {**steps, "goal": f"look {len(reports)}"}}, thread())
            record = await record_of(saver, await find_thread(saver, "t"), whole=True)
            suite = ElementTree.fromstring(junit_xml(record))
            reports.append([suite.get("tests"), suite.get("failures")])
    finally:
        site.stop()
    assert reports == [["1", "1"], ["1", "0"], ["0", "0"]]
