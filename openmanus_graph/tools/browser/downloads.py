"""Downloads: files that pages give, put into the workspace under names of ours, and files of it given to pages."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openmanus_graph.errors import ToolError
from openmanus_graph.files.kind import size_text
from openmanus_graph.files.safe_paths import locate, open_file, open_parent, write_file

if TYPE_CHECKING:
    from playwright.async_api import Download, FilePayload

FOLDER = "downloads"
"""Where downloads go in the workspace."""
LARGEST = 100 * 2**20
"""Bytes of a download that are kept."""
LARGEST_UPLOAD = 50 * 2**20
"""Bytes of a file that is given to a page."""
LONGEST_S = 600.0
"""Seconds that a download may take."""
_LOOK_S = 0.2
_UNFIT = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]+")


def fit_name(suggested: str) -> str:
    """A file name of what a page suggests: no path, nothing hidden, of usual length."""
    name = _UNFIT.sub("_", suggested.replace("\\", "/").rpartition("/")[2]).strip(" .")
    stem, dot, ending = name.rpartition(".")
    if dot and len(ending) <= 10:
        return f"{(stem or 'download').encode()[:100].decode(errors='ignore')}.{ending}"
    return name.encode()[:100].decode(errors="ignore") or "download"


async def keep(download: Download, folder: Path, workspace: Path) -> str:
    """Wait for a download and put it into the workspace; what became of it, in a sentence.

    Args:
        download: Playwright's.
        folder: Where Chromium writes it, and those of other subtasks.
        workspace: The thread's folder.
    """
    from playwright.async_api import Error

    name = fit_name(download.suggested_filename)
    file = folder / _file_name(download)
    waiting = asyncio.ensure_future(download.path())
    end = asyncio.get_running_loop().time() + LONGEST_S
    try:
        while not waiting.done():
            await asyncio.wait([waiting], timeout=_LOOK_S)
            if waiting.done():
                break
            late = asyncio.get_running_loop().time() > end
            if late or await asyncio.to_thread(_size, file) > LARGEST:
                with suppress(Error):
                    await download.cancel()
                why = f"took longer than {LONGEST_S:g} s" if late else f"is larger than {size_text(LARGEST)}"
                return f"The download {name!r} was ended: it {why}."
        path = await asyncio.to_thread(_put, Path(await waiting), name, workspace)
    except Error as error:
        return f"The download {name!r} failed: {error.message.splitlines()[0]}."
    except ToolError as error:
        return f"The download {name!r} was not kept: {error.message}"
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    with suppress(Error):
        await download.delete()
    return f"Downloaded {path!r}."


def _file_name(download: Download) -> str:
    """The name under which Chromium writes a download, which Playwright's own interface tells only at its end."""
    artifact: Any = download._impl_obj._artifact  # type: ignore[attr-defined]
    return Path(artifact._initializer["absolutePath"]).name


def _size(file: Path) -> int:
    """The size of a download so far; the folder has those of other subtasks, too."""
    sizes = [0]
    for path in (file, file.with_name(f"{file.name}.crdownload")):
        with suppress(OSError):
            sizes.append(path.lstat().st_size)
    return max(sizes)


def _read(source: Path) -> bytes:
    """What a download holds; the confined Chromium may put anything into its folder, such as a link to our files.

    Raises:
        ToolError: If it cannot be read, is no file of its own, or is too large.
    """
    try:
        # What waits for somebody at its other end, such as a pipe, is not waited for.
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ToolError(f"It cannot be read: {error.strerror}.") from error
    try:
        facts = os.fstat(descriptor)
        # A second name may be that of a file which Chromium's account could link and not read.
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
            raise ToolError("It is no file of its own.")
        with open(descriptor, "rb", closefd=False) as stream:
            data = stream.read(LARGEST + 1)
    finally:
        os.close(descriptor)
    if len(data) > LARGEST:
        raise ToolError(f"It has {size_text(max(facts.st_size, len(data)))}, more than {size_text(LARGEST)}.")
    return data


def _put(source: Path, name: str, workspace: Path) -> str:
    """Copy a file into the workspace under a name that is free."""
    data = _read(source)
    stem, dot, ending = name.rpartition(".")
    with open_parent(locate(workspace, f"{FOLDER}/{name}"), make=True):
        pass
    for number in range(1, 1000):
        free = name if number == 1 else f"{stem}-{number}.{ending}" if dot else f"{name}-{number}"
        place = locate(workspace, f"{FOLDER}/{free}")
        with suppress(FileExistsError):
            write_file(place, data, exclusive=True)
            return place.path
    raise ToolError(f"There are too many files called {name!r}.")


def payload(workspace: Path, path: str) -> FilePayload:
    """A file of the workspace for a page: its bytes, since Chromium does not see the workspace.

    Raises:
        ToolError: If it cannot be read, or is too large.
    """
    place = locate(workspace, path)
    with os.fdopen(open_file(place), "rb") as stream:
        data = stream.read(LARGEST_UPLOAD + 1)
    if len(data) > LARGEST_UPLOAD:
        raise ToolError(f"The file {path!r} is larger than {size_text(LARGEST_UPLOAD)}, and so is not uploaded.")
    kind = mimetypes.guess_type(place.parts[-1])[0] or "application/octet-stream"
    return {"name": place.parts[-1], "mimeType": kind, "buffer": data}
