"""Ingest: takes files, folders and pages into a memory, source by source, so that it can be stopped and done again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from openmanus_graph.display_text import counted
from openmanus_graph.errors import DatabaseError, OpenManusGraphError, UsageError
from openmanus_graph.memory.ingest.chunks import passages_of
from openmanus_graph.memory.ingest.document import CODE, HTML, MARKDOWN, Document, read_document, read_pages
from openmanus_graph.memory.semantic.passage import Passage
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.redaction import redact_log

MOST_FILES = 10_000
"""Files of a folder."""
MOST_PASSAGES = 50_000
"""Passages of one source."""
MOST_PAGES = 1_000
"""Pages of a site."""
AT_ONCE = 8
"""Pages that are fetched at the same time."""
READ = (
    CODE
    | HTML
    | MARKDOWN
    | {".docx", ".xlsx", ".pptx"}
    | {".pdf", ".txt", ".text", ".log", ".csv", ".json", ".toml", ".yaml", ".yml", ".ini", ".cfg"}
)
"""Endings of the files of a folder that are read; one that is named itself is read whatever it is called."""
_LEFT_OUT = frozenset({"node_modules", "__pycache__", "venv", "build", "dist", "target"})


@dataclass
class Ingested:
    """What was taken into memory."""

    sources: int = 0
    """Files and pages that were read."""
    added: int = 0
    """Passages that are new."""
    removed: int = 0
    """Passages that their sources no longer have."""
    edits_kept: int = 0
    """Passages that stay as a person edited them: their sources say of them what they said."""
    edits_lost: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Sources and texts of passages that a person had edited and that went: their sources now say something else."""
    left_out: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Sources that could not be read, or not whole, with the reason."""

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON types."""
        left_out = [{"source": source, "reason": reason} for source, reason in self.left_out]
        edits_lost = [{"source": source, "text": text} for source, text in self.edits_lost]
        return {**vars(self), "left_out": left_out, "edits_lost": edits_lost}

    def take(self, other: Ingested) -> None:
        """Count what another took, too."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


Progress = Callable[[str], None]
"""Told of each source as it begins."""


async def ingest(
    memory: PassageMemory,
    place: str,
    *,
    allow_hosts: tuple[str, ...] = (),
    pages: int = 1,
    progress: Progress | None = None,
    into: Ingested | None = None,
) -> Ingested:
    """Take a file, a folder or a page into a memory.

    A source that has not changed adds nothing; of one that has, what it no longer says goes. A passage that a person
    has edited stays so as long as the source says of it what it said.

    Args:
        memory: The memory.
        place: A path, or an address with http:// or https://.
        allow_hosts: Hosts that may be reached although their address is not public.
        pages: How many pages are read at most: the one of the address, and those below it that it leads to.
        progress: Told of each source.
        into: Counts it as well, also what was taken before a failure.

    Raises:
        UsageError: If there is nothing at the place, or a single file cannot be taken.
        ToolError: If a single file is binary, encrypted or broken.
        DatabaseError: If the store does not answer, or has no space left; what was taken before stays.
    """
    done = Ingested()
    try:
        if place.startswith(("http://", "https://")):
            await _pages(memory, place, allow_hosts, min(pages, MOST_PAGES), done, progress)
        else:
            await _files_of(memory, place, done, progress)
    finally:
        if into is not None:
            into.take(done)
    return done


async def _files_of(memory: PassageMemory, place: str, done: Ingested, tell: Progress | None) -> None:
    """A file, or those of a folder, of which one that cannot be read does not stop the others."""
    path, is_folder = await asyncio.to_thread(_place_of, place)
    if not is_folder:
        await _take(memory, await read_document(path), done)
        return
    for file in await asyncio.to_thread(_files, path, done):
        if tell is not None:
            tell(str(file))
        try:
            await _take(memory, await read_document(file), done)
        except DatabaseError:
            raise
        except OpenManusGraphError as error:
            done.left_out.append((str(file), error.message))


def _place_of(place: str) -> tuple[Path, bool]:
    """A path from the root, and whether it is a folder."""
    path = Path(place).expanduser().absolute()
    return path, path.is_dir()


async def _take(memory: PassageMemory, document: Document, done: Ingested) -> None:
    passages, beyond = await asyncio.to_thread(cut_document, document)
    added = await memory.add(passages, replace_sources=[document.source])
    if document.left_out:
        done.left_out.append((document.source, document.left_out))
    if beyond:
        why = f"Its last {counted(beyond, 'passage')} were left out: a source has at most {MOST_PASSAGES:,}."
        done.left_out.append((document.source, why))
    done.sources += 1
    done.added += added.new
    done.removed += added.gone
    done.edits_kept += added.kept_edits
    done.edits_lost += [(document.source, text) for text in added.lost_edits]


def cut_document(document: Document) -> tuple[list[Passage], int]:
    """The passages of a document without what looks like a key, and how many there are beyond those that are taken."""
    # Before it is cut: of a key in two passages, neither would look like one.
    passages = passages_of(replace(document, title=redact_log(document.title), text=redact_log(document.text)))
    return list(islice(passages, MOST_PASSAGES)), sum(1 for _ in passages)


async def _pages(
    memory: PassageMemory, place: str, allow_hosts: tuple[str, ...], most: int, done: Ingested, tell: Progress | None
) -> None:
    """The page of an address, then those below it that were led to, in the order in which they were found."""
    found = dict.fromkeys([place.partition("#")[0]])
    beyond: set[str] = set()
    taken: set[str] = set()
    sources: set[str] = set()
    below = ""
    while batch := list(found)[len(taken) : len(taken) + AT_ONCE]:
        taken.update(batch)
        if tell is not None:
            tell(batch[0])
        documents, failed = await read_pages(batch, allow_hosts)
        done.left_out += failed
        for document in documents:
            below = below or _folder_of(document.source)
            if document.source in sources:  # another address led there, too
                continue
            sources.add(document.source)
            await _take(memory, document, done)
            for link in document.links:
                if link in found or not link.startswith(below) or not _is_page(link):
                    continue
                if len(found) < most:
                    found[link] = None
                else:
                    beyond.add(link)
    if not done.sources:
        raise UsageError(f"The page {place!r} cannot be taken: {done.left_out[0][1]}")
    if beyond and most > 1:
        why = f"{counted(len(beyond), 'page')} below it that it leads to were left out"
        done.left_out.append((place, f"{why}: raise --pages {most}, which may be {MOST_PAGES:,}."))


def _folder_of(url: str) -> str:
    """What addresses below a page begin with: the page's own, or, where that names a file, the folder of the file."""
    parts = urlsplit(url)
    path = parts.path
    if not path.endswith("/"):
        path = path.rpartition("/")[0] if Path(path).suffix[1:].isalpha() else path
    return urlunsplit((parts.scheme, parts.netloc, path.rstrip("/") + "/", "", ""))


def _is_page(url: str) -> bool:
    ending = Path(urlsplit(url).path).suffix.lower()
    return ending in ("", ".html", ".htm", ".md", ".txt") or not ending[1:].isalpha()


def _files(folder: Path, done: Ingested) -> list[Path]:
    """Files of a folder that are read, in order; hidden ones, links, and what programs have made are left out."""

    def failed(error: OSError) -> None:
        done.left_out.append((str(error.filename), f"The folder cannot be read: {error.strerror}."))

    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=failed):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _LEFT_OUT)
        for name in sorted(files):
            path = Path(place, name)
            if name.startswith(".") or path.suffix.lower() not in READ:
                continue
            try:
                is_link = path.is_symlink()
            except OSError as error:  # such as for a path that is too long with this name alone
                done.left_out.append((str(path), f"The file cannot be read: {error.strerror}."))
                continue
            if not is_link:
                found.append(path)
    if len(found) > MOST_FILES:
        raise UsageError(
            f"The folder {str(folder)!r} has {len(found):,} files that would be read, more than {MOST_FILES:,} files.",
            hint="Nothing was read; name folders in it.",
        )
    return found
