"""Accessibility: what axe-core finds wrong with a page and its frames, by the rules of WCAG 2.2, levels A and AA."""

from __future__ import annotations

import asyncio
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
_OPTIONS: dict[str, Any] = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
_FRAMES = "([context, options]) => window.axe.utils.getFrameContexts(context ?? document, options)"
_FRAME = "selector => window.axe.utils.shadowSelect(selector)"
_LOOK = "([context, options]) => window.axe.runPartial(context ?? document, options)"
_JUDGE = """([looked, options]) => window.axe.finishRun(looked, options).then(found => found.violations.map(one => ({
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
    """What is wrong with a page and the frames that it shows, a sentence for each rule.

    Each frame is looked at by itself and all are judged together: a rule for whole pages is none for frames.

    Raises:
        ToolError: If it cannot be told.
    """
    source = await asyncio.to_thread(axe_source)
    try:
        async with asyncio.timeout(LONGEST_S):
            looked = await _look(page.main_frame, source)
            found: list[dict[str, Any]] = await _answer(page.main_frame, _JUDGE, [looked, _OPTIONS])
    except TimeoutError as error:
        raise ToolError(f"axe-core could not look at {page.url!r}: it took longer than {LONGEST_S:g} s.") from error
    return [f"{one['rule']} ({one['impact']}, {one['count']} ×): {one['help']}: {one['target']}" for one in found]


async def _look(frame: Frame, source: str, context: object = None) -> list[Any]:
    """What axe-core sees in a frame and those inside it, in the order that it puts them together in."""
    await _answer(frame, source)
    asked = [context, _OPTIONS]
    inside: list[dict[str, Any]] = await _answer(frame, _FRAMES, asked)
    looked: list[Any] = [await _answer(frame, _LOOK, asked)]
    for one in inside:
        child = await _child(frame, one["frameSelector"])
        try:
            looked += [None] if child is None else await _look(child, source, one["frameContext"])
        except ToolError:
            if child is None or not child.is_detached():
                raise
            looked.append(None)
    return looked


async def _child(frame: Frame, selector: object) -> Frame | None:
    """A frame in a frame; `None` if it is gone."""
    from playwright.async_api import Error

    try:
        element = (await frame.evaluate_handle(_FRAME, selector)).as_element()
        return None if element is None else await element.content_frame()
    except Error:
        return None


async def _answer(frame: Frame, script: str, given: object = None) -> Any:
    from playwright.async_api import Error

    try:
        return await frame.evaluate(script, given)
    except Error as error:
        raise ToolError(f"axe-core could not look at {frame.url!r}: {error.message.splitlines()[0]}") from error
