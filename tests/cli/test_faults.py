"""Bad input and faults: one clear sentence with a next step, a non-zero exit, no traceback, nothing lost."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from openmanus_graph._version import __version__
from tests.conftest import Require
from tests.engine.plans import subtask

from .conftest import TOOLS, MakeProgram, Program
from .runs import started, work

POOLS_OWN_S = 28
"""Less than the half minute for which a pool of connections tries by itself, in silence."""

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "plan.yaml"),
        (b"", "empty"),
        (b"\x00\x01\x02\xff", "plan.yaml"),
        (b"goal: [unclosed\nsubtasks: x", "line"),
        (b"- a\n- b\n", "plan.yaml"),
    ],
)
def test_a_plan_file_that_cannot_be_read(program: Program, content: bytes | None, words: str) -> None:
    if content is not None:
        (program.folder / "plan.yaml").write_bytes(content)
    _, err = program("run", "--plan", "plan.yaml", code=2)
    assert words in err


def test_a_plan_file_that_may_not_be_read(program: Program) -> None:
    (program.folder / "plan.yaml").mkdir()
    _, err = program("run", "--plan", "plan.yaml", code=2)
    assert "plan.yaml" in err


def test_every_problem_of_a_plan_at_once(program: Program) -> None:
    plan = program.plan(subtask("a", "nep"), subtask("b", "nap", ["zz"]), subtask("b"))
    _, err = program("plan", "check", plan, "--tools", program.tools, code=2)
    assert "'nap'" in err
    assert "'zz'" in err
    out, _ = program("plan", "check", plan, "--json", code=2)
    assert len(json.loads(out)["problems"]) >= 3


def test_an_unknown_thread_names_the_nearest(program: Program) -> None:
    program("run", "--plan", program.plan(subtask("a")), "--tools", program.tools, "--thread", "report-7")
    _, err = program("resume", "raport-7", code=2)
    assert "report-7" in err
    _, err = program("threads", "show", "zzz", code=2)
    assert "threads list" in err


def test_postgres_unreachable_names_host_and_setting(program_in: MakeProgram) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    program = program_in(DATABASE_URL=f"postgresql://me:hidden-word@127.0.0.1:{port}/db")
    began = time.monotonic()
    _, err = program("threads", "list", code=1)
    assert time.monotonic() - began < POOLS_OWN_S
    assert f"127.0.0.1:{port}" in err
    assert "DATABASE_URL" in err
    assert "hidden-word" not in err
    out, _ = program("doctor", code=1)
    assert "hidden-word" not in out
    _, err = program_in(DATABASE_URL="nonsense://x y")("threads", "list", code=2)
    assert "DATABASE_URL" in err


def test_a_server_that_accepts_and_says_nothing_counts_as_unreachable(program_in: MakeProgram) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        program = program_in(DATABASE_URL=f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/db")
        began = time.monotonic()
        _, err = program("threads", "list", code=1)
    assert time.monotonic() - began < POOLS_OWN_S
    assert "DATABASE_URL" in err


def test_a_wrong_setting_is_named(program_in: MakeProgram) -> None:
    _, err = program_in(OPENMANUS_GRAPH_MAX_PARALLEL="many")("threads", "list", code=2)
    assert "max_parallel" in err
    assert "'many'" in err


def test_tools_that_cannot_be_imported(program: Program) -> None:
    plan = program.plan(subtask("a"))
    (program.folder / "broken.py").write_text("import nothing_of_this_name\n")
    _, err = program("run", "--plan", plan, "--tools", "broken.py", code=2)
    assert "nothing_of_this_name" in err
    _, err = program("run", "--plan", plan, "--tools", "missing.py", code=2)
    assert "missing.py" in err


@pytest.fixture
def home() -> Path:
    """A data folder that the server's account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="omg-"))
    folder.chmod(0o755)
    return folder


@pytest.mark.kill
def test_the_server_killed_in_the_middle_of_a_run(program_in: MakeProgram, home: Path) -> None:
    program = program_in(OPENMANUS_GRAPH_HOME=str(home))
    plan = program.plan(work(program, "a", 0), work(program, "b", 2.0, ["a"]), work(program, "c", 0, ["b"]))
    with program.start("run", "--plan", plan, "--tools", program.tools, "--thread", "t") as process:
        started(program, "b")
        pid = int((home / "postgres" / "data" / "postmaster.pid").read_text().split("\n")[0])
        os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "embedded server" in err, err
    program("resume", "t")
    assert program.log().count("start a") == 1
    assert program.log().count("end c") == 1
    program("db", "stop")


def test_no_command_needs_the_engine_for_its_help(program: Program) -> None:
    for command in ([], ["run"], ["resume"], ["threads"], ["plan"], ["graph"], ["tools"], ["db"], ["doctor"]):
        out, _ = program(*command, "--help")
        assert "Usage:" in out


def test_the_embedded_server_by_hand(program_in: MakeProgram, home: Path) -> None:
    program = program_in(OPENMANUS_GRAPH_HOME=str(home))
    program("db", "start")
    out, _ = program("db", "status", "--json")
    assert json.loads(out)["running"] is True
    assert "postgresql" in program("db", "url")[0]
    program("db", "migrate")
    program("db", "stop")
    assert json.loads(program("db", "status", "--json")[0])["running"] is False


