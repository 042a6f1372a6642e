"""Snapshots: what becomes of Playwright's tree of a page before a model sees it."""

from __future__ import annotations

from openmanus_graph.tools.browser.actions import passages
from openmanus_graph.tools.browser.downloads import fit_name
from openmanus_graph.tools.browser.refs import Refs
from openmanus_graph.tools.browser.rendering import BUDGET, found, render, tokens
from openmanus_graph.tools.browser.tree import MASK, Places, classify, mask, parse

PAGE = """\
- generic [active] [ref=e1] [box=0,0,1280,4000]:
  - 'link "a: b" [ref=e2] [cursor=pointer] [box=0,0,10,10]':
    - /url: https://example.com/
  - link "script" [ref=e3] [box=0,10,10,10]:
    - /url: javascript:go()
  - button "Menu" [ref=e4] [box=0,20,10,10]
  - button "Pay" [disabled] [ref=e5] [box=0,30,10,10]
  - textbox "Word" [ref=e6] [box=0,40,10,10]: hunter2
  - textbox "Card" [ref=e7] [box=0,50,10,10]:
    - /placeholder: number
    - text: "4111"
  - textbox "Long" [ref=e8] [box=0,60,10,10]: correct horse
  - paragraph [ref=e9] [box=0,65,10,10]: hunter2
  - generic [ref=e10] [cursor=pointer] [box=0,70,10,10]:
    - generic [ref=e11] [cursor=pointer] [box=0,70,5,5]: open it
  - iframe [ref=e12] [box=0,100,300,100]:
    - button "Menu" [ref=f1e2] [box=0,20,10,10]
  - link "far" [ref=e13] [box=0,3900,10,10]:
    - /url: /far
"""


def shown(snapshot: str, secrets: tuple[str, ...] = (), *, everything: bool = False) -> str:
    root, refs = parse(snapshot), Refs(1)
    mask(root, secrets, everything=everything)
    classify(root, Places(opening={(0, 20, 10, 10)}))
    return render(root, 720, lambda node: refs.label(1, node))


def test_letters_say_what_acting_does() -> None:
    text = shown(PAGE)
    assert '[e1] link "a: b"' in text
    assert '[x2] link "script"' in text
    assert '[e3] button "Menu"' in text
    assert '[x4] button "Pay" (disabled)' in text
    assert "[x8] open it" in text
    assert '[x9] button "Menu"' in text  # in a frame, whose scripts say nothing of the page's places
    assert "far" not in text
    assert "[1 elements further down: scroll_down, or find]" in text


def test_what_is_secret_is_masked() -> None:
    text = shown(PAGE, ("hunter2", "4111", "correct  horse"))
    assert "hunter2" not in text
    assert "4111" not in text
    assert "correct" not in text
    assert text.count(MASK) == 4
    assert shown(PAGE, everything=True).count(MASK) == 3


def test_a_ref_never_stands_for_two_elements() -> None:
    root, refs = parse(PAGE), Refs(3)
    classify(root, Places())
    link = next(node for node in root.walk() if node.name == "a: b")
    first = refs.label(1, link)
    assert (first, refs.label(1, link), refs.label(2, link)) == ("e1-3", "e1-3", "e2-3")
    link.effect = "external"
    assert refs.label(1, link) == "x3-3"
    assert refs.find(first) is None
    assert refs.find("x3-3") is not None
    refs.forget(1)
    assert refs.find("x3-3") is None


def test_a_page_of_many_nodes_fits_the_budget_and_is_searched() -> None:
    line = '  - link "Item {0} with a name of some length" [ref=e{0}] [box=0,{1},900,5]:\n    - /url: /{0}'
    text = "- list:\n" + "\n".join(line.format(number, number // 40) for number in range(20_000))
    root, refs = parse(text), Refs(1)
    classify(root, Places())
    lines = render(root, 720, lambda node: refs.label(1, node))
    assert tokens(lines) <= BUDGET
    assert "more of 'link' like these" in lines
    assert found(root, "item 19999 ", lambda node: refs.label(1, node)) == [
        '[e41] link "Item 19999 with a name of some length"'
    ]


def test_text_without_an_end_is_cut_at_the_budget() -> None:
    rows = "\n".join(f'  - heading "{"ü" * 100} {number}" [ref=e{number}] [box=0,1,9,9]' for number in range(60))
    buttons = "\n".join(f'  - {role} "n{role}" [ref=f{role}] [box=0,1,9,9]' for role in ("button", "tab"))
    mixed = "\n".join(f"{row}\n{buttons}" for row in rows.splitlines())
    root, refs = parse(f"- generic [ref=e0] [box=0,0,9,9]:\n{mixed}"), Refs(1)
    classify(root, Places())
    lines = render(root, 720, lambda node: refs.label(1, node))
    assert tokens(lines) <= BUDGET
    assert "lines more: scroll_down, or find]" in lines


def test_names_of_downloads_are_ours() -> None:
    names = {
        "../../etc/passwd": "passwd",
        ".bashrc": "bashrc",
        "a\\b\\c.txt": "c.txt",
        "": "download",
        "x/": "download",
    }
    assert {given: fit_name(given) for given in names} == names
    assert len(fit_name("ü" * 300 + ".pdf").encode()) < 120
    assert fit_name("a\x00b\n.txt") == "a_b_.txt"


def test_of_a_long_text_the_passages_of_the_goal_are_kept() -> None:
    text = "\n\n".join(["filler " * 100] * 60 + ["The price of the boat is 5."] + ["filler " * 100] * 60)
    kept = passages(text, "price of the boat")
    assert "The price of the boat is 5." in kept
    assert "[…]" in kept
    assert len(kept) < 20_000
    assert passages("short", "price") == "short"
