"""The network of `bash` and `python_execute`: the hosts of `sandbox_hosts`, by our proxy, and nothing else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import build_plan_graph
from openmanus_graph.cli.doctor import network_finding
from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.sandbox.shell import Shell
from openmanus_graph.tools.bash import bash
from openmanus_graph.tools.python_execute import python_execute
from openmanus_graph.tools.web.sandbox_network import MOST_TOLD, SandboxNetwork
from tests.chromium.canary import Canary
from tests.conftest import Require
from tests.sandbox.conftest import OFFERED, gone, sleeping
from tests.sandbox.outside import HOST, Outside

pytestmark = pytest.mark.sandbox


class Subtask:
    """A subtask that calls the two tools; `said` is what its views are told."""

    def __init__(self, workspace: Path, level: SandboxChoice, settings: Settings) -> None:
        self.said: list[str] = []
        self.context = ToolContext("thread", "subtask", workspace, settings, level, report=self.said.append)

    async def bash(self, command: str, **more: Any) -> dict[str, Any]:
        with using_tool_context(self.context):
            return await bash.ainvoke({"command": command, "timeout_s": 60, **more})

    async def python(self, code: str, **more: Any) -> dict[str, Any]:
        with using_tool_context(self.context):
            return await python_execute.ainvoke({"code": textwrap.dedent(code), **more})


Begin = Callable[..., Subtask]


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    """A server that a subtask may reach."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "hello").write_text("hello\n")
    with Outside(folder).running() as server:
        yield server


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    """What must hear nothing; the guard of addresses would let a subtask reach it."""
    made = Canary()
    await made.listen(["any"])
    yield made
    made.close()


@pytest.fixture
async def begin(workspace: Path, outside: Outside, require: Require) -> AsyncIterator[Begin]:
    """Begins a subtask, by default in bubblewrap and with the server outside as the one host to reach."""
    begun: list[Subtask] = []

    def make(level: SandboxChoice = "bubblewrap", **settings: Any) -> Subtask:
        if level == "bubblewrap":
            require("bubblewrap" in OFFERED, "bubblewrap does not work here", "apt-get install bubblewrap")
        given = {"sandbox_hosts": (outside.place,), "allow_hosts": (HOST, "127.0.0.1", "::1", "localhost"), **settings}
        begun.append(Subtask(workspace, level, Settings(**given)))
        return begun[-1]

    yield make
    for subtask in begun:
        await subtask.context.sessions.aclose()


async def test_commands_and_code_reach_a_listed_host_and_it_is_told(begin: Begin, outside: Outside) -> None:
    subtask = begin()
    reached = [f"{outside.place} was reached."]
    plain = await subtask.bash(f"curl -sS {outside.url}/hello")
    tunnel = await subtask.bash(f"curl -sS --proxytunnel -d some {outside.url}/hello")
    code = await subtask.python(f"""
        import urllib.request
        urllib.request.urlopen("{outside.url}/hello").read()
    """)
    assert plain == {"stdout": "hello\n", "stderr": "", "exit_code": 0, "timed_out": False, "network": reached}
    assert (tunnel["stdout"], tunnel["network"]) == ("SOME", reached)
    assert (code["result"], code["error"], code["network"]) == (repr(b"hello\n"), None, reached)
    assert subtask.said.count(reached[0]) == 3
    assert "network" not in await subtask.bash("true")


