"""Widgets: tasks of what scripts have made: frames, shadows, dialogs, menus, drags, canvases."""

from __future__ import annotations

from benchmarks.browsing.hand import Hand, task
from openmanus_graph.errors import ToolError

_INNER = "<p>within</p><button onclick=\"this.textContent='Pressed'\">Press</button>"
_SHADOW = """<!doctype html><title>Shadow</title><div id=h></div><script>
const root = h.attachShadow({mode: '$MODE'});
root.innerHTML = '<label>Code <input></label><button>Use</button>';
root.querySelector('button').onclick = () => document.title = 'used ' + root.querySelector('input').value;</script>"""


@task("press a button in a frame of the same origin", "<!doctype html><title>Frame</title><iframe src=/inner></iframe>")
async def _same_origin(hand: Hand) -> bool:
    await hand.click("button", "Press")
    return hand.sees("Pressed")


@task(
    "press a button in a frame of another origin",
    '<!doctype html><title>Frame</title><iframe src="$OTHER/inner"></iframe>',
)
async def _other_origin(hand: Hand) -> bool:
    await hand.click("button", "Press")
    return hand.sees("Pressed")


@task(
    "write into a frame in a frame",
    '<!doctype html><title>Deep</title><iframe src="$OTHER/middle" width=500 height=300></iframe>',
)
async def _frame_in_frame(hand: Hand) -> bool:
    await hand.type("textbox", "Innermost", "deep")
    return hand.sees("= deep")


@task("use a field in an open shadow root", _SHADOW.replace("$MODE", "open"))
async def _open_shadow(hand: Hand) -> bool:
    await hand.type("textbox", "Code", "42")
    await hand.click("button", "Use")
    return hand.sees("used 42")


@task("use a field in a closed shadow root", _SHADOW.replace("$MODE", "closed"))
async def _closed_shadow(hand: Hand) -> bool:
    await hand.type("textbox", "Code", "43")
    await hand.click("button", "Use")
    return hand.sees("used 43")


@task(
    "agree to a question of a script",
    "<!doctype html><title>Ask</title>"
    "<button onclick=\"document.title=confirm('Delete it?')?'deleted':'kept'\">Delete</button>",
)
async def _confirm(hand: Hand) -> bool:
    await hand.click("button", "Delete")
    asked = hand.sees("Delete it?")
    await hand.act("dialog", accept=True)
    return asked and hand.sees("deleted")


@task(
    "decline a question of a script",
    "<!doctype html><title>Ask</title>"
    "<button onclick=\"document.title=confirm('Delete it?')?'deleted':'kept'\">Delete</button>",
)
async def _decline(hand: Hand) -> bool:
    await hand.click("button", "Delete")
    await hand.act("dialog", accept=False)
    return hand.sees("kept")


@task(
    "answer a question of a script with a text",
    "<!doctype html><title>Ask</title><button onclick=\"document.title='hello '+prompt('Who?')\">Greet</button>",
)
async def _prompt(hand: Hand) -> bool:
    await hand.click("button", "Greet")
    await hand.act("dialog", accept=True, text="Ada")
    return hand.sees("hello Ada")


@task(
    "go on after a message",
    "<!doctype html><title>Say</title><button onclick=\"alert('Saved at 9');document.title='after'\">Save</button>",
)
async def _alert(hand: Hand) -> bool:
    await hand.click("button", "Save")
    return hand.sees("Saved at 9") and hand.sees("after")


@task(
    "close a dialog of the page and press what it covered",
    """<!doctype html><title>Modal</title>
<button onclick="document.title='bought'">Buy</button>
<dialog id=d aria-label=Cookies><p>We bake</p><button onclick="d.close()">Accept</button></dialog>
<script>d.showModal()</script>""",
)
async def _modal(hand: Hand) -> bool:
    await hand.click("button", "Accept")
    await hand.click("button", "Buy")
    return hand.sees("bought")


@task(
    "learn what covers a button, close it and press",
    """<!doctype html><title>Cover</title>
<button onclick="document.title='reached'">Reach</button>
<div id=c style="position:fixed;inset:0 0 auto 0;height:200px;background:#ddd;padding-top:100px">News
<button onclick="c.remove()">Hide the news</button></div>""",
)
async def _covered(hand: Hand) -> bool:
    told = False
    try:
        await hand.click("button", "Reach")
    except ToolError as error:
        told = "covers it" in error.message
    await hand.act("snapshot")
    await hand.click("button", "Hide the news")
    await hand.click("button", "Reach")
    return told and hand.sees("reached")


@task(
    "open a menu and choose from its submenu",
    """<!doctype html><title>Menu</title><style>
li ul { display: none } li:hover > ul { display: block }</style>
<button aria-haspopup=menu onclick="m.hidden=false">File</button>
<ul role=menu id=m hidden><li role=menuitem>Export<ul role=menu>
<li role=menuitem onclick="document.title='as PDF'">As PDF</ul></ul>""",
)
async def _submenu(hand: Hand) -> bool:
    await hand.click("button", "File")
    await hand.click("menuitem", "Export")
    await hand.click("menuitem", "As PDF")
    return hand.sees("as PDF")


