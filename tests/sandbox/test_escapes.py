"""What a confined process may try, on every level that this machine offers."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import signal
import socket
import sys
import textwrap
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.config.settings import Settings
from openmanus_graph.sandbox import Finished, Level, SandboxLimits, open_process, run_process
from tests.sandbox.conftest import gone, sleeping

pytestmark = pytest.mark.sandbox

SMALL = SandboxLimits(memory=256 * 1024**2, file_size=1024**2, processes=64, cpu_s=30)


async def shell(level: Level, workspace: Path, script: str, limits: SandboxLimits = SMALL) -> Finished:
    return await run_process(
        ["bash", "-c", script],
        workspace=workspace,
        level=level,
        settings=Settings(),
        limits=limits,
        timeout_s=30,
    )


def unused_account() -> str:
    """An account without rights of which no process runs; as an ordinary user it is not asked for."""
    busy = {0}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            busy.add(path.stat().st_uid)
    return next(one.pw_name for one in pwd.getpwall() if one.pw_uid not in busy)


async def until_processes_stay_the_same() -> None:
    """Wait until what earlier tests have killed is gone: an ordinary account's bomb counts all its processes."""
    seen: list[set[str]] = []
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        own: set[str] = set()
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                if path.stat().st_uid == os.geteuid():
                    own.add(path.name)
        seen.append(own)
        if len(seen) > 20 and all(one == own for one in seen[-20:]):
            return
        await asyncio.sleep(0.05)


async def python(
    level: Level, workspace: Path, code: str, limits: SandboxLimits = SMALL, settings: Settings | None = None
) -> Any:
    """What `code` printed last, as JSON."""
    done = await run_process(
        [sys.executable, "-I", "-c", textwrap.dedent(code)],
        workspace=workspace,
        level=level,
        settings=settings or Settings(),
        limits=limits,
        timeout_s=30,
    )
    assert done.exit_code == 0, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


async def test_it_works_in_its_workspace_and_we_own_the_result(level: Level, workspace: Path) -> None:
    (workspace / "ours").write_text("ours\n")
    modes = [parent.stat().st_mode for parent in workspace.parents]
    done = await shell(level, workspace, "pwd; echo more >> ours; mkdir -p a/b; echo new > a/b/made; ls")
    assert (done.exit_code, done.stderr) == (0, b"")
    assert done.stdout.decode().split() == [str(workspace), "a", "ours"]
    assert (workspace / "ours").read_text() == "ours\nmore\n"
    assert (workspace / "a/b/made").read_text() == "new\n"
    (workspace / "a/b/made").write_text("and ours again")
    assert [parent.stat().st_mode for parent in workspace.parents] == modes


async def test_files_outside_cannot_be_read(level: Level, workspace: Path) -> None:
    secret = workspace.parent / "secret"
    secret.write_text("outside")
    secret.chmod(0o644)
    (workspace / "link").symlink_to(secret)
    targets = [
        str(secret),
        "link",
        "../secret",
        "/etc/shadow",
        "/etc/hostname",
        f"/proc/{os.getpid()}/environ",
    ]
    targets += [f"/proc/{os.getpid()}/root{secret}", "/proc/1/root/etc/shadow", "/proc/self/root/etc/shadow"]
    done = await shell(level, workspace, "; ".join(f"cat {target}" for target in targets))
    assert done.stdout == b""
    home = await shell(level, workspace, f"ls -A {Path.home()} /home /var/lib /etc/ssh 2>/dev/null")
    allowed = {part for path in (Path(sys.base_prefix), Path(sys.prefix), workspace) for part in path.parts}
    names = {name for name in home.stdout.decode().split() if not name.endswith(":")}
    assert names <= allowed


