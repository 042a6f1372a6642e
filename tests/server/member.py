"""Member: a process that uses the server as its standard input says; its text is run with `-c`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from openmanus_graph.checkpoints.server.embedded import EmbeddedServer
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import OpenManusGraphError


def query(url: str, statement: str) -> Any:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        result = connection.execute(statement.encode())
        return result.fetchall() if result.description else None


def fork(server: EmbeddedServer) -> int:
    """End a forked child the ordinary way, with everything registered for its exit."""
    child = os.fork()
    if child == 0:
        asyncio.run(server.release())
        sys.exit(0)
    return os.waitpid(child, 0)[1]


def do(server: EmbeddedServer, verb: str, argument: str) -> Any:
    if verb == "status":
        status = server.status()
        return {name: str(value) for name, value in vars(status).items()}
    if verb == "query":
        return query(server.url, argument)
    if verb == "fork":
        return fork(server)
    if verb == "shell":
        return subprocess.run(["/bin/sh", "-c", argument], check=False).returncode
    if verb == "force":
        return asyncio.run(server.stop(force=True))
    if verb == "storm":
        for _ in range(int(argument)):
            asyncio.run(server.acquire())
            query(server.url, "INSERT INTO visits DEFAULT VALUES")
            asyncio.run(server.release())
        return None
    return asyncio.run(getattr(server, verb)())


def main() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as at a terminal, also where the tests run under `nohup`
    server = EmbeddedServer(Settings(home=Path(sys.argv[1]), **json.loads(sys.argv[2])))
    print(json.dumps({"value": os.getpid()}), flush=True)
    for line in sys.stdin:
        verb, _, argument = line.strip().partition(" ")
        try:
            reply = {"value": do(server, verb, argument)}
        except OpenManusGraphError as error:
            reply = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
