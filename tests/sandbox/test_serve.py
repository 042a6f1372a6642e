"""The tool `serve`: a server of the workspace that its thread's browser reaches, and nobody else."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import SandboxUnavailableError, ToolError
from openmanus_graph.nodes.dispatching.closing import Closing
from openmanus_graph.sandbox import open_process
from openmanus_graph.sandbox.entrance import Entrance
from openmanus_graph.tools.bash import bash
from openmanus_graph.tools.rebuild import available_tools
from openmanus_graph.tools.serve import serve
from openmanus_graph.tools.spec import spec_of
from openmanus_graph.tools.web.proxy import Proxy
from openmanus_graph.tools.web.servers import MOST_SERVERS, servers_of
from tests.chromium.canary import Canary
from tests.conftest import Require
from tests.sandbox.conftest import OFFERED, gone, sleeping
from tests.sandbox.outside import HOST, Outside

pytestmark = pytest.mark.sandbox

SITE = 'echo "<p>mine" > index.html; echo starting; exec python -u -m http.server "$PORT"'


class Subtask:
    """A subtask that may serve."""

    def __init__(self, workspace: Path, level: SandboxChoice = "bubblewrap", **settings: Any) -> None:
        self.context = ToolContext("t", "s", workspace, Settings(**settings), level)

    async def serve(self, **arguments: Any) -> dict[str, Any]:
        with using_tool_context(self.context):
            return await serve.ainvoke(arguments)

    async def bash(self, command: str) -> dict[str, Any]:
        with using_tool_context(self.context):
            return await bash.ainvoke({"command": command, "timeout_s": 60})

    async def aclose(self) -> None:
        await self.context.sessions.aclose()
        await self.context.thread_sessions.aclose()

    @asynccontextmanager
    async def browser(self, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        """What speaks to the proxy of the thread's browser, as the browser would."""
        proxy = Proxy(**settings, inside=await servers_of(self.context))
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        await proxy.serve(listener)
        try:
            async with httpx.AsyncClient(proxy=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
                yield client
        finally:
            await proxy.aclose()


@pytest.fixture
async def subtask(workspace: Path, require: Require) -> AsyncIterator[Subtask]:
    """A subtask whose commands may reach the host `HOST`."""
    require("bubblewrap" in OFFERED, "bubblewrap does not work here", "apt-get install bubblewrap")
    made = Subtask(workspace, sandbox_hosts=(HOST,), allow_hosts=(HOST, "127.0.0.1"))
    yield made
    await made.aclose()


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "hello").write_text("hello\n")
    with Outside(folder).running() as server:
        yield server


async def test_it_serves_the_browser_and_its_output_is_read(subtask: Subtask) -> None:
    started = await subtask.serve(command=SITE, port=8000)
    assert {**started, "output": ""} == {
        "url": "http://localhost:8000/", "listens": True, "running": True, "exit_code": None, "output": ""
    }  # fmt: skip
    assert set(started) == set(spec_of(serve).returns or {})
    assert started["output"].startswith("starting\n")
    async with subtask.browser(allow_hosts=()) as browser:
        assert (await browser.get(started["url"])).text == "<p>mine\n"
        assert (await browser.get("http://127.0.0.1:8000/none")).status_code == 404
        assert (await browser.get(f"http://{HOST}:8000/")).status_code == 403
    looked = await subtask.serve(port=8000)
    assert '"GET /none HTTP/1.1" 404' in looked["output"]
    assert (looked["listens"], looked["running"]) == (True, True)


async def test_a_command_that_is_given_again_takes_the_place_of_the_old_one(subtask: Subtask) -> None:
    await subtask.serve(command=SITE, port=8000)
    again = await subtask.serve(command=f"cd sub || mkdir sub && cd sub; {SITE.replace('mine', 'new')}", port=8000)
    async with subtask.browser(allow_hosts=()) as browser:
        assert (await browser.get(again["url"])).text == "<p>new\n"
    stopped = await subtask.serve(port=8000, stop=True)
    assert (stopped["running"], stopped["listens"], stopped["exit_code"]) == (False, False, None)
    assert "GET /" in stopped["output"]
    with pytest.raises(ToolError, match="no server on port 8000"):
        await subtask.serve(port=8000)


