"""Python_execute: the tool that runs code in one persistent, confined interpreter."""

from __future__ import annotations

import asyncio
import json
import keyword
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from openmanus_graph.context import ToolContext, tool_context
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.plans.output_shape import ANY, TEXT
from openmanus_graph.sandbox.interpreter import CodeOutcome, Interpreter
from openmanus_graph.sandbox.level import choose_level
from openmanus_graph.tools.spec import ToolSpec, builtin_tool
from openmanus_graph.tools.web.sandbox_network import SandboxNetwork, with_hosts

DEFAULT_TIMEOUT_S = 60.0
LONGEST_TIMEOUT_S = 600.0

_MOST_FILES = 20_000
"""Files of a workspace that are looked at for changes."""

Stamp = tuple[int, int, int]

_SPEC = ToolSpec(
    effect="write",
    returns={"stdout": TEXT, "result": ANY, "error": ANY, "files": [TEXT]},
    takes_code=True,
    runs_commands=True,
    code_argument="code",
)


class PythonArguments(BaseModel):
    """What the tool takes."""

    code: str = Field(description="The Python code to run.")
    variables: dict[str, Any] | None = Field(
        default=None,
        description="Variables set before it, by name: how text of any content, lists and mappings reach the code.",
    )
    timeout_s: float = Field(default=DEFAULT_TIMEOUT_S, gt=0, description="Seconds it may take, 600 at most.")


class PythonSession:
    """The interpreter of one subtask, replaced by a new one when it has ended."""

    def __init__(self, context: ToolContext) -> None:
        self._context = context
        self._interpreter: Interpreter | None = None
        self._network = SandboxNetwork(context.settings)
        self._turn = asyncio.Lock()

    async def run(self, code: str, timeout_s: float, assignments: str = "") -> tuple[CodeOutcome, list[str]]:
        """Run code after assignments, and name the files that it changed; calls of one subtask wait for each other."""
        async with self._turn:
            interpreter = await self._ready()
            if assignments:
                await interpreter.run(assignments, timeout_s)
            workspace = self._context.workspace
            before = await asyncio.to_thread(_stamps, workspace)
            outcome = await interpreter.run(code, timeout_s)
            after = await asyncio.to_thread(_stamps, workspace)
            changed = sorted(name for name, stamp in after.items() if before.get(name) != stamp)
            return outcome, changed

    def hosts(self) -> list[str]:
        """What is to be told of hosts that were asked for since this was called last."""
        return self._network.told()

    async def aclose(self) -> None:
        """End the interpreter."""
        await self._discard()
        await self._network.aclose()

    async def _discard(self) -> None:
        interpreter, self._interpreter = self._interpreter, None
        if interpreter is not None:
            await interpreter.aclose()

    async def _ready(self) -> Interpreter:
        if self._interpreter is not None and not self._interpreter.alive:
            await self._discard()
        if self._interpreter is None:
            context = self._context
            level = await asyncio.to_thread(choose_level, context.sandbox, context.settings)
            way_out = await self._network.renewed(level, context)
            self._interpreter = await Interpreter.open(context.workspace, level, context.settings, way_out)
        return self._interpreter


def _stamps(workspace: Path) -> dict[str, Stamp]:
    """A stamp of each file by relative path, which changes with the file; links are not followed."""
    stamps: dict[str, Stamp] = {}
    for folder, folders, names in os.walk(workspace):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(folder) / name
            try:
                found = path.lstat()
            except (FileNotFoundError, PermissionError):
                continue
            stamps[str(path.relative_to(workspace))] = (found.st_ino, found.st_size, found.st_mtime_ns)
            if len(stamps) >= _MOST_FILES:
                return stamps
    return stamps


def _assignments(variables: Mapping[str, Any]) -> str:
    """Python variables as code of its own, so that the lines of a traceback stay those of the caller's code.

    Raises:
        ToolArgumentsError: If a name is none of a Python variable.
    """
    for name in variables:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ToolArgumentsError(f"The argument 'variables' has {name!r}, which is no name of a Python variable.")
    return f"globals().update(__import__('json').loads({json.dumps(variables)!r}))" if variables else ""


@builtin_tool("python_execute", PythonArguments, _SPEC)
async def python_execute(
    code: str, variables: dict[str, Any] | None = None, timeout_s: float = DEFAULT_TIMEOUT_S
) -> dict[str, Any]:
    """Run Python code in the workspace; variables and imports are kept from call to call.

    Returns stdout (all that is printed), result (repr of the last expression), error (the traceback) and files
    (made or changed). Where matplotlib is installed, open figures are saved as figure-<n>.png. After timeout_s the
    interpreter is ended and its variables are lost. There is no input.
    """
    context = tool_context()
    context.report("running Python")

    async def opener() -> PythonSession:
        return PythonSession(context)

    session = await context.sessions.get("python", opener)
    outcome, files = await session.run(code, min(timeout_s, LONGEST_TIMEOUT_S), _assignments(variables or {}))
    output = {"stdout": outcome.output, "result": outcome.result, "error": outcome.error, "files": files}
    return with_hosts(output, session.hosts(), context)
