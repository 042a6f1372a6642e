"""Story: runs the blocks of a page one after the other, in one folder, as a reader would."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from openmanus_graph import Plan, ThreadSaver
from tests.docs.blocks import TOP, Block
from tests.interpreter import Interpreter

SET_UP = re.compile(r"^(make|git clone|cd openmanus-graph|pip install|sudo|apt-get|source)\b")
"""Commands that set a machine up: tested elsewhere, so only checked to name what exists."""
_EXIT = re.compile(r"# exits? (?:with )?(\d+)")
_SECONDS = re.compile(r"\d+\.\d s\b")
_MARK = "@@ended"


class Story:
    """One page being followed."""

    def __init__(self, folder: Path, home: Path, interpreter: Interpreter) -> None:
        self.folder = folder
        programs = Path(interpreter.command()).parent
        self.environment = {key: value for key, value in os.environ.items() if not _private(key)}
        self.environment |= {
            "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "OPENMANUS_GRAPH_HOME": str(home),
            "PYTHONPATH": str(TOP),
        }
        self._names: dict[str, Any] = {"__name__": "a_page_of_the_docs"}
        self._runner = asyncio.Runner()

    def close(self) -> None:
        for value in self._names.values():
            if isinstance(value, ThreadSaver):  # left open by a block that failed
                self._runner.run(self._closed(value))
        self._runner.close()

    async def _closed(self, saver: ThreadSaver) -> None:
        await saver.aclose()

    def follow(self, block: Block) -> None:
        if block.file is not None:
            (self.folder / block.file).write_text(block.text, encoding="utf-8")
        if block.shown_only:
            return
        match block.language:
            case "yaml" if "subtasks:" in block.text:
                path = self.folder / (block.file or "plan-of-the-page.yaml")
                path.write_text(block.text, encoding="utf-8")
                Plan.from_file(path)
            case "json":
                json.loads(block.text)
            case "toml":
                tomllib.loads(block.text)
            case "python" if block.file is None:
                self._python(block)
            case "python":
                compile(block.text, block.place, "exec")
            case "bash" | "sh":
                self._script(block)
            case "console":
                self._session(block)
            case _:
                pass

    def _python(self, block: Block) -> None:
        code = compile(block.text, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.chdir(self.folder):
            if code.co_flags & inspect.CO_COROUTINE:
                self._runner.run(self._awaited(code))
            else:
                exec(code, self._names)
        shown = [line.removeprefix("# > ") for line in block.text.splitlines() if line.startswith("# > ")]
        assert shown or not said.getvalue(), f"{block.place} prints, and does not show what"
        assert_shown(shown, said.getvalue(), block.place)

    async def _awaited(self, code: Any) -> None:
        await eval(code, self._names)

    def _bash(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )

    def _script(self, block: Block) -> None:
        """A block of commands which all succeed."""
        lines = [line for line in block.text.splitlines() if not set_up(line)]
        if not any(lines):
            return
        ended = self._bash("\n".join(["set -eo pipefail", *lines]))
        assert ended.returncode == 0, f"{block.place}: exit {ended.returncode}\n{ended.stdout}"

    def _session(self, block: Block) -> None:
        """Commands behind `$ `, each with the output that the page shows of it."""
        steps: list[tuple[str, list[str]]] = []
        for line in block.text.splitlines():
            if line.startswith("$ "):
                steps.append((line.removeprefix("$ "), []))
            elif steps and steps[-1][0].endswith("\\"):
                steps[-1] = (f"{steps[-1][0]}\n{line.removeprefix('> ')}", steps[-1][1])
            else:
                steps[-1][1].append(line)
        script = "\n".join(
            line for step, _ in steps if not set_up(step) for line in (step, f"printf '\\n{_MARK} %d\\n' $?")
        )
        said = re.split(rf"\n{_MARK} (\d+)\n", self._bash(script).stdout)
        run = [(step, shown) for step, shown in steps if not set_up(step)]
        assert len(said) == 2 * len(run) + 1, f"{block.place}: the session ended early\n{''.join(said)}"
        for index, (step, shown) in enumerate(run):
            output, code = said[2 * index], int(said[2 * index + 1])
            stated = _EXIT.search(step)
            assert code == (int(stated[1]) if stated else 0), f"{block.place}: {step!r} exit {code}\n{output}"
            assert_shown(shown, output, f"{block.place}: {step}")


def _private(key: str) -> bool:
    return key.startswith(("OPENMANUS_GRAPH_", "PYTEST_", "COV_")) or key in ("DATABASE_URL", "PYTHONPATH")


def set_up(line: str) -> bool:
    """Whether a line sets the machine up; a target of make that it names must exist."""
    if not SET_UP.match(line):
        return False
    if target := re.match(r"make +([a-z0-9-]+)", line):
        makefile = (TOP / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{target[1]}:", makefile, re.MULTILINE), f"there is no target {target[1]!r}"
    return True


def assert_shown(shown: list[str], said: str, place: str) -> None:
    """Every line that a page shows was said, in this order; `…` stands for anything, times may differ."""
    position = 0
    for line in shown:
        if not line.strip() or line.strip() == "…":
            continue
        pattern = r"[^\n]*".join(_loose(part) for part in line.strip().split("…"))
        found = re.compile(pattern).search(said, position)
        assert found is not None, f"{place} shows {line!r}, but what was said is:\n{said}"
        position = found.end()


def _loose(text: str) -> str:
    pieces = [r"\s+".join(map(re.escape, piece.split(" "))) for piece in _SECONDS.split(text)]
    return r"\d+\.\d s".join(re.sub(r"(\\s\+)+", r"\\s+", piece) for piece in pieces)
