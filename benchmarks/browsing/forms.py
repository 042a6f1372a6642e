"""Forms: tasks of filling in, choosing and sending."""

from __future__ import annotations

from benchmarks.browsing.hand import Hand, task

_FORM = "<!doctype html><title>Form</title><form action=/sent method=post>{}<button>Send</button></form>"


@task(
    "sign up with name, address of mail and password",
    _FORM.format(
        "<label>Name <input name=name></label><label>Mail <input type=email name=mail></label>"
        "<label>Password <input type=password name=word></label>"
    ),
)
async def _sign_up(hand: Hand) -> bool:
    await hand.type("textbox", "Name", "Ada")
    await hand.type("textbox", "Mail", "ada@example.org")
    await hand.type("textbox", "Password", "difference")
    hidden = "difference" not in str(hand.shown)
    await hand.click("button", "Send")
    return hidden and hand.sent("name=Ada", "mail=ada%40example.org", "word=difference")


@task(
    "choose a country from a list of 100",
    _FORM.format(
        "<label>Country <select name=country>"
        + "".join(f"<option>Land {one}" for one in range(100))
        + "</select></label>"
    ),
)
async def _country(hand: Hand) -> bool:
    await hand.act("get_dropdown_options", ref=await hand.ref("combobox", "Country"))
    listed = hand.sees("Land 73")
    await hand.choose("combobox", "Country", "Land 73")
    await hand.click("button", "Send")
    return listed and hand.sent("country=Land+73")


@task(
    "tick two of three boxes and choose one of two circles",
    _FORM.format(
        "<label><input type=checkbox name=a>Red</label><label><input type=checkbox name=b>Green</label>"
        "<label><input type=checkbox name=c>Blue</label>"
        "<label><input type=radio name=size value=s>Small</label>"
        "<label><input type=radio name=size value=l>Large</label>"
    ),
)
async def _boxes(hand: Hand) -> bool:
    await hand.click("checkbox", "Red")
    await hand.click("checkbox", "Blue")
    await hand.click("radio", "Large")
    await hand.click("button", "Send")
    return hand.sent("a=on&c=on&size=l")


@task("enter a date into a native field", _FORM.format("<label>Day <input type=date name=day></label>"))
async def _native_date(hand: Hand) -> bool:
    await hand.type("textbox", "Day", "2026-03-14")
    await hand.click("button", "Send")
    return hand.sent("day=2026-03-14")


@task(
    "enter a time, a month and a colour",
    _FORM.format(
        "<label>At <input type=time name=at></label><label>Month <input type=month name=month></label>"
        "<label>Colour <input type=color name=colour></label>"
    ),
)
async def _time_and_colour(hand: Hand) -> bool:
    await hand.type("textbox", "At", "09:30")
    await hand.type("textbox", "Month", "2026-05")
    await hand.type("textbox", "Colour", "#336699")
    await hand.click("button", "Send")
    return hand.sent("at=09%3A30&month=2026-05&colour=%23336699")


@task("move a slider to 70", _FORM.format("<label>Volume <input type=range name=volume max=100></label>"))
async def _slider(hand: Hand) -> bool:
    await hand.type("slider", "Volume", "70")
    await hand.click("button", "Send")
    return hand.sent("volume=70")


@task("write several lines into a text area", _FORM.format("<label>Note <textarea name=note></textarea></label>"))
async def _lines(hand: Hand) -> bool:
    await hand.type("textbox", "Note", "one\ntwo")
    await hand.click("button", "Send")
    return hand.sent("note=one%0D%0Atwo")


@task(
    "correct what a form refuses",
    """<!doctype html><title>Check</title><form id=f action=/sent>
<label>Number <input name=number></label><p id=error role=alert></p><button>Send</button></form><script>
f.onsubmit = event => { if (!/^\\d+$/.test(f.number.value)) { event.preventDefault();
  error.textContent = 'Digits only'; } };</script>""",
)
async def _refused(hand: Hand) -> bool:
    await hand.type("textbox", "Number", "ten")
    await hand.click("button", "Send")
    told = hand.sees("Digits only")
    await hand.type("textbox", "Number", "10")
    await hand.click("button", "Send")
    return told and hand.sent("number=10")


@task(
    "choose several of a list",
    _FORM.format("<label>Fruit <select multiple name=fruit><option>apple<option>pear<option>plum</select></label>"),
)
async def _several(hand: Hand) -> bool:
    for fruit in ("apple", "plum"):
        await hand.choose("listbox", "Fruit", fruit)
    await hand.click("button", "Send")
    return hand.sent("fruit=apple&fruit=plum")


@task(
    "choose from a list made of divs",
    """<!doctype html><title>Divs</title>
<div role=combobox tabindex=0 aria-label=City aria-expanded=false aria-controls=l id=c>choose</div>
<div role=listbox id=l hidden><div role=option>Oslo</div><div role=option>Rome</div></div><script>
c.onclick = () => l.hidden = false;
l.onclick = event => { c.textContent = event.target.textContent; l.hidden = true; document.title = c.textContent; };
</script>""",
)
async def _list_of_divs(hand: Hand) -> bool:
    await hand.choose("combobox", "City", "Rome")
    return hand.sees("Rome")


