"""What `${…}` in goals and arguments means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.plans.references import (
    Reference,
    ReferenceSyntaxError,
    SubtaskId,
    escape,
    references_in,
    render,
    resolve,
    split,
)

OUTPUTS: dict[str, Any] = {
    "s1": {
        "text": "hello",
        "n": 3,
        "none": None,
        "rows": [[1, 2.5], [True, {"k": "é"}]],
        "a.b}": "odd",
        "7": "seven",
    },
    "s2": "plain text",
    "s3": [],
}


def lookup(subtask_id: str) -> Any:
    return OUTPUTS[subtask_id]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${s1}", OUTPUTS["s1"]),
        ("${s1.n}", 3),
        ("${s1.none}", None),
        ("${s1.rows.1.0}", True),
        ("${s1.rows.1.1.k}", "é"),
        ('${s1."a.b}"}', "odd"),
        ("${s1.7}", "seven"),
        ("${s3}", []),
    ],
)
def test_a_whole_reference_keeps_the_type(text: str, value: Any) -> None:
    resolved = resolve({"deep": [text]}, lookup)["deep"][0]
    assert resolved == value
    assert type(resolved) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("say ${s2}!", "say plain text!"),
        ("${s1.n}${s1.n}", "33"),
        ("n=${s1.n} ", "n=3 "),
        ("${s1.none}.", "null."),
        ("x${s1.rows}", 'x[[1,2.5],[true,{"k":"é"}]]'),
        ("$${s1.n}", "${s1.n}"),
        ("$$${s1.n}", "$3"),
        ("$$$${s1.n}", "$${s1.n}"),
        ("costs $5 {really} $HOME $(date)", "costs $5 {really} $HOME $(date)"),
        ("$${HOME:-none} and ${s2}", "${HOME:-none} and plain text"),
    ],
)
def test_inside_other_text_the_value_becomes_text(text: str, value: str) -> None:
    assert resolve(text, lookup) == value
    assert render(text, lookup) == value


def test_what_is_put_in_is_not_scanned_again() -> None:
    assert resolve("<${a}>", lambda _: "${b} $${c}") == "<${b} $${c}>"


def test_a_goal_that_is_one_reference_stays_text() -> None:
    assert render("${s1.n}", lookup) == "3"
    assert render("${s2}", lookup) == "plain text"


def test_what_is_put_in_is_a_copy() -> None:
    resolved = resolve(["${s1}"], lookup)
    resolved[0]["rows"].clear()
    assert len(OUTPUTS["s1"]["rows"]) == 2


def test_keys_are_left_alone() -> None:
    assert resolve({"${s2}": 1}, lookup) == {"${s2}": 1}
    assert references_in({"${s2}": 1}) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${s1.txt}", ["'s1'", "'txt'", "'text'", "'rows'", "Did you mean 'text'?"]),
        ("${s1.rows.2}", ["'rows'", "a list of 2", "from 0 to 1"]),
        ("${s1.rows.-1}", ["a list of 2"]),
        ("${s1.rows.01}", ["a list of 2"]),
        ("${s3.0}", ["'s3'", "empty"]),
        ("${s1.n.x}", ["'n'", "a number", "'${s1.n}'"]),
        ("${s2.length}", ["'s2'", "text"]),
    ],
)
def test_a_part_that_is_not_there_is_named_with_those_that_are(text: str, words: list[str]) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        resolve(text, lookup)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "${",
        "${}",
        "${a b}",
        "${s1",
        "${s1.}",
        "${s1..x}",
        "${.x}",
        "${HOME:-x}",
        "${#list}",
        '${s1."open}',
        "${" + "x" * 65 + "}",
    ],
)
def test_a_malformed_reference_names_the_escape(text: str) -> None:
    with pytest.raises(ReferenceSyntaxError, match=r"\$\$\{"):
        split(f"before {text} after")


def test_a_quoted_field_must_be_a_json_string() -> None:
    with pytest.raises(ReferenceSyntaxError, match="JSON string"):
        split(r'${s1."\q"}')


def test_references_are_listed_in_reading_order_and_once() -> None:
    value = {"b": ["${two} ${one.x}", "${two}"], "a": "${three}"}
    assert [str(found) for found in references_in(value)] == ["${two}", "${one.x}", "${three}"]


def test_long_runs_of_dollars_take_linear_time() -> None:
    assert len(split("$" * 500_000)) == 1
    assert split("$" * 500_001 + "{s1}")[1] == Reference(SubtaskId("s1"))


text_near_references = st.text(st.sampled_from(list('${}.ab1"\\ \n')) | st.characters(codec="utf-8"), max_size=30)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text_near_references, inner, max_size=3),
    max_leaves=8,
)


@given(text_near_references)
def test_escaped_text_means_itself(text: str) -> None:
    assert resolve(escape(text), lookup) == text
    assert references_in(escape(text)) == []


@given(text_near_references)
def test_any_text_is_split_or_refused_clearly(text: str) -> None:
    try:
        parts = split(text)
    except ReferenceSyntaxError:
        return
    assert split("".join(escape(part) if isinstance(part, str) else str(part) for part in parts)) == parts


@given(st.lists(text_near_references, min_size=1, max_size=4), plain)
def test_every_field_can_be_named_and_keeps_its_type(fields: list[str], value: Any) -> None:
    output = value
    for name in reversed(fields):
        output = {name: output}
    reference = str(Reference(SubtaskId("s"), tuple(fields)))
    assert split(reference) == [Reference(SubtaskId("s"), tuple(fields))]
    resolved = resolve(reference, lambda _: output)
    assert resolved == value
    assert type(resolved) is type(value)


@settings(max_examples=50)
@given(plain)
def test_values_in_text_are_json_unless_they_are_text(value: Any) -> None:
    text = render("<${s}>", lambda _: value)[1:-1]
    assert text == value if isinstance(value, str) else json.loads(text) == value