async def test_nothing_outside_can_be_written(level: Level, workspace: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    existing = tmp_path / "existing"
    existing.write_text("as it was")
    existing.chmod(0o666)
    (workspace / "link").symlink_to(existing)
    places = [str(existing), "link", str(tmp_path / "new"), "/usr/bin/new", "/etc/new", "/new"]
    places += [f"{sys.prefix}/new", f"{sys.base_prefix}/lib/new", "/var/tmp/new", "/dev/new"]
    script = "; ".join(f"echo changed > {place}" for place in places)
    script += f"; rm -f {existing}; mv {existing} moved; ln {existing} hard; mkdir {tmp_path}/folder"
    await shell(level, workspace, script)
    assert existing.read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["existing", "private"]
    assert not any(Path(place).exists() for place in places[2:])
    assert not (workspace / "hard").exists()


async def test_nothing_outside_is_touched(level: Level, workspace: Path) -> None:
    outside = workspace.parent / "outside"
    outside.write_text("")
    outside.chmod(0o600)
    workspace.parent.chmod(0o755)
    if os.geteuid() == 0:
        account = pwd.getpwnam(Settings().sandbox_account)
        os.chown(outside, account.pw_uid, account.pw_gid)
    elif level == "landlock":
        # An ordinary user has no means against this, and Landlock none: see docs/sandbox.md.
        return
    before = outside.stat()
    await shell(level, workspace, f"chmod 666 {outside}; touch -d 2001-01-01 {outside}; truncate -s 5 {outside}")
    after = outside.stat()
    assert (after.st_mode, after.st_mtime, after.st_size) == (before.st_mode, before.st_mtime, before.st_size)


async def test_no_network(level: Level, workspace: Path) -> None:
    name = f"\0openmanus-graph-test-{os.getpid()}"
    listeners = [socket.create_server(("127.0.0.1", 0))]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    port = str(udp.getsockname()[1])
    for address in (name, str(workspace.parent / "socket")):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen()
        listeners.append(listener)
    try:
        code = f"""
            import json, socket
            attempts = [
                (socket.AF_INET, socket.SOCK_STREAM, {listeners[0].getsockname()!r}),
                (socket.AF_INET, socket.SOCK_DGRAM, {udp.getsockname()!r}),
                (socket.AF_UNIX, socket.SOCK_STREAM, {name!r}),
                (socket.AF_UNIX, socket.SOCK_STREAM, {str(workspace.parent / "socket")!r}),
                (socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80)),
            ]
            reached = []
            for family, kind, address in attempts:
                try:
                    with socket.socket(family, kind) as one:
                        one.settimeout(2)
                        one.connect(address)
                        one.send(b"out")
                        reached.append(str(address))
                except OSError:
                    pass
            print(json.dumps(reached))
        """
        reached = await python(level, workspace, code)
        udp.setblocking(False)
        with pytest.raises(BlockingIOError):
            udp.recv(16)
    finally:
        for listener in [*listeners, udp]:
            listener.close()
    # A UDP socket in an empty network namespace takes what is sent to its own loopback.
    assert [address for address in reached if port not in address] == []


async def test_secrets_of_the_environment_are_not_visible(
    level: Level, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_API_KEY", "very-secret")
    monkeypatch.setenv("HARMLESS", "very-secret")
    done = await shell(
        level, workspace, "env; cat /proc/*/environ | tr '\\0' '\\n'; grep -rs very-secret /proc/*/cmdline"
    )
    assert b"PATH=" in done.stdout
    assert b"very-secret" not in done.stdout


async def test_dangerous_system_calls_are_refused(level: Level, workspace: Path) -> None:
    code = """
        import ctypes, errno, json, platform
        libc = ctypes.CDLL(None, use_errno=True)
        x86 = {"keyctl": 250, "add_key": 248, "request_key": 249, "bpf": 321, "perf_event_open": 298,
               "userfaultfd": 323, "ptrace": 101, "kexec_load": 246, "mount": 165, "umount2": 166,
               "unshare": 272, "setns": 308, "init_module": 175, "open_by_handle_at": 304,
               "process_vm_readv": 310}
        arm = {"keyctl": 219, "add_key": 217, "request_key": 218, "bpf": 280, "perf_event_open": 241,
               "userfaultfd": 282, "ptrace": 117, "kexec_load": 104, "mount": 40, "umount2": 39,
               "unshare": 97, "setns": 268, "init_module": 105, "open_by_handle_at": 265,
               "process_vm_readv": 270}
        calls = dict(x86 if platform.machine() == "x86_64" else arm, io_uring_setup=425, open_tree=428)
        refused = {}
        for name, number in calls.items():
            result = libc.syscall(number, 0, 0, 0, 0, 0)
            refused[name] = result == -1 and ctypes.get_errno() == errno.EPERM
        clone = 56 if platform.machine() == "x86_64" else 220
        result = libc.syscall(clone, 0x10000000 | 17, 0, 0, 0, 0)
        if result == 0:
            import os
            os._exit(0)
        refused["clone into a new user namespace"] = result == -1
        print(json.dumps(refused))
    """
    refused = await python(level, workspace, code)
    assert [name for name, held in refused.items() if not held] == []


async def test_files_that_run_as_somebody_else_cannot_be_made(level: Level, workspace: Path) -> None:
    code = """
        import json, os
        made = []
        open("file", "w").close()
        for mode in (0o4755, 0o2755):
            create = lambda: os.close(os.open("new", os.O_CREAT, mode))
            for attempt in (lambda: os.chmod("file", mode), create):
                try:
                    attempt()
                    made.append(oct(mode))
                except PermissionError:
                    pass
        os.chmod("file", 0o755)
        print(json.dumps(made))
    """
    assert await python(level, workspace, code) == []
    assert (workspace / "file").stat().st_mode & 0o7777 == 0o755


async def test_a_fork_bomb_is_bounded(level: Level, workspace: Path) -> None:
    code = """
        import json, os, signal, time
        children = 0
        while children < 2000:
            try:
                pid = os.fork()
            except OSError:
                break
            if pid == 0:
                time.sleep(60)
                os._exit(0)
            children += 1
        print(json.dumps(children))
    """
    # Without namespaces the limit counts the account's processes: one that has no others, which might end meanwhile.
    if os.geteuid() != 0:
        await until_processes_stay_the_same()
    children = await python(level, workspace, code, settings=Settings(sandbox_account=unused_account()))
    assert 10 < children <= SMALL.processes


async def test_a_fork_bomb_is_ended_by_its_timeout(level: Level, workspace: Path, marker: str) -> None:
    started = time.monotonic()
    done = await run_process(
        ["bash", "-c", f"bomb() {{ sleep {marker} & bomb & bomb & wait; }}; bomb"],
        workspace=workspace,
        level=level,
        settings=Settings(),
        limits=SMALL,
        timeout_s=0.5,
    )
    assert done.timed_out
    assert time.monotonic() - started < 5
    assert await gone(marker)


async def test_a_memory_bomb_ends_in_an_error(level: Level, workspace: Path) -> None:
    code = """
        import json
        kept = []
        try:
            while len(kept) < 4096:
                kept.append(bytearray(1024 * 1024))
        except MemoryError:
            pass
        count = len(kept)
        kept.clear()
        print(json.dumps(count))
    """
    assert await python(level, workspace, code) * 1024**2 < SMALL.memory


async def test_a_file_cannot_fill_the_disk(level: Level, workspace: Path) -> None:
    done = await shell(level, workspace, "head -c 3000000 /dev/zero > big")
    assert done.exit_code != 0
    assert (workspace / "big").stat().st_size == SMALL.file_size


async def test_processor_time_is_limited(level: Level, workspace: Path) -> None:
    done = await shell(level, workspace, "while :; do :; done", replace(SMALL, cpu_s=1))
    assert done.exit_code != 0
    assert not done.timed_out


async def test_daemons_end_with_the_command(any_level: Level, workspace: Path, marker: str) -> None:
    script = f"""
        setsid sh -c 'setsid sleep {marker} >/dev/null 2>&1 </dev/null & exit' &
        nohup sleep {marker} >/dev/null 2>&1 &
        for i in 1 2 3 4 5 6 7 8 9; do sleep 0.05; done
        echo left
    """
    process = await open_process(["sh", "-c", script], workspace=workspace, level=any_level, settings=Settings())
    assert process.stdout is not None
    await process.stdout.readline()
    await process.wait()
    assert await gone(marker)
    await process.aclose()


async def test_a_timeout_ends_everything(any_level: Level, workspace: Path, marker: str) -> None:
    done = await run_process(
        ["sh", "-c", f"trap '' INT TERM HUP; setsid sleep {marker} & sleep {marker}; sleep {marker}"],
        workspace=workspace,
        level=any_level,
        settings=Settings(),
        timeout_s=0.3,
    )
    assert done.timed_out
    assert await gone(marker)


@pytest.mark.kill
async def test_nothing_is_left_when_we_are_killed(any_level: Level, workspace: Path, marker: str) -> None:
    code = f"""
        import asyncio
        from pathlib import Path
        from openmanus_graph.sandbox import open_process
        from openmanus_graph.config.settings import Settings

        async def main():
            script = "setsid sleep {marker} & sleep {marker} & echo up; wait"
            process = await open_process(["sh", "-c", script], workspace=Path({str(workspace)!r}),
                                         level={any_level!r}, settings=Settings())
            print((await process.stdout.readline()).decode(), flush=True)
            await asyncio.sleep(60)

        asyncio.run(main())
    """
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(code), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert (await parent.stdout.readline()).strip() == b"up"
    deadline = time.monotonic() + 5
    while len(sleeping(marker)) < 2 and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert len(sleeping(marker)) == 2
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    assert await gone(marker)


async def test_processes_outside_get_no_signal(level: Level, workspace: Path) -> None:
    victim = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        code = f"""
            import json, os
            try:
                os.kill({victim.pid}, 9)
                print(json.dumps("sent"))
            except OSError as error:
                print(json.dumps(type(error).__name__))
        """
        assert await python(level, workspace, code) in ("ProcessLookupError", "PermissionError")
        await asyncio.sleep(0.05)
        assert victim.returncode is None
    finally:
        victim.kill()
        await victim.wait()


async def test_no_rights_are_regained(level: Level, workspace: Path) -> None:
    done = await shell(level, workspace, "id -u; cat /proc/self/status 2>/dev/null; su -c id; setpriv --reuid 0 id")
    lines = done.stdout.decode().splitlines()
    assert lines[0] != "0"
    assert "uid=0" not in done.stdout.decode()
    for line in lines:
        if line.startswith(("CapEff:", "CapPrm:")):
            assert int(line.split()[1], 16) == 0
        if line.startswith("NoNewPrivs:"):
            assert line.split()[1] == "1"


async def test_an_exit_status_comes_through(any_level: Level, workspace: Path) -> None:
    codes = [(await shell(any_level, workspace, script)).exit_code for script in ("true", "exit 7", "kill -9 $$")]
    assert codes == [0, 7, 137]


async def test_a_workspace_that_may_only_be_read_stays_as_it_is(level: Level, workspace: Path) -> None:
    (workspace / "kept").write_text("as it was")
    (workspace / "kept").chmod(0o600)
    script = (
        "cat kept; echo new > kept; echo new > other; rm -f kept; mkdir folder; ln kept link; mv kept moved; exit 0"
    )

    process = await open_process(
        ["bash", "-c", script], workspace=workspace, level=level, settings=Settings(), limits=SMALL, read_only=True
    )
    said, _ = await process.communicate()
    await process.aclose()

    assert said == b"as it was"
    assert {path.name: path.read_text() for path in workspace.iterdir()} == {"kept": "as it was"}
