"""LangGraph's own server: `langgraph dev` serves our graphs to an independent client, with its own store."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from openmanus_graph.testing import Reply, ScriptedServer
from tests.agent.replies import plans, wants_plan

ROOT = Path(__file__).parents[2]
START_SECONDS = 60

pytestmark = pytest.mark.kill


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    url: str
    provider: ScriptedServer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(provider: ScriptedServer) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    model = {"LLM_MODEL": "openai/scripted", "LLM_BASE_URL": provider.base_url, "LLM_API_KEY": "sk-scripted"}
    quiet = {"LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1", "NO_COLOR": "1"}
    return {**kept, **model, **quiet}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`langgraph dev` with the repository's `langgraph.json`, in a folder of its own."""
    folder = tmp_path_factory.mktemp("langgraph-dev")
    port = free_port()
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--config", str(ROOT / "langgraph.json")]
    command += ["--no-browser", "--no-reload", "--allow-blocking", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with (
        ScriptedServer() as provider,
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment(provider), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as process,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                try:
                    if httpx.get(f"{url}/ok", trust_env=False).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield Served(url, provider)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
async def client(served: Served) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=served.url, api_key=None) as opened:
        yield opened


PLAN: dict[str, Any] = {
    "goal": "greet",
    "subtasks": [
        {"id": "name", "tool": "ask_human", "args": {"inquire": "Your name?"}},
        {"id": "files", "tool": "list_files", "args": {"pattern": "*"}},
        {"id": "greet", "tool": "bash", "args": {"command": "echo Hello ${name.answer}"}},
    ],
}


async def streamed(client: LangGraphClient, thread: str, graph: str, **given: Any) -> tuple[list[str], Any]:
    """Run it; the types of our events, and the last values."""
    kinds: list[str] = []
    values: Any = None
    async for part in client.runs.stream(thread, graph, stream_mode=["custom", "values"], **given):
        assert part.event != "error", part.data
        if part.event == "custom":
            kinds.append(part.data["type"])
        elif part.event == "values":
            values = part.data
    return kinds, values


async def test_the_plan_graph_runs_streams_asks_and_goes_on(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    kinds, _ = await streamed(client, thread, "plan", input={"plan": PLAN})
    assert kinds[0] == "plan_started"
    assert "subtask_waiting" in kinds
    state = await client.threads.get_state(thread)
    assert state["next"] == ["dispatcher"]
    (question,) = [one for task in state["tasks"] for one in task["interrupts"]]
    assert question["value"]["question"] == "Your name?"
    answer = {question["id"]: {"kind": "answer", "value": "Ada"}}
    kinds, values = await streamed(client, thread, "plan", command={"resume": answer})
    assert kinds[-1] == "plan_finished"
    assert values["results"]["greet"]["output"]["stdout"] == "Hello Ada\n"
    history = await client.threads.get_history(thread)
    assert [one["next"] for one in history] == [[], ["dispatcher"], ["__start__"]]


async def test_what_does_not_validate_is_an_error_of_the_run(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    broken: dict[str, Any] = {"plan": {"subtasks": [{"id": "a", "tool": "list_files", "needs": ["b"]}]}}
    parts = [part async for part in client.runs.stream(thread, "plan", input=broken)]
    assert parts[-1].event == "error"
    assert parts[-1].data["error"] == "PlanError"


async def test_the_agent_plans_asks_and_answers(client: LangGraphClient, served: Served) -> None:
    thread = (await client.threads.create())["thread_id"]
    ask = {"id": "ask", "goal": "ask who it is for", "tool": "ask_human", "args": {"inquire": "For whom?"}}
    command = {"command": "echo For $who", "variables": {"who": "${ask.answer}"}}
    write = {"id": "write", "goal": "write it", "tool": "bash", "args": command}
    served.provider.add(wants_plan(), plans(ask, write), Reply("It is for Ada."))
    kinds, _ = await streamed(client, thread, "manus", input={"task": "write a line"})
    assert kinds.index("decided") < kinds.index("plan_made") < kinds.index("subtask_waiting")
    state = await client.threads.get_state(thread)
    (question,) = [one for task in state["tasks"] for one in task["interrupts"]]
    answer = {question["id"]: {"kind": "answer", "value": "Ada"}}
    kinds, values = await streamed(client, thread, "manus", command={"resume": answer})
    assert "model_tokens" in kinds
    assert values["answer"] == "It is for Ada."
    assert values["status"] == "completed"
    assert values["results"]["write"]["output"]["stdout"] == "For Ada\n"
    served.provider.add(Reply("You are welcome."))
    _, values = await streamed(client, thread, "manus", input={"task": "thanks"})
    assert values["answer"] == "You are welcome."


async def test_the_server_knows_what_the_graphs_take(client: LangGraphClient) -> None:
    found = {one["graph_id"]: one["assistant_id"] for one in await client.assistants.search()}
    assert set(found) == {"manus", "plan"}
    drawn: Any = await client.assistants.get_graph(found["manus"], xray=True)
    names = {str(node["id"]) for node in drawn["nodes"]}
    assert {"coordinator", "planner", "reporter"} <= names
    schemas: Any = await client.assistants.get_schemas(found["plan"])
    assert "plan" in schemas["input_schema"]["properties"]
    assert "results" in schemas["output_schema"]["properties"]
