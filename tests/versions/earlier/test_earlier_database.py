"""Earlier database: threads that a released program left in every way go on with the program of today.

Their rows hold what that program wrote: import paths of graphs and tools, names of tasks, nodes, channels and events.
Each tool, and each node of the user's graphs, writes a line when it runs, so what ran twice is seen.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from openmanus_graph import Settings, get_thread, open_checkpointer
from openmanus_graph.graphs.compatibility.check import change_of
from openmanus_graph.graphs.rebuild import rebuild_app
from openmanus_graph.testing import ScriptedServer
from tests.cli.conftest import Program

from .conftest import View
from .script import DONE, REMEMBERED, TALK, TALK_ON, WORK

pytestmark = pytest.mark.postgres

STATUSES = {
    "killed": "stopped",
    "waiting": "waiting",
    "paused": "paused",
    "sent": "stopped",
    "agent": "stopped",
    "talk": "completed",
    "flow": "stopped",
    "asking": "waiting",
}


def ran(program: Program, thread: str) -> dict[str, int]:
    """How often each of a thread's tools or nodes ran, in both programs together."""
    lines = Counter(program.log())
    return {line.partition(".")[2]: count for line, count in lines.items() if line.startswith(f"{thread}.")}


WORDS = re.compile(
    r"which it can bear: (((the description of the tool '\w+' has|the prompts? of [\w, ]+ (has|have)) changed"
    r"|the tool '\w+' has a new argument '\w+')(; )?)+(and \d+ more)?\."
)
"""A note that says only that what models read has changed, or that tools take more."""


EDGES = re.compile(r"which it can bear: .*the edge __start__ → coordinator is gone")
KNOWN = re.compile(
    r"the description of the tool '\w+' has changed|the tool '\w+' has a new argument '\w+'"
    r"|the prompts? of [\w, ]+ (has|have) changed|the edge .+ is (new|gone)"
)
"""All that is other than in the version that a thread began with."""


def warned(view: View, thread: str, err: str) -> bool:
    """Whether a resume told of a changed graph, or of anything else that is not as it was; words may be others."""
    told = [line for line in err.splitlines() if "note:" in line]
    told += [line for line in view("threads", "events", thread, "--json").splitlines() if '"warned"' in line]
    return any(not WORDS.search(line) for line in told)


def shown(view: View, thread: str) -> dict[str, Any]:
    """What is known of a thread, the results of its subtasks by their ids."""
    found = json.loads(view("threads", "show", thread, "--json"))
    return {**found, "results": {one["id"]: one["result"] for one in found["subtasks"]}}


def test_threads_are_listed_with_their_status(earlier: Program, view: View) -> None:
    found = json.loads(view("threads", "list", "--json"))
    assert {thread["thread_id"]: thread["status"] for thread in found} == STATUSES
    lines = view("threads", "list").splitlines()
    assert {tuple(line.split()[:2]) for line in lines[1:]} == set(STATUSES.items())


@pytest.mark.parametrize("thread", STATUSES)
def test_a_thread_can_be_looked_at_in_every_way(thread: str, earlier: Program, view: View) -> None:
    assert shown(view, thread)["status"] == STATUSES[thread]
    assert STATUSES[thread] in view("threads", "show", thread)
    points = json.loads(view("threads", "history", thread, "--json"))["points"]
    assert [point["number"] for point in points]
    newest = max(point["number"] for point in points)
    assert "the input" in view("threads", "history", thread)
    assert view("threads", "show", f"{thread}@{newest}")
    assert view("threads", "events", thread)
    assert view("threads", "diff", f"{thread}@1", f"{thread}@{newest}")
    assert view("threads", "draw", thread, "--history")
    assert "<html" in view("threads", "report", thread)
    assert json.loads(view("threads", "size", thread, "--json"))
    assert view("threads", "playback", thread, "--fast", "--json")
    assert thread in view("resume", thread, "--dry-run")


def foreseen(view: View, thread: str) -> dict[str, Any]:
    """What a resume says it would do with each subtask, and with each call."""
    found = json.loads(view("resume", thread, "--dry-run", "--json"))
    return {one["id"]: one["action"] for one in found["subtasks"]} | {
        f"{one['subtask']}.{one['tool']}": one["action"] for one in found["effects"]
    }


