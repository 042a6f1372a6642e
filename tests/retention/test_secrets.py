"""Secrets: none that is planted reaches a byte that the program writes, Postgres' own files included."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from openmanus_graph.checkpoints.server.embedded import EmbeddedServer
from openmanus_graph.checkpoints.transfer.archive import open_archive
from openmanus_graph.config.settings import Settings
from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse
from tests.agent.replies import calls, ends, plans, verdict, wants_plan
from tests.interpreter import Interpreter

pytestmark = pytest.mark.postgres

NAMES = ("LLM_API_KEY", "PLANNER_KEY", "SHOP_TOKEN", "BASIC", "PASSWORD", "VAULT")
MARKER = "marker-that-may-be-seen-everywhere"
"""What the same search must find, or it would find nothing at all."""


@pytest.fixture
def home() -> Iterator[Path]:
    """A data folder of the test's own, in which Postgres runs."""
    folder = Path(tempfile.mkdtemp(prefix="omg-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


class Echo(BaseHTTPRequestHandler):
    """A service that says what it was sent, also when it fails."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = json.dumps({"headers": dict(self.headers), "path": self.path}).encode()
        self.send_response(500 if "fail" in self.path else 200)
        self.send_header("Content-Type", "application/json" if "json" in self.path else "text/plain")
        self.send_header("X-Echo", self.headers.get("Authorization") or "")
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET  # noqa: N815 - the base's name

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """Where the service answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class Model:
    """What the scripted provider says: it fails with the key in its words, then has everything done."""

    def __init__(self, service: str, keys: list[str]) -> None:
        self.keys = keys
        self.refuses = False
        self._service = service
        self._faults = [
            Fault(429, f"Too many requests for the key {keys[0]}.", retry_after="0"),
            Fault(500, f"Internal error. Authorization: Bearer {keys[0]}"),
        ]
        self._steps = 0

    def __call__(self, body: dict[str, Any]) -> Reply | Fault:
        """The reply to one request."""
        if self.refuses:
            return Fault.wrong_key(self.keys[0])
        if self._faults:
            return self._faults.pop(0)
        tools = {str(tool["function"]["name"]) for tool in body.get("tools") or []}
        if "submit_plan" in tools:
            return self._plan()
        if "plan" in tools:
            seen = body["messages"][-1]["role"] == "tool"
            return Reply(f"All is done. {MARKER}") if seen else wants_plan()
        if "verdict" in tools:
            return verdict(True)
        if "terminate" in tools:
            return self._step()
        return Reply(f"All is done. {MARKER}")

    def _plan(self) -> Reply:
        def request(name: str, path: str, credential: str, method: str = "GET") -> dict[str, Any]:
            args = {"method": method, "url": f"{self._service}/{path}", "credential": credential}
            return {"id": name, "goal": name, "tool": "http_request", "args": args}

        return plans(
            request("get", "json", "shop"),
            request("post", "text", "shop", "POST"),
            request("fails", "fail-json", "shop", "POST"),
            request("basic", "json", "login"),
            {"id": "env", "goal": "look", "tool": "bash", "args": {"command": "env; set; cat /proc/self/environ"}},
            *({"id": name, "goal": name, "tool": name, "args": {}} for name in ("account", "bare", "breaks")),
            {"id": "agent", "goal": f"work {MARKER}", "agent": "executor", "done_when": "it is done"},
        )

    def _step(self) -> Reply:
        self._steps += 1
        args = {"method": "POST", "url": f"{self._service}/fail-text", "credential": "shop"}
        if self._steps == 1:
            return calls(ToolUse("http_request", args), ToolUse("http_request", {**args, "credential": "login"}))
        if self._steps == 2:
            code = "import os; print(dict(os.environ))"
            return calls(ToolUse("python_execute", {"code": code}), ToolUse("bash", {"command": "env"}))
        return ends("done")


CONFIGURATION = """
allow_hosts = ["{host}"]

[models.planner]
model = "openai/scripted-planner"
base_url = "{provider}"
api_key_env = "PLANNER_KEY"

[credentials.shop]
env = "SHOP_TOKEN"
hosts = ["{host}"]

[credentials.login]
env = "BASIC"
prefix = "Basic "
hosts = ["{host}"]
"""


class Shell:
    """Calls the program, and keeps what it says."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self.command = command
        self.folder = folder
        self.environment = environment
        self.said = b""

    def __call__(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> bytes:
        done = subprocess.run(
            [self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            timeout=90,
            check=False,
        )
        self.said += done.stdout + done.stderr
        assert done.returncode in codes, (arguments, done.returncode, done.stderr.decode())
        return done.stdout


def forms(secret: str) -> list[bytes]:
    """How a secret may be written."""
    raw = secret.encode()
    middle = [base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]  # inside something longer
    escaped = [json.dumps(secret)[1:-1].encode(), quote(secret, safe="").encode()]
    return [raw, *middle, *escaped, raw.hex().encode(), raw[::-1], secret.encode("utf-16-le")]


def found_in(places: dict[str, bytes], secret: str) -> list[str]:
    """The places that have a secret."""
    return [name for name, data in places.items() for form in forms(secret) if form in data]


def everything_in(folder: Path, name: str) -> dict[str, bytes]:
    """The bytes of every file below a folder."""
    return {
        f"{name}/{path.relative_to(folder)}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def dumped(url: str) -> dict[str, bytes]:
    """Every row of every table, values decompressed: in its files Postgres may have them compressed."""
    found: dict[str, bytes] = {}
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            name = f'"{schema}"."{table}"'
            with connection.cursor().copy(f"COPY {name} TO STDOUT (FORMAT binary)") as copy:  # type: ignore[arg-type]
                found[name] = b"".join(bytes(piece) for piece in copy)
        connection.execute("CHECKPOINT")
    return found


def test_no_byte_that_is_written_has_a_secret(
    home: Path, service: str, tmp_path: Path, interpreter: Interpreter
) -> None:
    secrets = {name: f"sk-planted-{name.lower()}/{os.urandom(12).hex()}" for name in NAMES}
    login = base64.b64encode(f"me:{secrets['BASIC']}".encode()).decode()
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    server = EmbeddedServer(Settings.load(home=home))
    folder = tmp_path / "work"
    folder.mkdir()
    host = service.removeprefix("http://")
    model = Model(service, [secrets["LLM_API_KEY"]])
    with ScriptedServer(model) as provider:
        (folder / "openmanus-graph.toml").write_text(CONFIGURATION.format(host=host, provider=provider.base_url))
        own = {"BASIC": login, "OPENMANUS_GRAPH_HOME": str(home)}
        environment = {**kept, **secrets, **own, "LLM_MODEL": "openai/scripted", "LLM_BASE_URL": provider.base_url}
        shell = Shell(interpreter.command(module=True), folder, environment)
        shell("db", "start")
        try:
            place = server.url.removeprefix("postgresql://")
            role, _, rest = place.partition("@")
            environment["DATABASE_URL"] = f"postgresql://{role}:{quote(secrets['PASSWORD'], safe='')}@{rest}"
            shell("db", "migrate")
            tools = str(Path(__file__).with_name("vault.py"))
            shell(
                "--debug", "run", f"Do it, {MARKER}", "--thread", "t", "--tools", tools, "--policy", "allow",
                "--record", "replies.jsonl", "--json", codes=(0, 1, 4),
            )  # fmt: skip
            model.refuses = True
            shell("--debug", "run", "More", "--thread", "t", "--record", "replies.jsonl", codes=(1,))
            for arguments in (("show", "t", "--json"), ("events", "t"), ("effects", "t", "--json"), ("size",)):
                shell("threads", *arguments)
            shell("resume", "t", "--dry-run", codes=(0, 1))
            shell("threads", "rate", "t", "good", "because")
            for form in ("sft", "preference"):
                shell("threads", "export", "t", f"{form}.jsonl", "--format", form, codes=(0, 2))
            shell("threads", "export", "t", "t.thread")
            shell("doctor", codes=(0, 1))
            shell("doctor", "--json", codes=(0, 1))
            environment["DATABASE_URL"] = environment["DATABASE_URL"].replace("host=", "host=/nowhere")
            shell("--debug", "threads", "list", codes=(1,))
            rows = dumped(server.url)
        finally:
            del environment["DATABASE_URL"]
            shell("db", "stop", "--force")
    with open_archive(folder / "t.thread") as records:
        inside = [json.dumps(record.fields).encode() + b"".join(record.pieces()) for record in records]
    places = {
        "terminal": shell.said,
        **rows,
        **everything_in(home, "home"),
        **everything_in(folder, "work"),
        "archive": b"".join(inside),
    }

    assert_searched(places)
    sent = [request.headers.get("authorization", "") for request in provider.requests]
    assert {f"Bearer {secrets['LLM_API_KEY']}", f"Bearer {secrets['PLANNER_KEY']}"} <= set(sent)
    assert b"[credential shop]" in places["archive"], "the service echoed what it was sent"
    found = {name: found_in(places, secret) for name, secret in {**secrets, "login": login}.items()}
    assert not {name: where for name, where in found.items() if where}


def assert_searched(places: dict[str, bytes]) -> None:
    """The search would find what was written: a word that may be there is there."""
    for seen in ("terminal", "work/replies.jsonl", "archive", '"openmanus_graph"."checkpoint_writes"'):
        assert MARKER.encode() in places[seen], f"the search finds nothing in {seen}"
    assert any(MARKER.encode() in data for name, data in places.items() if "/base/" in name), "not in Postgres' files"
    assert any(MARKER.encode() in data for name, data in places.items() if "/pg_wal/" in name), "not in the log of it"
