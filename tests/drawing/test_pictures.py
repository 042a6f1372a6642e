"""Pictures: whole, self-contained, safe with any text, readable without colour and by screen readers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmanus_graph import Plan
from openmanus_graph.drawing import svg_of
from openmanus_graph.drawing.diagram import Box, Diagram, Link, State
from openmanus_graph.drawing.label import clipped, width_of
from openmanus_graph.drawing.mermaid import mermaid
from openmanus_graph.drawing.plan import plan_mermaid, plan_svg, plan_text
from openmanus_graph.drawing.style import STATES
from openmanus_graph.drawing.svg import svg
from openmanus_graph.drawing.tree import HistoryNode, HistoryTree, tree_mermaid
from openmanus_graph.errors import UsageError
from tests.drawing.svgs import SVG, box, hint, keys, parsed, texts

HOSTILE = "</text><script>alert(1)</script>&\"'\x1b[31m\x00\ud800 \u202e"


def plan() -> Plan:
    steps = [
        {"id": "read", "tool": "fetch_page", "args": {"urls": ["http://x.test/"]}, "goal": "Read it"},
        {"id": "count", "tool": "bash", "args": {"command": "wc -l"}},
        {"id": "write", "agent": "executor", "goal": "Write it down", "needs": ["read", "count"]},
    ]
    return Plan.from_dict({"goal": "A small plan", "subtasks": steps})


@given(st.text(max_size=80), st.text(max_size=40))
@settings(max_examples=80, deadline=None)
def test_any_text_makes_a_well_formed_picture(label: str, note: str) -> None:
    boxes = [Box("a", label, note, note, "failed"), Box("b", note, inside=Diagram([Box("c", label)], []))]
    drawn = Diagram(boxes, [Link("a", "b")], label, note)

    assert len(keys(parsed(svg(drawn)))) == 3
    assert mermaid(drawn)


def test_hostile_text_stays_text() -> None:
    diagram = Diagram([Box(HOSTILE, HOSTILE, HOSTILE, HOSTILE)], [], HOSTILE, HOSTILE)
    text = svg(diagram)

    parsed(text)
    assert "<script" not in text
    assert "\u202e" not in text
    assert '"]' not in mermaid(diagram).replace('"]\n', "").removesuffix('"]')
    assert "<script" not in mermaid(diagram)


def test_a_long_label_is_cut_and_whole_when_pointed_at() -> None:
    label = "compare the suppliers of desk lamps and what their customers say of them"
    root = parsed(svg(Diagram([Box("a", label)], [])))

    shown = next(line for line in texts(root) if line.startswith("compare"))
    assert shown.endswith("…")
    assert hint(box(root, "a")) == label


@pytest.mark.parametrize("text", ["short", "iiiiiiiiiiii", "WWWWWWWW", "比較する", "a" * 400])
def test_what_is_cut_fits(text: str) -> None:
    assert width_of(clipped(text, 60, 12), 12) <= 60
    assert clipped(text, 6000, 12) == text


def test_every_state_has_a_form_of_its_own_besides_its_colour() -> None:
    forms: set[str] = set()
    for state in STATES:
        drawn = box(parsed(svg(Diagram([Box("a", "step", state=state)], []))), "a")
        paths = [part.attrib.get("d") or part.attrib.get("r") for part in drawn.iter() if part.tag != f"{SVG}rect"]
        forms.add(str([path for path in paths if path]))
        assert f"({state})" in hint(drawn)
    assert len(forms) == len(STATES)


def test_a_picture_has_a_title_and_says_everything_in_words() -> None:
    root = parsed(plan_svg(plan(), {"read": "completed", "count": "running"}))

    assert root.attrib["role"] == "img"
    assert root.findtext(f"{SVG}title") == "A small plan"
    told = root.findtext(f"{SVG}desc") or ""
    assert "read (completed); count (running); write after read, count" in told


def test_it_follows_light_and_dark_unless_told() -> None:
    drawn = Diagram([Box("a", "a")], [])
    assert "prefers-color-scheme:dark" in svg(drawn)
    assert "prefers-color-scheme" not in svg(drawn, theme="dark")
    assert svg(drawn, theme="dark") != svg(drawn, theme="light")


def test_a_plan_shows_its_states_and_its_critical_path() -> None:
    states: dict[str, State] = {"read": "completed", "count": "failed", "write": "blocked"}
    root = parsed(plan_svg(plan(), states, ("read", "write")))

    assert keys(root) == ["read", "count", "write"]
    assert box(root, "read").attrib["class"] == "b completed mark"
    assert box(root, "count").attrib["class"] == "b failed"
    assert sum(part.attrib.get("class") == "k mark" for part in root.iter()) == 1
    assert "✗ count" in plan_mermaid(plan(), states)
    assert "✗ count (bash)" in plan_text(plan(), states)


def test_links_against_each_other_are_one_line_with_two_heads() -> None:
    both = [Link("a", "b", dashed=True), Link("b", "a", dashed=True)]
    root = parsed(svg(Diagram([Box("a", "a"), Box("b", "b")], both)))

    drawn = [part.attrib["class"].split()[0] for part in root.iter(f"{SVG}path")]
    assert (drawn.count("k"), drawn.count("a")) == (1, 2)


def test_a_link_to_itself_stays_within_the_picture() -> None:
    root = parsed(svg(Diagram([Box("a", "a" * 30), Box("b", "b")], [Link("a", "a"), Link("a", "b")])))

    reached = [
        float(x)
        for path in root.iter(f"{SVG}path")
        if "C" in path.attrib["d"]
        for x, _ in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.attrib["d"])
    ]
    assert max(reached) > 200
    assert max(reached) <= float(root.attrib["width"])


@pytest.mark.parametrize("down", [True, False])
def test_links_say_on_which_answer_they_are_taken(down: bool) -> None:
    boxes = [Box("ask", "ask"), Box("write", "write"), Box("end", "", shape="end")]
    links = [
        Link("ask", "write", dashed=True, label="needs <more> of it"),
        Link("write", "ask", dashed=True, label="again"),
        Link("write", "end", dashed=True, label="w" * 200),
        Link("ask", "ask", dashed=True, label="unclear"),
    ]
    drawn = Diagram(boxes, links)
    root = parsed(svg(drawn, down=down))

    shown = texts(root)
    assert any("needs <more> of it" in line for line in shown)
    assert any(line.endswith("…") for line in shown)
    heads = [path for path in root.iter(f"{SVG}path") if path.attrib["class"] == "a"]
    assert len(heads) == len(links)
    assert "unclear" in [element.text for element in root.iter(f"{SVG}title")], "when its loop is pointed at"
    along = 1 if down else 0
    places = {key: [float(box(root, key)[1].attrib[side]) for side in ("x", "y")][along] for key in ("ask", "write")}
    (again,) = [part for part in root.iter(f"{SVG}text") if "again" in "".join(part.itertext())]
    assert places["ask"] < float(again.attrib["y" if down else "x"]) < places["write"], "between its boxes"
    assert '-.->|"needs #60;more#62; of it"|' in mermaid(drawn)


def test_siblings_are_in_the_order_of_the_plan() -> None:
    steps = [{"id": "first", "tool": "bash", "args": {"command": "true"}}]
    steps += [{**steps[0], "id": f"s{number}", "needs": ["first"]} for number in range(5)]
    root = parsed(plan_svg(Plan.from_dict({"subtasks": steps})))
    places = [float(box(root, f"s{number}")[1].attrib["x"]) for number in range(5)]
    assert places == sorted(places)


def test_mermaid_has_a_colour_for_every_state() -> None:
    drawn = mermaid(Diagram([Box(state, state, state=state) for state in STATES], []))
    assert all(f"classDef {state} " in drawn for state in STATES)


def test_mermaid_has_no_empty_label() -> None:
    drawn = mermaid(Diagram([Box("a", " "), Box("b", "", inside=Diagram([Box("c", "")], []))], [Link("a", "b")]))
    assert '""' not in drawn
    assert '[""]' not in tree_mermaid(HistoryTree([HistoryNode("a", None, " ")]))


def test_whatever_can_be_drawn_has_one_way_to_a_picture() -> None:
    assert svg_of(plan()) == svg_of(plan().to_dict()) == plan_svg(plan())
    with pytest.raises(UsageError, match="no picture of a 'int'"):
        svg_of(3)
