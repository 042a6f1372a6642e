"""With a key, no row and no file of the database has a word of the work; the program shows it all the same."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.replies import calls, ends, plans, verdict
from tests.cli.conftest import MakeProgram, Program
from tests.encryption.plain_text import files_with, rows_with

pytestmark = pytest.mark.postgres

TOOLS = Path(__file__).parent / "careful_tools.py"
OWN = Path(__file__).parent / "own_graph.py"
EVERYWHERE = {
    "threads", "checkpoints", "checkpoint_blobs", "checkpoint_writes", "events", "effects", "file_contents", "ratings",
    "tool_results", "store", "episodes", "answers",
}  # fmt: skip
"""Tables with words of people and models."""


def script(word: str) -> Any:
    """An agent that has a file written, works on it with an agent, and says what is in it."""

    def answers(body: dict[str, Any]) -> Reply:
        names = [tool["function"]["name"] for tool in body.get("tools", [])]
        said = json.dumps(body["messages"])
        if "delegate" in names and body["messages"][-1]["role"] != "tool":
            direct = {"id": "s1", "goal": f"write {word}", "tool": "bash", "args": {"command": f"echo {word} > a.txt"}}
            agent = {"id": "s2", "goal": f"read {word}", "agent": "executor", "needs": ["s1"], "tools": ["bash"]}
            return plans(direct, agent, goal=f"the goal {word}")
        if "terminate" in names:
            done = '"role": "tool"' in said
            return ends(f"It says {word}.") if done else calls(ToolUse("bash", {"command": f"cat a.txt # {word}"}))
        if "verdict" in names:
            return verdict(True, f"{word} was seen.")
        return Reply(f"The file says {word}.")

    return answers


def run_plan(program: Program, word: str) -> None:
    """A plan whose calls are kept, paid, asked about and failed; it is answered, rated, edited and forked."""
    program.plan(
        {"id": "a", "goal": f"say {word}", "tool": "say", "args": {"text": f"hello {word}"}},
        {"id": "b", "tool": "look_up", "args": {"text": "${a.text}"}},
        {"id": "c", "tool": "pay", "args": {"whom": f"Mr {word}"}},
        {"id": "d", "tool": "breaks", "args": {"why": f"no {word} there"}},
        {"id": "e", "tool": "ask_human", "args": {"inquire": f"Who is {word}?"}},
        {"id": "f", "tool": "say", "args": {"text": "${e}"}, "needs": ["a"]},
        name=f"{word}.yaml",
    )
    options = ("--tools", str(TOOLS), "--policy", "allow", "--thread", "plan", "--quiet")
    _, err = program("run", "--plan", f"{word}.yaml", *options, code=3)
    assert f"Who is {word}?" in err + program("threads", "show", "plan")[0]
    program("resume", "plan", "--answer", f"e=It is {word}", "--quiet", code=1)
    program("threads", "rate", "plan", "bad", f"{word} was rude")
    program("threads", "rerun", "plan@2", "--as", "fork", "--set", f"plan.goal=meet {word}", "--quiet", code=3)


def run_agent(program: Program, word: str) -> str:
    """A request of the agent, which nobody has given an id; its thread's id."""
    out, _ = program("run", f"Write {word} into a file", "--quiet", "--sandbox", "none")
    assert word in out
    listed = json.loads(program("threads", "list", "--json")[0])
    (thread,) = (one for one in listed if one["thread_id"] not in ("plan", "fork", "own"))
    assert word in thread["title"]
    return str(thread["thread_id"])


def run_own(program: Program, word: str) -> dict[str, Any]:
    """A graph of somebody's own that fails, and then goes on in another process; what it shows."""
    said: list[str] = []
    for fails in ("yes", "no"):
        command = [sys.executable, str(OWN), word, fails]
        ended = subprocess.run(
            command, cwd=program.folder, env=program.environment, capture_output=True, text=True, check=True
        )
        said += ended.stdout.splitlines()
    assert said[0] == f"no {word} there"
    return dict(json.loads(said[-1]))


@pytest.mark.parametrize("encrypted", [True, False])
def test_the_word_is_nowhere_with_a_key_and_everywhere_without(
    program_in: MakeProgram, database: str, key: str, encrypted: bool
) -> None:
    word = f"walrus{secrets.token_hex(4)}"
    with ScriptedServer(script(word)) as provider:
        keys = {"OPENMANUS_GRAPH_ENCRYPTION_KEY": key} if encrypted else {}
        keys["OPENMANUS_GRAPH_INSTRUCTIONS"] = f"Speak of {word}."
        program = program_in(DATABASE_URL=database, **provider.environment, **keys)
        run_plan(program, word)
        agent = run_agent(program, word)
        own = run_own(program, word)

    assert own["values"]["title"] == f"about {word}"
    assert own["values"]["person"] == {word: [word]}
    assert own["values"]["notes"][1] == f"It is {word} about {word}"
    assert f"'friend': '{word}'" in own["values"]["notes"][2], "the store finds it by its name"
    assert [point["note"] for point in own["listed"]] == [word, word]
    assert own["listed"][0]["why"] == word
    shown = {name: program("threads", "show", name)[0] for name in ("plan", "fork", "own@3", agent)}
    assert [name for name, text in shown.items() if word not in text] == []
    assert f"bad: {word} was rude" in shown["plan"]
    assert f"meet {word}" in program("threads", "show", "fork", "--json")[0]
    assert word in program("threads", "effects", "plan")[0]
    assert word in program("threads", "events", agent)[0]
    program("threads", "history", "plan")

    rows, files = rows_with(database, word), files_with(database, word)
    if encrypted:
        assert rows == {}
        assert files == []
        assert agent.startswith("thread-")
    else:
        assert rows.keys() >= EVERYWHERE
        assert any(name.startswith("base/") for name in files)
        assert any(name.startswith("pg_wal/") for name in files)
        assert word in agent