@task(
    "choose a suggestion that appears while typing",
    """<!doctype html><title>Suggest</title>
<input role=combobox aria-label=Town id=t><ul role=listbox id=l></ul><script>
t.oninput = () => setTimeout(() => { l.innerHTML = ['Almby', 'Alnby', 'Birkby'].filter(
  one => t.value && one.toLowerCase().startsWith(t.value.toLowerCase())).map(
  one => `<li role=option>${one}`).join(''); },
  150);
l.onclick = event => { t.value = event.target.textContent; document.title = 'chosen ' + t.value; };</script>""",
)
async def _suggestion(hand: Hand) -> bool:
    await hand.type("combobox", "Town", "al")
    await hand.click("option", "Alnby")
    return hand.sees("chosen Alnby")


@task(
    "pick a day of a calendar in the next month",
    """<!doctype html><title>Calendar</title>
<button aria-haspopup=dialog id=open>Choose a day</button><div role=dialog aria-label=Calendar id=d hidden></div>
<script>
let month = 3; const draw = () => { d.innerHTML = `<button onclick="month++; draw()">Next month</button>
<h2>2026-${month}
</h2><table>${[0, 1, 2, 3, 4].map(week => '<tr>' + [1, 2, 3, 4, 5, 6, 7].map(day => week * 7 + day).map(day => day > 30
  ? '<td>' : `<td><button onclick="document.title='2026-'+month+'-${day}'">${day}</button>`
  ).join('')).join('')}</table>`; };
open.onclick = () => { d.hidden = false; draw(); }; document.getElementById('open').onclick = open.onclick;</script>""",
)
async def _calendar(hand: Hand) -> bool:
    await hand.click("button", "Choose a day")
    await hand.click("button", "Next month")
    await hand.click("button", "17")
    return hand.sees("2026-4-17")


@task(
    "write into a text that is edited in place",
    """<!doctype html><title>Edit</title>
<div contenteditable role=textbox aria-label=Story id=s>old</div>
<button onclick="document.title=s.innerText">Keep</button>""",
)
async def _in_place(hand: Hand) -> bool:
    await hand.type("textbox", "Story", "a new story")
    await hand.click("button", "Keep")
    return hand.sees("a new story")


@task(
    "search by pressing Enter",
    "<!doctype html><title>Search</title><form action=/sent><input type=search name=q aria-label=Search></form>",
)
async def _enter(hand: Hand) -> bool:
    await hand.type("searchbox", "Search", "maps")
    await hand.act("send_keys", keys="Enter")
    return hand.sent("GET /sent?q=maps")


@task(
    "go through a form of three pages",
    """<!doctype html><title>Steps</title><form id=f action=/sent><div id=p></div>
</form><script>const ask = ['First', 'Second', 'Third']; let at = 0; const got = [];
const draw = () => p.innerHTML = `<label>${ask[at]} <input id=v></label><button type=button id=n>Next</button>`;
f.onclick = event => { if (event.target.id !== 'n') return; got.push(v.value); at++;
  if (at === 3) location = '/sent?all=' + got.join('-'); else draw(); }; draw();</script>""",
)
async def _steps(hand: Hand) -> bool:
    for name, text in (("First", "a"), ("Second", "b"), ("Third", "c")):
        await hand.type("textbox", name, text)
        await hand.click("button", "Next")
    return hand.sent("all=a-b-c")


@task(
    "send a file",
    "<!doctype html><title>Up</title><form action=/sent method=post enctype=multipart/form-data>"
    "<label>Paper <input type=file name=f></label><button>Send</button></form>",
)
async def _upload(hand: Hand) -> bool:
    (hand.context.workspace / "paper.txt").write_text("words of the paper")
    await hand.act("upload_file", ref=await hand.ref("button", "Paper"), path="paper.txt")
    await hand.click("button", "Send")
    return hand.sent("paper.txt", "words of the paper")


@task(
    "send a file by a button that opens the choice",
    """<!doctype html><title>Up</title><input type=file id=f hidden>
<button onclick="f.click()">Attach</button><script>
f.onchange = () => document.title = 'has ' + f.files[0].name;</script>""",
)
async def _upload_by_button(hand: Hand) -> bool:
    (hand.context.workspace / "note.txt").write_text("note")
    await hand.act("upload_file", ref=await hand.ref("button", "Attach"), path="note.txt")
    return hand.sees("has note.txt")


@task(
    "wait until a button can be used",
    """<!doctype html><title>Later</title><button id=b disabled
onclick="document.title='ordered'">Order</button><script>setTimeout(() => b.disabled = false, 1500);</script>""",
)
async def _disabled(hand: Hand) -> bool:
    if "(disabled)" in hand.snapshot:
        await hand.act("wait", seconds=2)
        await hand.act("snapshot")
    await hand.click("button", "Order")
    return hand.sees("ordered")
