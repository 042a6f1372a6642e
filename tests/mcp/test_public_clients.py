"""Public clients: the official one of TypeScript drives our server, as `make mcp-servers` gets it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Require
from tests.mcp.conftest import ASKS, COMMAND, HERE, ROOT, WORK

pytestmark = pytest.mark.public
HOME = ROOT / ".make" / "mcp-servers"
PATIENCE_S = 240


async def test_the_client_of_typescript(environment: dict[str, str], tmp_path: Path, require: Require) -> None:
    require((HOME / "complete").exists(), "The client of TypeScript is not here", "make mcp-servers")
    script = [str(HERE / "typescript_client.mjs"), str(HOME), json.dumps(COMMAND), str(tmp_path)]
    ran = await asyncio.to_thread(
        subprocess.run,
        ["node", *script, json.dumps([WORK, ASKS])],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    got = json.loads(ran.stdout)
    assert {"run", "resume", "answer", "status", "result", "threads"} <= set(got["tools"])
    work, asks = (one["structuredContent"] for one in got["results"])
    assert work["results"]["a"]["output"]["stdout"] == "hello\n"
    assert asks["results"]["name"]["output"] == {"answer": "Ada"}
    assert any("Your name?" in message for message in got["asked"])
    assert any("a started" in str(message) for message in got["told"])
    assert got["failed"]["isError"] is True
    assert "'none'" in got["failed"]["content"][0]["text"]
