"""The `bash` tool: what a model or a plan relies on, at every level and without confinement."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from openmanus_graph.context import ToolContext
from openmanus_graph.errors import SandboxUnavailableError, ToolArgumentsError
from openmanus_graph.sandbox.capture import KEEP
from openmanus_graph.tools.bash import bash
from tests.sandbox.conftest import gone, sleeping

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("context")]


async def run(command: str, **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = await bash.ainvoke({"command": command, **more})
    assert set(result) == {"stdout", "stderr", "exit_code", "timed_out"}
    return result


async def until_running(marker: str) -> None:
    deadline = time.monotonic() + 10
    while not sleeping(marker):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_both_outputs_and_the_exit_code_come_back() -> None:
    expected = {"stdout": "out", "stderr": "err\n", "exit_code": 4, "timed_out": False}
    assert await run("printf out; echo err >&2; (exit 4)") == expected


async def test_it_starts_in_the_workspace(context: ToolContext) -> None:
    assert (await run("pwd; echo x > made"))["stdout"] == f"{context.workspace}\n"
    assert (context.workspace / "made").read_text() == "x\n"


async def test_directory_variables_and_functions_are_kept() -> None:
    await run("mkdir d; cd d; x='a b'; export y=2; f() { echo \"f $1\"; }; shopt -s nullglob")
    assert (await run('basename "$PWD"; echo "$x$y"; f 1; echo *.none'))["stdout"] == "d\na b2\nf 1\n\n"


async def test_variables_are_set_before_it_whatever_they_hold() -> None:
    text = 'it\'s "so"\n$HOME `x` \\'
    assert (await run('printf %s "$t"', variables={"t": text}))["stdout"] == text
    assert (await run('printf %s "$t"; false', variables=None))["stdout"] == text
    assert await run("echo no", variables={"UID": 1}) == {
        "stdout": "",
        "stderr": "bash: UID: readonly variable\n",
        "exit_code": 1,
        "timed_out": False,
    }
    with pytest.raises(ToolArgumentsError, match="'t' contains a NUL"):
        await run("echo no", variables={"t": "\0"})


async def test_commands_of_one_subtask_wait_for_each_other() -> None:
    results = await asyncio.gather(*(run(f"n={n}; sleep 0.02; echo $n") for n in range(5)))
    assert [result["stdout"] for result in results] == [f"{n}\n" for n in range(5)]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("echo 'unbalanced", 2),
        ("if true; then", 2),
        ("set -u; echo $unset", 1),
        ("cat <<EOF\nx", 0),
        ("-x", 127),
    ],
)
async def test_broken_commands_do_not_hang_the_session(command: str, code: int) -> None:
    assert (await run(command, timeout_s=10))["exit_code"] == code
    assert (await run("set +u; echo fine"))["stdout"] == "fine\n"


async def test_commands_have_no_input() -> None:
    result = await run("cat; read line; echo \"[$line]\"; python3 -c 'input()' 2>&1 | tail -1", timeout_s=20)
    assert result["stdout"] == "[]\nEOFError: EOF when reading a line\n"


async def test_what_a_command_prints_is_never_taken_for_its_status() -> None:
    result = await run("echo 0; for n in $(seq 200 260); do echo 55 >&$n; done 2>/dev/null; (exit 9)")
    assert (result["stdout"], result["exit_code"]) == ("0\n", 9)


@pytest.mark.parametrize(("command", "code"), [("exit 3", 3), ("set -e; false", 1), ("exec sh -c 'exit 5'", 5)])
async def test_a_session_that_ends_is_replaced(command: str, code: int) -> None:
    await run("x=1")
    result = await run(f"echo last; {command}")
    assert (result["stdout"], result["exit_code"]) == ("last\n", code)
    assert "new session" in result["stderr"]
    assert (await run("echo [$x]"))["stdout"] == "[]\n"


async def test_after_a_timeout_the_session_goes_on(marker: str) -> None:
    await run("x=kept")
    started = time.monotonic()
    result = await run(f"echo before; setsid sleep {marker} & sleep {marker}; echo after", timeout_s=0.3)
    assert time.monotonic() - started < 60
    assert result["timed_out"]
    assert (result["stdout"], result["exit_code"]) == ("before\n", 130)
    assert (await run("echo $x"))["stdout"] == "kept\n"
    assert await gone(marker)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time that an interrupted command has to end."""
    monkeypatch.setattr("openmanus_graph.sandbox.shell._INTERRUPT_S", 0.4)


