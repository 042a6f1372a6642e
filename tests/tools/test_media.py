"""Media: recordings to text, text to speech and pictures, through a server of OpenAI's interface on loopback."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings, ThreadSaver, build_plan_graph
from openmanus_graph.config.sections import ModelSettings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import ToolError
from openmanus_graph.run_config import SCOPE, with_keys
from openmanus_graph.scope import Scope
from openmanus_graph.tools.rebuild import available_tools
from tests.cli.conftest import MakeProgram

pytestmark = pytest.mark.postgres

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 4
MP3 = b"ID3\4" + b"sound" * 20
KEY = "sk-media-1234567890"
NAMES = {"transcribe_audio", "speak", "generate_image"}


class Provider:
    """What was asked, and what is answered next instead of the usual."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, bytes]] = []
        self.answers: list[tuple[int, bytes]] = []
        self.keys: set[str | None] = set()
        self.holds = threading.Event()
        self.holding = threading.Event()

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        self.asked.append((path, body))
        while self.holds.is_set():
            self.holding.set()
            time.sleep(0.01)
        if self.answers:
            status, data = self.answers.pop(0)
            return status, "application/json", data
        if path.endswith("/audio/transcriptions"):
            return 200, "application/json", json.dumps({"text": "Whales sing."}).encode()
        if path.endswith("/audio/speech"):
            return 200, "audio/mpeg", MP3
        data = [{"b64_json": base64.b64encode(PNG).decode()}]
        return 200, "application/json", json.dumps({"created": 1, "data": data}).encode()


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.keys.add(self.headers["Authorization"])
            status, kind, data = found.answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            with suppress(BrokenPipeError):  # who asked was killed
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        yield found
        server.shutdown()
        thread.join()


Calls = Callable[..., Any]


