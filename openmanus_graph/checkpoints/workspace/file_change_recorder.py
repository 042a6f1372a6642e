"""File change recorder: the files of a workspace that each step changed, with contents, to go back to any step.

Contents go into the database, each kept once: in one transaction with the changes that name them, out of the reach of
tools that could remove them with the files themselves, and wherever the thread is resumed from.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import stat
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.files.safe_paths import HIDDEN_FOLDER, SafePath, read_file
from openmanus_graph.langgraph_internals import CHECKPOINT_MAP_KEY, TASK_ID_KEY
from openmanus_graph.run_config import configurable_of
from openmanus_graph.values.storable_json import path_of, plain_json, storable_path

OUTPUTS = f"{HIDDEN_FOLDER}/outputs"
"""Large outputs: named by their content and never changed, so a fork takes them all."""
WHOLE = "."
"""The path of a change that says that the workspace as a whole could not be recorded."""
BATCH_BYTES = 16 * 2**20
"""Contents that one statement takes."""
QUICK_S = 0.002
"""Seconds that the last look took below which the next one is made in the event loop itself."""
RACY_NS = 20_000_000
"""A file changed so shortly before it was looked at may have changed once more within the same tick of its clock."""

logger = logging.getLogger(__name__)


Look = tuple[int, int, int, int, str | None]
"""What the file system says of a file: size, permission bits, time of change, inode, and where a link points."""


@dataclass(frozen=True)
class Seen:
    """A file as it was last seen."""

    size: int
    mode: int
    mtime_ns: int
    inode: int
    link: str | None = None
    """Where it points, if it is a symbolic link."""
    digest: str | None = None
    """SHA-256 of its content; `None` if that was not read."""
    left_out: str | None = None
    """Why its content is not kept."""
    racy: bool = False
    """Whether it may have changed since without looking so."""

    @property
    def look(self) -> Look:
        """The file system's facts about it; if they are the same, only the content could differ."""
        return self.size, self.mode, self.mtime_ns, self.inode, self.link


@dataclass(frozen=True)
class ChangingStep:
    """The step that a change belongs to."""

    checkpoint_ns: str | None = None
    checkpoint_id: str | None = None
    task_id: str | None = None
    subtask: str | None = None
    tool: str | None = None
    call: str | None = None


def step_of(config: RunnableConfig, *, subtask: str | None, tool: str | None, call: str | None) -> ChangingStep:
    """The step that runs with a node's config."""
    configurable = configurable_of(config)
    around: Mapping[str, str] = configurable.get(CHECKPOINT_MAP_KEY) or {}
    # Each graph adds its own checkpoint behind those of the graphs around it.
    namespace = list(around)[-1] if around else None
    checkpoint = around[namespace] if namespace is not None else None
    task = configurable.get(TASK_ID_KEY)
    return ChangingStep(namespace, checkpoint, None if task is None else str(task), subtask, tool, call)


@dataclass
class FoundChanges:
    """The changes found by one look at the workspace."""

    rows: list[dict[str, Any]]
    contents: dict[str, bytes]

    @property
    def size(self) -> int:
        """Bytes of the contents."""
        return sum(map(len, self.contents.values()))


