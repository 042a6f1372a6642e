"""PDF: the text of a PDF file, page by page, by PDFium in a confined process of its own.

What reads PDFs is native code that strangers' files are fed to: a file that ends it costs that file, not the run.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.sandbox.level import choose_level
from openmanus_graph.sandbox.limits import SandboxLimits
from openmanus_graph.sandbox.process import open_process

MOST_PAGES = 3_000
"""Pages that are read."""
SECONDS = 120.0
"""Seconds that a file may take."""
_LIMITS = replace(SandboxLimits(), processes=16, cpu_s=int(SECONDS))
_BROKEN = "is broken and cannot be read"


async def pdf_text(
    data: bytes, source: str, settings: Settings, *, sandbox: SandboxChoice | None = None
) -> tuple[str, int]:
    """The text of a PDF, its pages apart by an empty line, and how many pages at its end were not read.

    Args:
        data: The file.
        source: Its name, for messages.
        settings: The account to drop to, and how to confine unless `sandbox` says it.
        sandbox: How to confine.

    Raises:
        ToolError: If it is encrypted, broken, or has no text, takes too long, or PDFium is not installed.
        SandboxUnavailableError: If it cannot be confined as chosen.
    """
    if find_spec("pypdfium2") is None:
        raise ToolError(
            f"The file {source!r} is a PDF, and what reads those is not installed.",
            hint=f"Get it with: {shell_commands.install('openmanus-graph[pdf]')}",
        )
    found = await _read(data, source, settings, sandbox or settings.sandbox)
    if (why := found.get("error")) is not None:
        what = "is encrypted and cannot be read" if why == "encrypted" else _BROKEN
        raise ToolError(f"The PDF {source!r} {what}.", hint="Save it anew, without a password.")
    text = "\n\n".join(page for page in found["pages"] if page)
    if not text:
        raise ToolError(
            f"The PDF {source!r} has pictures of text only.", hint="Have a program recognise the text first."
        )
    return text, int(found["beyond"])


async def _read(data: bytes, source: str, settings: Settings, sandbox: SandboxChoice) -> dict[str, Any]:
    """What the confined reader says of a file."""
    level = await asyncio.to_thread(choose_level, sandbox, settings)
    program = files("openmanus_graph.sandbox").joinpath("pdf_worker.py").read_text(encoding="utf-8")
    folder = await asyncio.to_thread(_empty_folder)
    try:
        process = await open_process(
            [sys.executable, "-X", "utf8", "-c", program, str(MOST_PAGES)],
            workspace=folder,
            level=level,
            settings=settings,
            limits=_LIMITS,
            stdin=PIPE,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(data), SECONDS)
        except TimeoutError as error:
            raise ToolError(f"The PDF {source!r} could not be read within {SECONDS:g} s.") from error
        finally:
            await process.aclose()
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    try:
        return dict[str, Any](json.loads(said))
    except ValueError:  # it ended in the middle of the file
        return {"error": "broken"}


def _empty_folder() -> Path:
    """A folder in which another account can stand; nothing is written there."""
    folder = Path(tempfile.mkdtemp(prefix="openmanus-graph-pdf-"))
    folder.chmod(0o755)
    return folder
