"""Storable JSON: whatever a value is, its JSON is one that Postgres takes, and says the same as its plain form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmanus_graph import ThreadSaver
from openmanus_graph.values.storable_json import UNREADABLE, storable, storable_json, storable_list


@dataclass
class Point:
    """A record."""

    x: float
    tags: frozenset[str]


def ring() -> list[Any]:
    around: list[Any] = []
    around.append(around)
    return around


ODD: list[Any] = [
    "nul \0 and half \ud800",
    {"at": float("nan"), "far": [float("inf")]},
    {"a set": {1}, "a record": Point(1.5, frozenset({"t"})), "bytes": b"x"},
    [("a", 1), {("a", "tuple"): "as a key"}],
    object,
    10**5_000,
]


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_what_json_does_not_take_is_its_plain_form(value: Any) -> None:
    assert json.loads(storable_json(value)) == storable(value)


def test_what_holds_itself_spoils_no_other() -> None:
    assert json.loads(storable_list([1, ring(), "a"])) == [1, UNREADABLE, "a"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(PLAIN)
def test_plain_values_are_as_they_are_but_for_what_postgres_refuses(value: Any) -> None:
    assert json.loads(storable_json(value)) == storable(value)


@pytest.mark.postgres
@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
async def test_postgres_takes_it(value: Any, saver: ThreadSaver) -> None:
    async with saver.connection() as connection:
        row = await (await connection.execute("SELECT %s::jsonb AS value", (storable_json([value]),))).fetchone()
    assert row is not None
    assert row["value"] == [storable(value)]
