"""Training data: what went well and what was refused become lines that trainers take, and no secret is in them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.replies import asks, calls, ends, plans, verdict
from tests.cli.conftest import MakeProgram, Program

pytestmark = pytest.mark.postgres

Line = dict[str, Any]


class Model:
    """Does everything with one agent, unless it is greeted; its checks go as the test says."""

    def __init__(self) -> None:
        self.verdicts: list[bool] = []
        self.command = "echo 42 > n.txt; cat n.txt"
        self.answers: list[str] = []
        self.greeting = "Hello to you."
        self.goal = "write it"

    def __call__(self, body: dict[str, Any]) -> Reply:
        """The reply to one request."""
        names = [tool["function"]["name"] for tool in body.get("tools", [])]
        last = body["messages"][-1]
        if "verdict" in names:
            verified = self.verdicts.pop(0) if self.verdicts else True
            return verdict(verified, "It was seen." if verified else "The number is missing.")
        if "delegate" in names:
            if last["role"] == "tool":
                return Reply("It is written.")
            if "hello" in str(last["content"]):
                return Reply(self.greeting)
            return plans({"id": "w", "goal": self.goal, "agent": "executor", "done_when": "it is written"})
        made = [message for message in body["messages"] if message["role"] == "assistant"]
        if not made:
            return calls(ToolUse("bash", {"command": self.command}))
        return ends(self.answers.pop(0) if self.answers else "42 is written")


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def agent(program_in: MakeProgram, database: str, model: Model) -> Iterator[Program]:
    with ScriptedServer(model) as provider:
        yield program_in(DATABASE_URL=database, **provider.environment)


def lines(program: Program, name: str) -> list[Line]:
    return [json.loads(line) for line in (program.folder / name).read_text().splitlines()]


def roles(messages: list[Line]) -> list[str]:
    return [message["role"] for message in messages]


def test_conversations_that_went_well_are_lines_for_fine_tuning(agent: Program) -> None:
    agent("run", "write", "42", "to", "a", "file", "--thread", "t", "-q")
    agent("run", "--thread", "t", "hello", "-q")

    _, err = agent("threads", "export", "t", "t.jsonl", "--format", "sft")

    assert err == "Wrote 2 conversations from 1 thread to t.jsonl.\n"
    assert (agent.folder / "t.jsonl").stat().st_mode & 0o777 == 0o600
    dialogue, work = lines(agent, "t.jsonl")
    assert dialogue["messages"][0] == {"role": "user", "content": "write 42 to a file"}
    assert dialogue["messages"][-2:] == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hello to you."},
    ]
    assert roles(work["messages"]) == ["system", "user", "assistant", "tool", "assistant", "tool"]
    (call,) = work["messages"][2]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "bash")
    assert json.loads(call["function"]["arguments"]) == {"command": "echo 42 > n.txt; cat n.txt"}
    assert work["messages"][3]["tool_call_id"] == call["id"]
    assert "42" in work["messages"][3]["content"]
    assert [tool["function"]["name"] for tool in work["tools"]] == ["bash", "terminate"]
    assert "command" in work["tools"][0]["function"]["parameters"]["properties"]


def test_what_failed_or_was_rated_bad_is_no_example(agent: Program, model: Model) -> None:
    for name in ("good", "bad", "unchecked"):
        model.verdicts = [False] * 9 if name == "unchecked" else []
        agent("run", "write 42", "--thread", name, "-q", "--budget-calls", "12", code=1 if name == "unchecked" else 0)
    agent("threads", "rate", "bad", "bad", "the", "wrong", "file")
    plan = agent.plan({"id": "a", "tool": "bash", "args": {"command": "true"}})
    agent("run", "--plan", plan, "--thread", "plan", "-q")

    out, _ = agent("threads", "export", "good", "bad", "unchecked", "plan", "t.jsonl", "--format", "sft", "--json")

    said = json.loads(out)
    assert (said["file"], said["format"], said["lines"], said["threads"]) == ("t.jsonl", "sft", 2, 4)
    assert sorted((left["what"], left["why"], left["count"]) for left in said["left_out"]) == [
        ("request", "rated bad", 1),
        ("request", "that did not complete", 1),
        ("subtask of an agent", "of a request rated bad", 1),
        ("subtask of an agent", "that did not complete", 1),
        ("thread", "in which no agent worked", 1),
    ]
    _, err = agent("threads", "export", "bad", "plan", "none.jsonl", "--format", "sft", code=2)
    assert err.startswith("Error: There is no conversation to write: 1 request rated bad, ")
    assert "threads rate" in err
    assert not (agent.folder / "none.jsonl").exists()
    assert not list(agent.folder.glob(".*.part"))


def test_all_are_the_completed_threads_and_a_fork_says_nothing_twice(agent: Program) -> None:
    agent("run", "write 42", "--thread", "t", "-q")
    agent("threads", "rerun", "t", "--as", "fork", "--no-run")
    _, err = agent("threads", "export", "t", "fork", "both.jsonl", "--format", "sft")
    assert "2 conversations from 2 threads" in err
    agent("run", "hello", "--thread", "other", "-q")
    _, err = agent("threads", "export", "--all", "all.jsonl", "--format", "sft")
    assert "3 conversations from 3 threads" in err
    assert (agent.folder / "all.jsonl").read_text().count("Hello to you.") == 1
    agent("threads", "export", "--all", "all.jsonl", "--format", "sft", code=2)
    agent("threads", "export", "t", "--all", "x.jsonl", "--format", "sft", code=2)
    agent("threads", "export", "x.jsonl", "--format", "sft", code=2)
    agent("threads", "export", "--all", "x.jsonl", code=2)
    agent("threads", "export", "t", "other", "x.jsonl", code=2)
    agent("threads", "export", "t", "t.thread")


def test_what_a_check_refused_is_rejected_for_what_it_accepted(agent: Program, model: Model) -> None:
    model.verdicts, model.answers = [False, True], ["written", "42 is written in n.txt"]
    agent("run", "write 42", "--thread", "t", "-q")

    _, err = agent("threads", "export", "t", "t.jsonl", "--format", "preference")

    assert err.startswith("Wrote 1 preference from 1 thread to t.jsonl. Left out: 1 request that nobody rated.")
    (pair,) = lines(agent, "t.jsonl")
    assert roles(pair["prompt"]) == ["system", "user", "assistant", "tool"]
    said = {}
    for side in ("chosen", "rejected"):
        (message,) = pair[side]
        (call,) = message["tool_calls"]
        said[side] = json.loads(call["function"]["arguments"])["answer"]
    assert said == {"chosen": "42 is written in n.txt", "rejected": "written"}
    assert [tool["function"]["name"] for tool in pair["tools"]] == ["bash", "terminate"]


def test_of_the_same_words_what_was_rated_good_is_chosen(agent: Program, model: Model) -> None:
    for name, greeting in (("curt", "Hi."), ("kind", "Hello to you."), ("alone", "Hello there.")):
        model.greeting = greeting
        words = "and hello" if name == "alone" else "hello  you" if name == "kind" else "hello you"
        agent("run", words, "--thread", name, "-q")
        agent("threads", "rate", name, "bad" if name == "curt" else "good")

    _, err = agent("threads", "export", "--all", "t.jsonl", "--format", "preference")

    assert "1 preference from 3 threads" in err
    assert "1 request whose words nobody rated the other way" in err
    assert lines(agent, "t.jsonl") == [
        {
            "prompt": [{"role": "user", "content": "hello you"}],
            "chosen": [{"role": "assistant", "content": "Hello to you."}],
            "rejected": [{"role": "assistant", "content": "Hi."}],
        }
    ]
    _, err = agent("threads", "export", "alone", "x.jsonl", "--format", "preference", code=2)
    assert "There is no preference to write: 1 request whose words nobody rated the other way." in err


def test_the_same_words_in_two_conversations_are_not_the_same_question(agent: Program, model: Model) -> None:
    for name, first, greeting, rating in (("a", "hello you", "Hi.", "good"), ("b", "hello they", "Ho.", "bad")):
        agent("run", first, "--thread", name, "-q")
        model.greeting = greeting
        agent("run", "hello and more of it", "--thread", name, "-q")
        agent("threads", "rate", name, rating)
    _, err = agent("threads", "export", "--all", "t.jsonl", "--format", "preference", code=2)
    assert "2 requests in the middle of a conversation" in err


KNOWN = 'a "known" wörd/of 12'
SHAPES = ["sk-proj-0123456789abc", "ghp_0123456789abcdefghij", "AKIAIOSFODNN7EXAMPLE", "hunter2000"]


def test_no_secret_and_no_path_of_this_machine_is_in_the_file(agent: Program, model: Model) -> None:
    agent.environment["SHOP_TOKEN"] = KNOWN
    nested = json.dumps({"deep": json.dumps({"password": SHAPES[3], "said": [SHAPES[0]], SHAPES[1]: KNOWN})})
    model.goal = f"write it with password={SHAPES[3]} and {KNOWN}"
    model.command = f"pwd; cat <<'END'\n{nested}\n{json.dumps({'x': KNOWN})} {quote(KNOWN)}\nEND\necho {SHAPES[2]}"
    model.answers = [f"It is {SHAPES[0]}, {base64.b64encode(KNOWN.encode()).decode()} and {nested}."] * 2
    model.verdicts = [False, True]
    model.greeting = json.dumps({"token": SHAPES[3], SHAPES[1]: KNOWN})
    workspace = agent.folder / "openmanus-work" / "t"
    task = f"write 42 with {SHAPES[2]} and {KNOWN} into {workspace}/n.txt"
    agent("run", task, "--thread", "t", "-q", "--policy", "allow")
    agent("run", "--thread", "t", f"hello password: {SHAPES[3]}", "-q")
    agent("threads", "rate", "t", "good", "for", SHAPES[0])
    agent("threads", "rerun", "t", "--as", "fork", "--no-run")

    agent("threads", "export", "t", "fork", "sft.jsonl", "--format", "sft")
    agent("threads", "export", "t", "preference.jsonl", "--format", "preference")

    sft, preference = ((agent.folder / f"{name}.jsonl").read_text() for name in ("sft", "preference"))
    assert "write 42 with [key] and [key] into n.txt" in sft
    assert sft.count("[key]") > 8
    written = (KNOWN, "wörd", "of%2012", quote(KNOWN), base64.b64encode(KNOWN.encode()).decode(), str(agent.folder))
    for part in (*SHAPES, *written):
        assert part not in sft, part
        assert part not in preference, part
    for line in lines(agent, "sft.jsonl"):
        for message in line["messages"]:
            for call in message.get("tool_calls", []):
                json.loads(call["function"]["arguments"])


def test_a_pruned_thread_still_gives_what_is_left_of_it(agent: Program) -> None:
    agent("run", "write 42", "--thread", "t", "-q")
    agent("run", "--thread", "t", "hello", "-q")
    agent("threads", "prune", "t", "--yes")

    agent("threads", "export", "t", "t.jsonl", "--format", "sft")

    (line,) = lines(agent, "t.jsonl")
    assert line["messages"] == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hello to you."},
    ]


def test_the_file_is_not_there_before_it_is_whole(agent: Program, tmp_path: Path) -> None:
    agent("run", "hello", "--thread", "t", "-q")
    _, err = agent("threads", "export", "t", "missing/t.jsonl", "--format", "sft", code=2)
    assert "cannot be written" in err
    (tmp_path / "there.jsonl").write_text("mine")
    agent("threads", "export", "t", "there.jsonl", "--format", "sft", code=2)
    assert (tmp_path / "there.jsonl").read_text() == "mine"


def test_a_bad_request_parts_the_conversation_around_it(agent: Program, model: Model) -> None:
    for greeting in ("One.", "Two.", "Three.", "Four."):
        model.greeting = greeting
        agent("run", "--thread", "t", f"hello, say {greeting}", "-q")
        if greeting == "Two.":
            agent("threads", "rate", "t", "bad")

    _, err = agent("threads", "export", "t", "t.jsonl", "--format", "sft")

    assert err == "Wrote 2 conversations from 1 thread to t.jsonl. Left out: 1 request rated bad.\n"
    said = [[message["content"] for message in line["messages"]] for line in lines(agent, "t.jsonl")]
    assert said == [
        ["hello, say One.", "One."],
        ["hello, say Three.", "Three.", "hello, say Four.", "Four."],
    ]


def test_what_another_role_answers_and_what_a_person_was_asked_is_in_the_conversation(
    program_in: MakeProgram, database: str
) -> None:
    def script(body: dict[str, Any]) -> Reply:
        names = [tool["function"]["name"] for tool in body.get("tools", [])]
        if "bash" not in names:
            return Reply("The reporter says: 42.")
        answered = [message for message in body["messages"] if message["role"] == "tool"]
        if not answered:
            return asks("Which file?")
        return calls(ToolUse("bash", {"command": "echo 42 > n.txt"})) if len(answered) == 1 else Reply("Done.")

    with ScriptedServer(script) as provider:
        program = program_in(DATABASE_URL=database, **provider.environment)
        place = f'[models.reporter]\nmodel = "openai/other"\nbase_url = "{provider.base_url}"\n'
        (program.folder / "openmanus-graph.toml").write_text(place)
        program("run", "write 42", "--thread", "t", "-q", code=3)
        program("resume", "t", "--answer", "n.txt", "-q")

    program("threads", "export", "t", "t.jsonl", "--format", "sft")

    (line,) = lines(program, "t.jsonl")
    assert roles(line["messages"]) == [
        "user", "assistant", "tool", "assistant", "tool", "assistant", "assistant",
    ]  # fmt: skip
    assert line["messages"][2]["content"] == "The person answered: n.txt"
    assert line["messages"][-1]["content"].startswith("The reporter says: 42.")
    assert [tool["function"]["name"] for tool in line["tools"]] == ["ask", "bash"]
