"""Neo4j server: a real one for the tests, on a port of its own, with a password, as small as it runs."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from neo4j import GraphDatabase
from neo4j.exceptions import ServiceUnavailable

TOP = Path(__file__).resolve().parent.parent
LIMIT_S = 180.0
"""Seconds that a start may take on a busy machine."""
JAVA = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:MaxMetaspaceSize=192m",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
)
CONFIGURATION = """\
server.bolt.listen_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
dbms.security.auth_enabled=true
dbms.usage_report.enabled=false
server.memory.pagecache.size=32m
"""


def jars() -> Path | None:
    """Where `make neo4j` has put the server; `None` if it has not, or there is no Java to run it."""
    version = re.search(r"<neo4j>(.+)</neo4j>", (TOP / "scripts" / "neo4j.xml").read_text(encoding="utf-8"))
    folder = TOP / ".make" / f"neo4j-{version[1] if version else ''}"
    return folder / "lib" if (folder / "complete").exists() and shutil.which("java") else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Neo4jServer:
    """A server that can be stopped and started again with the same data."""

    def __init__(self, home: Path, lib: Path) -> None:
        """Prepare it; nothing is started yet.

        Args:
            home: An empty folder for its data.
            lib: Its jars.
        """
        self.home = home
        self.password = secrets.token_hex(8)
        self._lib = lib
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._has_password = False
        (home / "conf").mkdir(mode=0o700)
        (home / "conf" / "neo4j.conf").write_text(CONFIGURATION.format(port=self._port), encoding="utf-8")

    @property
    def uri(self) -> str:
        """Where it answers."""
        return f"bolt://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = ["java", *JAVA, "-cp", f"{self._lib}/*", "org.neo4j.server.CommunityEntryPoint"]
        command += [f"--home-dir={self.home}", f"--config-dir={self.home / 'conf'}", "--console-mode"]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        limit = time.monotonic() + LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"Neo4j did not start:\n{(self.home / 'log').read_text(encoding='utf-8')[-3000:]}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            if not self._has_password:
                with GraphDatabase.driver(self.uri, auth=("neo4j", "neo4j")) as driver:
                    change = "ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO $new"
                    driver.execute_query(change, {"new": self.password}, database_="system")
                self._has_password = True
            with GraphDatabase.driver(self.uri, auth=("neo4j", self.password)) as driver:
                driver.execute_query("RETURN 1")
        except (ServiceUnavailable, OSError):
            return False
        return True

    def stop(self) -> None:
        """Stop it in the ordinary way, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=LIMIT_S)
            self._process = None

    def kill(self) -> None:
        """Kill it and whatever it has started."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def empty(self) -> None:
        """Remove all that is stored."""
        with GraphDatabase.driver(self.uri, auth=("neo4j", self.password)) as driver:
            driver.execute_query("MATCH (n) DETACH DELETE n")


async def started(server: Neo4jServer) -> None:
    """Start it from a test that has an event loop."""
    await asyncio.to_thread(server.start)