class FileChangeRecorder:
    """Looks at one workspace for one run of one thread."""

    def __init__(self, saver: ThreadSaver | None, thread_id: str, workspace: Path, settings: Settings) -> None:
        """Record changes of a workspace.

        Args:
            saver: Where they are kept; `None` keeps nothing.
            thread_id: The thread.
            workspace: Its folder.
            settings: How much is kept.
        """
        self._saver = saver if settings.snapshot_bytes else None
        self._thread_id = thread_id
        self._workspace = workspace
        self._settings = settings
        self._known: dict[str, Seen] | None = None
        self._total = 0
        self._kept: set[str] = set()
        self._lock = asyncio.Lock()
        self._active: list[ChangingStep] = []
        self._looks: dict[str, Look] = {}
        self._racy: set[str] = set()
        self._took_s = float("inf")

    @asynccontextmanager
    async def around(self, config: RunnableConfig, step: ChangingStep) -> AsyncGenerator[None]:
        """Record the changes while the block runs, as the step's; nothing if it is left by an exception.

        What a block that was cut short changed is noticed by the next look.
        """
        if self._saver is None:
            yield
            return
        async with self._lock:
            if self._known is None:
                await self._begin(self._saver, config)
        self._active.append(step)
        try:
            yield
        finally:
            self._active.remove(step)
        async with self._lock:
            await self._look(self._saver, config, step, None)

    async def _begin(self, saver: ThreadSaver, config: RunnableConfig) -> None:
        """Load the known files, and record the changes since: before the thread's first step, or between runs."""

        async def read() -> tuple[list[DictRow], DictRow | None, DictRow | None]:
            async with saver.pool.connection() as connection:
                newest = await (await connection.execute(_NEWEST, (self._thread_id,))).fetchall()
                kept = await (await connection.execute(_TOTAL, (self._thread_id,))).fetchone()
                row = await connection.execute(
                    "SELECT created_at FROM threads WHERE thread_id = %s", (self._thread_id,)
                )
                return newest, kept, await row.fetchone()

        rows, total, began = await saver.retried(read)
        self._total = int(total["total"]) if total else 0
        self._known = {path_of(str(row["path"])): _seen(row) for row in rows if row["inode"] is not None}
        self._kept = {seen.digest for seen in self._known.values() if seen.digest and not seen.left_out}
        self._looks = {path: seen.look for path, seen in self._known.items()}
        moment = began["created_at"] if began and not rows else None  # they were there before any step
        await self._look(saver, config, ChangingStep(), moment)

    async def _look(
        self, saver: ThreadSaver, config: RunnableConfig, step: ChangingStep, moment: datetime | None
    ) -> None:
        made_at = (moment or datetime.now(UTC)).isoformat()
        beside = [
            {
                key: value
                for key, value in asdict(active_step).items()
                if key in ("checkpoint_ns", "checkpoint_id", "task_id")
            }
            for active_step in self._active
        ]
        common = {**asdict(step), "beside": beside if step.checkpoint_id else [], "made_at": made_at}
        began = time.perf_counter()
        # In a small folder the way into a thread and back would take longer than the look.
        batches = list(self._changes()) if self._took_s < QUICK_S else await asyncio.to_thread(self._all_changes)
        self._took_s = time.perf_counter() - began
        for batch in batches:
            contents = batch.contents
            if saver.cipher is not None:
                contents = {digest: saver.cipher.file(digest, content) for digest, content in contents.items()}
            await saver.fenced(
                config,
                "SELECT put_files(%s, %s, %s::text[], %s::bytea[], %s)",
                (
                    list(contents),
                    list(contents.values()),
                    Jsonb([{**common, **row} for row in batch.rows], dumps=plain_json),
                ),
                f"files {step.subtask or ''}",
            )

    def _all_changes(self) -> list[FoundChanges]:
        return list(self._changes())

    def _changes(self) -> Iterator[FoundChanges]:
        """The differences from the known files, in batches; the known files are brought up to date."""
        known = self._known if self._known is not None else {}
        batch = FoundChanges([], {})
        try:
            now = dict(self._tree())
        except _TooManyError as error:
            if WHOLE not in known:
                known[WHOLE] = Seen(0, 0, 0, 0, left_out=str(error))
                yield FoundChanges([_row(WHOLE, None, known[WHOLE])], {})
            return
        for path in sorted(known.keys() - now.keys() - {WHOLE}):
            batch.rows.append(_row(path, known.pop(path), None))
        looks = self._looks
        self._looks = now
        different = [path for path, look in now.items() if look != looks.get(path)]
        for path in sorted({*different, *(path for path in self._racy if path in now)}):
            old = known.get(path)
            read, content = self._read(path, Seen(*now[path]))
            (self._racy.add if read.racy else self._racy.discard)(path)
            known[path] = read
            if old is not None and _is_same(old, read):
                continue
            batch.rows.append(_row(path, old, read))
            if content is not None and read.digest is not None:
                batch.contents[read.digest] = content
                if batch.size >= BATCH_BYTES:
                    yield batch
                    batch = FoundChanges([], {})
        if batch.rows:
            yield batch

    def _read(self, path: str, seen: Seen) -> tuple[Seen, bytes | None]:
        """A file with its digest, and its content if that is to be kept."""
        if seen.link is not None:
            return seen, None
        limit = self._settings.snapshot_bytes
        if seen.size > limit:
            return replace(seen, left_out=f"larger than {limit:,} bytes"), None
        try:
            content, _ = read_file(SafePath(self._workspace, tuple(path.split("/"))), limit)
        except (OSError, ToolError) as error:
            return replace(seen, left_out=f"cannot be read: {error}"), None
        racy = time.time_ns() - seen.mtime_ns < RACY_NS
        read = replace(seen, size=len(content), digest=hashlib.sha256(content).hexdigest(), racy=racy)
        if read.digest in self._kept:
            return read, content
        if self._total + len(content) > self._settings.snapshot_total:
            return replace(read, left_out=f"the thread's {self._settings.snapshot_total:,} bytes are used up"), None
        self._total += len(content)
        self._kept.add(str(read.digest))
        return read, content

    def _tree(self) -> Iterator[tuple[str, Look]]:
        """The files and links of the workspace, with what the file system says of them."""
        count, most = 0, self._settings.snapshot_files
        folders = [""]
        while folders:
            below = folders.pop()
            try:
                entries = list(os.scandir(self._workspace / below))
            except OSError as error:  # unreadable, or gone meanwhile
                logger.debug("The folder %r is not recorded: %s", below, error)
                continue
            for entry in entries:
                path = f"{below}/{entry.name}" if below else entry.name
                if path == OUTPUTS or not (path.isascii() or _storable(path)):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                    link = str(Path(entry.path).readlink()) if stat.S_ISLNK(status.st_mode) else None
                except OSError:  # gone meanwhile
                    continue
                if link is None and not stat.S_ISREG(status.st_mode):
                    continue
                count += 1
                if count > most:
                    raise _TooManyError(f"the workspace has more than {most:,} files")
                yield path, (status.st_size, stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_ino, link)


