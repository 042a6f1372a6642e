"""Words: values are shown without quotes and braces, and nothing can be taken for something else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmanus_graph.drawing.value_text import MOST_LINES, words_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def test_texts_of_several_lines_are_as_they_are() -> None:
    value = {"code": "for x in y:\n    print(x)\n", "files": [{"name": "a", "size": 2}, {"name": "b", "size": 30}]}
    assert words_of(value).splitlines() == [
        "code:",
        "  for x in y:",
        "      print(x)",
        "files:",
        "  - name: a",
        "    size: 2",
        "  - name: b",
        "    size: 30",
    ]
    assert words_of("as it is\n") == "as it is\n"


@pytest.mark.parametrize("text", ["true", "null", "12", "1e3", "", " x", "x ", '"', "[]", "{}", "-3.5"])
def test_a_text_that_looks_like_something_else_is_quoted(text: str) -> None:
    assert words_of({"a": text}) == f"a: {json.dumps(text)}"
    assert words_of([text]) == f"- {json.dumps(text)}"


@given(JSON)
@settings(max_examples=150, deadline=None)
def test_everything_in_a_value_is_there(value: Any) -> None:
    shown = words_of(value)

    def check(part: Any) -> None:
        if isinstance(part, dict):
            for key, item in part.items():
                assert f"{key}:" in shown
                check(item)
        elif isinstance(part, list):
            for item in part:
                check(item)
        elif isinstance(part, str):
            assert all(
                line in shown or json.dumps(line, ensure_ascii=False)[1:-1] in shown for line in part.split("\n")
            )
        else:
            assert json.dumps(part) in shown

    check(value)


def test_what_is_endless_or_deep_ends() -> None:
    deep: Any = "bottom"
    for _ in range(200):
        deep = [deep]
    assert "bottom" in words_of(deep)
    assert len(words_of(list(range(100_000))).splitlines()) == MOST_LINES