@pytest.mark.usefixtures("impatient")
async def test_a_command_that_ignores_the_interrupt_is_killed(marker: str) -> None:
    await run("x=kept")
    result = await run(f"echo go; (trap '' INT; sleep {marker})", timeout_s=0.2)
    assert (result["timed_out"], result["stdout"], result["exit_code"]) == (True, "go\n", 137)
    assert (await run("echo $x"))["stdout"] == "kept\n"


@pytest.mark.usefixtures("impatient")
async def test_a_shell_that_ignores_the_interrupt_is_replaced() -> None:
    result = await run("echo go; trap '' INT; while :; do :; done", timeout_s=0.2)
    assert (result["timed_out"], result["stdout"], result["exit_code"]) == (True, "go\n", 137)
    assert (await run("echo fine"))["stdout"] == "fine\n"


async def test_a_loop_of_the_shell_itself_is_interrupted() -> None:
    await run("x=kept")
    assert (await run("while :; do :; done", timeout_s=0.2))["exit_code"] == 130
    assert (await run("while :; do sleep 0.05; done", timeout_s=0.2))["exit_code"] == 130
    assert (await run("echo $x"))["stdout"] == "kept\n"


async def test_more_output_of_a_running_command_is_fetched(marker: str) -> None:
    running = asyncio.create_task(run(f"echo first; sleep {marker}"))
    await until_running(marker)
    assert await run("") == {"stdout": "first\n", "stderr": "", "exit_code": None, "timed_out": False}
    interrupted = await run("ctrl+c")
    assert interrupted["exit_code"] == 130
    assert (await running)["exit_code"] == 130
    assert not (await running)["timed_out"]


async def test_output_of_background_jobs_is_fetched(marker: str) -> None:
    result = await run(f"(sleep 0.1; echo later; sleep {marker}) &")
    assert result["exit_code"] == 0
    await until_running(marker)
    assert await run("") == {"stdout": "later\n", "stderr": "", "exit_code": None, "timed_out": False}
    assert (await run("kill %1; wait"))["timed_out"] is False
    assert (await run(""))["exit_code"] is not None
    assert await gone(marker)


async def test_an_interrupt_with_nothing_running_says_so() -> None:
    await run("true")
    assert "Nothing is running" in (await run("ctrl+c"))["stderr"]
    assert (await run("echo fine"))["stdout"] == "fine\n"


async def test_restart_ends_what_runs_and_gives_a_new_session(marker: str) -> None:
    await run(f"x=1; sleep {marker} &")
    running = asyncio.create_task(run(f"echo go; sleep {marker}"))
    await until_running(marker)
    await asyncio.sleep(0.05)
    assert (await run("", restart=True))["exit_code"] == 0
    ended = await running
    assert (ended["stdout"], ended["exit_code"]) == ("go\n", 137)
    assert await gone(marker)
    assert (await run("echo [$x]"))["stdout"] == "[]\n"


async def test_a_cancelled_call_leaves_nothing_behind(marker: str) -> None:
    running = asyncio.create_task(run(f"echo stale; sleep {marker}"))
    await until_running(marker)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await run("echo fresh"))["stdout"] == "fresh\n"
    assert await gone(marker)


async def test_a_flood_keeps_head_and_tail() -> None:
    result = await run("echo head; head -c 20000000 /dev/zero | tr '\\0' a; echo tail")
    text: str = result["stdout"]
    assert text.startswith("head\na")
    assert text.endswith("atail\n")
    assert "left out ...]" in text
    assert len(text) < KEEP + 100


async def test_binary_output_is_readable_text() -> None:
    result = await run("printf 'a\\000\\377b\\303\\244'")
    assert result["stdout"] == "a\ufffd\ufffdbä"


async def test_a_command_with_a_nul_is_refused() -> None:
    with pytest.raises(ToolArgumentsError, match="NUL"):
        await run("echo a\0b")


async def test_a_long_command_goes_in() -> None:
    text = "x" * 300_000
    assert (await run(f"s='{text}'; echo ${{#s}}"))["stdout"] == "300000\n"


async def test_the_interpreter_of_the_project_is_there() -> None:
    result = await run("python -c 'import sys, pydantic; print(sys.prefix != sys.base_prefix or sys.prefix)'")
    assert result["exit_code"] == 0, result["stderr"]


async def test_a_level_that_does_not_work_is_refused(context: ToolContext) -> None:
    from openmanus_graph.sandbox import probe

    for report in probe(context.settings):
        if not report.works:
            object.__setattr__(context, "sandbox", report.level)
            with pytest.raises(SandboxUnavailableError):
                await run("echo never")
