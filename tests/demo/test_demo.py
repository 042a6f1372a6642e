"""The demo, with and without a crash: what it leaves behind, what it says, and that it says the truth."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.models.recording import Replay
from openmanus_graph.testing import Reply, ScriptedServer

from .conftest import Demo

pytestmark = [pytest.mark.postgres, pytest.mark.sandbox]

DATA = Path(__file__).parents[2] / "openmanus_graph" / "demo"


def recorded() -> list[str]:
    """The places of the recording, as the database names them: without the dispatch."""
    return [place.replace(".r2/", "/") for place in Replay(DATA / "recording.jsonl").places]


def check_report(demo: Demo, thread: str) -> None:
    """The report has the totals that were really computed, and what was missing when it was first checked."""
    report, costs = demo.file(thread, "report.md"), json.loads(demo.file(thread, "costs.json"))
    assert costs == {"Alder": 7332.0, "Birch": 6984.0, "Cedar": 6758.4}
    rows = [line for line in report.splitlines() if line.startswith("|")][2:]
    for name, total in costs.items():
        (row,) = [row for row in rows if name in row]
        assert f"{total:,.2f}" in row
        assert "" not in [cell.strip() for cell in row.strip("|").split("|")]
    assert "**Cedar Supply.**" in report


def test_it_runs_in_a_pipe_to_its_answer(demo: Demo) -> None:
    out, err = demo("--thread", "d")
    assert out.startswith("I recommend **Cedar Supply**: 240 lamps cost 6,758.40 EUR")
    check_report(demo, "d")
    said = " ".join(err.split())
    assert "recording, written by hand" in said
    assert "answered 404 Not Found. The coordinator had it planned again." in said
    assert "The verifier sent c10 back. The table has no delivery time for Birch." in said
    assert "resume d --answer yes" in said
    assert "1 request for a quote, sent once" in said
    assert "cat openmanus-work/d/report.md" in said
    # Each recorded reply is used, each once.
    assert Counter(demo.places("d")) == Counter(recorded())
    # While it waits, what failed before the plan was changed is not told as what failed.
    assert not re.search(r"^c2 failed", err, re.MULTILINE)


def test_after_a_crash_nothing_committed_runs_again(demo: Demo) -> None:
    out, err = demo("--crash", "--json", "--thread", "d")
    check_report(demo, "d")
    calls = Counter(demo.places("d"))
    assert calls == Counter(recorded())
    said = " ".join(err.split())
    assert "got SIGKILL in the middle of fetching /birch/prices.html" in said
    assert "3 subtasks (c1, c3, c4) and 4 model calls" in said
    assert "none of them twice; 6 pages before and 1 after, twice only /birch/prices.html, which was on its way" in said

    events = [json.loads(line) for line in out.splitlines()]
    ends = [event for event in events if event["type"] == "run_finished"]
    assert [event["status"] for event in ends] == ["waiting", "completed"]  # the killed process could say nothing
    assert all(result["status"] == "completed" for event in ends for result in event["results"].values())
    kept = [event["kept"] for event in events if event["type"] == "plan_started"]
    assert sorted(kept[2]) == ["c1", "c3", "c4"]
    assert ends[-1]["answer"].startswith("I recommend")


def test_a_stopped_demo_goes_on_with_its_site_whatever_the_settings(demo: Demo) -> None:
    demo.environment |= {
        "LLM_MODEL": "openai/none",
        "OPENMANUS_GRAPH_POLICY": "deny",
        "OPENMANUS_GRAPH_REVIEW": "always",
        "OPENMANUS_GRAPH_MAX_REPLANS": "0",
    }
    with demo.start("--thread", "d") as process:
        wait_for(lambda: any(place.startswith("executor") for place in demo.places("d")))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "demo --thread d" in err
    before = set(demo.places("d"))
    assert before < set(recorded())
    out, _ = demo("--thread", "d", "--quiet")
    assert out.startswith("I recommend")
    assert Counter(demo.places("d")) == Counter(recorded())


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_person_at_a_terminal_approves_the_quote(demo: Demo) -> None:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "openmanus_graph", "demo", "--ask", "--thread", "d"],
        cwd=demo.folder,
        env={**demo.environment, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    shown = ""
    answered = False
    deadline = time.monotonic() + 60
    while select.select([parent], [], [], max(deadline - time.monotonic(), 0))[0]:
        try:
            piece = os.read(parent, 4096)
        except OSError:  # what a terminal says when nobody is left at its other end
            break
        shown += piece.decode(errors="replace")
        if not answered and "why it is asked" in shown:
            answered = True
            os.write(parent, b"y\n")
    else:
        process.kill()
    os.close(parent)
    assert process.wait(30) == 0
    assert "Cedar Supply" in shown
    assert "The demo answers for you" not in shown
    assert "1 request for a quote" in shown
    check_report(demo, "d")


def test_a_thread_of_something_else_is_not_touched(demo: Demo) -> None:
    plan = {"subtasks": [{"id": "a", "tool": "list_files", "args": {"pattern": "*"}}]}
    (demo.folder / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "openmanus_graph", "run", "--plan", "plan.json", "--thread", "mine", "--quiet"]
    subprocess.run(command, cwd=demo.folder, env=demo.environment, check=True, stdin=subprocess.DEVNULL)
    _, err = demo("--thread", "mine", code=2)
    assert "'mine' is no demo" in err


def test_a_live_model_can_be_recorded_for_the_demo(demo: Demo) -> None:
    def answers(body: dict[str, Any]) -> Reply:
        site = re.search(r"http://127\.0\.0\.1:\d+", json.dumps(body["messages"]))
        assert site is not None
        return Reply(f"Look at {site[0]}/cedar.html yourself.")

    with ScriptedServer(answers) as provider:
        demo.environment |= {
            "LLM_MODEL": "openai/scripted",
            "LLM_BASE_URL": provider.base_url,
            "LLM_API_KEY": "sk-scripted",
        }
        out, err = demo("--record", "own.jsonl")
    assert re.fullmatch(r"Look at http://127\.0\.0\.1:\d+/cedar.html yourself.\n", out)
    assert "Your own model is used" in err
    replay = Replay(demo.folder / "own.jsonl")
    assert replay.source == "live"
    assert replay.lines["coordinator/-/1"].text == "Look at {site}/cedar.html yourself."


def test_without_a_model_nothing_is_recorded(demo: Demo) -> None:
    _, err = demo("--record", "own.jsonl", code=2)
    assert "No model" in err or "no model" in err
    assert not (demo.folder / "own.jsonl").exists()


def test_the_recording_says_that_it_is_by_hand() -> None:
    assert Replay(DATA / "recording.jsonl").source == "hand"