class _TooManyError(Exception):
    """More files than are looked at."""


def _storable(path: str) -> bool:
    """Whether Postgres takes a path as text."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_same(old: Seen, new: Seen) -> bool:
    """Whether a file is what it was, as far as its content was read."""
    same = (old.digest, old.mode, old.link) == (new.digest, new.mode, new.link)
    return same and (new.digest is not None or old.look == new.look)


def _row(path: str, old: Seen | None, new: Seen | None) -> dict[str, Any]:
    return {
        "path": storable_path(path),
        "before": None if old is None else old.digest,
        "after": None if new is None else new.digest,
        "size": None if new is None else new.size,
        "mode": None if new is None else new.mode,
        "link": None if new is None or new.link is None else storable_path(new.link),
        "left_out": None if new is None else new.left_out,
        "mtime_ns": None if new is None else new.mtime_ns,
        "inode": None if new is None else _signed(new.inode),
    }


def _signed(number: int) -> int:
    """An inode number as a `bigint` holds it."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _seen(row: Mapping[str, Any]) -> Seen:
    return Seen(
        size=int(row["size"]),
        mode=int(row["mode"]),
        mtime_ns=int(row["mtime_ns"]),
        inode=int(row["inode"]) % (1 << 64),
        link=None if row["link"] is None else path_of(row["link"]),
        digest=row["after"],
        left_out=row["left_out"],
    )


_NEWEST = """
SELECT DISTINCT ON (path) path, after, size, mode, link, left_out, mtime_ns, inode
FROM file_changes WHERE thread_id = %s ORDER BY path, number DESC
"""

_TOTAL = """
SELECT coalesce(sum(size), 0)::bigint AS total
FROM (SELECT DISTINCT after, size FROM file_changes WHERE thread_id = %s AND left_out IS NULL) kept
"""