def test_doctor_says_where_each_value_is_from(program_in: MakeProgram, database: str) -> None:
    program = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_MAX_PARALLEL="3")
    (program.folder / "openmanus-graph.toml").write_text('sandbox = "landlock"\nmax_parallel = 9\n')
    (program.folder / ".env").write_text("OPENMANUS_GRAPH_MAX_SUBTASKS=77\n")
    out, _ = program("doctor", "--json")
    found = {item["name"]: (item["value"], item["from"]) for item in json.loads(out)["settings"]}
    assert json.loads(out)["version"] == __version__
    assert found["max_parallel"] == (3, "environment")
    assert found["max_subtasks"] == (77, ".env")
    assert found["sandbox"] == ("landlock", str(program.folder / "openmanus-graph.toml"))
    assert found["inline_output"] == (20000, "default")
    assert "LLM_MODEL=" in program("doctor")[0], "how to have a model"


def test_doctor_says_which_model_each_role_has_and_never_a_key(program_in: MakeProgram, database: str) -> None:
    program = program_in(DATABASE_URL=database, LLM_MODEL="openai/some-model", LLM_API_KEY="sk-hidden-word")
    (program.folder / "openmanus-graph.toml").write_text(
        '[models.planner]\nmodel = "openai/other"\napi_key_env = "KEY_OF_MINE"\nfallbacks = ["openai/third"]\n'
    )
    out, err = program("doctor", "--json")
    models = {item["role"]: item for item in json.loads(out)["models"]}
    assert (models["executor"]["model"], models["executor"]["key_is_set"]) == ("openai/some-model", True)
    assert "KEY_OF_MINE" in models["planner"]["problem"]
    shown, _ = program("doctor")
    assert "✗ planner: openai/other" in shown
    assert "openai/some-model  (key from LLM_API_KEY)" in shown
    assert "duckduckgo" in shown
    assert "hidden-word" not in out + err + shown


def test_tools_and_plans_are_shown(program: Program) -> None:
    out, _ = program("tools", "list", "--tools", program.tools)
    assert "str_replace_editor" in out
    assert "Wait, then return the text" in out
    out, _ = program("tools", "show", "bash")
    assert "command" in out
    _, err = program("tools", "show", "bosh", code=2)
    assert "'bash'" in err
    plan = program.plan(subtask("a"), subtask("b", needs=["a"]))
    assert "← a" in program("plan", "show", plan)[0]
    assert "-->" in program("plan", "show", plan, "--format", "mermaid")[0]
    assert json.loads(program("plan", "schema")[0])["properties"]["subtasks"]
    assert "coordinator → " in program("graph", "show")[0]
    assert "coordinator" not in program("graph", "show", "--graph", "plan")[0]
    assert "flowchart TD" in program("graph", "show", "--format", "mermaid")[0]


def test_odd_arguments_are_refused_in_a_sentence(program: Program) -> None:
    plan = program.plan(subtask("a"))
    for name in ("..", "-x", "a/b", ""):
        program("run", "--plan", plan, "--tools", program.tools, f"--thread={name}", code=0 if name == "" else 2)
    (program.folder / "file").write_text("")
    program("run", "--plan", plan, "--tools", program.tools, "--workspace", "file", code=2)
    _, err = program("resume", os.fsdecode(b"\xff"), code=2)
    assert "UTF-8" in err
    program("threads", "list", "--status", "bogus", code=2)
    assert "No thread is waiting" in program("threads", "list", "--status", "waiting")[0]


FILL_THE_DISK = """
mount -t tmpfs -o size=110m,mode=755 tmpfs "$OPENMANUS_GRAPH_HOME" || exit 99
"$PYTHON" -m openmanus_graph run --plan plan.yaml --tools "$TOOLS" --thread t --quiet
echo "first: $?"
mount -o remount,size=900m "$OPENMANUS_GRAPH_HOME"
"$PYTHON" -m openmanus_graph resume t --quiet > /dev/null
echo "second: $?"
"""


def test_the_disk_of_the_embedded_server_is_full(program_in: MakeProgram, home: Path, require: Require) -> None:
    allowed = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0
    require(allowed, "a small disk needs a mount namespace", "sudo make test")
    program = program_in(OPENMANUS_GRAPH_HOME=str(home), PYTHON=sys.executable, TOOLS=str(TOOLS))
    noise = random.Random(1)
    steps = [
        subtask(f"s{index}", "echo", args={"value": noise.randbytes(9000).hex()}, needs=[f"s{index - 8}"] * (index > 7))
        for index in range(500)
    ]
    log = str(program.folder / "log")
    first = subtask("first", "work", args={"name": "first", "seconds": 0, "logfile": log}, priority=9)
    program.plan(first, *steps)
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", FILL_THE_DISK],
        cwd=program.folder,
        env=program.environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split("\n")[-3:-1] == ["first: 1", "second: 0"], done.stderr[-2000:]
    assert "disk" in done.stderr
    assert "is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert program.log().count("start first") == 1
