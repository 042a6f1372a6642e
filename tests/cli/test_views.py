"""The views: readable with 50 subtasks, at 80 columns, without colour, in a pipe."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from openmanus_graph.cli.lines import Lines
from openmanus_graph.cli.live import LiveView
from openmanus_graph.cli.run_view_model import RunViewModel
from openmanus_graph.config.sections import BudgetSettings
from openmanus_graph.display_text import amount, call_line, clean, cost, duration, one_line, visible

USAGE = {"calls": 1, "input_tokens": 9000, "output_tokens": 100, "cached_tokens": 0, "cost_usd": 0.2, "cache_hits": 0}


def events(count: int) -> list[dict[str, Any]]:
    """A run in the middle: some done, some checked, one failed, one waiting, eight running, the rest to come."""
    outlines = [
        {"id": f"s{i}", "goal": f"見つける {i} 🗼 " * 9, "needs": [f"s{i - 9}"] * (i > 9), "runs": "executor"}
        for i in range(count)
    ]
    found: list[dict[str, Any]] = [
        {"type": "plan_started", "subtasks": outlines, "kept": ["s0"], "goal": "Compare 東京 and 大阪, " * 9}
    ]
    found += [{"type": "subtask_verified", "subtask": f"s{i}", "verified": True} for i in range(1, 4)]
    found += [
        {"type": "subtask_finished", "subtask": f"s{i}", "status": "completed", "elapsed_s": 75.0} for i in range(1, 6)
    ]
    found.append({"type": "subtask_finished", "subtask": "s6", "status": "failed", "error": "It broke.\n" * 30})
    found.append({"type": "subtask_waiting", "subtask": "s7", "question": {"id": "q", "question": "May it? " * 40}})
    for i in range(8, 16):
        found.append({"type": "subtask_started", "subtask": f"s{i}", "attempt": 1})
        found.append({"type": "model_finished", "subtask": f"s{i}", "role": "executor", "usage": USAGE})
        args = {"command": "grep -rn 値段 . | head \x1b[2J\x1b]0;title\x07 " * 5}
        found.append({"type": "tool_called", "subtask": f"s{i}", "call": "1", "tool": "bash", "args": args})
    found.append({"type": "model_retrying", "role": "executor", "subtask": "s9", "delay_s": 2, "error": "rate limit"})
    found.append({"type": "model_started", "role": "reporter", "model": "openai/gpt-5"})
    found.append(
        {"type": "model_tokens", "role": "reporter", "text": "# The report\n\n" + "It is so. " * 300 + "\nEnd"}
    )
    return [{"id": str(number), **event} for number, event in enumerate(found)]


def view_model_with(count: int) -> RunViewModel:
    view_model = RunViewModel("compare-ab12cd", budget=BudgetSettings(usd=5))
    for event in events(count):
        view_model.take(event)  # type: ignore[arg-type]
    return view_model


def drawn(view_model: RunViewModel, width: int = 80, height: int = 24, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    console = Console(file=file, width=width, height=height, no_color=True, color_system=None, force_terminal=False)
    console.print(LiveView(view_model, console).render())
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("count", [16, 50, 1000])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 12), (200, 60), (20, 8)])
def test_the_picture_is_never_larger_than_the_terminal(count: int, width: int, height: int) -> None:
    picture = drawn(view_model_with(count), width, height)
    lines = picture.rstrip("\n").split("\n")
    assert len(lines) <= max(height - 1, 11)  # below that a terminal shows nothing of use
    assert max(cell_len(line) for line in lines) <= width
    assert "\x1b" not in picture


def test_fifty_subtasks_at_80_by_24_without_colour_show_what_matters() -> None:
    picture = drawn(view_model_with(50))
    for wanted in ("s7 ", "s6 ", "s8 ", "bash grep", "May it?", "It broke.", "7 of 50", "more:", "of $5.00", "End"):
        assert wanted in picture, picture
    assert re.search(r"more: .*pending", picture)
    assert "✓✓✓✓✓✓✗?▸▸ ▸▸▸▸▸▸··· " in picture  # the DAG in a line, by depth


def test_every_state_can_be_told_without_colour() -> None:
    picture = drawn(view_model_with(16), height=60)
    marks = {line.split()[1]: line.split()[0] for line in picture.split("\n") if re.match(r"\S+ +s\d+ ", line)}
    assert marks["s1"] == "✓✓"
    assert marks["s5"] == "✓"
    assert marks["s6"] == "✗"
    assert marks["s7"] == "?"
    assert len({marks[name] for name in ("s1", "s5", "s6", "s7", "s8")}) == 5


def test_a_terminal_without_unicode_gets_plain_marks() -> None:
    view_model = RunViewModel("t")
    outlines = [{"id": name, "goal": f"do {name}", "needs": []} for name in ("a", "b")]
    view_model.take({"type": "plan_started", "id": "p", "subtasks": outlines, "kept": ["a"], "goal": "plain"})
    picture = drawn(view_model, encoding="ascii")
    assert re.search(r"\+ +a +do a", picture)
    assert re.search(r"\. +b +do b", picture)


def test_before_there_is_a_plan_the_roles_show_what_they_do() -> None:
    view_model = RunViewModel("t", task="compare things")
    view_model.take({"type": "model_started", "id": "1", "role": "planner", "model": "openai/gpt-5"})
    picture = drawn(view_model)
    assert "compare things" in picture
    assert re.search(r"planner planning .* openai/gpt-5", picture)


def test_a_chain_of_a_thousand_is_drawn() -> None:
    view_model = RunViewModel("t")
    outlines = [{"id": f"s{i}", "goal": "", "needs": [f"s{i - 1}"] * (i > 0)} for i in range(1000)]
    view_model.take({"type": "plan_started", "id": "p", "subtasks": list(reversed(outlines)), "kept": []})
    assert "1000" in drawn(view_model)


def test_lines_say_each_thing_once_and_in_one_line() -> None:
    lines = Lines(RunViewModel("t"))
    told = [lines.of(event) for event in events(50)]  # type: ignore[arg-type]
    said = [line for line in told if line is not None]
    assert any("50 subtasks, 1 kept" in line for line in said)
    assert any(re.fullmatch(r"\[2/50\] s1 completed in 75.0 s", line) for line in said)
    assert any(line.startswith("[7/50] s6 failed: It broke. It broke.") for line in said)
    assert any("s7 asks: May it?" in line for line in said)
    assert any("s8 → bash grep -rn 値段" in line for line in said)
    assert any("reporter: writing the answer" in line for line in said)
    assert all("\n" not in line and "\x1b" not in line and len(line) < 600 for line in said)


def test_an_allowed_site_is_told() -> None:
    model = RunViewModel("t")
    event: Any = {"type": "site_allowed", "subtask": "s1", "tool": "browser_use", "text": "https://shop.example"}
    assert Lines(model).of(event) == "  s1: https://shop.example is allowed for this request"
    assert model.note == "https://shop.example is allowed for this request"


def test_text_of_models_cannot_take_the_terminal_over() -> None:
    assert clean("a\x1b[2Jb\x1b]0;t\x07c\rd\u202ee") == "abcde"
    assert clean("one\ntwo\tthree 👩‍🚀") == "one\ntwo\tthree 👩‍🚀"
    assert visible("rm -rf /\r\x1b[2Kls\u202e") == "rm -rf /\\u000d\\u001b[2Kls\\u202e"
    assert one_line("a\n\n b\x00c " * 200, 20) == "a bc a bc a bc a bc…"


def test_numbers_are_short() -> None:
    assert [amount(n) for n in (0, 950, 12_340, 4_500_000)] == ["0", "950", "12.3k", "4.5M"]
    assert [duration(s) for s in (3.21, 65, 7384)] == ["3.2 s", "1:05", "2:03:04"]
    assert [cost(c) for c in (0.0, 0.0041, 0.3, 12.0, None)] == ["$0.00", "$0.0041", "$0.30", "$12.00", "cost unknown"]


def test_a_call_is_told_by_its_first_text() -> None:
    assert call_line("bash", {"command": "ls\n-la"}) == "bash ls -la"
    assert call_line("web_search", {"query": "x", "num_results": 3}) == "web_search x num_results=3"
    assert call_line("planning", {}) == "planning"
    assert len(call_line("bash", {"command": "x" * 10_000})) < 130