@task(
    "change to another sheet of tabs",
    """<!doctype html><title>Sheets</title><div role=tablist>
<button role=tab aria-selected=true onclick="p.textContent='first'">General</button>
<button role=tab onclick="p.textContent='the second sheet'">Details</button></div>
<div role=tabpanel id=p>first</div>""",
)
async def _sheets(hand: Hand) -> bool:
    await hand.click("tab", "Details")
    return hand.sees("the second sheet")


@task(
    "open what is folded",
    "<!doctype html><title>Fold</title><details><summary>More</summary><p>The number is 7</p></details>",
)
async def _folded(hand: Hand) -> bool:
    before = hand.sees("number is 7")
    await hand.act("click_element", ref=await hand.ref("", "More"))
    return not before and hand.sees("number is 7")


@task(
    "put an entry of a list before another by dragging",
    """<!doctype html><title>Order</title><ol id=l>
<li draggable=true>Alpha<li draggable=true>Beta<li draggable=true>Gamma</ol><script>let held;
l.ondragstart = event => held = event.target; l.ondragover = event => event.preventDefault();
l.ondrop = event => { event.preventDefault(); event.target.closest('li').before(held);
  document.title = [...l.children].map(one => one.textContent.trim()).join(); };</script>""",
)
async def _reorder(hand: Hand) -> bool:
    await hand.act("drag", ref=await hand.item("Gamma"), to_ref=await hand.item("Alpha"))
    return hand.sees("Gamma,Alpha,Beta")


@task(
    "drag a card into a box that listens for it",
    """<!doctype html><title>Board</title>
<div draggable=true id=c>Card</div><div id=b aria-label=Done role=region style="height:80px;border:1px solid">Done</div>
<script>c.addEventListener('dragstart', event => event.dataTransfer.setData('text/plain', 'card'));
b.addEventListener('dragover', event => event.preventDefault());
b.addEventListener('drop', event => { b.append(c);
  document.title = 'in ' + event.dataTransfer.getData('text/plain'); });
</script>""",
)
async def _into_a_box(hand: Hand) -> bool:
    await hand.act("drag", ref=await hand.item("Card"), to_ref=await hand.ref("region", "Done"))
    return hand.sees("in card")


@task(
    "drag by the pointer to a place that has only a text",
    """<!doctype html><title>Pointer</title>
<div role=button tabindex=0 id=c style="width:80px;touch-action:none">Piece</div>
<div id=b style="height:80px;margin-top:60px">Target place</div><script>let held = false;
c.onpointerdown = () => held = true; onpointermove = event => { if (held) c.dataset.x = event.x; };
onpointerup = event => { const at = b.getBoundingClientRect();
  if (held && event.y > at.top && event.y < at.bottom) document.title = 'dropped'; held = false; };</script>""",
)
async def _pointer_drag(hand: Hand) -> bool:
    await hand.act("drag", ref=await hand.ref("button", "Piece"), text="Target place")
    return hand.sees("dropped")


@task(
    "read the text that stands for a canvas, and click in it",
    """<!doctype html><title>Canvas</title>
<canvas width=300 height=200 onclick="document.title='hit '+(event.offsetX>140)">Sales rose to 12</canvas>
<style>body{margin:0}</style>""",
)
async def _canvas(hand: Hand) -> bool:
    told = hand.sees("Sales rose to 12")
    await hand.act("click_element", x=150, y=100)
    return told and hand.sees("hit true")


@task("take a picture of the page", "<!doctype html><title>Seen</title><h1>Seen</h1>")
async def _picture(hand: Hand) -> bool:
    await hand.act("screenshot")
    return (hand.context.workspace / hand.shown["path"]).read_bytes().startswith(b"\x89PNG")


@task(
    "turn a switch on",
    """<!doctype html><title>Switch</title><button role=switch aria-checked=false
onclick="this.setAttribute('aria-checked', 'true')">Dark</button>""",
)
async def _switch(hand: Hand) -> bool:
    await hand.click("switch", "Dark")
    return hand.sees("(checked)")


@task(
    "press keys in a grid",
    """<!doctype html><title>Grid</title><div tabindex=0 role=grid aria-label=Board id=g
onkeydown="document.title=(document.title+event.key[5]).replace('Grid','')">
<div role=row><div role=gridcell tabindex=0 aria-label=Start>Start</div></div></div>
<script>document.querySelector('[role=gridcell]').focus()</script>""",
)
async def _keys(hand: Hand) -> bool:
    await hand.act("send_keys", keys="ArrowRight ArrowDown ArrowLeft")
    return hand.sees("RDL")


PARTS = {
    "/inner": f"<!doctype html><title>Inner</title>{_INNER}",
    "/middle": '<!doctype html><iframe src="/innermost"></iframe>',
    "/innermost": "<!doctype html><label>Innermost <input></label>",
}
"""Pages that stand in frames of others."""
