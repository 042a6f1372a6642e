"""Interpreter: a process that has imported the program once and forks a process of its own for each command.

A start of Python with all its imports takes a second of a processor; a test suite makes a thousand. `command()` is an
executable that hands its words, folder, environment and open files to the interpreter, and its signals to the process
that is forked for it. A command that is killed takes that process with it. What a forked process could not tell apart
from a start of its own, such as a terminal or settings of Python, is started as usual.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import openmanus_graph

PRELOADED = (
    "openmanus_graph.cli.run",
    "openmanus_graph.cli.resume",
    "openmanus_graph.cli.user_graph",
    "openmanus_graph.cli.plan",
    "openmanus_graph.cli.graph",
    "openmanus_graph.cli.doctor",
    "openmanus_graph.cli.tools",
    "openmanus_graph.cli.threads.overview",
    "openmanus_graph.cli.threads.timeline",
    "openmanus_graph.cli.threads.pictures",
    "openmanus_graph.graphs.manus",
    "openmanus_graph.graphs.rebuild",
    "langchain_litellm",
    "openai.resources.chat",
    "mcp",
    "IPython.core.display",
)
"""Modules that commands import late."""
START_S = 120
"""Seconds until an interpreter counts as hung."""

COMMAND = '''#!{python} -IS
"""Hand a command to the interpreter that forks it."""
import json, os, select, signal, socket, struct, sys

words, environment = sys.argv[1:], dict(os.environ)
settings = {{name: value for name, value in environment.items() if name.startswith("PYTHON") and name != "PYTHONPATH"}}
if settings.items() - {inherited!r}.items() or any(map(os.isatty, (0, 1, 2))):
    os.execv({python!r}, [{python!r}, *({module!r} or [{script!r}]), *words])
connection = socket.socket(socket.AF_UNIX)
connection.connect({place!r})
said = json.dumps([[{program!r} or sys.argv[0], *words], os.getcwd(), environment, bool({module!r})]).encode()
socket.send_fds(connection, [struct.pack("!I", len(said))], [0, 1, 2])
connection.sendall(said)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: connection.sendall(bytes([number])))
ended = connection.recv(4)
code = struct.unpack("!i", ended)[0] if len(ended) == 4 else 1
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), -code)
sys.exit(code)
'''


class Interpreter:
    """The process that forks commands."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="omg-interpreter-"))
        self._place = self._folder / "socket"
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._place)], env=environment, stdin=subprocess.PIPE
        )
        deadline = time.monotonic() + START_S
        while not self._place.exists():
            assert self._process.poll() is None and time.monotonic() < deadline, "the interpreter does not start"
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()

    def command(self, *, module: bool = False) -> str:
        """The path of an executable that is the program.

        Args:
            module: Whether it is `python -m openmanus_graph`, and not the installed script.
        """
        path = self._folder / ("as-module" if module else "openmanus-graph")
        if not path.exists():
            script = Path(sys.executable).with_name("openmanus-graph")
            program = str(Path(openmanus_graph.__file__).with_name("__main__.py")) if module else ""
            said = {"python": sys.executable, "place": str(self._place), "script": str(script), "program": program}
            inherited = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
            module_words = ["-m", "openmanus_graph"] if module else []
            path.write_text(COMMAND.format(**said, module=module_words, inherited=inherited))
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        return str(path)


class _Server:
    """The loop of the interpreter's process."""

    def __init__(self, place: str) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{place}.new")
        self.listener.listen(64)
        Path(f"{place}.new").rename(place)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.selector.register(0, selectors.EVENT_READ, lambda: os._exit(0))  # the tests have ended

    def serve(self) -> None:
        """Fork commands until the tests end."""
        while True:
            for key, _ in self.selector.select():
                key.data()

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        head, files, _, _ = socket.recv_fds(connection, 4, 3)
        said = b""
        (length,) = struct.unpack("!I", head)
        while len(said) < length:
            said += connection.recv(length - len(said))
        pid = os.fork()
        if pid == 0:
            words, folder, environment, module = json.loads(said)
            _be_command(words, folder, environment, module, files)
        for file in files:
            os.close(file)
        watched = os.pidfd_open(pid)

        def ended() -> None:
            _, status = os.waitpid(pid, 0)
            with suppress(OSError):
                connection.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status)))
            self.selector.unregister(watched)
            os.close(watched)
            with suppress(KeyError, ValueError):
                self.selector.unregister(connection)
            connection.close()

        def told() -> None:
            numbers = b""
            with suppress(OSError):
                numbers = connection.recv(64)
            for number in numbers:
                os.kill(pid, number)
            if not numbers:  # the command was killed
                os.kill(pid, signal.SIGKILL)
                self.selector.unregister(connection)

        self.selector.register(watched, selectors.EVENT_READ, ended)
        self.selector.register(connection, selectors.EVENT_READ, told)


def _be_command(words: list[str], folder: str, environment: dict[str, str], module: bool, files: list[int]) -> Any:
    """What a forked process does: it becomes the command."""
    try:
        os.chdir(folder)
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(3, 256)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = words
        first = folder if module else str(Path(words[0]).parent)
        sys.path[:] = [first, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *sys.path[1:]]
        time.tzset()
        code: Any = 0
        try:
            import_module("openmanus_graph.cli").main()
        except SystemExit as ended:
            code = ended.code
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)
    except BaseException:  # noqa: BLE001 - whatever it is, a fork must not go on as its parent
        import_module("traceback").print_exc()
        sys.stderr.flush()
        os._exit(1)


def main() -> None:
    """Import, listen and fork."""
    sys.path.pop(0)  # this file's folder
    for name in PRELOADED:
        with suppress(ImportError):
            import_module(name)
    import_module("openmanus_graph.cli")
    gc.freeze()
    _Server(sys.argv[1]).serve()


if __name__ == "__main__":
    main()