async def test_it_is_said_what_went_wrong(subtask: Subtask) -> None:
    with pytest.raises(ToolError, match="ended with exit code 3 before it listened: no such app"):
        await subtask.serve(command="echo no such app >&2; exit 3", port=8000)
    slow = await subtask.serve(command="sleep 60", port=8001, timeout_s=0.2)
    assert (slow["listens"], slow["running"]) == (False, True)
    async with subtask.browser(allow_hosts=("localhost",)) as browser:
        assert (await browser.get("http://localhost:8001/")).status_code == 502
    with pytest.raises(ToolError, match="There are servers on 8000, 8001"):
        await subtask.serve(port=8002)
    for port in range(8002, 8000 + MOST_SERVERS):
        await subtask.serve(command="sleep 60", port=port, timeout_s=0.01)
    with pytest.raises(ToolError, match=f"has {MOST_SERVERS} servers"):
        await subtask.serve(command="sleep 60", port=9000)


async def test_nothing_of_the_machine_and_no_other_command_reaches_it(subtask: Subtask, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    await subtask.serve(command=SITE, port=port)
    for host in ("127.0.0.1", "::1"):
        with pytest.raises(OSError, match=r"refused|[Cc]annot assign|unreachable"):
            socket.create_connection((host, port), 10)
    assert (await subtask.bash(f"curl -sS http://127.0.0.1:{port}/"))["exit_code"] == 7
    other = Subtask(tmp_path)
    async with other.browser(allow_hosts=()) as browser:
        assert (await browser.get(f"http://localhost:{port}/")).status_code == 403
    await other.aclose()


async def test_it_has_no_network_whatever_commands_have(subtask: Subtask, outside: Outside) -> None:
    canary = Canary()
    await canary.listen(["any"])
    places = [HOST, int(outside.place.rpartition(":")[2])], ["127.0.0.1", canary.ports["any"]], ["127.0.0.1", 3128]
    code = textwrap.dedent(f"""
        import socket
        for place in {places}:
            try:
                socket.create_connection(tuple(place), 10)
                print("reached", place, flush=True)
            except OSError as error:
                print("not", flush=True)
    """)
    (subtask.context.workspace / "look.py").write_text(code)
    started = await subtask.serve(command=f"env | grep -i proxy; python look.py; {SITE}", port=8000)
    assert started["output"].startswith("not\nnot\nnot\nstarting\n")
    assert not canary.heard
    assert not outside.asked
    canary.close()


async def test_a_browser_that_has_opened_it_reaches_what_commands_reach_and_no_other(
    subtask: Subtask, outside: Outside
) -> None:
    held = asyncio.Event()

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.set()
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(other, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    started = await subtask.serve(command=SITE, port=8000)
    async with subtask.browser(allow_hosts=(HOST, "127.0.0.1")) as browser:
        tunnel = asyncio.create_task(browser.get(f"http://127.0.0.1:{port}/"))
        await held.wait()
        assert (await browser.get(started["url"])).text == "<p>mine\n"
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await tunnel
        refused = await browser.get(f"http://127.0.0.1:{port}/")
        assert (refused.status_code, "is not in the setting" in refused.text) == (403, True)
        assert (await browser.get(f"{outside.url}/hello")).text == "hello\n"
    listening.close()


async def test_it_stays_while_a_person_is_asked_and_ends_with_the_run(
    workspace: Path, marker: str, require: Require
) -> None:
    require("bubblewrap" in OFFERED, "bubblewrap does not work here", "apt-get install bubblewrap")
    command = f"setsid sleep {marker} & {SITE}"
    first = Closing("t")
    sessions = first.sessions_of("s")
    subtask = Subtask(workspace)
    subtask.context = ToolContext(
        "t", "s", workspace, Settings(), "bubblewrap", sessions=sessions, thread_sessions=first.shared
    )
    await subtask.serve(command=command, port=8000)
    first.suspend("s", sessions)
    await first.wait()
    second = Closing("t")
    context = ToolContext("t", "s", workspace, Settings(), "bubblewrap", thread_sessions=second.shared)
    made = await (await servers_of(context)).connect("localhost", 8000)
    assert made is not None
    made.close()
    assert sleeping(marker)
    second.close(second.sessions_of("s"))
    await second.wait()
    assert await gone(marker)


@pytest.mark.kill
async def test_nothing_is_left_when_we_are_killed(workspace: Path, marker: str, require: Require) -> None:
    require("bubblewrap" in OFFERED, "bubblewrap does not work here", "apt-get install bubblewrap")
    code = f"""
        import asyncio
        from pathlib import Path
        from openmanus_graph.config.settings import Settings
        from openmanus_graph.tools.web.servers import ThreadServers

        async def main():
            servers = ThreadServers(Settings())
            await servers.start("setsid sleep {marker} & sleep {marker}", 8000, Path({str(workspace)!r}), "bubblewrap")
            await asyncio.sleep(600)

        asyncio.run(main())
    """
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", textwrap.dedent(code))
    deadline = time.monotonic() + 60
    while len(sleeping(marker)) < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    parent.kill()
    await parent.wait()
    assert await gone(marker)


async def test_what_is_handed_out_is_taken_only_if_it_is_a_connection(workspace: Path, require: Require) -> None:
    require("bubblewrap" in OFFERED, "bubblewrap does not work here", "apt-get install bubblewrap")
    entrance = Entrance()
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only
    code = f"""
        import os, socket, struct
        control = socket.socket(fileno={entrance.inside})
        pair, datagrams = socket.socketpair(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        handed = [os.open("/proc/self/status", os.O_RDONLY), pair[0].fileno(), datagrams.fileno()]
        for descriptor in handed:
            number, port = struct.unpack("=II", control.recv(8))
            socket.send_fds(control, [struct.pack("=I", number)], [descriptor])
        print("handed out", flush=True)
        control.recv(8)
        control.send(b"x")
    """
    process = await open_process(
        [sys.executable, "-c", textwrap.dedent(code)],
        workspace=workspace,
        level="bubblewrap",
        settings=Settings(),
        pass_fds=[entrance.inside],
    )
    entrance.close_inside()
    assert [await entrance.connect(8000) for _ in range(5)] == [None] * 5
    assert process.stdout is not None
    assert await process.stdout.readline() == b"handed out\n"
    await process.aclose()
    entrance.close()
    assert len(set(os.listdir("/proc/self/fd"))) <= len(before)  # noqa: PTH208 - as above


@pytest.mark.parametrize("other", ["landlock", "none"])
async def test_other_levels_do_not_serve(other: SandboxChoice, workspace: Path, require: Require) -> None:
    require(other in OFFERED or other == "none", f"{other} does not work here", "a newer kernel")
    subtask = Subtask(workspace, other)
    with pytest.raises(SandboxUnavailableError, match=f"not at the sandbox level '{other}'"):
        await subtask.serve(command=SITE, port=8000)
    await subtask.aclose()
    assert "serve" not in available_tools([], Settings(sandbox=other))


async def test_arguments_that_do_not_fit_are_refused(subtask: Subtask) -> None:
    for wrong in ({"port": 80}, {"port": 8000, "command": "x", "stop": True}, {"port": 8000, "command": "\0"}):
        with pytest.raises((ToolError, ValueError)):
            await subtask.serve(**wrong)
    with pytest.raises(ToolError, match="Start one with a command"):
        await subtask.serve(port=8000)
