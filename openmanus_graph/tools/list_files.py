"""List files: the tool that finds files in the workspace by pattern."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.context import tool_context
from openmanus_graph.errors import ToolError
from openmanus_graph.files.safe_paths import locate
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.tools.glob import Glob, walk
from openmanus_graph.tools.spec import ToolSpec, builtin_tool

DEFAULT_RESULTS = 200
"""Files returned when the caller does not say."""
MAX_RESULTS = 10_000
"""Files returned at most."""

_SPEC = ToolSpec(effect="read", idempotent=True, returns={"files": [TEXT], "truncated": TEXT})


class ListArguments(BaseModel):
    """Which files to list."""

    model_config = ConfigDict(extra="forbid")

    pattern: str = Field(
        description="Such as `*.csv` (in the folder), `**/*.py` (at any depth) or `src/**/*.{ts,tsx}`."
    )
    path: str = Field(default=".", description="The folder to start from.")
    max_results: int = Field(default=DEFAULT_RESULTS, ge=1, le=MAX_RESULTS, description="Files at most.")
    include_hidden: bool = Field(default=False, description="Whether `*` and `**` match names with a dot in front.")


@builtin_tool("list_files", ListArguments, _SPEC)
async def list_files(
    pattern: str, path: str = ".", max_results: int = DEFAULT_RESULTS, include_hidden: bool = False
) -> dict[str, Any]:
    """List the files of the workspace that match a pattern; `truncated` says that there are more."""
    glob = Glob(pattern, include_hidden=include_hidden)
    place = await asyncio.to_thread(locate, tool_context().workspace, path)
    if await asyncio.to_thread(place.full.is_file):
        raise ToolError(f"The path {place.path!r} is a file, not a folder.", hint="Name the folder it is in.")
    found = await asyncio.to_thread(walk, place, glob, limit=max_results)
    return {"files": found.files, "truncated": found.truncated}
