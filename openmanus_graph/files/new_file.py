"""New file: a stream that has its name only once it is whole, and that only its owner may read."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from openmanus_graph.errors import UsageError


@contextmanager
def new_file(path: Path) -> Generator[IO[bytes]]:
    """Write a file; nothing is left of it if that fails.

    Args:
        path: Its name, which nothing may have yet.

    Raises:
        UsageError: If there is something at `path`, or it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}.part")
    try:
        if path.exists():
            raise FileExistsError
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(opened, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)  # fails where somebody made a file meanwhile
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError as error:
        raise UsageError(f"There is already a file {str(path)!r}.", hint="Name another one.") from error
    except OSError as error:
        raise UsageError(f"The file {str(path)!r} cannot be written: {error.strerror}.") from error
