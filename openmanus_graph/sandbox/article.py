"""Article: what a page that marks no main part is about, found by trafilatura in a confined process."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.errors import SandboxUnavailableError, ToolError
from openmanus_graph.sandbox.reader import read_confined
from openmanus_graph.sandbox.worker import program_of

MOST_BYTES = 3 * 2**20
"""Bytes of a page above which it is read as it is."""
SECONDS = 20.0
"""Seconds that a page may take."""


async def article_html(page: str, source: str, settings: Settings, sandbox: SandboxChoice | None = None) -> str:
    """The article of a page as HTML; empty where none is found, or nothing is installed that finds one.

    Args:
        page: The page's HTML.
        source: Its address, for messages.
        settings: The account to drop to, and how to confine unless `sandbox` says it.
        sandbox: How to confine.

    Raises:
        SandboxUnavailableError: If it cannot be confined as chosen.
    """
    data = page.encode("utf-8", "replace")
    if find_spec("trafilatura") is None or len(data) > MOST_BYTES:
        return ""
    program = program_of("openmanus_graph.sandbox", "article_worker.py")
    try:
        said = await read_confined(program, [], data, source, settings, sandbox or settings.sandbox, seconds=SECONDS)
        return str(dict[str, Any](json.loads(said))["html"])
    except SandboxUnavailableError:
        raise
    except (ToolError, ValueError, KeyError):  # it took too long, or ended: the page is read as it is
        return ""