@pytest.mark.parametrize("thread", [name for name in STATUSES if name != "talk"])
async def test_all_that_has_changed_is_words_arguments_and_the_agents_edges(
    thread: str, earlier: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(earlier.folder)
    async with open_checkpointer(earlier.environment["DATABASE_URL"]) as saver:
        row = await get_thread(saver, thread)
        assert row is not None
        app = await rebuild_app(row, saver, Settings.load(llm_model="openai/unreachable", llm_api_key="sk-x"))
        change = await change_of(app, saver, thread, None)
    other = [told for told in change.notes if not KNOWN.fullmatch(told)]
    assert (other, change.forced) == ([], [])
    assert any("the edge" in told for told in change.notes) is (thread == "agent")


def test_what_a_resume_would_do_is_known(earlier: Program, view: View) -> None:
    assert foreseen(view, "killed") == {
        **dict.fromkeys(("one", "file", "order"), "kept"),
        "held": "continues",
        **dict.fromkeys(("after", "read"), "starts"),
        "order.order": "recorded",
    }
    assert foreseen(view, "waiting") == {"before": "kept", "color": "waits", "paint": "starts"}
    assert foreseen(view, "paused") == {"one": "kept", "held": "kept", "last": "starts"}
    assert foreseen(view, "sent") == {"letter": "continues", "last": "starts", "letter.send": "asked"}
    assert foreseen(view, "agent") == {"first": "kept", "work": "continues", "last": "starts"}
    before = earlier.log()
    assert before == [line for line in before if "last" not in line], "looking runs nothing"


def test_a_killed_plan_goes_on(earlier: Program, view: View) -> None:
    out, err = earlier("resume", "killed")
    assert not warned(view, "killed", err)
    assert "written by killed.one" in out
    assert "6 subtasks, 3 kept" in err
    assert "[6/6] read completed" in err
    assert ran(earlier, "killed") == {"one": 1, "order": 1, "held": 2, "after": 1}
    results = shown(view, "killed")["results"]
    assert {key: result["status"] for key, result in results.items()} == dict.fromkeys(
        ("one", "file", "order", "held", "after", "read"), "completed"
    )
    assert results["order"]["output"] == {"ordered": "killed.order"}


def test_a_plan_that_waits_takes_its_answer(earlier: Program) -> None:
    out, _ = earlier("resume", "waiting", "--answer", "blue")
    assert out == "name: waiting.blue\n"
    assert ran(earlier, "waiting") == {"before": 1, "blue": 1}


def test_a_paused_plan_goes_on_after_its_pause(earlier: Program) -> None:
    out, err = earlier("resume", "paused")
    assert out == "name: paused.last\n"
    assert "3 subtasks, 2 kept" in err
    assert ran(earlier, "paused") == {"one": 1, "held": 1, "last": 1}


def test_a_call_of_which_nobody_knows_is_asked_about_and_not_made_again(earlier: Program) -> None:
    _, err = earlier("resume", "sent", code=3)
    assert "Did the call of send" in err
    out, _ = earlier("resume", "sent", "--answer", '= {"sent": "sent.letter"}')
    assert out == "name: sent.last\n"
    assert ran(earlier, "sent") == {"letter": 1, "last": 1}


def test_an_agent_that_was_killed_as_it_worked_goes_on(agent: Program, provider: ScriptedServer, view: View) -> None:
    out, err = agent("resume", "agent")
    assert EDGES.search(err), "the coordinator has become a loop since, and nothing else is told"
    assert out.splitlines()[0] == DONE
    assert "3 subtasks, 1 kept" in err
    assert ran(agent, "agent") == {"first": 1, "once": 1, "held": 2, "last": 1}
    asked = [{tool["function"]["name"] for tool in request.body.get("tools") or []} for request in provider.requests]
    assert sum("delegate" in tools for tools in asked) == 1, "it answers, and plans nothing again"
    assert sum("terminate" in tools for tools in asked) == 1, "the executor begins where it was"
    found = shown(view, "agent")
    assert (found["status"], [request["task"] for request in found["requests"]]) == ("completed", [WORK])
    assert found["results"]["work"]["verified"] is True
    used = {call["role"]: call["usage"]["calls"] for call in found["usage"]["calls"]}
    assert used == {"coordinator": 2, "executor": 3, "verifier": 1}, "what was used before counts too"


def test_a_conversation_is_gone_on_with(agent: Program, provider: ScriptedServer, view: View) -> None:
    out, _ = agent("resume", "talk")
    assert out.splitlines()[0] == DONE
    assert provider.requests == [], "what is completed is only said again"
    out, _ = agent("run", TALK_ON, "--thread", "talk")
    assert out.splitlines()[0] == REMEMBERED
    assert [request["task"] for request in shown(view, "talk")["requests"]] == [TALK, TALK_ON]
    assert ran(agent, "talk") == {"noted": 1}


def test_a_graph_of_a_users_own_goes_on(earlier: Program, view: View) -> None:
    out, err = earlier("resume", "flow")
    assert not warned(view, "flow", err)
    assert out == "I begin with flow. I have seen: begin, held.\n"
    assert ran(earlier, "flow") == {"begin": 1, "held": 2, "end": 1}


def test_a_graph_of_a_users_own_takes_its_answer(earlier: Program) -> None:
    out, _ = earlier("resume", "asking", "--answer", "well")
    assert out == "I begin with asking. I have seen: begin, well.\n"
    assert ran(earlier, "asking") == {"begin": 1, "well": 1, "end": 1}


def test_what_is_kept_can_be_gone_back_to(earlier: Program, view: View) -> None:
    points = json.loads(view("threads", "history", "waiting", "--json"))["points"]
    (asked,) = [point for point in points if point["subtask"] == "color" and point["step"] == 0]
    _, err = earlier("threads", "rerun", f"waiting@{asked['number']}", "--as", "again", code=3)
    assert "3 subtasks, 1 kept" in err
    earlier("resume", "again", "--answer", "red")
    assert ran(earlier, "waiting") == {"before": 1, "red": 1}
    assert shown(view, "waiting")["status"] == "waiting", "the old thread never changes"


def test_a_thread_can_be_moved_out_and_in(earlier: Program) -> None:
    earlier("threads", "export", "killed", "killed.thread")
    earlier("threads", "import", "killed.thread", "--as", "moved", "--workspace", "elsewhere")
    out, err = earlier("resume", "moved")
    assert "written by killed.one" in out
    assert "6 subtasks, 3 kept" in err
    assert ran(earlier, "killed") == {"one": 1, "order": 1, "held": 2, "after": 1}
