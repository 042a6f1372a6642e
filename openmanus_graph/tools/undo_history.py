"""Undo history: the earlier contents of edited files, kept in the workspace so that undo survives a restart.

Each edited file has a folder below `.openmanus/undo` with a journal and one file per earlier content,
named by its SHA-256. The journal is written before the edited file, so that after a crash the two are
told apart by the digests: an entry whose edit never happened is dropped when it is met.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import PurePosixPath

from pydantic import BaseModel, ValidationError

from openmanus_graph.errors import ToolError
from openmanus_graph.files.safe_paths import (
    HIDDEN_FOLDER,
    SafePath,
    open_folder,
    read_file,
    remove_file,
    write_file,
)

MAX_STEPS = 50
"""Edits of one file that can be undone."""
MAX_BYTES = 50 * 2**20
"""Bytes of earlier contents kept for one file; the oldest go first."""

_JOURNAL = "journal.json"
_JOURNAL_LIMIT = 2**20


class FileEdit(BaseModel):
    """One edit: what the file held before and after."""

    before: str | None = None
    """Digest of the content before; `None` means that the edit created the file."""
    after: str
    """Digest of the content after."""
    size: int = 0
    """Bytes of the content before."""
    mode: int | None = None
    """Permission bits before."""
    call: str | None = None
    """The call that made the edit."""
    undoing: str | None = None
    """The call that began to undo it."""


class Journal(BaseModel):
    """The edits of one file, oldest first."""

    path: str
    """The file, relative to the workspace."""
    edits: list[FileEdit] = []
    """What can be undone."""
    undone_by: str | None = None
    """The call that undid an edit last."""


def digest(data: bytes | None) -> str | None:
    """The SHA-256 of `data` as hexadecimal digits; `None` stays `None`."""
    return None if data is None else hashlib.sha256(data).hexdigest()


class History:
    """The history of one file, locked while it is open."""

    def __init__(self, place: SafePath, call: str | None) -> None:
        """Read the journal.

        Args:
            place: The edited file.
            call: The call on whose behalf this is done; `None` if it cannot be told apart from others.
        """
        self._folder = _folder_of(place)
        self._call = call
        self._journal = self._read(place.path)

    def made_by_this_call(self, current: bytes | None) -> bool:
        """Whether this very call has already made the edit that `current` shows (its step runs again)."""
        if self._call is None or not self._journal.edits:
            return False
        last = self._journal.edits[-1]
        return last.call == self._call and last.after == digest(current)

    def undone_by_this_call(self) -> bool:
        """Whether this very call has already undone an edit (its step runs again)."""
        return self._call is not None and self._journal.undone_by == self._call

    def record(self, before: bytes | None, after: bytes, mode: int | None) -> None:
        """Note an edit that is about to be made."""
        name, edits = digest(before), self._journal.edits
        if self._call is not None and edits and (edits[-1].call, edits[-1].before) == (self._call, name):
            edits.pop()  # the process died between the journal and the file
        if before is not None and name is not None:
            write_file(self._file(name), before)
        size = 0 if before is None else len(before)
        edits.append(FileEdit(before=name, after=digest(after) or "", size=size, mode=mode, call=self._call))
        self._journal.undone_by = None
        self._save()

    def cancel(self) -> None:
        """Take back the last `record`, because the edit was not made."""
        self._journal.edits.pop()
        self._save()

    def begin_undo(self, current: bytes | None) -> tuple[bytes | None, int | None]:
        """The content and permission bits of the file before its last edit.

        Args:
            current: What the file holds now; `None` if it is gone.

        Returns:
            The content, `None` if the edit created the file, and the bits.

        Raises:
            ToolError: If there is nothing to undo, or something else has changed the file since.
        """
        now, edits = digest(current), self._journal.edits
        while edits:
            last = edits[-1]
            again = self._call is not None and last.undoing == self._call
            if last.after != now and last.before == now and not again:
                edits.pop()  # the process died between the journal and the file
                continue
            if last.after != now and not again:
                raise ToolError(
                    f"The file {self._journal.path!r} was changed by something else since its last edit.",
                    hint="Undo would lose that change; view the file and edit it instead.",
                )
            last.undoing = self._call
            self._save()
            if last.before is None:
                return None, None
            return read_file(self._file(last.before), MAX_BYTES)[0], last.mode
        raise ToolError(
            f"The file {self._journal.path!r} has no edit to undo.",
            hint="Only edits made with this tool can be undone.",
        )

    def end_undo(self) -> None:
        """Note that the file holds again what `begin_undo` returned."""
        self._journal.edits.pop()
        self._journal.undone_by = self._call
        self._save()

    def _file(self, name: str) -> SafePath:
        return SafePath(self._folder.root, (*self._folder.parts, name))

    def _read(self, path: str) -> Journal:
        place = self._file(_JOURNAL)
        if not place.full.exists():
            return Journal(path=path)
        try:
            return Journal.model_validate_json(read_file(place, _JOURNAL_LIMIT)[0])
        except ValidationError as error:
            raise ToolError(
                f"The undo history {place.path!r} cannot be read.", hint="Remove that file to edit on."
            ) from error

    def _save(self) -> None:
        edits = self._journal.edits
        while len(edits) > MAX_STEPS or (len(edits) > 1 and sum(edit.size for edit in edits) > MAX_BYTES):
            edits.pop(0)
        write_file(self._file(_JOURNAL), self._journal.model_dump_json(exclude_none=True).encode())
        kept = {edit.before for edit in edits} | {_JOURNAL}
        for file in self._folder.full.iterdir():
            if file.name not in kept:
                remove_file(self._file(file.name))


@contextmanager
def open_history(place: SafePath, call: str | None) -> Generator[History]:
    """The history of the file at `place`, locked against other edits of it, in any process."""
    with open_folder(_folder_of(place), make=True) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # released when the descriptor is closed
        yield History(place, call)


def _folder_of(place: SafePath) -> SafePath:
    key = hashlib.sha256(place.path.encode(errors="surrogateescape")).hexdigest()[:32]
    return SafePath(place.root, (*PurePosixPath(HIDDEN_FOLDER, "undo").parts, key))
