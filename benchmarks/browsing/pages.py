"""Pages: tasks of reading, scrolling, and going from page to page."""

from __future__ import annotations

from benchmarks.browsing.hand import Hand, task
from openmanus_graph.errors import ToolError

_ROWS = "".join(f"<tr><td>Item {one}<td>{one * 7}<td><a href=/item?n={one}>Open {one};</a>" for one in range(200))
_FILLER = "<p>Words that are of no matter here, and go on for a while.</p>" * 60


@task("read a number from a table of 200 rows", f"<!doctype html><title>Table</title><table>{_ROWS}</table>")
async def _table(hand: Hand) -> bool:
    await hand.act("find", text="Item 153")
    return hand.sees("1071")


@task("open a row far down a table", f"<!doctype html><title>Table</title><table>{_ROWS}</table>")
async def _far_row(hand: Hand) -> bool:
    await hand.click("link", "Open 187;")
    return hand.sent("GET /item?n=187")


@task(
    "sort a table by a click on its head",
    """<!doctype html><title>Sort</title><table><thead><tr>
<th><button id=b>Price</button></thead><tbody id=t><tr><td>30<tr><td>10<tr><td>20</tbody></table><script>
b.onclick = () => { t.append(...[...t.rows].sort((a, c) => a.innerText - c.innerText));
  document.title = 'first ' + t.rows[0].innerText; };</script>""",
)
async def _sort(hand: Hand) -> bool:
    await hand.click("button", "Price")
    return hand.sees("first 10")


@task(
    "scroll a list without an end to its 90th entry",
    """<!doctype html><title>Endless</title><ul id=l></ul><script>
let count = 0; const more = () => { for (let i = 0; i < 20; i++) l.insertAdjacentHTML('beforeend',
  `<li style="height:60px">entry ${++count};`); }; more();
onscroll = () => { if (innerHeight + scrollY > document.body.scrollHeight - 200) more(); };</script>""",
)
async def _endless(hand: Hand) -> bool:
    await hand.act("scroll_to_text", text="entry 90;")
    return hand.sees("entry 90;")


@task(
    "scroll a box within the page",
    """<!doctype html><title>Box</title>
<div role=listbox aria-label=Log tabindex=0 id=d style="height:200px;overflow:auto">"""
    + "".join(f"<div role=option style='height:40px'>line {one};</div>" for one in range(100))
    + "</div><script>d.onscroll = () => document.title = 'at ' + (d.scrollTop > 500);</script>",
)
async def _inner_scroll(hand: Hand) -> bool:
    await hand.act("scroll_down", ref=await hand.ref("listbox", "Log"), scroll_amount=1200)
    await hand.act("snapshot")
    return hand.sees("at true")


@task(
    "follow a link in an application of one page",
    """<!doctype html><title>App</title><nav><a href=/app/two id=a>Two</a>
</nav><main>one</main><script>a.onclick = event => { event.preventDefault(); history.pushState({}, '', '/app/two');
  setTimeout(() => document.querySelector('main').innerHTML = '<h1>The second view</h1>', 250); };</script>""",
)
async def _spa(hand: Hand) -> bool:
    await hand.click("link", "Two")
    return hand.sees("The second view") and hand.sees("/app/two")


@task("go back", "<!doctype html><title>Start here</title><a href=/arrived>On</a>")
async def _back(hand: Hand) -> bool:
    await hand.click("link", "On")
    away = hand.sees("Arrived")
    await hand.act("go_back")
    return away and hand.sees("Start here")


@task("follow a redirect", "<!doctype html><title>Old</title><a href=/moved>Old place</a>")
async def _redirect(hand: Hand) -> bool:
    await hand.click("link", "Old place")
    return hand.sees("Arrived") and hand.sees("/arrived")


@task(
    "read what opens in another tab, and come back",
    "<!doctype html><title>First</title><a href=/arrived target=_blank>Elsewhere</a>",
)
async def _other_tab(hand: Hand) -> bool:
    first = next(tab["tab_id"] for tab in hand.shown["tabs"] if tab["current"])
    await hand.click("link", "Elsewhere")
    there = hand.sees("Arrived")
    await hand.act("close_tab")
    await hand.act("switch_tab", tab_id=first)
    return there and hand.shown["title"] == "First"


