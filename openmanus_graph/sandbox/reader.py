"""Reader: a worker that reads one file of a stranger's, with nothing but the file on its standard input."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.sandbox.limits import SandboxLimits
from openmanus_graph.sandbox.worker import run_worker

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
    folder = await asyncio.to_thread(_empty_folder)
    try:
        return await run_worker(
            program,
            data,
            workspace=folder,
            settings=settings,
            sandbox=sandbox,
            limits=_LIMITS,
            seconds=seconds,
            arguments=arguments,
        )
    except TimeoutError as error:
        raise ToolError(f"The file {source!r} could not be read within {seconds:g} s.") from error
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _empty_folder() -> Path:
    """A folder in which another account can stand; nothing is written there."""
    folder = Path(tempfile.mkdtemp(prefix="openmanus-graph-reader-"))
    folder.chmod(0o755)
    return folder
