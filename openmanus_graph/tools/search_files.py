"""Search files: the tool that finds lines by regular expression in the workspace's files."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph import errors
from openmanus_graph.context import tool_context
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.tools.glob import Glob
from openmanus_graph.tools.spec import ToolSpec, builtin_tool

DEFAULT_RESULTS = 200
"""Matches returned when the caller does not say."""
MAX_RESULTS = 10_000
"""Matches returned at most."""
TIME_LIMIT = 30.0
"""Seconds a search may take."""
_ANSWER_LIMIT = 2**20

_MATCH = {"path": TEXT, "line": TEXT, "text": TEXT}
_SPEC = ToolSpec(
    on_request=True,
    effect="read",
    idempotent=True,
    returns={"matches": [_MATCH], "truncated": TEXT},
    free_text=("text",),
)


class SearchArguments(BaseModel):
    """What to look for, and where."""

    model_config = ConfigDict(extra="forbid")

    pattern: str = Field(min_length=1, description="A Python regular expression, tried on each line.")
    path: str = Field(default=".", description="The folder or file to search.")
    glob: str = Field(default="**/*", description="Which files of the folder, such as `**/*.py`.")
    ignore_case: bool = Field(default=False, description="Whether case does not matter.")
    max_results: int = Field(default=DEFAULT_RESULTS, ge=1, le=MAX_RESULTS, description="Lines at most.")
    include_hidden: bool = Field(default=False, description="Whether names with a dot in front are searched.")


@builtin_tool("search_files", SearchArguments, _SPEC)
async def search_files(
    *,
    pattern: str,
    path: str = ".",
    glob: str = "**/*",
    ignore_case: bool = False,
    max_results: int = DEFAULT_RESULTS,
    include_hidden: bool = False,
) -> dict[str, Any]:
    """Find the lines of the workspace's text files that match a regular expression.

    Each match has `path`, `line` (from 1) and `text`. `truncated` says that there may be more.
    """
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ToolArgumentsError(
            f"The argument 'pattern' is not a regular expression: {error}.",
            hint="Put a backslash before characters that are meant as they are.",
        ) from error
    Glob(glob)
    request = {
        "workspace": str(tool_context().workspace),
        "pattern": pattern,
        "path": path,
        "glob": glob,
        "ignore_case": ignore_case,
        "max_results": max_results,
        "include_hidden": include_hidden,
    }
    return await find(request, TIME_LIMIT)


async def find(request: dict[str, Any], time_limit: float) -> dict[str, Any]:
    """Run the matcher in a process of its own, and end it when its time is over.

    Args:
        request: As `matcher.search` takes it.
        time_limit: Seconds.

    Raises:
        ToolError: If the search fails or takes too long.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "openmanus_graph.tools.matcher"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_ANSWER_LIMIT,
        start_new_session=True,  # Ctrl-C is for the run, which lets its running steps end
    )
    answer = _Answer()
    try:
        async with asyncio.timeout(time_limit):
            await _converse(process, request, answer)
    except TimeoutError:
        raise ToolError(
            f"The search took longer than {time_limit:g} s, and was at {answer.file!r}.",
            hint="Simplify the pattern, or name fewer files with 'path' and 'glob'.",
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return {"matches": answer.matches, "truncated": answer.truncated}


class _Answer:
    """The matcher's messages so far."""

    def __init__(self) -> None:
        self.file: str | None = None
        self.matches: list[dict[str, Any]] = []
        self.truncated: bool | None = None

    def take(self, line: bytes) -> None:
        message: dict[str, Any] = json.loads(line)
        if "file" in message:
            self.file = message["file"]
        elif "match" in message:
            self.matches.append(message["match"])
        elif "error" in message:
            kind: type[ToolError] = getattr(errors, message["error"]["kind"])
            raise kind(message["error"]["message"], hint=message["error"]["hint"])
        else:
            self.truncated = message["truncated"]


async def _converse(process: asyncio.subprocess.Process, request: dict[str, Any], answer: _Answer) -> None:
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    if stdin is None or stdout is None or stderr is None:
        raise ToolError("The search process has no pipes.")
    stdin.write(json.dumps(request).encode())
    stdin.close()
    async for line in stdout:
        answer.take(line)
    errors_text = (await stderr.read()).decode(errors="replace").strip()
    code = await process.wait()
    if code != 0 or answer.truncated is None:
        last = errors_text.splitlines()[-1] if errors_text else "it said nothing"
        raise ToolError(f"The search ended with exit code {code}: {last}.")
