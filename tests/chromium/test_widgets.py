"""Widgets: things that are dragged, lists that take several, rows of tables."""

from __future__ import annotations

import pytest

from openmanus_graph.errors import ToolError
from openmanus_graph.tools.browser.arguments import effect_of_action
from tests.chromium.browsing import Browsing, ref

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("chromium")]

LIST = """<!doctype html><title>List</title><ol id=l><li draggable=true>Alpha<li draggable=true>Beta</ol>
<div id=b aria-label=Bin role=region style="height:60px">Bin</div><p>Plain place</p><p style="height:60px" id=p></p>
<script>let held; l.ondragstart = event => held = event.target;
for (const each of document.querySelectorAll('li, p, #b')) each.ondragover = event => event.preventDefault();
l.ondrop = event => { event.target.before(held); document.title = l.innerText.split('\\n').join(); };
b.addEventListener('drop', () => document.title = 'thrown away ' + held.innerText);
document.querySelector('p').addEventListener('dragenter', () => document.title = 'over the place');</script>"""
FRUIT = """<!doctype html><title>Fruit</title><label>Fruit <select multiple id=f><option>apple<option>pear<option>plum
</select></label>
<script>f.onchange = () =>
  document.title = [...f.selectedOptions].map(one => one.text).join() || 'none';
</script>"""
ROWS = "<!doctype html><title>Rows</title><table>" + "".join(f"<tr><td>Item {one};<td>{one * 7}" for one in range(90))


async def test_what_can_be_dragged_has_a_ref_and_is_dropped(browse: Browsing) -> None:
    browse.site.pages["/list"] = LIST
    page = await browse.open("/list")
    assert ref(page, "Alpha").startswith("x")
    dropped = await browse("drag", ref=ref(page, "Beta"), to_ref=ref(page, "Alpha"))
    assert dropped["title"] == "Beta,Alpha"
    dropped = await browse("drag", ref=ref(dropped, "Alpha"), to_ref=ref(dropped, "Bin"))
    assert dropped["title"] == "thrown away Alpha"
    assert (await browse("drag", ref=ref(dropped, "Alpha"), text="Plain place"))["title"] == "over the place"
    with pytest.raises(ToolError, match="does not show the text 'nowhere'"):
        await browse("drag", ref=ref(dropped, "Alpha"), text="nowhere")
    assert effect_of_action({"action": "drag", "ref": "e1", "to_ref": "e2"}) == "external"


async def test_a_list_that_takes_several_keeps_what_was_chosen(browse: Browsing) -> None:
    browse.site.pages["/fruit"] = FRUIT
    page = await browse.open("/fruit")
    fruit = ref(page, "Fruit")
    await browse("select_dropdown_option", ref=fruit, text="apple")
    assert (await browse("select_dropdown_option", ref=fruit, text="plum"))["title"] == "apple,plum"
    assert (await browse("select_dropdown_option", ref=fruit, text="plum"))["title"] == "apple,plum"
    assert (await browse("select_dropdown_option", ref=fruit, text=""))["title"] == "none"


async def test_what_is_found_in_a_table_is_told_with_its_row(browse: Browsing) -> None:
    browse.site.pages["/rows"] = ROWS
    await browse.open("/rows")
    assert "567" in (await browse("find", text="Item 81;"))["text"]
