"""Accessibility: what axe-core finds wrong with a page and its frames, by the rules of WCAG 2.2, levels A and AA."""

from __future__ import annotations

import asyncio
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from openmanus_graph.errors import ToolError

if TYPE_CHECKING:
    from playwright.async_api import Frame, Page

AXE = Path(__file__).parent / "axe_core" / "axe.min.js"
"""axe-core 4.14.1, as npm has it."""
SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
"""What it is known by: nothing else is run."""
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
"""The rules that are looked at."""
LONGEST_S = 30.0
"""Seconds that looking at a page may take."""
_RUN = """tags => window.axe.run(document, {
  iframes: false, resultTypes: ['violations'], runOnly: {type: 'tag', values: tags},
}).then(found => found.violations.map(one => ({
  rule: one.id, impact: one.impact, help: one.help, count: one.nodes.length,
  target: one.nodes[0].target.flat().join(' '),
})))"""


@cache
def axe_source() -> str:
    """The script of axe-core.

    Raises:
        ToolError: If it is not there, or another one.
    """
    try:
        content = AXE.read_bytes()
    except OSError as error:
        raise ToolError(f"The script {str(AXE)!r} cannot be read: {error.strerror}.", hint="Install again.") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ToolError(f"The script {str(AXE)!r} is not axe-core 4.14.1, and was not run.", hint="Install again.")
    return content.decode()


async def violations(page: Page) -> list[str]:
    """What is wrong with a page, a sentence for each rule and frame.

    Raises:
        ToolError: If it cannot be told.
    """
    source = await asyncio.to_thread(axe_source)
    found = await asyncio.gather(*(_of_frame(frame, source) for frame in page.frames))
    return [
        f"{one['rule']} ({one['impact']}, {one['count']} ×): {one['help']}: {one['target']}"
        for of_frame in found
        for one in of_frame
    ]


async def _of_frame(frame: Frame, source: str) -> list[dict[str, Any]]:
    from playwright.async_api import Error

    try:
        async with asyncio.timeout(LONGEST_S):
            await frame.evaluate(source)
            return cast("list[dict[str, Any]]", await frame.evaluate(_RUN, list(TAGS)))
    except (Error, TimeoutError) as error:
        if frame.is_detached():
            return []
        raise ToolError(
            f"axe-core could not look at {frame.url!r}: {(str(error).splitlines() or ['it took too long'])[0]}"
        ) from error