@pytest.fixture
def configured(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MEDIA_KEY", KEY)
    shared = {"base_url": provider.url, "api_key_env": "MEDIA_KEY"}
    names = {"transcription": "openai/whisper-1", "speech": "openai/tts-1", "image": "openai/gpt-image-1"}
    models = {table: ModelSettings.model_validate({**shared, "model": name}) for table, name in names.items()}
    return Settings.load(home=tmp_path / "home", models=models)


@pytest.fixture
def call(configured: Settings, saver: ThreadSaver, tmp_path: Path) -> Calls:
    """Makes one call as a direct call of a plan; its result."""
    workspace = tmp_path / "work"
    workspace.mkdir()

    async def make(tool: str, settings: Settings = configured, thread: str = "t", **args: Any) -> Any:
        graph = build_plan_graph([tool], settings=settings).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": thread, "workspace": str(workspace)}}
        out = await graph.ainvoke({"plan": {"subtasks": [{"id": "s", "tool": tool, "args": args}]}}, config)
        return out["results"]["s"]

    return make


async def test_a_recording_is_written_down(call: Calls, provider: Provider, tmp_path: Path) -> None:
    (tmp_path / "work" / "call.mp3").write_bytes(MP3)

    result = await call("transcribe_audio", path="call.mp3", language="en")

    assert result["output"] == {"text": "Whales sing."}
    ((path, body),) = provider.asked
    assert path == "/v1/audio/transcriptions"
    assert MP3 in body
    assert b'filename="call.mp3"' in body
    assert b"whisper-1" in body
    assert provider.keys == {f"Bearer {KEY}"}


async def test_a_text_is_said_into_a_file(call: Calls, provider: Provider, tmp_path: Path) -> None:
    first = await call("speak", text="Whales sing.", voice="nova")
    again = await call("speak", thread="other", text="Whales sing.", voice="nova")

    assert first["output"] == again["output"], "the same words go to the same file"
    name = first["output"]["path"]
    assert (tmp_path / "work" / name).read_bytes() == MP3
    assert json.loads(provider.asked[0][1])["voice"] == "nova"
    named = await call("speak", thread="named", text="Whales.", path="out/whales.mp3")
    assert (tmp_path / "work" / named["output"]["path"]).read_bytes() == MP3


async def test_a_picture_is_drawn_into_a_file(call: Calls, provider: Provider, tmp_path: Path) -> None:
    result = await call("generate_image", prompt="a whale", size="1024x1024")

    name = result["output"]["path"]
    assert name.endswith(".png")
    assert (tmp_path / "work" / name).read_bytes() == PNG
    sent = json.loads(provider.asked[0][1])
    assert (sent["prompt"], sent["size"]) == ("a whale", "1024x1024")


async def test_a_picture_that_is_elsewhere_is_got_behind_the_guard(call: Calls, provider: Provider) -> None:
    inside = json.dumps({"created": 1, "data": [{"url": f"{provider.url}/picture.png"}]}).encode()
    provider.answers = [(200, inside)]

    result = await call("generate_image", prompt="a whale")

    assert result["status"] == "failed"
    assert "127.0.0.1" in result["error"]
    assert [path for path, _ in provider.asked] == ["/v1/images/generations"]


@pytest.mark.parametrize(
    ("tool", "args", "answer"),
    [
        ("generate_image", {"prompt": "x"}, {"created": 1, "data": []}),
        ("generate_image", {"prompt": "x"}, {"created": 1, "data": [{"b64_json": "%%%"}]}),
        ("generate_image", {"prompt": "x"}, {"created": 1, "data": [{"b64_json": base64.b64encode(b"text").decode()}]}),
    ],
)
async def test_what_is_no_picture_is_said(
    call: Calls, provider: Provider, tmp_path: Path, tool: str, args: dict[str, Any], answer: dict[str, Any]
) -> None:
    provider.answers = [(200, json.dumps(answer).encode())]
    result = await call(tool, **args)
    assert result["status"] == "failed"
    assert "picture" in result["error"]
    assert list((tmp_path / "work").glob("*.png")) == []


async def test_a_fault_that_passes_is_waited_for_and_one_that_stays_is_told(
    call: Calls, provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "work" / "call.mp3").write_bytes(MP3)
    provider.answers = [(503, b'{"error": {"message": "busy"}}')]
    assert (await call("transcribe_audio", path="call.mp3"))["output"] == {"text": "Whales sing."}

    provider.answers = [(401, b'{"error": {"message": "Wrong key sk-media-1234567890"}}')]
    refused = await call("transcribe_audio", thread="refused", path="call.mp3")
    assert refused["status"] == "failed"
    assert "whisper-1" in refused["error"]
    assert KEY not in refused["error"]


async def test_files_outside_of_the_workspace_are_neither_sent_nor_written(call: Calls, provider: Provider) -> None:
    for tool, args in (
        ("transcribe_audio", {"path": "../home/secret.mp3"}),
        ("speak", {"text": "x", "path": "../x.mp3"}),
        ("generate_image", {"prompt": "x", "path": "/etc/x.png"}),
    ):
        assert (await call(tool, thread=tool, **args))["status"] == "failed"
    assert provider.asked == []


async def test_calls_are_counted_and_stop_with_the_budget(
    call: Calls, provider: Provider, configured: Settings, saver: ThreadSaver
) -> None:
    await call("speak", text="one")
    async with saver.connection() as connection:
        rows = await (await connection.execute("SELECT role, model FROM model_calls")).fetchall()
    assert [(row["role"], row["model"]) for row in rows] == [("speech", "openai/tts-1")]

    limited = configured.model_copy(update={"budget": configured.budget.model_copy(update={"model_calls": 1})})
    graph = build_plan_graph(["speak"], settings=limited).compile(checkpointer=saver)
    subtasks = [{"id": name, "tool": "speak", "args": {"text": name}} for name in ("a", "b")]
    subtasks[1]["needs"] = ["a"]
    config: Any = {"configurable": {"thread_id": "limited"}}
    out = await graph.ainvoke({"plan": {"subtasks": subtasks}}, config)
    assert out["results"]["a"]["status"] == "completed"
    assert out["results"]["b"]["status"] != "completed"
    assert len(provider.asked) == 2


async def test_an_answer_of_no_use_is_paid_for_and_a_refused_call_is_not(
    call: Calls, provider: Provider, saver: ThreadSaver
) -> None:
    provider.answers = [(200, b'{"created": 1, "data": []}'), (401, b"{}")]

    assert (await call("generate_image", prompt="a whale"))["status"] == "failed"
    assert (await call("generate_image", thread="refused", prompt="a whale"))["status"] == "failed"

    async with saver.connection() as connection:
        rows = await (await connection.execute("SELECT thread_id, in_flight FROM model_calls")).fetchall()
    assert [(row["thread_id"], row["in_flight"]) for row in rows] == [("t", False)]


def test_a_call_that_a_kill_cut_off_counts(
    program_in: MakeProgram, database: str, provider: Provider, configured: Settings
) -> None:
    models = {"speech": {"model": "openai/tts-1", "base_url": provider.url, "api_key_env": "MEDIA_KEY"}}
    program = program_in(DATABASE_URL=database, MEDIA_KEY=KEY, OPENMANUS_GRAPH_MODELS=json.dumps(models))
    program.plan({"id": "a", "tool": "speak", "args": {"text": "one"}})
    provider.holds.set()
    running = program.start("run", "--plan", "plan.yaml", "--thread", "t", "--budget-calls", "1")
    try:
        assert provider.holding.wait(120)
    finally:
        running.kill()
        running.communicate()
        provider.holds.clear()

    assert "1 model call" in program("threads", "show", "t")[0]
    _, said = program("resume", "t", "--quiet", code=1)
    assert "Used 1 model call (1 of them in flight when its process ended" in said
    assert len(provider.asked) == 1
    program("resume", "t", "--quiet", "--budget-calls", "2")
    assert len(provider.asked) == 2


async def test_a_budget_that_is_used_up_fails_the_call_and_not_the_run(
    provider: Provider, configured: Settings, tmp_path: Path
) -> None:
    limited = configured.model_copy(update={"budget": configured.budget.model_copy(update={"model_calls": 1})})
    scope = Scope("t", limited, None)
    config: Any = with_keys({"configurable": {"thread_id": "t"}}, {SCOPE: scope})
    tool = available_tools((), settings=limited)["speak"]
    with using_tool_context(ToolContext("t", "s", tmp_path, limited)):
        await tool.ainvoke({"text": "one"}, config)
        with pytest.raises(ToolError, match="budget of 1 model call is used up"):
            await tool.ainvoke({"text": "two"}, config)
    assert len(provider.asked) == 1


def test_without_a_model_they_are_not_offered(tmp_path: Path, configured: Settings) -> None:
    assert not NAMES & set(available_tools((), settings=Settings.load(home=tmp_path)))
    assert set(available_tools((), settings=configured)) >= NAMES
