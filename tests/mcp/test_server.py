"""The MCP server: the official client runs plans, tasks and graphs through it, and answers what they ask."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult

from openmanus_graph.cli.mcp_server.http import TOKEN_FILE, TOKEN_VARIABLE, token_of
from openmanus_graph.errors import SettingsError
from openmanus_graph.sandbox.tree import tree_below
from openmanus_graph.testing import Reply, ScriptedServer
from tests.mcp.conftest import ASKS, COMMAND, ROOT, SLOW, WORK

WAIT_S = 60

Connect = Callable[..., Any]


@pytest.fixture
def connect(environment: dict[str, str], tmp_path: Path) -> Connect:
    """Opens the official client on a server of its own."""

    @asynccontextmanager
    async def opened(*words: str, **options: Any) -> AsyncIterator[Client]:
        command = [*COMMAND, *words]
        parameters = StdioServerParameters(command=command[0], args=command[1:], env=environment, cwd=tmp_path)
        async with Client(stdio_client(parameters), **options) as client:
            yield client

    return opened


async def call(client: Client, tool: str, **args: Any) -> dict[str, Any]:
    """A call that must not fail; what it says."""
    result = await client.call_tool(tool, args)
    assert not result.is_error, result.content
    said: Any = result.structured_content
    assert json.loads(result.content[0].text) == said  # type: ignore[union-attr]
    return said


async def failure(client: Client, tool: str, **args: Any) -> str:
    result = await client.call_tool(tool, args)
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr]


async def test_a_plan_is_run_and_looked_at(connect: Connect) -> None:
    async with connect() as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {"run", "resume", "answer", "status", "result", "threads", "graph_double"}

        said = await call(client, "run", plan=WORK, thread="t", wait_s=WAIT_S)

        assert (said["thread"], said["status"]) == ("t", "completed")
        assert said["results"]["a"]["output"]["stdout"] == "hello\n"
        assert (await call(client, "status", thread="t"))["status"] == "completed"
        assert await call(client, "result", thread="t") == said
        assert [one["thread"] for one in (await call(client, "threads"))["threads"]] == ["t"]
        assert (await call(client, "resume", thread="t"))["status"] == "completed"


async def test_a_graph_is_a_tool_and_its_prints_are_no_protocol(connect: Connect) -> None:
    async with connect() as client:
        (tool,) = [one for one in (await client.list_tools()).tools if one.name == "graph_double"]
        assert tool.description == "Double a number."
        assert list(tool.input_schema["properties"]) == ["number"]

        said = await call(client, "graph_double", number=21)

        assert (said["status"], said["output"]) == ("completed", {"number": 42})


async def test_a_long_run_gives_its_thread_at_once_and_tells_its_progress(connect: Connect, tmp_path: Path) -> None:
    told: list[str] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append(str(message))

    async with connect() as client:
        result = await client.call_tool("run", {"plan": WORK, "wait_s": WAIT_S}, progress_callback=progress)
        assert result.structured_content["status"] == "completed"  # type: ignore[index]
        assert any("a started" in line for line in told)
        said = await call(client, "run", plan=SLOW, thread="t", wait_s=0)
        assert (said["thread"], said["status"]) == ("t", "running")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_question_is_put_to_the_clients_person(connect: Connect, mode: str) -> None:
    asked: list[Any] = []

    async def answers(_: Any, params: Any) -> ElicitResult:
        asked.append(params)
        return ElicitResult(action="accept", content={"answer": "Ada"})

    async with connect(elicitation_callback=answers, mode=mode) as client:
        said = await call(client, "run", plan=ASKS, wait_s=WAIT_S)

    assert said["status"] == "completed"
    assert said["results"]["name"]["output"] == {"answer": "Ada"}
    (params,) = asked
    assert "Your name?" in params.message


async def test_without_elicitation_the_result_says_how_to_answer(connect: Connect) -> None:
    async with connect() as client:
        said = await call(client, "run", plan=ASKS, thread="t", wait_s=WAIT_S)
        assert said["status"] == "waiting"
        assert "by the tool `answer`" in said["next"]
        (question,) = said["questions"]
        assert (question["name"], question["question"]) == ("name", "Your name?")

        assert "Give `answer`" in await failure(client, "answer", thread="t")
        said = await call(client, "answer", thread="t", answers={question["name"]: "Ada"}, wait_s=WAIT_S)
        assert said["results"]["name"]["output"] == {"answer": "Ada"}


@pytest.mark.parametrize("decision", ["no", "decline"])
async def test_a_call_that_needs_consent_asks_as_everywhere(
    environment: dict[str, str], connect: Connect, decision: str
) -> None:
    environment["OPENMANUS_GRAPH_POLICY"] = "ask"

    async def answers(_: Any, params: Any) -> ElicitResult:
        assert "May 'a' call bash" in params.message
        if decision == "decline":
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content={"decision": "no", "reason": "too dear"})

    async with connect(elicitation_callback=answers) as client:
        said = await call(client, "run", plan=WORK, wait_s=WAIT_S)
        if decision == "decline":
            assert said["status"] == "waiting"
        else:
            assert "too dear" in said["results"]["a"]["error"]


async def test_a_client_does_not_approve_by_itself_unless_it_is_let(
    environment: dict[str, str], connect: Connect
) -> None:
    environment["OPENMANUS_GRAPH_POLICY"] = "ask"

    async with connect() as client:
        said = await call(client, "run", plan=WORK, thread="t", wait_s=WAIT_S)
        assert said["status"] == "waiting"
        assert said["next"] == "It is about an effect: your user answers it with: openmanus-graph resume t"
        (question,) = said["questions"]
        for given in ({"answer": "yes"}, {"answers": {question["name"]: "yes"}}):
            why = await failure(client, "answer", thread="t", **given)
            assert "is about an effect, and a client cannot decide it by itself" in why
            assert "openmanus-graph resume t" in why
        assert (await call(client, "status", thread="t"))["status"] == "waiting"

    async with connect("--client-approves") as client:
        said = await call(client, "answer", thread="t", answer="yes", wait_s=WAIT_S)
        assert said["status"] == "completed"


async def test_errors_are_told_with_the_next_step(connect: Connect) -> None:
    async with connect() as client:
        assert "'none'" in await failure(client, "status", thread="none")
        wrong = {"subtasks": [{"id": "a", "tool": "nonsense"}]}
        assert "names the unknown tool 'nonsense'" in await failure(client, "run", plan=wrong)
        assert "Give `task` or `plan`" in await failure(client, "run")
        assert "'thread'" in await failure(client, "status")
        assert "There is no tool 'nope'" in await failure(client, "nope")


async def test_a_task_is_worked_on_by_the_agent(environment: dict[str, str], connect: Connect) -> None:
    with ScriptedServer() as provider:
        provider.add(Reply("Lima."))
        environment |= {
            "OPENMANUS_GRAPH_LLM_MODEL": "openai/scripted",
            "OPENMANUS_GRAPH_LLM_BASE_URL": provider.base_url,
            "OPENMANUS_GRAPH_LLM_API_KEY": "sk-scripted",
        }
        async with connect() as client:
            said = await call(client, "run", task="What is the capital of Peru?", wait_s=WAIT_S)
    assert (said["status"], said["answer"]) == ("completed", "Lima.")


async def test_two_servers_over_one_database_do_not_disturb_each_other(connect: Connect, tmp_path: Path) -> None:
    async with connect() as one, connect() as other:
        await call(one, "run", plan=SLOW, thread="slow", wait_s=0)
        await call(one, "run", plan=ASKS, thread="asks", wait_s=WAIT_S)
        assert (await call(other, "status", thread="slow"))["status"] == "running"
        assert (await call(other, "resume", thread="slow", wait_s=0))["status"] == "running"
        said = await call(other, "answer", thread="asks", answer="Ada", wait_s=WAIT_S)
        assert said["status"] == "completed"
        assert (await call(one, "result", thread="asks"))["results"] == said["results"]


@pytest.mark.parametrize(("table", "before"), [("mcpServers", "claude_desktop"), ("servers", "VS Code takes")])
async def test_what_other_programs_are_given_starts_it(
    environment: dict[str, str], tmp_path: Path, table: str, before: str
) -> None:
    page = (ROOT / "docs" / "mcp.md").read_text()
    block = page.partition(before)[2].partition("```json\n")[2].partition("```")[0]
    server = json.loads(block)[table]["openmanus-graph"]
    folder = server.get("cwd", "${workspaceFolder}").replace("${workspaceFolder}", str(tmp_path))
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    parameters = StdioServerParameters(
        command=server["command"], args=server["args"], env={**environment, "PATH": path}, cwd=folder
    )
    async with Client(stdio_client(parameters)) as client:
        assert "run" in {tool.name for tool in (await client.list_tools()).tools}


# ---------------------------------------------------------------- ends


@pytest.mark.kill
async def test_a_thread_of_a_killed_server_goes_on_in_another(connect: Connect, tmp_path: Path) -> None:
    once = "test -e begun || { touch begun; sleep 600; }"
    plan = {"subtasks": [{"id": "a", "tool": "bash", "args": {"command": once}}]}
    with pytest.raises((MCPError, BaseExceptionGroup, OSError)):
        async with connect() as client:
            await call(client, "run", plan=plan, thread="t", wait_s=0)
            await _until(lambda: list(tmp_path.rglob("begun")))
            for one in tree_below(os.getpid()):
                if _is_server(one.pid):
                    one.send(signal.SIGKILL)
            await call(client, "status", thread="t")
    async with connect() as client:
        async with asyncio.timeout(WAIT_S):
            while (await call(client, "status", thread="t"))["status"] == "running":
                await asyncio.sleep(0.05)
        said = await call(client, "resume", thread="t", wait_s=WAIT_S)
    assert said["status"] == "completed"


def _is_server(pid: int) -> bool:
    try:
        return b"mcp\0serve" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def _until(met: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not met():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("ending", ["end of input", "SIGTERM"])
def test_it_ends_cleanly_and_its_runs_can_go_on(environment: dict[str, str], tmp_path: Path, ending: str) -> None:
    begun = subprocess.Popen(
        COMMAND, env=environment, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert begun.stdin is not None
    assert begun.stdout is not None
    for message in (
        {"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}, **ME}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "run", "arguments": {"plan": ASKS, "thread": "t"}}},
    ):
        begun.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        begun.stdin.flush()
    answers = [json.loads(begun.stdout.readline()) for _ in range(2)]
    assert [one["id"] for one in answers] == [1, 2]
    below = [one.pid for one in tree_below(begun.pid)]
    if ending == "SIGTERM":
        begun.send_signal(signal.SIGTERM)
    else:
        begun.stdin.close()
        begun.stdin = None
    out, said = begun.communicate(timeout=WAIT_S)

    assert (begun.returncode, out) == (0, b""), said
    assert b"Traceback" not in said
    assert [pid for pid in below if Path(f"/proc/{pid}").exists()] == []


async def test_a_run_that_is_under_way_at_the_end_goes_on_in_another_server(connect: Connect, tmp_path: Path) -> None:
    once = "test -e begun || { touch begun; sleep 600; }"
    plan = {"subtasks": [{"id": "a", "tool": "bash", "args": {"command": once}}]}
    async with connect() as client:
        await call(client, "run", plan=plan, thread="t", wait_s=0)
        await _until(lambda: list(tmp_path.rglob("begun")))
    async with connect() as client:
        async with asyncio.timeout(WAIT_S):
            while (await call(client, "status", thread="t"))["status"] == "running":
                await asyncio.sleep(0.05)
        said = await call(client, "resume", thread="t", wait_s=WAIT_S)
    assert said["status"] == "completed"


ME: dict[str, Any] = {"clientInfo": {"name": "test", "version": "1"}}


# ---------------------------------------------------------------- over HTTP


@pytest.fixture
def over_http(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of a server over HTTP."""
    command = [*COMMAND, "--http", "--port", "0"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        line = program.stderr.readline()
        assert "Serving MCP at " in line, line + program.stderr.read()
        yield line.split("Serving MCP at ")[1].split(";")[0]
        program.send_signal(signal.SIGTERM)
        assert program.wait(WAIT_S) == 0


def token(tmp_path: Path) -> str:
    file = tmp_path / "home" / "mcp-server-token"
    assert file.stat().st_mode & 0o777 == 0o600
    return file.read_text().strip()


async def test_over_http_with_the_token(over_http: str, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {token(tmp_path)}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=WAIT_S, trust_env=False) as http,
        Client(streamable_http_client(over_http, http_client=http)) as client,
    ):
        said = await call(client, "run", plan=WORK, wait_s=WAIT_S)
    assert said["status"] == "completed"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "TOKEN", "Host": "evil.example"}, 421),
        ({"Authorization": "TOKEN", "Origin": "http://evil.example"}, 403),
    ],
)
async def test_over_http_others_are_refused(
    over_http: str, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    sent = {key: value.replace("TOKEN", f"Bearer {token(tmp_path)}") for key, value in headers.items()}
    sent["Accept"] = "application/json, text/event-stream"
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(over_http, json=body, headers=sent)
    assert answer.status_code == status


def test_a_token_that_protects_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(SettingsError, match="has 5 characters"):
        token_of(tmp_path)
    monkeypatch.setenv(TOKEN_VARIABLE, "long enough to be one")
    assert token_of(tmp_path)[0] == "long enough to be one"
    assert list(tmp_path.iterdir()) == []

    monkeypatch.delenv(TOKEN_VARIABLE)
    made, _ = token_of(tmp_path)
    assert token_of(tmp_path)[0] == made
    (tmp_path / TOKEN_FILE).chmod(0o644)
    with pytest.raises(SettingsError, match="can be read by others"):
        token_of(tmp_path)
