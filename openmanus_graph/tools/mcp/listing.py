"""Listing: a server's tools as it lists them, read loosely, bounded, and kept for programs that cannot wait for it."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.plans.json_schema import validator_of
from openmanus_graph.tools.mcp.server import fingerprint_of

MOST_PAGES, MOST_TOOLS, MOST_BYTES = 50, 500, 2**20
"""Pages, tools and bytes of one server's list; what comes after them is left out, and that is said."""
LONGEST_NAME = 64
"""Characters of a tool's name, as providers take them."""
LONGEST_TEXT = 4_000
"""Characters of a description."""
_ODD = re.compile(r"[^A-Za-z0-9_-]")

Page = Callable[[str | None], Awaitable[Any]]
"""Asks the server for the page of a cursor; gives it as it came."""


@dataclass(frozen=True)
class ListedTool:
    """One tool of a server."""

    name: str
    """Its name at the server."""
    description: str
    """What it does, in the server's words."""
    schema: dict[str, Any]
    """The JSON Schema of its arguments."""
    annotations: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the server says of its effects."""


@dataclass(frozen=True)
class Listing:
    """The tools of one server."""

    tools: list[ListedTool]
    """Those that can be used."""
    problems: list[str] = field(default_factory=list[str])
    """What cannot, each in a sentence."""
    changes: bool = False
    """Whether the server says that the list may change."""


async def read_listing(page: Page) -> Listing:
    """Read all pages of a list; a malformed tool costs that tool.

    Raises:
        ToolError: If the answer is no list of tools.
    """
    tools: dict[str, ListedTool] = {}
    problems: list[str] = []
    cursor: str | None = None
    seen: set[str] = set()
    size = 0
    for _ in range(MOST_PAGES):
        answer = await page(cursor)
        listed = _field(answer, "tools")
        if not isinstance(listed, list):
            raise ToolError("The server's list of tools is no list.")
        for given in cast("list[Any]", listed):
            size += len(json.dumps(given, default=str))
            if size > MOST_BYTES or len(tools) >= MOST_TOOLS:
                problems.append(f"Of its list, more than {MOST_TOOLS} tools or {MOST_BYTES:,} bytes are left out.")
                return Listing(list(tools.values()), problems)
            tool, why = _read(given)
            if tool is None:
                problems.append(why)
            elif tool.name in tools:
                problems.append(f"It lists the tool {tool.name!r} twice.")
            else:
                tools[tool.name] = tool
        following = _field(answer, "nextCursor")
        if not isinstance(following, str) or not following:
            return Listing(list(tools.values()), problems)
        if following in seen:
            problems.append("Its list goes in a circle; what came so far is taken.")
            return Listing(list(tools.values()), problems)
        seen.add(following)
        cursor = following
    problems.append(f"Its list has more than {MOST_PAGES} pages; the rest is left out.")
    return Listing(list(tools.values()), problems)


def _field(value: Any, name: str) -> Any:
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


def _read(given: Any) -> tuple[ListedTool | None, str]:
    """A tool, or why it cannot be used."""
    name = _field(given, "name")
    if not isinstance(name, str) or not name.strip():
        return None, f"A tool without a name cannot be used: {str(given)[:80]!r}."
    schema = _field(given, "inputSchema")
    if not isinstance(schema, dict) or cast("dict[str, Any]", schema).get("type", "object") != "object":
        return None, f"The tool {name!r} has no schema of arguments that is an object."
    fields = cast("dict[str, Any]", schema)
    if outside := next(_outside(fields), None):
        return None, f"The tool {name!r} has a schema that refers to {outside!r}, which is not looked up."
    try:
        validator_of(fields)
    except ToolArgumentsError as error:
        return None, f"The tool {name!r} cannot be used: {error.message}"
    said, annotations = _field(given, "description"), _field(given, "annotations")
    return (
        ListedTool(
            name=name,
            description=said[:LONGEST_TEXT] if isinstance(said, str) else "",
            schema={**fields, "type": "object", "properties": fields.get("properties") or {}},
            annotations=cast("dict[str, Any]", annotations) if isinstance(annotations, dict) else {},
        ),
        "",
    )


def _outside(value: Any) -> Iterator[str]:
    """References of a schema that lead out of it."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        reference = fields.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            yield reference
        for inside in fields.values():
            yield from _outside(inside)
    elif isinstance(value, list):
        for inside in cast("list[Any]", value):
            yield from _outside(inside)


def name_of(server: str, tool: str) -> str:
    """The name that a tool has here: `mcp_SERVER_TOOL`, with a digest where that is no name, or too long."""
    whole = f"mcp_{server}_{tool}"
    plain = _ODD.sub("_", whole)
    if plain == whole and len(plain) <= LONGEST_NAME:
        return plain
    digest = hashlib.sha256(f"{server}\0{tool}".encode()).hexdigest()[:8]
    return f"{plain[: LONGEST_NAME - 9]}_{digest}"


# ---------------------------------------------------------------- kept


def _file(home: Path, name: str, fingerprint: str) -> Path:
    return home / "mcp" / f"{_ODD.sub('_', name)[:40]}-{fingerprint}.json"


def keep(home: Path, name: str, server: McpServerSettings, listing: Listing) -> None:
    """Keep a list in the data folder."""
    file = _file(home, name, fingerprint_of(server))
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(".new")
    kept = {"at": time.time(), "tools": [asdict(tool) for tool in listing.tools], "problems": listing.problems}
    kept["changes"] = listing.changes
    written.write_text(json.dumps(kept), encoding="utf-8")
    written.replace(file)


def kept(home: Path, name: str, server: McpServerSettings) -> tuple[Listing, float] | None:
    """The list that is kept, and when it was read in seconds since 1970; `None` if there is none."""
    return _read_file(_file(home, name, fingerprint_of(server)))


def kept_before(home: Path, name: str) -> Listing | None:
    """The newest list that is kept of a server of this name, whatever was said of it then; `None` if there is none."""
    files = _file(home, name, "[0-9a-f]*")
    found = [one for file in files.parent.glob(files.name) if (one := _read_file(file)) is not None]
    return max(found, key=lambda one: one[1])[0] if found else None


def _read_file(file: Path) -> tuple[Listing, float] | None:
    try:
        read: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        tools = [ListedTool(**tool) for tool in read["tools"]]
        return Listing(tools, list(read["problems"]), read.get("changes") is True), float(read["at"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
