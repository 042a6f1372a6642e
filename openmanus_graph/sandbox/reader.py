"""Reader: a program that reads one file of a stranger's, confined, with nothing but the file on its standard input.

A file that ends the reader costs that file, not the run.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.sandbox.level import choose_level
from openmanus_graph.sandbox.limits import SandboxLimits
from openmanus_graph.sandbox.process import open_process

SECONDS = 120.0
"""Seconds that a file may take."""
_LIMITS = replace(SandboxLimits(), processes=16, cpu_s=int(SECONDS))


async def read_confined(
    program: str,
    arguments: Sequence[str],
    data: bytes,
    source: str,
    settings: Settings,
    sandbox: SandboxChoice,
    *,
    seconds: float = SECONDS,
) -> bytes:
    """What a reader writes to its standard output of a file.

    Args:
        program: Its Python, which can import what is installed, but nothing of this package.
        arguments: Its arguments.
        data: The file.
        source: The file's name, for messages.
        settings: The account to drop to.
        sandbox: How to confine.
        seconds: What the file may take.

    Raises:
        ToolError: If it takes too long.
        SandboxUnavailableError: If it cannot be confined as chosen.
    """
    level = await asyncio.to_thread(choose_level, sandbox, settings)
    folder = await asyncio.to_thread(_empty_folder)
    try:
        process = await open_process(
            [sys.executable, "-X", "utf8", "-c", program, *arguments],
            workspace=folder,
            level=level,
            settings=settings,
            limits=_LIMITS,
            stdin=PIPE,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(data), seconds)
        except TimeoutError as error:
            raise ToolError(f"The file {source!r} could not be read within {seconds:g} s.") from error
        finally:
            await process.aclose()
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return said


def _empty_folder() -> Path:
    """A folder in which another account can stand; nothing is written there."""
    folder = Path(tempfile.mkdtemp(prefix="openmanus-graph-reader-"))
    folder.chmod(0o755)
    return folder