@task("compare two pages in two tabs", "<!doctype html><title>Left</title><p>price 10")
async def _two_tabs(hand: Hand) -> bool:
    first = next(tab["tab_id"] for tab in hand.shown["tabs"] if tab["current"])
    await hand.act("open_tab", url=f"{hand.site.url}/arrived")
    second = hand.sees("Arrived")
    await hand.act("switch_tab", tab_id=first)
    return second and hand.sees("price 10") and len(hand.shown["tabs"]) > 1


@task("download a file", "<!doctype html><title>Files</title><a href=/report.csv>Report</a>")
async def _download(hand: Hand) -> bool:
    await hand.click("link", "Report")
    await hand.act("wait", seconds=0.5)
    return (hand.context.workspace / "downloads" / "report.csv").read_text().startswith("a,b")


@task(
    "read a long article for one sentence",
    "<!doctype html><title>Article</title><article><h1>On mills</h1>"
    f"{_FILLER}<p>The mill of Almby was built in 1743.</p>{_FILLER}</article>",
)
async def _article(hand: Hand) -> bool:
    await hand.act("extract_content", goal="When was the mill of Almby built?")
    return hand.sees("1743")


@task("find the page that is missing and say so", "<!doctype html><title>Hub</title><a href=/gone>Gone</a>")
async def _missing(hand: Hand) -> bool:
    await hand.click("link", "Gone")
    return hand.sees("404")


@task(
    "wait for what is loaded late",
    """<!doctype html><title>Slow</title><div id=d>Loading</div><script>
setTimeout(() => d.innerHTML = '<button onclick="document.title=\\'opened\\'">Open the result</button>', 1800);
</script>""",
)
async def _late(hand: Hand) -> bool:
    if "Open the result" not in hand.snapshot:
        await hand.act("wait", seconds=2)
        await hand.act("snapshot")
    await hand.click("button", "Open the result")
    return hand.sees("opened")


@task(
    "be told that a ref is void, and find the new one",
    """<!doctype html><title>Redraw</title><div id=d></div><script>
let round = 0; const draw = () => d.innerHTML = `<button onclick="act()">Round ${++round}</button>`; draw();
const act = () => { document.title = 'did ' + round; draw(); };</script>""",
)
async def _void(hand: Hand) -> bool:
    old = await hand.ref("button", "Round 1")
    await hand.act("click_element", ref=old)
    try:
        await hand.act("click_element", ref=old)
    except ToolError as error:
        told = "no longer there" in error.message
        await hand.click("button", "Round 2")
        return told and hand.sees("did 2")
    return False


@task(
    "load the page again to see the change",
    """<!doctype html><title>Count</title><p id=p></p><script>
sessionStorage.n = (+sessionStorage.n || 0) + 1; p.textContent = 'seen ' + sessionStorage.n;</script>""",
)
async def _again(hand: Hand) -> bool:
    await hand.act("refresh")
    return hand.sees("seen 2")


@task(
    "leave a page that asks whether to",
    """<!doctype html><title>Draft</title><input aria-label=Text>
<a href=/arrived>Leave</a><script>onbeforeunload = event => { event.preventDefault(); return 'x'; };</script>""",
)
async def _leave(hand: Hand) -> bool:
    await hand.type("textbox", "Text", "draft")
    await hand.click("link", "Leave")
    return hand.sees("Arrived")


@task(
    "follow a link in a menu that only shows on small screens or by its button",
    """<!doctype html><title>Nav</title>
<button aria-expanded=false onclick="n.hidden=!n.hidden">Menu</button>
<nav id=n hidden><a href=/arrived>Contact</a></nav>""",
)
async def _burger(hand: Hand) -> bool:
    await hand.click("button", "Menu")
    await hand.click("link", "Contact")
    return hand.sees("Arrived")


@task("go through three pages of results", "<!doctype html><title>One</title><a href=/page2>Next</a>")
async def _paging(hand: Hand) -> bool:
    for _ in range(2):
        await hand.click("link", "Next")
    return hand.sees("the last result")


@task(
    "jump to a chapter",
    f"<!doctype html><title>Book</title><a href=#end>Chapter nine</a>{_FILLER}<h2 id=end>The ninth chapter</h2>",
)
async def _jump(hand: Hand) -> bool:
    await hand.click("link", "Chapter nine")
    await hand.act("snapshot")
    return hand.sees("The ninth chapter")


PARTS = {
    "/arrived": "<!doctype html><title>Arrived</title><h1>Arrived</h1>",
    "/page2": "<!doctype html><title>Two</title><a href=/page3>Next</a>",
    "/page3": "<!doctype html><title>Three</title><p>the last result",
    "/report.csv": "a,b\n1,2\n",
}
"""Pages that others lead to."""
