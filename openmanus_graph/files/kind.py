"""Kind: tells in words what a file that is not text is, by its first bytes."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"%PDF-", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"PK\x05\x06", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"SQLite format 3\x00", "SQLite database"),
    (b"\x7fELF", "ELF program"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
    (b"BM", "BMP"),
)
_PACKED = {"word/": "Word document", "xl/": "Excel workbook", "ppt/": "PowerPoint slides", "META-INF/": "JAR"}
"""What a ZIP archive with such a folder is."""
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of a JPEG's segments that hold its size."""
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def kind_of_file(path: Path) -> str:
    """What a binary file is, such as `PNG, 800×440, 8 kB`; what its first bytes do not tell is `binary`.

    Args:
        path: The file.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(16)
        kind = next((name for signature, name in _SIGNATURES if head.startswith(signature)), "")
        if head[:4] == b"RIFF":
            kind = {b"WEBP": "WebP", b"WAVE": "WAV"}.get(head[8:12], "RIFF")
        file.seek(0)
        try:
            more = "×".join(map(str, _PIXELS[kind](file))) if kind in _PIXELS else ""
            more = _zip(file) if kind == "ZIP" else more
        except (OSError, ValueError, struct.error, zipfile.BadZipFile, NotImplementedError):
            more = "damaged"
        return ", ".join(part for part in (kind or "binary", more, size_text(path.stat().st_size)) if part)


def size_text(size: int) -> str:
    """A number of bytes in words, such as `8 kB`."""
    number, unit = float(size), _UNITS[0]
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{number:.0f} {unit}" if number >= 10 or unit == _UNITS[0] else f"{number:.1f} {unit}"


def pixels_of(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height of a PNG, GIF or JPEG by its first bytes; `None` of what is another kind of file, or damaged.

    Args:
        file: The file, at its beginning.
    """
    head = file.read(16)
    kind = next((name for signature, name in _SIGNATURES if head.startswith(signature)), "")
    file.seek(0)
    try:
        return _PIXELS[kind](file) if kind in _PIXELS else None
    except (OSError, ValueError, struct.error):
        return None


def _png(file: BinaryIO) -> tuple[int, int]:
    width, height = struct.unpack(">II", file.read(24)[16:])
    return width, height


def _gif(file: BinaryIO) -> tuple[int, int]:
    width, height = struct.unpack("<HH", file.read(10)[6:])
    return width, height


def _jpeg(file: BinaryIO) -> tuple[int, int]:
    file.seek(2)
    while True:
        mark, marker, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF or length < 2:
            raise ValueError("no segment begins here")
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", file.read(5)[1:])
            return width, height
        file.seek(length - 2, 1)


def _zip(file: BinaryIO) -> str:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    packed = next((words for folder, words in _PACKED.items() if any(name.startswith(folder) for name in names)), "")
    number = f"{len(names)} {'file' if len(names) == 1 else 'files'}"
    return f"{packed}, {number}" if packed else number


_PIXELS: dict[str, Callable[[BinaryIO], tuple[int, int]]] = {"PNG": _png, "GIF": _gif, "JPEG": _jpeg}