async def test_git_and_pip_work_there(begin: Begin, outside: Outside) -> None:
    make = "git init -q r && cd r && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first"
    more = "git clone -q --bare . ../r.git && cd ../r.git && git update-server-info"
    plain = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["sh", "-c", f"{make} && {more}"], cwd=outside.folder, env=plain, check=True)
    pages = outside.folder / "simple" / "greeting"
    pages.mkdir(parents=True)
    name = "greeting-1-py3-none-any.whl"
    with zipfile.ZipFile(pages / name, "w") as wheel:
        wheel.writestr("greeting.py", "TEXT = 'installed'")
        wheel.writestr("greeting-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1\n")
        wheel.writestr("greeting-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("greeting-1.dist-info/RECORD", "")
    (pages / "index.html").write_text(f'<a href="{name}">{name}</a>')

    subtask = begin()
    cloned = await subtask.bash(f"git clone -q {outside.url}/r.git clone && git -C clone log --format=%s")
    assert cloned["stdout"] == "first\n", cloned
    options = f"--no-cache-dir --disable-pip-version-check --target lib --trusted-host {HOST}"
    installed = await subtask.bash(f"python -m pip install -q {options} -i {outside.url}/simple greeting")
    assert installed["exit_code"] == 0, installed
    assert (await subtask.bash("PYTHONPATH=lib python -c 'import greeting; print(greeting.TEXT)'"))[
        "stdout"
    ] == "installed\n"


async def test_a_host_that_is_not_listed_is_refused_with_the_name_of_the_setting(begin: Begin, canary: Canary) -> None:
    port = canary.ports["any"]
    named = f"The host 'localhost', port {port}, is not in the setting 'sandbox_hosts'."
    subtask = begin()
    page = await subtask.bash(f"curl -sS --noproxy '' http://localhost:{port}/")
    assert "is not in the setting" in page["stdout"]
    assert page["network"][0].startswith(named)
    assert "OPENMANUS_GRAPH_SANDBOX_HOSTS" in page["network"][0]
    code = await subtask.python(f"""
        import http.client
        tunnel = http.client.HTTPConnection("127.0.0.1", 3128)
        tunnel.set_tunnel("localhost", {port})
        tunnel.request("GET", "/")
    """)
    assert "is not in the setting 'sandbox_hosts'" in code["error"]
    assert subtask.said.count(page["network"][0]) == 2
    assert not canary.heard


async def test_a_redirect_is_judged_like_any_other_request(begin: Begin, outside: Outside, canary: Canary) -> None:
    outside.redirects["/away"] = f"http://localhost:{canary.ports['any']}/"
    done = await begin().bash(f"curl -sSL --noproxy '' {outside.url}/away")
    assert outside.asked == ["/away"]
    assert [line.partition(".")[0] for line in done["network"]][1:] == [
        f"The host 'localhost', port {canary.ports['any']}, is not in the setting 'sandbox_hosts'"
    ]
    assert not canary.heard


async def test_a_listed_host_with_an_address_inside_is_refused_all_the_same(begin: Begin, outside: Outside) -> None:
    done = await begin(allow_hosts=()).bash(f"curl -sS {outside.url}/hello")
    assert "loopback" in done["network"][0]
    assert "OPENMANUS_GRAPH_ALLOW_HOSTS" in done["network"][0]
    assert "loopback" not in done["stdout"]
    assert not outside.asked


async def test_it_is_the_address_that_is_connected_to_that_is_judged(
    workspace: Path, outside: Outside, canary: Canary, require: Require
) -> None:
    require("bubblewrap" in OFFERED, "bubblewrap does not work here", "apt-get install bubblewrap")
    answers = {"one.changing.test": ["93.184.216.34", "127.0.0.1"], "two.named.test": [HOST], "named.test": [HOST]}
    port = outside.place.rpartition(":")[2]

    async def resolver(host: str, port: int) -> list[str]:
        del port
        return answers[host]

    settings = Settings(sandbox_hosts=("*.changing.test", f"*.named.test:{port}"), allow_hosts=("two.named.test",))
    network = SandboxNetwork(settings, resolver=resolver)
    shell = await Shell.open(workspace, "bubblewrap", settings, await network.renewed("bubblewrap"))
    try:
        asked = f"one.changing.test:{canary.ports['any']} two.named.test:{port} two.named.test:1 named.test:{port}"
        done = await shell.run(f"for place in {asked}; do curl -sS http://$place/hello; done", 60)
    finally:
        await shell.aclose()
        await network.aclose()
    reached, changing, *others = network.told()
    assert (done.stdout.count("hello\n"), reached) == (1, f"two.named.test:{port} was reached.")
    assert "has the loopback address 127.0.0.1" in changing
    assert ["sandbox_hosts" in line for line in others] == [True, True]
    assert not canary.heard


LOOK = """
    import json, socket
    host, port = "127.0.0.1", {port}
    tried = {{}}
    for family, kind, address in (
        (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
        (socket.AF_INET6, socket.SOCK_STREAM, ("::1", port)),
        (socket.AF_INET, socket.SOCK_STREAM, ("{host}", {listed})),
        (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port)),
        (socket.AF_INET, socket.SOCK_DGRAM, ("{host}", port)),
        (socket.AF_INET6, socket.SOCK_DGRAM, ("::1", port)),
    ):
        try:
            with socket.socket(family, kind) as made:
                made.settimeout(10)
                made.connect(address)
                made.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
                tried[str(address), kind.name] = "sent"
        except OSError as error:
            tried[str(address), kind.name] = type(error).__name__
    [name for (name, kind), how in tried.items() if kind == "SOCK_STREAM" and how == "sent"]
"""


async def test_a_socket_beside_the_proxy_reaches_nothing(level: SandboxChoice, begin: Begin, canary: Canary) -> None:
    subtask = begin(level)
    place = subtask.context.settings.sandbox_hosts[0]
    done = await subtask.python(LOOK.format(port=canary.ports["any"], host=HOST, listed=place.rpartition(":")[2]))
    assert (done["result"], done["error"]) == ("[]", None)
    assert not canary.heard


@pytest.mark.parametrize("other", [level for level in (*OFFERED, "none") if level != "bubblewrap"])
async def test_other_levels_say_that_the_setting_does_not_hold(other: SandboxChoice, begin: Begin) -> None:
    subtask = begin(other)
    url = f"http://{subtask.context.settings.sandbox_hosts[0]}/hello"
    first = await subtask.bash(f"curl -sS {url}; env | grep -i _proxy=")
    (note,) = first["network"]
    assert repr(other) in note
    assert "'sandbox_hosts'" in note
    assert first["stdout"] == ("hello\n" if other == "none" else "")
    assert "network" not in await subtask.bash("true")
    assert (await subtask.python("1"))["network"] == [note]


async def test_without_the_setting_there_is_no_way_out(level: SandboxChoice, begin: Begin, canary: Canary) -> None:
    subtask = begin(level, sandbox_hosts=())
    port = canary.ports["any"]
    looked = await subtask.bash("env | grep -i proxy; cat /etc/ssl/openssl.cnf; echo > /dev/tcp/127.0.0.1/3128")
    assert (looked["stdout"], looked["exit_code"], set(looked)) == (
        "",
        1,
        {"stdout", "stderr", "exit_code", "timed_out"},
    )
    done = await subtask.python(LOOK.format(port=port, host=HOST, listed=port))
    assert (done["result"], set(done)) == ("[]", {"stdout", "result", "error", "files"})
    assert not subtask.context.sessions.take_lasting()  # a question need not keep anything of it
    assert not canary.heard


async def test_it_works_again_in_a_new_session(begin: Begin, outside: Outside) -> None:
    subtask = begin()
    await subtask.bash("true")
    await subtask.bash("", restart=True)
    assert (await subtask.bash(f"curl -sS {outside.url}/hello; exit 3"))["network"] == [f"{outside.place} was reached."]
    assert (await subtask.bash(f"curl -sS {outside.url}/hello"))["stdout"] == "hello\n"
    await subtask.python("import os; os._exit(1)")
    code = f"import urllib.request; urllib.request.urlopen('{outside.url}/hello').status"
    assert (await subtask.python(code))["result"] == "200"


async def test_what_the_background_reaches_is_told_by_the_next_call(begin: Begin, outside: Outside) -> None:
    subtask = begin()
    started = await subtask.bash(f"(while [ ! -e go ]; do sleep 0.05; done; curl -sS {outside.url}/hello -o got) &")
    assert "network" not in started
    done = await subtask.bash("touch go; wait; cat got")
    assert (done["stdout"], done["network"]) == ("hello\n", [f"{outside.place} was reached."])


async def test_what_a_session_has_itself_is_reached_as_without_a_proxy(begin: Begin) -> None:
    await (subtask := begin()).bash(
        "mkdir site; echo mine > site/index.html; (cd site; python -m http.server 8000) & true"
    )
    waiting = "until curl -sf http://localhost:8000/; do sleep 0.05; done; curl -sS http://127.0.0.1:8000/"
    done = await subtask.bash(waiting)
    assert (done["stdout"], "network" in done) == ("mine\nmine\n", False)


async def test_a_listed_name_of_the_machine_itself_is_the_machines(begin: Begin, canary: Canary) -> None:
    port = canary.ports["any"]
    done = await begin(sandbox_hosts=(f"127.0.0.1:{port}",)).bash(f"curl -sS http://127.0.0.1:{port}/; echo $no_proxy")
    assert (done["stdout"], done["network"]) == ("hilocalhost,::1\n", [f"127.0.0.1:{port} was reached."])
    other = await begin(sandbox_hosts=(f"[::1]:{port}", "localhost")).bash("echo $NO_PROXY")
    assert other["stdout"] == "127.0.0.1\n"


async def test_signals_are_as_in_any_shell(begin: Begin) -> None:
    ignored = (await begin().bash("grep SigIgn /proc/self/status"))["stdout"].split()[1]
    plain = (await begin(sandbox_hosts=()).bash("grep SigIgn /proc/self/status"))["stdout"].split()[1]
    assert ignored == plain


async def test_certificates_are_there_and_no_keys(begin: Begin) -> None:
    looked = await begin().bash("ls -A /etc/ssl; ls /etc/ssl/certs | head -1; touch /etc/ssl/certs/mine")
    there = [name for name in ("cert.pem", "certs", "openssl.cnf") if Path("/etc/ssl", name).exists()]
    assert looked["stdout"].split()[: len(there)] == there
    assert looked["exit_code"] != 0


async def test_a_flood_of_hosts_and_connections_is_bounded(begin: Begin, outside: Outside) -> None:
    subtask = begin()
    many = await subtask.bash("for n in $(seq 40); do curl -s http://h$n.example/ -o /dev/null; done")
    assert len(many["network"]) == MOST_TOLD + 1
    assert many["network"][-1] == "So it went with 20 other hosts."
    before = len(list(Path("/proc/self/fd").iterdir()))
    held = await subtask.python("""
        import socket
        held = []
        for _ in range(600):
            try:
                held.append(socket.create_connection(("127.0.0.1", 3128), 60))
            except OSError:
                break
        try:
            end = held[-1].recv(1)  # all those before it are accepted, too
        except ConnectionError:
            end = b""
        len(held), end
    """)
    assert held["result"].endswith("00, b'')")
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 300
    assert (await subtask.bash(f"curl -sS {outside.url}/hello"))["stdout"] == "hello\n"


async def test_a_run_keeps_what_was_reached_as_an_event(begin: Begin, outside: Outside, workspace: Path) -> None:
    settings = begin().context.settings.model_copy(update={"sandbox": "bubblewrap"})
    app = build_plan_graph(["bash"], settings=settings).compile()
    call = {"id": "get", "tool": "bash", "args": {"command": f"curl -sS {outside.url}/hello"}}
    config: Any = {"configurable": {"thread_id": "t", "workspace": str(workspace)}}
    events = [event async for event in app.astream({"plan": {"subtasks": [call]}}, config, stream_mode="custom")]
    told = [event["text"] for event in events if event["type"] == "subtask_progress"]
    assert f"{outside.place} was reached." in told


def test_doctor_says_what_is_reached(any_level: SandboxChoice) -> None:
    hosts = ("packages.test", "*.example.com")
    found = network_finding(Settings(sandbox=any_level, sandbox_hosts=hosts))
    empty = network_finding(Settings(sandbox=any_level))
    assert empty.ok
    assert found.ok == (any_level == "bubblewrap")
    assert (", ".join(hosts) if found.ok else "'sandbox_hosts'") in found.detail
    assert empty.detail.startswith("yours" if any_level == "none" else "none")


@pytest.mark.kill
async def test_nothing_is_left_of_it_when_we_are_killed(begin: Begin, workspace: Path, marker: str) -> None:
    hosts = begin().context.settings.sandbox_hosts
    code = f"""
        import asyncio
        from pathlib import Path
        from openmanus_graph.config.settings import Settings
        from openmanus_graph.sandbox.shell import Shell
        from openmanus_graph.tools.web.sandbox_network import SandboxNetwork

        async def main():
            settings = Settings(sandbox_hosts={hosts!r})
            way_out = await SandboxNetwork(settings).renewed("bubblewrap")
            shell = await Shell.open(Path({str(workspace)!r}), "bubblewrap", settings, way_out)
            await shell.run("sleep {marker} &", 30)
            print("up", flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
    """
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(code), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert (await parent.stdout.readline()).strip() == b"up"
    deadline = time.monotonic() + 60
    while not sleeping(marker):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    parent.kill()
    await parent.wait()
    assert await gone(marker)
