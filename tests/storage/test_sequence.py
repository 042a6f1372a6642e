"""Sequence: new checkpoints have higher ids than the old ones, wherever the clock stands."""

from __future__ import annotations

import time

import pytest
from langgraph.checkpoint.base import id as ids
from langgraph.checkpoint.base.id import uuid6

from openmanus_graph.checkpoints.sequence import go_on_from


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins as a new process does, and leaves no wrong clock behind."""
    monkeypatch.setattr(ids, "_last_v6_timestamp", None)


def test_ids_go_on_from_a_checkpoint_of_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 10**9 * 86_400)
    ahead = str(uuid6(clock_seq=3))
    monkeypatch.undo()
    monkeypatch.setattr(ids, "_last_v6_timestamp", None)
    assert str(uuid6(clock_seq=4)) < ahead, "LangGraph goes by the clock alone, which is what this is for"
    go_on_from(ahead)
    later = [str(uuid6(clock_seq=step)) for step in range(4, 1000)]
    assert [ahead, *later] == sorted([ahead, *later])


def test_a_checkpoint_of_the_past_changes_nothing() -> None:
    old = str(uuid6(clock_seq=3))
    new = str(uuid6(clock_seq=4))
    go_on_from(old)
    assert new < str(uuid6(clock_seq=5))


@pytest.mark.parametrize("odd", [None, "", "1", "ffffffff-ffff-6fff-bfff-ffffffffffff", "0" * 32])
def test_an_id_that_no_clock_has_made_changes_nothing(odd: str | None) -> None:
    before = str(uuid6(clock_seq=3))
    go_on_from(odd)
    after = uuid6(clock_seq=4)
    assert before < str(after)
    assert after.time < uuid6(clock_seq=5).time < 1 << 59
