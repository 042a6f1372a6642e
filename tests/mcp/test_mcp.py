"""MCP: servers of the settings, their tools as nodes of a plan, and what broken, dead and lying servers cost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmanus_graph import Settings, ThreadSaver, list_effects
from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import SettingsError, ToolError
from openmanus_graph.sandbox.tree import tree_below
from openmanus_graph.tools.mcp.connection import McpConnection, connected
from openmanus_graph.tools.mcp.listing import name_of
from openmanus_graph.tools.mcp.server import servers_of
from openmanus_graph.tools.mcp.server_tools import mcp_tools
from openmanus_graph.tools.rebuild import available_tools, rebuild_tools, tool_references
from openmanus_graph.tools.spec import spec_of
from tests.bytes_in_files import files_holding
from tests.cli.conftest import MakeProgram, program_in  # noqa: F401 - a fixture
from tests.mcp.conftest import HERE, HttpServer, Run, call, demo, odd, of_the_sdk

TOKEN = "tk-1234567890abcdef"

# ---------------------------------------------------------------- settings


def test_servers_come_from_the_table_and_from_a_file_as_others_have_it(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    table = {
        "one": {"command": "npx", "args": ["-y", "thing"], "env": {"KEY": "${THING_KEY}"}, "alwaysAllow": ["x"]},
        "two": {"url": "https://example.com/mcp", "transport": "sse", "headers": {"Authorization": "Bearer ${T}"}},
        "off": {"command": "x", "disabled": True},
    }
    file.write_text(json.dumps({"mcpServers": table}))
    own = McpServerSettings(command="mine")
    found = servers_of(Settings.load(home=tmp_path, mcp_file=file, mcp_servers={"one": own}))

    assert sorted(found) == ["one", "two"]
    assert found["one"] is own
    assert (found["two"].type, found["two"].headers) == ("sse", {"Authorization": "Bearer ${T}"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "cannot be read"),
        ("[]", "has no 'mcpServers'"),
        ('{"mcpServers": {"a": {}}}', "neither 'command' and 'url'"),
        ('{"mcpServers": {"a": {"command": "x", "url": "http://x"}}}', "both 'command' and 'url'"),
        ('{"mcpServers": {"a": {"command": "x", "timeout_s": -1}}}', "'timeout_s' = -1"),
    ],
)
def test_a_file_that_cannot_be_used_is_said(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "mcp.json").write_text(text)
    with pytest.raises(SettingsError, match=why):
        servers_of(Settings.load(home=tmp_path, mcp_file=tmp_path / "mcp.json"))


NAMES = st.text(min_size=1, max_size=120)


@given(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=30, unique=True))
def test_names_are_short_plain_and_never_the_same(pairs: list[tuple[str, str]]) -> None:
    # A server's name with an underscore could read as another server's tool: only such plain pairs may meet.
    plain = {f"{server}_{tool}" for server, tool in pairs}
    names = {name_of(server, tool) for server, tool in pairs}

    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in names)
    assert len(names) == len(pairs) or len(plain) < len(pairs)


# ---------------------------------------------------------------- calls in a plan


async def test_its_tools_are_nodes_whose_output_can_be_referred_to(run: Run, log: Path) -> None:
    results = await run(
        of_the_sdk(env={"DEMO_LOG": str(log)}),
        call("sum", "add", a=20, b=22),
        {**call("note", "note", text="${sum.total} "), "needs": ["sum"]},
    )
    assert results["sum"]["output"] == {"total": 42}
    assert results["note"]["output"] == {"result": "noted 42 "}
    assert log.read_text() == "42 \n"


async def test_arguments_of_any_name_arrive_and_wrong_ones_never_do(run: Run, log: Path) -> None:
    server = demo(env={"DEMO_LOG": str(log)})
    results = await run(server, call("a", "note", text="x", config="y", run_manager="z"))
    assert results["a"]["status"] == "completed"
    assert log.read_text() == "xyz\n"

    from openmanus_graph.errors import PlanError

    for wrong in ({"text": "x", "more": 1}, {"text": 3}, {}):
        with pytest.raises(PlanError):
            await run(server, {"id": "a", "tool": "mcp_demo_note", "args": wrong}, thread="wrong")
    assert log.read_text() == "xyz\n"


async def test_what_a_server_calls_an_error_is_a_failure(run: Run) -> None:
    results = await run(demo(), call("a", "fail", why="no money"))
    assert results["a"]["status"] == "failed"
    assert "it failed: no money" in results["a"]["error"]


async def test_pictures_are_files_of_the_workspace(run: Run, tmp_path: Path) -> None:
    results = await run(demo(), call("a", "draw"))
    (name,) = results["a"]["output"]["files"]
    assert name.endswith(".png")
    assert (tmp_path / "work" / name).read_bytes().startswith(b"\x89PNG")


async def test_a_call_is_external_unless_the_server_is_trusted(settings: Callable[..., Settings]) -> None:
    for trusted, effect, again in ((False, "external", False), (True, "read", True)):
        tools, problems = await asyncio.to_thread(mcp_tools, settings(demo=demo(trust_annotations=trusted)))
        assert problems == []
        spec = spec_of(tools["mcp_demo_add"])
        assert (spec.effect, spec.idempotent) == (effect, again)
        assert spec_of(tools["mcp_demo_note"]).effect == "external"


async def test_a_server_that_dies_in_a_call_leaves_it_open_and_it_is_never_made_again(
    run: Run, log: Path, saver: ThreadSaver
) -> None:
    server = demo(env={"DEMO_LOG": str(log)})
    results = await run(server, {**call("a", "die", text="once"), "retries": 3})

    assert log.read_text() == "once\n"
    assert results["a"]["status"] == "failed"
    assert "What the call did is unknown, so it is not repeated." in results["a"]["error"]
    assert [effect.status for effect in await list_effects(saver, "t")] != ["done"]

    after = await run(server, call("b", "note", text="again"), thread="u")
    assert after["b"]["status"] == "completed", "the server is started anew"


async def test_a_call_that_takes_too_long_is_ended_and_the_session_goes_on(run: Run) -> None:
    server = of_the_sdk(timeout_s=3.0)
    results = await run(server, call("a", "slow", seconds=600), call("b", "add", a=1, b=1))
    assert results["a"]["status"] == "failed"
    assert results["b"]["output"] == {"total": 2}


async def test_the_environment_is_a_small_one_and_secrets_are_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, saver: ThreadSaver, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEMO_TOKEN", TOKEN)
    monkeypatch.setenv("ANOTHER_SECRET", "hidden")
    results = await run(demo(env={"TOKEN": "${DEMO_TOKEN}"}), call("a", "environment"))

    assert TOKEN in results["a"]["output"]["text"], "the server has it"
    assert "ANOTHER_SECRET" not in results["a"]["output"]["text"]
    assert files_holding(tmp_path / "home" / "mcp", TOKEN) == []

    monkeypatch.delenv("DEMO_TOKEN")
    results = await run(demo(env={"TOKEN": "${DEMO_TOKEN}"}), call("a", "environment"), thread="unset")
    assert "needs the variable 'DEMO_TOKEN', which is not set" in results["a"]["error"]


async def test_a_thread_is_resumed_with_the_tools_of_its_servers(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen = settings(demo=demo())
    tools = await asyncio.to_thread(lambda: available_tools((), chosen))
    references = tool_references([tools["mcp_demo_add"], tools["fetch_page"]])
    monkeypatch.setattr(Settings, "load", classmethod(lambda *_, **__: chosen))

    found = await asyncio.to_thread(rebuild_tools, references, "t")

    assert [tool.name for tool in found] == ["mcp_demo_add", "fetch_page"]


# ---------------------------------------------------------------- servers that are down, broken or lie


async def test_a_malformed_tool_costs_that_tool(settings: Callable[..., Settings]) -> None:
    async with connected("odd", odd("malformed"), settings()) as connection:
        assert [tool.name for tool in connection.listing.tools] == ["good"]
        assert len(connection.listing.problems) == 7


@pytest.mark.parametrize(("kind", "count", "said"), [("many", 500, "500 tools"), ("circle", 1, "goes in a circle")])
async def test_lists_are_bounded(settings: Callable[..., Settings], kind: str, count: int, said: str) -> None:
    async with connected("odd", odd(kind), settings()) as connection:
        assert len(connection.listing.tools) == count
        assert any(said in problem for problem in connection.listing.problems)


async def test_an_answer_that_breaks_its_schema_is_one_all_the_same(run: Run, tmp_path: Path) -> None:
    results = await run(odd("answers"), call("a", "good"))

    output = results["a"]["output"]
    assert output["a"] == "no number"
    (file,) = output["files"]
    assert (tmp_path / "work" / file).read_bytes() == b"hello"
    assert file.startswith("mcp/demo/")
    assert file.endswith(".bin")


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ({"command": "/bin/sh", "args": ["-c", "echo need API_KEY >&2; exit 3"]}, "need API_KEY"),
        ({"command": "no-such-program-at-all"}, "There is no program 'no-such-program-at-all'"),
        ({"command": "sleep", "args": ["1000"], "start_timeout_s": 1.0}, "did not answer within 1 s"),
        ({"command": "/bin/sh", "args": ["-c", "yes nonsense"], "start_timeout_s": 1.0}, "did not answer within 1 s"),
        ({"url": "http://127.0.0.1:9/mcp"}, "cannot be used"),
    ],
)
async def test_a_server_that_cannot_be_used_costs_a_line_and_its_tools(
    settings: Callable[..., Settings], server: dict[str, Any], why: str
) -> None:
    chosen = settings(broken=McpServerSettings.model_validate(server), demo=demo())
    tools, problems = await asyncio.to_thread(mcp_tools, chosen)

    assert "mcp_demo_add" in tools
    (problem,) = problems
    assert "'broken'" in problem
    assert why in problem


async def test_a_list_is_kept_for_when_the_server_is_away(settings: Callable[..., Settings]) -> None:
    await asyncio.to_thread(mcp_tools, settings(demo=demo()))
    began = time.monotonic()
    tools, problems = await asyncio.to_thread(mcp_tools, settings(demo=demo()))
    assert ("mcp_demo_add" in tools, problems) == (True, [])
    assert time.monotonic() - began < 1.0, "nothing was started"


async def test_only_the_tools_that_are_wanted_are_taken(settings: Callable[..., Settings]) -> None:
    tools, _ = await asyncio.to_thread(mcp_tools, settings(demo=demo(tools=["add"])))
    assert list(tools) == ["mcp_demo_add"]


async def test_a_session_is_closed_from_another_task_and_nothing_is_left(settings: Callable[..., Settings]) -> None:
    connection = await McpConnection.open("demo", demo(), settings())
    assert tree_below(os.getpid())

    await asyncio.create_task(connection.aclose())

    assert not [one for one in tree_below(os.getpid()) if "odd_server" in _command(one.pid)]
    assert not connection.alive


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


KILLED = """
import asyncio, os, sys
from openmanus_graph import Settings
from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.tools.mcp.connection import McpConnection
async def main():
    server = McpServerSettings(command=sys.executable, args=(sys.argv[1], "plain"), start_timeout_s=60)
    connection = await McpConnection.open("demo", server, Settings.load())
    print(os.getpid(), flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


def test_a_server_ends_with_a_program_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(HERE / "odd_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as program:
        assert program.stdout is not None
        assert program.stdout.readline().strip()
        below = [one.pid for one in tree_below(program.pid)]
        assert any("odd_server" in _command(pid) for pid in below)
        program.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any("odd_server" in _command(pid) for pid in below):
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ---------------------------------------------------------------- over HTTP


@pytest.fixture(params=["streamable-http", "sse"])
def over_http(request: pytest.FixtureRequest, log: Path) -> Iterator[HttpServer]:
    with HttpServer(request.param, log) as served:
        yield served


async def test_a_server_over_http(run: Run, over_http: HttpServer) -> None:
    results = await run(over_http.settings, call("a", "add", a=1, b=2))
    assert results["a"]["output"] == {"total": 3}


async def test_a_server_over_http_that_is_started_anew_costs_no_call(
    settings: Callable[..., Settings], over_http: HttpServer, tmp_path: Path, log: Path
) -> None:
    chosen = settings(demo=over_http.settings)
    tools, _ = await asyncio.to_thread(mcp_tools, chosen)
    context = ToolContext("t", "s", tmp_path, chosen, call_id="c")
    with using_tool_context(context):
        await tools["mcp_demo_note"].ainvoke({"text": "one"})
        await asyncio.to_thread(over_http.restart)
        await tools["mcp_demo_note"].ainvoke({"text": "two"})
    await context.thread_sessions.aclose()
    assert log.read_text() == "one\ntwo\n"


# ---------------------------------------------------------------- at the terminal


def test_the_commands(program_in: MakeProgram, tmp_path: Path) -> None:  # noqa: F811
    server = {"command": sys.executable, "args": [str(HERE / "odd_server.py"), "plain"]}
    table = {"demo": {**server, "env": {"DEMO_LOG": str(tmp_path / "log")}}, "dead": {"command": "false"}}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": table}))
    program = program_in(OPENMANUS_GRAPH_MCP_FILE=str(tmp_path / "mcp.json"))

    out, _ = program("mcp", "check", code=1)
    assert "demo: 7 tools\n" in out
    assert "dead: cannot be used\n" in out
    out, _ = program("mcp", "list", "demo")
    assert "mcp_demo_add" in out
    out, _ = program("mcp", "call", "demo", "add", '{"a": 1, "b": 2}')
    assert json.loads(out) == {"total": 3}
    _, said = program("mcp", "call", "demo", "ad", code=2)
    assert "Did you mean 'add'?" in said
    _, said = program("mcp", "call", "demo", "add", "{", code=2)
    assert "are no JSON" in said
    _, said = program("mcp", "call", "demo", "add", '{"a": "x"}', code=1)
    assert "'b'" in said
    _, said = program("mcp", "call", "demo", "die", '{"text": "x"}', code=1)
    assert "nobody knows whether the call happened" in said


def test_without_a_server_nothing_of_it_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom openmanus_graph import Settings\nfrom openmanus_graph.tools.rebuild import available_tools\n"
        "available_tools(())\nprint([name for name in sys.modules if 'mcp' in name])"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert ran.stdout.strip() == "[]"


async def test_a_tool_outside_of_a_run_says_so(settings: Callable[..., Settings]) -> None:
    tools, _ = await asyncio.to_thread(mcp_tools, settings(demo=demo()))
    with pytest.raises(ToolError, match="only inside a run"):
        await tools["mcp_demo_add"].ainvoke({"a": 1, "b": 2})
