"""Picture: an image file of a workspace, checked and made small enough to be shown to a model."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from openmanus_graph import shell_commands
from openmanus_graph.errors import ToolError
from openmanus_graph.files.kind import pixels_of
from openmanus_graph.files.safe_paths import locate, read_file

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_SIDE = 1_568
"""Pixels that the longer side of a picture may have as it is sent; providers scale larger ones down."""
LARGEST_FILE = 30_000_000
"""Bytes that an image file may have."""
MOST_PIXELS = 64_000_000
"""Pixels above which a file is refused without being decoded: a few bytes can stand for gigabytes of them."""
LARGEST_SENT = 3_500_000
"""Bytes of one picture as it is sent; providers take 5 MB of base64."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")
"""How the names of image files end that can be shown."""
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
_QUALITIES = (90, 75, 50)
"""Of JPEG, from the best; the last one is taken whatever its size."""
_SIDEWAYS = frozenset({5, 6, 7, 8})
"""Orientations of EXIF in which width and height are exchanged."""
_ORIENTATION = 0x0112
MOST_KEPT = 8
"""Scaled pictures that a process keeps: each step of an agent sends the same ones again."""


@dataclass(frozen=True)
class Picture:
    """One image file as a model is shown it."""

    path: str
    """Relative to the workspace."""
    sha256: str
    """Of the whole file."""
    width: int
    """Pixels of the file, the right way up."""
    height: int
    """The same."""
    data: bytes
    """The picture as it is sent, without what the file says of place and camera."""
    mime_type: str
    """Its type, `image/png` or `image/jpeg`."""


_kept: OrderedDict[str, Picture] = OrderedDict()
_lock = threading.Lock()


def is_named_as_picture(path: str) -> bool:
    """Whether a file's name ends as that of an image file that can be shown."""
    return path.lower().endswith(SUFFIXES)


def sha256_of(workspace: Path, path: str) -> str:
    """The hash of an image file, which is not decoded for it.

    Args:
        workspace: The thread's folder.
        path: The file, relative to the workspace or absolute and inside it.

    Raises:
        ToolError: If it is missing, too large, or outside.
    """
    return hashlib.sha256(_read(workspace, path)).hexdigest()


def picture_in(workspace: Path, path: str) -> Picture:
    """An image file, scaled; blocks.

    Args:
        workspace: The thread's folder.
        path: The file, relative to the workspace or absolute and inside it.

    Raises:
        ToolError: If it is missing, outside, no picture, too large or broken, or Pillow is not installed.
    """
    data = _read(workspace, path)
    name, digest = locate(workspace, path).path, hashlib.sha256(data).hexdigest()
    with _lock:
        made = _kept.get(digest)
        if made is not None:
            _kept.move_to_end(digest)
    if made is None:
        made = _made(name, digest, data)
        with _lock:
            _kept[digest] = made
            while len(_kept) > MOST_KEPT:
                _kept.popitem(last=False)
    return made if made.path == name else Picture(name, digest, made.width, made.height, made.data, made.mime_type)


def _read(workspace: Path, path: str) -> bytes:
    place = locate(workspace, path)
    if place.full.is_file() and (size := place.full.stat().st_size) > LARGEST_FILE:
        raise ToolError(
            f"The picture {place.path!r} has {size:,} bytes; at most {LARGEST_FILE:,} can be shown.",
            hint="Scale it down with a program first.",
        )
    return read_file(place, LARGEST_FILE)[0]


def _made(path: str, digest: str, data: bytes) -> Picture:
    _check_pixels(path, pixels_of(BytesIO(data)))
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ToolError(
            f"The picture {path!r} cannot be shown, because Pillow is not installed.",
            hint=f"Get it with: {shell_commands.install('openmanus-graph[vision]')}",
        ) from error
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as opened:
            _check_pixels(path, opened.size)
            width, height = opened.size
            if opened.getexif().get(_ORIENTATION) in _SIDEWAYS:
                width, height = height, width
            is_photo = opened.format in ("JPEG", "MPO")
            shown = _in_plain_colours(opened)
            shown.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            upright = ImageOps.exif_transpose(shown)
            sent, mime_type = _encoded(upright, is_photo=is_photo)
    except ToolError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(path) from error
    except Image.UnidentifiedImageError as error:
        raise ToolError(
            f"The file {path!r} is no picture that can be shown.", hint="Show a PNG, JPEG, GIF, WebP or BMP file."
        ) from error
    except Exception as error:  # a decoder may raise anything about a broken file
        raise ToolError(f"The picture {path!r} is broken and cannot be shown: {error}.") from error
    return Picture(path, digest, width, height, sent, mime_type)


def _check_pixels(path: str, size: tuple[int, int] | None) -> None:
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise _too_many_pixels(path, size)


def _too_many_pixels(path: str, size: tuple[int, int] | None = None) -> ToolError:
    what = "too many pixels" if size is None else f"{size[0]}×{size[1]} pixels"
    return ToolError(
        f"The picture {path!r} has {what}; at most {MOST_PIXELS // 1_000_000} million can be shown.",
        hint="Cut out the part that matters with a program first.",
    )


def _in_plain_colours(opened: Image) -> Image:
    """The picture in grey, RGB or RGBA: what is scaled well, and what PNG and JPEG hold."""
    if opened.mode in ("L", "RGB", "RGBA"):
        return opened
    if opened.mode.startswith("I;16"):  # which Pillow would cut off at 255
        return opened.convert("I").point(lambda value: value / 256).convert("L")
    return opened.convert("RGBA" if opened.has_transparency_data else "RGB")


def _encoded(shown: Image, *, is_photo: bool) -> tuple[bytes, str]:
    """The bytes of a picture and their type: drawings stay exact, photographs and what is too large become JPEG."""
    clean = shown.copy()
    clean.info = {}  # no place, camera or text of the file goes to a provider
    if not is_photo:
        data = _saved(clean, "PNG", optimize=False)
        if len(data) <= LARGEST_SENT:
            return data, "image/png"
    data = b""
    opaque = _on_white(clean)
    for quality in _QUALITIES:
        data = _saved(opaque, "JPEG", quality=quality)
        if len(data) <= LARGEST_SENT:
            break
    return data, "image/jpeg"


def _on_white(shown: Image) -> Image:
    from PIL import Image

    if shown.mode != "RGBA":
        return shown
    paper = Image.new("RGB", shown.size, "white")
    paper.paste(shown, mask=shown.getchannel("A"))
    return paper


def _saved(shown: Image, kind: str, **options: bool | int) -> bytes:
    stream = BytesIO()
    shown.save(stream, kind, **options)
    return stream.getvalue()
