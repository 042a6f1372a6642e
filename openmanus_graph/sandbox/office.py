"""Office: the text of a Word document, an Excel workbook or PowerPoint slides, read in a confined process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.sandbox.reader import read_confined
from openmanus_graph.sandbox.worker import program_of

MOST_UNFOLDED = 200 * 2**20
"""Bytes that the parts of a file may have once they are unpacked."""
MOST_CHARACTERS = 5_000_000
"""Characters of a file's text that are kept."""
ENDINGS = (".docx", ".xlsx", ".pptx", ".docm", ".xlsm", ".pptm")
"""How the names of such files end."""
_OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ANEW = "Save it anew as docx, xlsx or pptx, without a password."
_PROBLEMS = {
    "large": (f"unfolds to more than {MOST_UNFOLDED // 2**20} MB, and is not read", "Take out of it what matters."),
    "other": ("is no Word document, Excel workbook or PowerPoint slides", _ANEW),
    "broken": ("is broken and cannot be read", _ANEW),
}


@dataclass(frozen=True)
class OfficeText:
    """What a file says."""

    text: str
    """Its text."""
    form: Literal["html", "markdown"]
    """How it is written."""
    cut: bool
    """Whether it goes on behind the text."""


def is_office(data: bytes, name: str = "") -> bool:
    """Whether a file is one of office programs, by its beginning and the parts that it has.

    Args:
        data: The file.
        name: Its name or type, which tells old and encrypted ones from other files.
    """
    if data.startswith(_OLD):
        lower = name.lower()
        return lower.endswith((*ENDINGS, ".doc", ".xls", ".ppt")) or "office" in lower or "ms-" in lower
    return data.startswith(b"PK\x03\x04") and b"[Content_Types].xml" in data and _has_part(data)


def _has_part(data: bytes) -> bool:
    return any(folder in data for folder in (b"word/", b"xl/", b"ppt/"))


async def office_text(
    data: bytes, source: str, settings: Settings, *, sandbox: SandboxChoice | None = None
) -> OfficeText:
    """The text of a file.

    Args:
        data: The file.
        source: Its name, for messages.
        settings: The account to drop to, and how to confine unless `sandbox` says it.
        sandbox: How to confine.

    Raises:
        ToolError: If it is encrypted, old or broken, has no text, takes too long or unfolds too far, or what reads it
            is not installed.
        SandboxUnavailableError: If it cannot be confined as chosen.
    """
    if data.startswith(_OLD):
        raise ToolError(f"The file {source!r} is encrypted, or of an office program before 2007.", hint=_ANEW)
    if find_spec("mammoth") is None or find_spec("openpyxl") is None:
        raise ToolError(
            f"The file {source!r} is one of office programs, and what reads those is not installed.",
            hint=f"Get it with: {shell_commands.install('openmanus-graph[office]')}",
        )
    program = program_of("openmanus_graph.sandbox", "office_worker.py")
    given = [str(MOST_UNFOLDED), str(MOST_CHARACTERS)]
    said = await read_confined(program, given, data, source, settings, sandbox or settings.sandbox)
    try:
        found = dict[str, Any](json.loads(said))
    except ValueError:  # it ended in the middle of the file
        found = {"error": "broken"}
    if (why := found.get("error")) is not None:
        what, hint = _PROBLEMS.get(str(why), _PROBLEMS["broken"])
        raise ToolError(f"The file {source!r} {what}.", hint=hint)
    form: Literal["html", "markdown"] = "html" if "html" in found else "markdown"
    text = str(found[form])
    if not text.strip():
        raise ToolError(f"The file {source!r} has no text.")
    return OfficeText(text, form, bool(found["cut"]))
