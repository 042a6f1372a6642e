"""Timelines: work, waits, kills and retries as the events tell them, with the chain that decided the end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from openmanus_graph.drawing.gantt import gantt_mermaid, gantt_svg, gantt_text
from openmanus_graph.drawing.record import newest_request
from openmanus_graph.drawing.scale import scale_of, seconds_text, tick_text
from openmanus_graph.drawing.timeline import Timeline, timeline_of
from openmanus_graph.state import SubtaskResult
from tests.drawing.runs import ROWS, START, a_run, at, done
from tests.drawing.svgs import SVG, box, hint, keys, parsed, texts


def stretches(timeline: Timeline, key: str) -> list[tuple[str, float, float]]:
    row = next(row for row in timeline.rows if row.key == key)
    begun = START.timestamp()
    return [(one.kind, round(one.start - begun, 3), round(one.end - begun, 3)) for one in row.stretches]


def test_each_subtask_has_its_work_and_the_chain_that_decided_the_end_is_marked() -> None:
    timeline = timeline_of(a_run(), ROWS)

    assert stretches(timeline, "c") == [("work", 3, 8)]
    assert timeline.critical == ("a", "c", "d")
    assert set(timeline.states.values()) == {"completed"}
    root = parsed(gantt_svg(timeline))
    marked = [part for part in root.iter() if str(part.attrib.get("class", "")).endswith(" mark")]
    assert len([part for part in marked if part.tag == f"{SVG}g"]) == 3
    assert "Critical path: a, c, d." in (root.findtext(f"{SVG}desc") or "")


def test_a_wait_for_a_person_goes_on_while_no_process_runs() -> None:
    events = [
        at(0, "run_started"),
        at(0, "subtask_started", "a"),
        at(1, "subtask_waiting", "a"),
        at(1.5, "run_finished", status="waiting"),
        at(86401, "run_started"),
        at(86401, "subtask_started", "a"),
        done(86403, "a"),
    ]
    timeline = timeline_of(events, ROWS[:1])

    assert stretches(timeline, "a") == [("work", 0, 1), ("person", 1, 86401), ("work", 86401, 86403)]
    drawn = gantt_svg(timeline)
    assert "1 d 00:00 in which nothing was at work" in drawn
    assert "waited for an answer" in drawn
    assert "a break of 1 d 00:00 is cut short" in gantt_text(timeline)


def test_work_ends_with_the_last_sign_of_a_process_that_was_killed() -> None:
    events = [
        at(0, "run_started"),
        at(0, "subtask_started", "a"),
        at(4, "tool_called", "a"),
        at(60, "run_started"),
        at(60, "subtask_started", "a"),
        done(63, "a"),
    ]
    assert stretches(timeline_of(events, ROWS[:1]), "a") == [("work", 0, 4), ("work", 60, 63)]


def test_work_of_a_killed_process_lasts_as_long_as_it_noted_to_be_at_work() -> None:
    events = [
        at(0, "run_started", active_s=0.2),
        at(1, "subtask_started", "a"),
        at(60, "run_started", active_s=30.2),
        at(60, "subtask_started", "a"),
    ]
    assert stretches(timeline_of(events, ROWS[:1], active_s=35.2), "a") == [("work", 1, 30), ("work", 60, 65)]
    # The next request counts anew, and nothing goes on behind the next process's beginning.
    new = [*events[:2], at(60, "run_started", active_s=0.1)]
    assert stretches(timeline_of(new, ROWS[:1]), "a") == [("work", 1, 1)]
    late = [*events[:2], at(10, "run_started", active_s=30.2)]
    assert stretches(timeline_of(late, ROWS[:1]), "a") == [("work", 1, 10)]


def test_attempts_and_the_pauses_between_them_are_told_apart() -> None:
    events = [
        at(0, "subtask_started", "a", attempt=1),
        at(2, "subtask_retrying", "a", error="no luck"),
        at(5, "subtask_started", "a", attempt=2),
        done(6, "a", "failed", error="no luck again"),
    ]
    timeline = timeline_of(events, ROWS[:1])

    assert stretches(timeline, "a") == [("work", 0, 2), ("backoff", 2, 5), ("work", 5, 6)]
    root = parsed(gantt_svg(timeline))
    assert any("(2 tries)" in line for line in texts(root))
    assert "no luck again" in hint(box(root, "a"))


def test_what_is_under_way_goes_on_only_where_somebody_runs_it() -> None:
    events = [at(0, "run_started"), at(0, "subtask_started", "a"), at(2, "tool_called", "a")]
    live = timeline_of(events, ROWS[:1], now=START.timestamp() + 7)
    assert (stretches(live, "a"), live.states) == ([("work", 0, 7)], {"a": "running"})

    stopped = timeline_of(events, ROWS[:1])
    assert (stretches(stopped, "a"), stopped.states) == ([("work", 0, 2)], {"a": "pending"})


def test_a_subtask_kept_from_before_is_drawn_from_its_result() -> None:
    result = SubtaskResult(
        status="completed",
        output=None,
        error=None,
        attempts=1,
        started_at=(START - timedelta(seconds=9)).isoformat(),
        finished_at=(START - timedelta(seconds=5)).isoformat(),
        definition="x",
        output_file=None,
    )
    assert stretches(timeline_of([], ROWS[:1], {"a": result}), "a") == [("work", -9, -5)]


def test_only_the_newest_request_counts() -> None:
    first = [at(0, "plan_started"), at(0, "subtask_started", "a"), done(1, "a"), at(2, "answered")]
    second = [at(50, "plan_started"), at(50, "subtask_started", "a"), done(53, "a"), at(54, "answered")]
    assert stretches(timeline_of(newest_request([*first, *second]), ROWS[:1]), "a") == [("work", 50, 53)]


def test_without_a_plan_the_nodes_of_a_graph_are_drawn() -> None:
    events = [
        at(0, "node_started", node="fetch"),
        at(2, "node_finished", node="fetch", status="completed"),
        at(2, "node_started", node="sum"),
        at(3, "node_finished", node="sum", status="failed", error="no number"),
    ]
    timeline = timeline_of(events)
    assert timeline.states == {"fetch": "completed", "sum": "failed"}
    assert keys(parsed(gantt_svg(timeline))) == ["fetch", "sum"]


def test_a_node_waits_for_its_answer_and_what_is_kept_beside_it_is_not_run_again() -> None:
    events = [
        at(0, "run_started"),
        at(0, "node_started", id="t/1/started", node="fetch"),
        at(0, "node_started", id="t/2/started", node="ask"),
        at(1, "node_finished", id="t/2/waiting", node="ask", status="waiting"),
        at(2, "node_finished", id="t/1/completed", node="fetch", status="completed"),
        at(2, "run_finished", status="waiting"),
    ]
    asked = timeline_of(events)
    assert asked.states == {"fetch": "completed", "ask": "waiting"}
    events += [
        at(50, "run_started"),
        at(50, "node_started", id="t/1/started", node="fetch"),
        at(50, "node_started", id="t/2/started", node="ask"),
        at(51, "node_finished", id="t/2/completed", node="ask", status="completed"),
    ]
    timeline = timeline_of(events)
    assert timeline.states == {"fetch": "completed", "ask": "completed"}
    assert stretches(timeline, "fetch") == [("work", 0, 2)]
    assert stretches(timeline, "ask") == [("work", 0, 1), ("person", 1, 50), ("work", 50, 51)]
    assert [row.times for row in timeline.rows] == [1, 1]


def test_the_axis_keeps_order_and_cuts_only_long_breaks() -> None:
    scale = scale_of([(0, 10), (11, 20), (5000, 5010)], 0, 5010, 800)
    places = [scale.at(moment) for moment in range(0, 5011, 5)]
    assert places == sorted(places)
    assert scale.breaks == ((20, 5000),)
    assert places[-1] <= 800.01
    ticks = [place for place, _ in scale.ticks()]
    assert ticks == sorted(ticks)
    assert len(ticks) == len(set(ticks)) > 3


@pytest.mark.parametrize(("start", "length"), [(0, 2), (359.7, 1.5), (12.31, 0.2), (0, 0.004), (86390, 30), (3599, 3)])
def test_no_two_ticks_say_the_same(start: float, length: float) -> None:
    scale = scale_of([(0, 0.1), (start, start + length)], 0, start + length, 800)
    said = [tick_text(seconds, scale.step) for _, seconds in scale.ticks()]
    assert len(set(said)) == len(said) > 3


def test_times_are_as_people_read_them() -> None:
    shown = [seconds_text(value) for value in (0, 0.25, 12, 59.4, 150, 3900, 273600)]
    assert shown == ["0 s", "0.25 s", "12 s", "59.4 s", "2:30", "1:05:00", "3 d 04:00"]


def test_text_and_mermaid_tell_the_same() -> None:
    timeline = timeline_of(a_run(), ROWS, title="A run")
    lines = gantt_text(timeline, 80).splitlines()
    assert lines[0] == "A run"
    assert [line[:4] for line in lines[1:5]] == ["*✓ a", " ✓ b", "*✓ c", "*✓ d"]
    assert all(len(line) <= 80 for line in lines)
    assert "section c\n    completed :crit, done, 2000, 7000" in gantt_mermaid(timeline)


def test_mermaid_tells_long_runs_in_the_readers_time_and_short_ones_since_their_start() -> None:
    short = gantt_mermaid(timeline_of(a_run(), ROWS))
    assert "axisFormat %S.%L" in short
    assert "completed :crit, done, 0, 2000" in short
    long = gantt_mermaid(timeline_of([*a_run(), at(100, "subtask_started", "d"), done(160, "d")], ROWS))
    assert "axisFormat %H:%M:%S" in long
    assert f"done, {(START.timestamp() + 100) * 1000:.0f}, {(START.timestamp() + 160) * 1000:.0f}" in long


def test_nothing_done_is_still_a_picture() -> None:
    parsed(gantt_svg(timeline_of([], ROWS)))
    assert "○ a" in gantt_text(timeline_of([], ROWS))


def test_a_run_cut_off_in_its_first_subtask_has_no_critical_path() -> None:
    timeline = timeline_of([at(0, "run_started"), at(0, "subtask_started", "a"), at(0.004, "tool_called", "a")], ROWS)
    assert timeline.critical == ()
    assert "0.004 s" in gantt_text(timeline)
