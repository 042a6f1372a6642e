"""Baseline: a picture of the workspace that a page, or an element of it, is to look like.

Text smoothed otherwise is no difference, animations stand at their end and the caret is hidden. A baseline that is not
there yet is made and said so: a picture compared with itself would pass whatever it shows.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

from openmanus_graph import shell_commands
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.files.kind import pixels_of
from openmanus_graph.files.picture import LARGEST_FILE, MOST_PIXELS
from openmanus_graph.files.safe_paths import SafePath, locate, open_parent, read_file, write_file
from openmanus_graph.tools.browser import elements
from openmanus_graph.tools.browser.arguments import BrowserArguments
from openmanus_graph.tools.browser.refs import is_ref
from openmanus_graph.tools.browser.roles import with_role
from openmanus_graph.tools.browser.session import BrowserSession

if TYPE_CHECKING:
    from PIL.Image import Image
    from playwright.async_api import Locator

THRESHOLD = 0.2
"""How far the colour of a pixel may be off, from 0 to 1, without being another one."""
SCREENSHOT_MS = 10_000
"""Milliseconds that taking a picture may take."""
_PACKAGES = {"pillow": "PIL", "pixelmatch": "pixelmatch"}
_LOOK_S = 0.1
_BESIDE = 3
"""Pixels around the differing ones that are compared too: whether one is smoothed is seen by those beside it."""
_MASK = re.compile(r'(?P<role>[A-Za-z]+)(?:\s+"(?P<name>.+)")?', re.DOTALL)


@dataclass(frozen=True)
class Compared:
    """What came of a comparison."""

    passed: bool | None
    """Whether it looks alike; `None` if there was nothing to compare with."""
    why: str = ""
    """Why it does not, or what was made."""
    path: str = ""
    """The picture that was made: of the differences, or the baseline."""


@dataclass(frozen=True)
class _Difference:
    """What is other than it is to be."""

    why: str = "Nothing was compared yet."
    """It in words; empty if it looks alike."""
    actual: Image | None = None
    """What is shown."""
    places: Image | None = None
    """Where it differs."""


async def compare(session: BrowserSession, given: BrowserArguments, seconds: float) -> Compared:
    """Compare what is shown with a baseline until it looks alike, for a while; make the baseline if there is none.

    Args:
        session: The browser.
        given: `path`, the baseline; `ref`, or `role` and `name`, an element; `masks`; `tolerance`.
        seconds: How long a difference is waited for to go.

    Raises:
        ToolArgumentsError: If an argument is missing or names nothing.
        ToolError: If the baseline is no picture, or none can be taken.
    """
    if not (given.path or "").lower().endswith(".png"):
        raise ToolArgumentsError(f"The argument 'path' is {given.path!r} and names no PNG.", hint="Such as shop.png.")
    baseline = locate(session.workspace, given.path or "")
    expected = await asyncio.to_thread(_expected, baseline)
    end = asyncio.get_running_loop().time() + seconds
    taken, found = b"", _Difference()
    while True:
        before, taken = taken, await _taken(session, given)
        late = asyncio.get_running_loop().time() >= end
        if expected is None and (taken == before or late):
            return await asyncio.to_thread(_made, baseline, taken)
        if expected is not None and taken != before:
            found = await asyncio.to_thread(_difference, baseline, expected, taken, given.tolerance or 0.0)
        if not found.why:
            return Compared(True)
        if late:
            return await asyncio.to_thread(_failed, baseline, found)
        await asyncio.sleep(_LOOK_S)


async def _taken(session: BrowserSession, given: BrowserArguments) -> bytes:
    """A picture of the window, or of an element."""
    from playwright.async_api import Error

    masks = [place for mask in given.masks or [] for place in await _masked(session, mask)]
    options: dict[str, Any] = {
        "animations": "disabled", "caret": "hide", "mask": masks, "scale": "css", "timeout": SCREENSHOT_MS,
    }  # fmt: skip
    element = await _element(session, given)
    try:
        if element is None:
            return await session.tab.page.screenshot(**options)
        return await element.screenshot(**options)
    except Error as error:
        raise ToolError(f"No picture of it can be taken: {error.message.splitlines()[0]}") from error


async def _element(session: BrowserSession, given: BrowserArguments) -> Locator | None:
    """The element that is looked at; `None` for the window."""
    ref = given.ref if given.ref is not None else given.index
    if ref is not None:
        return (await elements.element_of(session, ref))[1]
    if given.role is None:
        return None
    for place in with_role(session.tab, given.role, given.name):
        if await place.count():
            return place.first
    what = f"{given.role} {given.name!r}" if given.name is not None else given.role
    raise ToolError(f"The page {session.tab.page.url!r} shows no {what}.")


async def _masked(session: BrowserSession, mask: str) -> list[Locator]:
    """What a mask covers: the element of a ref, or those with a role."""
    if is_ref(mask):
        return [(await elements.element_of(session, mask))[1]]
    found = _MASK.fullmatch(mask.strip())
    if found is None:
        raise ToolArgumentsError(
            f"The mask {mask!r} is neither a ref nor a role.", hint='Such as e12, img, or heading "Today".'
        )
    return with_role(session.tab, found["role"], found["name"])


def _expected(baseline: SafePath) -> Image | None:
    """The picture of a baseline; `None` if it is not there.

    Raises:
        ToolError: If it is no PNG, too large or broken, or what compares pictures is not installed.
    """
    missing = [package for package, module in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise ToolError(
            f"Pictures cannot be compared, because the package {missing[0]!r} is not installed.",
            hint=f"Install it with: {shell_commands.INSTALL_BROWSER_EXTRA}",
        )
    from PIL import Image

    if not os.path.lexists(baseline.full):
        return None
    data = read_file(baseline, LARGEST_FILE)[0]
    size = pixels_of(BytesIO(data))
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise ToolError(f"The picture {baseline.path!r} has {size[0]} × {size[1]} pixels, which is too many.")
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as opened:
            return opened.convert("RGBA")
    except Exception as error:  # a decoder may raise anything about a broken file
        raise ToolError(f"The file {baseline.path!r} is no PNG that can be read: {error}.") from error


def _made(baseline: SafePath, taken: bytes) -> Compared:
    with open_parent(baseline, make=True):
        pass
    try:
        write_file(baseline, taken, exclusive=True)
    except FileExistsError as error:
        raise ToolError(f"The picture {baseline.path!r} was made by another call meanwhile.") from error
    why = f"Nothing was compared: there was no {baseline.path!r}, and what the page shows now was put there."
    return Compared(None, why, baseline.path)


def _difference(baseline: SafePath, expected: Image, taken: bytes, tolerance: float) -> _Difference:
    from PIL import Image

    with Image.open(BytesIO(taken), formats=("PNG",)) as opened:
        actual = opened.convert("RGBA")
    name = baseline.path
    if actual.size != expected.size:
        sizes = [" × ".join(map(str, one.size)) for one in (actual, expected)]
        return _Difference(f"What is shown has {sizes[0]} pixels, and the picture {name!r} {sizes[1]}", actual)
    differing, places = _differing(expected, actual)
    share = differing / (actual.width * actual.height)
    if share <= tolerance:
        return _Difference("")
    allowed = f", and {tolerance:.4%} may" if tolerance else ""
    return _Difference(f"{share:.4%} of the pixels differ from {name!r}{allowed}", actual, places)


def _differing(expected: Image, actual: Image) -> tuple[int, Image]:
    """How many pixels differ, and a picture that shows where, on a pale one of what is shown."""
    from PIL import Image, ImageChops
    from pixelmatch.contrib.PIL import pixelmatch

    places = Image.blend(Image.new("RGBA", actual.size, "white"), actual.convert("L").convert("RGBA"), 0.1)
    box = ImageChops.difference(expected.convert("RGB"), actual.convert("RGB")).getbbox()
    if box is None:
        return 0, places
    left, top = max(box[0] - _BESIDE, 0), max(box[1] - _BESIDE, 0)
    right, bottom = min(box[2] + _BESIDE, actual.width), min(box[3] + _BESIDE, actual.height)
    part = Image.new("RGBA", (right - left, bottom - top))
    box = (left, top, right, bottom)
    differing = pixelmatch(expected.crop(box), actual.crop(box), part, threshold=THRESHOLD)
    places.paste(part, (left, top))
    return differing, places


def _failed(baseline: SafePath, found: _Difference) -> Compared:
    """A comparison that failed, with what was found put beside the baseline."""
    actual = _written(baseline, "actual", found.actual)
    places = _written(baseline, "difference", found.places)
    return Compared(False, f"{found.why}: see {places or actual!r}.", places or actual)


def _written(baseline: SafePath, kind: str, picture: Image | None) -> str:
    """The path of a picture that was put beside the baseline, in place of an earlier one."""
    if picture is None:
        return ""
    stream = BytesIO()
    picture.save(stream, "PNG")
    place = SafePath(baseline.root, (*baseline.parts[:-1], f"{baseline.parts[-1][: -len('.png')]}.{kind}.png"))
    write_file(place, stream.getvalue())
    return place.path
