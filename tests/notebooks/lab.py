"""Lab: a real JupyterLab."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

READY_S = 60.0
"""Seconds that JupyterLab may take to answer."""
SETTINGS = (
    "--no-browser",
    "--allow-root",
    "--expose-app-in-browser",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--ServerApp.allow_remote_access=False",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.news_url=",
    "--LabApp.extension_manager=readonly",
)


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Lab:
    """A running JupyterLab."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, token: str) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.token = token

    def ask(self, path: str, method: str = "GET") -> Any:
        """What its server answers to a request of its interface."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def kernels(self) -> list[int]:
        """The process ids of the kernels, which are children of the server."""
        own = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        kernels = []
        for pid in own:
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                if b"ipykernel" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    kernels.append(int(pid))
        return kernels


@contextmanager
def running_lab(folder: Path, environment: dict[str, str], log: Path) -> Iterator[Lab]:
    """A JupyterLab whose files are those of a folder.

    Args:
        folder: The folder.
        environment: What it and its kernels see; its own settings and files go into the home in it.
        log: Takes what it prints.
    """
    port, token = free_port(), secrets.token_hex(16)
    home = Path(environment["HOME"])
    asking = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    asking.parent.mkdir(parents=True)
    asking.write_text('{"fetchNews": "false"}')  # or it asks in front of what is looked at
    own = {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings")}
    own |= {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyterlab", *SETTINGS, f"--ServerApp.port={port}"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment | own, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    lab = Lab(process, port, token)
    try:
        until = time.monotonic() + READY_S
        while True:
            try:
                lab.ask("status")
                break
            except (urllib.error.URLError, OSError) as error:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"JupyterLab does not answer: {log.read_text()}") from error
                time.sleep(0.1)
        yield lab
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
