"""Documents: an OpenAPI document with the files and addresses that it refers to, read with bounds.

A reference leads to a place in the same document, to a file below the folder of the first one, or to an address of
the same origin; to other hosts only where the settings allow it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import PlanError, ToolError
from openmanus_graph.plans.json_schema import mapping_of
from openmanus_graph.plans.yaml_reader import read_yaml
from openmanus_graph.tools.web.address import is_listed
from openmanus_graph.tools.web.download import Downloader

MOST_BYTES, MOST_FILES = 32 * 2**20, 5_000
"""Bytes and files of a document together with all that it refers to."""
DEEPEST = 200
"""Levels of lists and mappings in one file."""
MOST_HOPS = 50
"""References that may lead to one another before something is found."""
DOWNLOAD_S = 60.0
"""Seconds that the download of one file may take."""
SHIPPED = Path(__file__).parent / "shipped"
"""Documents of ours, for services that publish none."""

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


class BrokenReferenceError(Exception):
    """A reference, or a part of a document, that cannot be used; the message says why."""


@dataclass(frozen=True)
class Found:
    """What a reference leads to."""

    value: Any
    """The part of a document."""
    place: str
    """The file or address that it is in, from which its own references lead on."""
    pointer: str
    """Where in it, as a JSON pointer."""


class Documents:
    """The files of one OpenAPI document; each is read once."""

    def __init__(self, root: str, settings: Settings, hosts: tuple[str, ...] = ()) -> None:
        """Read nothing yet.

        Args:
            root: The path or address of the first file.
            settings: The user's settings.
            hosts: Hosts besides the document's own that a reference may lead to.

        Raises:
            ToolError: If the path is none.
        """
        self._settings, self._hosts = settings, hosts
        try:
            self.root = root if is_address(root) else str(Path(root).expanduser().resolve())
        except (OSError, ValueError, RuntimeError) as error:
            raise ToolError(f"The document {root!r} cannot be read: {error}.") from error
        """The first file: an absolute path or an address."""
        self.sources: dict[str, str] = {}
        """Digest of each file that was read."""
        self._read: dict[str, Any] = {}
        self._targets: dict[tuple[str, str], str] = {}
        self._bytes = 0

    def load(self, place: str) -> Any:
        """The data of a file.

        Raises:
            ToolError: If it cannot be read, or is no JSON and no YAML.
        """
        if place not in self._read:
            if len(self._read) >= MOST_FILES:
                raise ToolError(f"The document {self.root!r} has more than {MOST_FILES:,} files.")
            content = self._downloaded(place) if is_address(place) else self._from_file(Path(place))
            self._bytes += len(content)
            if self._bytes > MOST_BYTES:
                raise ToolError(f"The document {self.root!r} has more than {MOST_BYTES:,} bytes.")
            self.sources[place] = digest_of(content)
            self._read[place] = parsed(content, place)
        return self._read[place]

    def _from_file(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(MOST_BYTES + 1)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ToolError(f"The document {str(path)!r} cannot be read: {why}.") from error

    def _downloaded(self, address: str) -> bytes:
        """A download in a thread of its own, since documents are read where nothing can be awaited."""

        async def get() -> bytes:
            downloader = Downloader(self._settings.allow_hosts, most_bytes=MOST_BYTES + 1)
            try:
                async with asyncio.timeout(DOWNLOAD_S):
                    answer = await downloader.get(address, {"accept": "application/json, application/yaml, */*;q=0.5"})
            except TimeoutError:
                raise ToolError(f"The document {address!r} did not come within {DOWNLOAD_S:g} s.") from None
            finally:
                await downloader.aclose()
            if answer.status != 200:
                raise ToolError(f"The server answered {answer.status} {answer.reason} for the document {address!r}.")
            return answer.body

        with ThreadPoolExecutor(1, "openapi") as pool:
            return pool.submit(lambda: asyncio.run(get())).result()

    def find(self, reference: Any, place: str) -> Found:
        """What a reference leads to, whatever references are there themselves.

        Args:
            reference: The value of a `$ref`.
            place: The file it stands in.

        Raises:
            BrokenReferenceError: If it leads nowhere, or where it may not.
        """
        if not isinstance(reference, str):
            raise BrokenReferenceError(f"the reference {reference!r} is no text")
        file, _, fragment = reference.partition("#")
        target = place
        if file:
            if (file, place) not in self._targets:
                self._targets[file, place] = self._target(file, place)
            target = self._targets[file, place]
        if fragment and not fragment.startswith("/"):
            raise BrokenReferenceError(f"the reference {reference!r} is no JSON pointer")
        try:
            value = self.load(target)
        except ToolError as error:
            raise BrokenReferenceError(f"the reference {reference!r} cannot be followed: {error.message}") from error
        return self._walked(reference, value, target, unquote(fragment))

    def _target(self, file: str, place: str) -> str:
        if is_address(file) or is_address(place):
            address = urldefrag(urljoin(place, file) if is_address(place) else file)[0]
            if not self._may_load(address):
                host = urlsplit(address).hostname
                raise BrokenReferenceError(
                    f"the reference to {address!r} is not followed, since 'reference_hosts' does not have {host!r}"
                )
            return address
        folder = Path(self.root).parent
        try:
            path = (Path(place).parent / unquote(file)).resolve()
        except (OSError, ValueError) as error:
            raise BrokenReferenceError(f"the reference {file!r} is no path") from error
        if is_address(self.root) or not path.is_relative_to(folder):
            raise BrokenReferenceError(f"the reference {file!r} leads out of the folder of the document")
        return str(path)

    def _may_load(self, address: str) -> bool:
        parts = urlsplit(address)
        if is_address(self.root) and _origin(address) == _origin(self.root):
            return True
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        return parts.hostname is not None and is_listed(parts.hostname, port, self._hosts)

    def _walked(self, reference: str, value: Any, place: str, pointer: str) -> Found:
        """The part that a pointer leads to, through references on its way."""
        done: list[str] = []
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and key not in value and "$ref" in value:
                found = self.end_of(value, place)
                value, place, done = found.value, found.place, found.pointer.split("/")[1:]
            if isinstance(value, dict) and key in value:
                value = cast("dict[str, Any]", value)[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(cast("list[Any]", value)):
                value = cast("list[Any]", value)[int(key)]
            else:
                raise BrokenReferenceError(f"the reference {reference!r} leads nowhere")
            done.append(part)
        return Found(value, place, "".join(f"/{part}" for part in done))

    def end_of(self, value: Any, place: str) -> Found:
        """The value itself, or what its `$ref` leads to in the end.

        Raises:
            BrokenReferenceError: If it leads nowhere, or in a circle.
        """
        found = Found(value, place, "")
        for _ in range(MOST_HOPS):
            reference = mapping_of(found.value).get("$ref")
            if reference is None:
                return found
            found = self.find(reference, found.place)
        raise BrokenReferenceError(f"the reference {mapping_of(value)['$ref']!r} leads to others without end")


def is_address(place: str) -> bool:
    """Whether a place is an address and no path."""
    return _ADDRESS.match(place) is not None


def digest_of(content: bytes) -> str:
    """Names a file's content."""
    return hashlib.sha256(content).hexdigest()


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme.lower(), parts.hostname, parts.port


def parsed(content: bytes, place: str) -> Any:
    """The data of a file, which is JSON or YAML.

    Args:
        content: The file.
        place: What it is called in errors.

    Raises:
        ToolError: If it is neither.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ToolError(f"The document {place!r} is not text in UTF-8.") from error
    reader: Callable[[str], Any] = json.loads if text.lstrip()[:1] in ("{", "[") else _from_yaml
    try:
        return reader(text)
    except RecursionError as error:
        raise ToolError(f"The document {place!r} is nested too deeply.") from error
    except ValueError as error:
        if reader is _from_yaml:
            raise ToolError(f"The document {place!r} is neither JSON nor YAML: {error}.") from error
        json_error = error
    try:  # YAML may begin with a brace, too
        return _from_yaml(text)
    except ValueError:
        raise ToolError(f"The document {place!r} is neither JSON nor YAML: {json_error}.") from json_error


def _from_yaml(text: str) -> Any:
    try:
        return read_yaml(text, lenient=True, deepest=DEEPEST)[0]
    except PlanError as error:
        raise ValueError("; ".join(error.problems[:3]).removesuffix(".")) from error
