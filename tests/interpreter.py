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
import runpy
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
INSTALLED = Path(sys.executable).with_name("openmanus-graph")
START_S = 120
"""Seconds until an interpreter counts as hung."""

COMMAND = '''#!{python} -IS
"""Hand a command to the interpreter that forks it."""
import json, os, select, signal, socket, struct, sys

words, environment = sys.argv[1:], dict(os.environ)
settings = {{name: value for name, value in environment.items() if name.startswith("PYTHON") and name != "PYTHONPATH"}}
if settings.items() - {inherited!r}.items() or any(map(os.isatty, (0, 1, 2))):
    os.execv({python!r}, [{python!r}, *{before!r}, *words])
told = {{signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}}
signal.pthread_sigmask(signal.SIG_BLOCK, told)  # until the process is there that they are for
connection = socket.socket(socket.AF_UNIX)
connection.connect({place!r})
said = json.dumps([{kind!r}, [*([{program!r} or sys.argv[0]] if {kind!r} != "script" else []), *words],
                   os.getcwd(), environment]).encode()
socket.send_fds(connection, [struct.pack("!I", len(said))], [0, 1, 2])
connection.sendall(said)
for number in told:
    sent = bytes([signal.SIGKILL if number == signal.SIGQUIT else number])
    signal.signal(number, lambda *_, sent=sent: connection.sendall(sent))
signal.pthread_sigmask(signal.SIG_UNBLOCK, told)
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
        if module:
            program = str(Path(openmanus_graph.__file__).with_name("__main__.py"))
            return self._executable("as-module", "module", ["-m", "openmanus_graph"], program)
        return self._executable("openmanus-graph", "installed", [str(INSTALLED)])

    def python(self) -> str:
        """The path of an executable that runs a script with its words, as Python does."""
        return self._executable("python", "script", [])

    def _executable(self, name: str, kind: str, before: list[str], program: str = "") -> str:
        """A file that hands its words on; `before` are those that Python itself would get before them."""
        path = self._folder / name
        if not path.exists():
            inherited = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
            said = {"python": sys.executable, "place": str(self._place), "program": program, "kind": kind}
            path.write_text(COMMAND.format(**said, before=before, inherited=inherited))
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        return str(path)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a command of the interpreter with -9; when this returns, nothing of it runs any more."""
    process.send_signal(signal.SIGQUIT)
    process.wait()


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
            kind, words, folder, environment = json.loads(said)
            _be_command(kind, words, folder, environment, files)
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


def _be_command(kind: str, words: list[str], folder: str, environment: dict[str, str], files: list[int]) -> Any:
    """What a forked process does: it becomes the command."""
    try:
        os.chdir(folder)
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(3, 256)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = words
        first = folder if kind == "module" else str(Path(words[0]).parent)
        sys.path[:] = [first, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *sys.path[1:]]
        time.tzset()
        code: Any = 0
        try:
            if kind == "script":
                runpy.run_path(words[0], run_name="__main__")
            else:
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
