"""Worker: a program of the package that is run once, confined, for what native code makes of strangers' data.

A file that ends such a program costs that file, not the run. It reads its request from standard input and writes its
answer to standard output.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.sandbox.level import choose_level
from openmanus_graph.sandbox.limits import SandboxLimits
from openmanus_graph.sandbox.process import open_process


def program_of(package: str, name: str) -> str:
    """The Python of a worker.

    Args:
        package: The package that it stands in.
        name: Its file's name.
    """
    return files(package).joinpath(name).read_text(encoding="utf-8")


async def run_worker(
    program: str,
    request: bytes,
    *,
    workspace: Path,
    settings: Settings,
    sandbox: SandboxChoice,
    limits: SandboxLimits,
    seconds: float,
    arguments: Sequence[str] = (),
    besides: Sequence[str] = (),
) -> bytes:
    """Run a worker to its end; all that it answered, which is cut short where it was ended.

    Args:
        program: Its Python, which can import what is installed, but nothing of this package.
        request: What it is sent.
        workspace: The folder that it starts in, which it may only read.
        settings: The account to drop to.
        sandbox: How to confine it.
        limits: What it may use up.
        seconds: How long it may take.
        arguments: Words on its command line.
        besides: As for `open_process`.

    Raises:
        SandboxUnavailableError: If it cannot be confined as chosen.
        TimeoutError: If it takes too long.
    """
    level = await asyncio.to_thread(choose_level, sandbox, settings)
    process = await open_process(
        [sys.executable, "-X", "utf8", "-c", program, *arguments],
        workspace=workspace,
        level=level,
        settings=settings,
        limits=limits,
        stdin=PIPE,
        read_only=True,
        besides=besides,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(request), seconds)
    finally:
        await process.aclose()
    return said
