"""Baselines: what a page looks like, compared with a picture of the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from openmanus_graph import Settings, ThreadSaver, build_manus_graph, find_thread
from openmanus_graph.drawing.junit import junit_xml
from openmanus_graph.drawing.record import record_of
from openmanus_graph.errors import OutsideWorkspaceError, ToolArgumentsError, ToolError
from openmanus_graph.tools.browser_use import browser_use
from tests.chromium.browsing import Browsing, ref
from tests.chromium.site import Site
from tests.engine.plans import plan, thread
from tests.ledger.model import TurnsModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("chromium")]

LAMPS = """<!doctype html><title>Lamps</title><style>
@keyframes turn { to { transform: rotate(1turn) } } i { animation: turn 1s infinite linear; display: inline-block }
p { width: 200px; height: 50px; position: absolute; top: 200px; left: 20px; background: $COLOUR }</style>
<h1>Lamps</h1><i>||</i><input autofocus><p role=img aria-label="Lamp one"></p><time>$TIME</time>"""


def lamps(colour: str = "gold", time: str = "10:00") -> str:
    return LAMPS.replace("$COLOUR", colour).replace("$TIME", time)


async def test_a_page_is_compared_once_there_is_a_picture_of_it(browse: Browsing, pages: Site) -> None:
    pages.pages["/lamps"] = lamps()
    given: dict[str, Any] = {"path": "shots/lamps.png", "seconds": 0.5}
    made = await browse("assert_screenshot", url=f"{pages.url}/lamps", **given)
    why = "Nothing was compared: there was no 'shots/lamps.png', and what the page shows now was put there."
    assert (made["passed"], made["why"], made["path"]) == (None, why, "shots/lamps.png")
    alike = await browse("assert_screenshot", url=f"{pages.url}/lamps", **given)
    assert (alike["passed"], alike["why"], alike["path"]) == (True, "", "")

    pages.pages["/lamps"] = lamps("navy")
    other = await browse("assert_screenshot", url=f"{pages.url}/lamps", **given)
    share = 200 * 50 / (1280 * 720)
    why = f"{share:.4%} of the pixels differ from 'shots/lamps.png': see 'shots/lamps.difference.png'."
    assert (other["passed"], other["why"], other["path"]) == (False, why, "shots/lamps.difference.png")
    folder = browse.context.workspace / "shots"
    with Image.open(folder / "lamps.difference.png") as places, Image.open(folder / "lamps.actual.png") as actual:
        reds = [places.getpixel((x, y)) for x in range(0, 1280, 10) for y in range(0, 720, 10)]
        assert reds.count((255, 0, 0, 255)) == 100
        assert actual.size == places.size == (1280, 720)
    assert (await browse("assert_screenshot", tolerance=share, **given))["passed"]
    (folder / "lamps.actual.png").replace(folder / "lamps.png")
    assert (await browse("assert_screenshot", **given))["passed"]


async def test_parts_that_change_are_masked_and_one_element_is_enough(browse: Browsing, pages: Site) -> None:
    pages.pages["/lamps"] = lamps()
    page = await browse.open("/lamps")
    whole: dict[str, Any] = {"path": "whole.png", "masks": ["time", ref(page, "").replace("x", "e")], "seconds": 0.5}
    parts: list[dict[str, Any]] = [
        {"path": "lamp.png", "role": "img", "name": "lamp ONE", "seconds": 0.5},
        {"path": "field.png", "ref": ref(page, ""), "seconds": 0.5},
    ]
    for given in (whole, *parts, {"path": "bare.png"}):
        assert (await browse("assert_screenshot", **given))["passed"] is None
    with Image.open(browse.context.workspace / "lamp.png") as lamp:
        assert lamp.size == (200, 50)
    pages.pages["/lamps"] = lamps(time="11:30")
    page = await browse.open("/lamps")
    whole["masks"] = ["time", ref(page, "")]
    parts[1]["ref"] = ref(page, "")
    assert [(await browse("assert_screenshot", **given))["passed"] for given in (whole, *parts)] == [True] * 3
    bare = await browse("assert_screenshot", path="bare.png", seconds=0.5)
    assert not bare["passed"]
    assert "of the pixels differ" in bare["why"]


async def test_a_page_is_waited_for_until_it_looks_alike(browse: Browsing, pages: Site) -> None:
    pages.pages["/lamps"] = lamps("navy")
    await browse("assert_screenshot", url=f"{pages.url}/lamps", path="navy.png")
    late = "<script>setTimeout(() => document.querySelector('p').style.background = 'navy', 1500)</script>"
    pages.pages["/lamps"] = f"{lamps()}{late}"
    found = await browse("assert_screenshot", url=f"{pages.url}/lamps", path="navy.png", seconds=60)
    assert found["passed"]
    assert not (browse.context.workspace / "navy.actual.png").exists()


async def test_what_cannot_be_compared_is_said(browse: Browsing, pages: Site) -> None:
    pages.pages["/lamps"] = lamps()
    await browse.open("/lamps")
    folder = browse.context.workspace
    for path, error in (("x.jpg", ToolArgumentsError), (None, ToolArgumentsError), ("../x.png", OutsideWorkspaceError)):
        with pytest.raises(error):
            await browse("assert_screenshot", path=path)
    (folder / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ToolError, match=r"'broken.png' is no PNG"):
        await browse("assert_screenshot", path="broken.png")
    Image.new("RGB", (10, 20)).save(folder / "small.png")
    small = await browse("assert_screenshot", path="small.png", seconds=0.5)
    why = "What is shown has 1280 × 720 pixels, and the picture 'small.png' 10 × 20: see 'small.actual.png'."
    assert (small["passed"], small["why"]) == (False, why)
    for masks, error in ((["e99"], ToolError), (["tine"], ToolArgumentsError), (["#time"], ToolArgumentsError)):
        with pytest.raises(error):
            await browse("assert_screenshot", path="small.png", masks=masks)
    with pytest.raises(ToolError, match="shows no img 'Chair'"):
        await browse("assert_screenshot", path="chair.png", role="img", name="Chair")


@pytest.mark.asyncio(loop_scope="function")
async def test_a_baseline_that_was_made_is_a_skipped_test_case(
    saver: ThreadSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    site = Site({"/lamps": lamps(), "/navy": lamps("navy")})
    await site.start()
    settings = Settings(allow_hosts=(site.host,), home=tmp_path / "home")

    def shot(path: str, page: str) -> dict[str, Any]:
        return {"action": "assert_screenshot", "path": path, "url": f"{site.url}/{page}", "seconds": 0.5}

    steps = plan(
        {"id": "made", "tool": "browser_use", "args": shot("a.png", "lamps")},
        {"id": "alike", "tool": "browser_use", "args": shot("a.png", "lamps"), "needs": ["made"]},
        {"id": "other", "tool": "browser_use", "args": shot("a.png", "navy"), "needs": ["made"]},
        {"id": "agent", "goal": "look", "agent": "executor", "tools": ["browser_use"]},
    )
    try:
        app = build_manus_graph(
            TurnsModel(turns=[[("browser_use", shot("b.png", "lamps"))]]), tools=[browser_use], settings=settings
        ).compile(checkpointer=saver)
        await app.ainvoke({"plan": steps}, thread())
    finally:
        site.stop()
    record = await record_of(saver, await find_thread(saver, "t"), whole=True)
    suite = ElementTree.fromstring(junit_xml(record))
    cases = {case.get("name"): case for case in suite}
    assert [suite.get(key) for key in ("tests", "failures", "skipped")] == ["4", "1", "2"]
    assert not len(cases["alike"])
    assert "see 'a.difference.png'" in str(cases["other"].findtext("failure"))
    assert "there was no 'a.png'" in str(cases["made"].findtext("skipped"))
    assert "there was no 'b.png'" in str(cases["agent"].findtext("skipped"))
