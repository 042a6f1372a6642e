"""Thread id: checks ids, and makes new ones that people can read."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from openmanus_graph.errors import UsageError
from openmanus_graph.values.storable_json import storable_text

if TYPE_CHECKING:
    from openmanus_graph.config.settings import Settings

_THREAD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@-]{0,127}")
SLUG_CHARACTERS = 40
"""Characters of a task or a plan's name that a thread's id begins with."""


LONGEST = 1_000
"""Characters of the longest id that the indexes of the database take."""


def storable_thread(thread_id: object) -> str:
    """The id as text, if the database can hold it; callers from Python may name their threads as they like.

    Raises:
        UsageError: If it cannot.
    """
    text = str(thread_id)
    if "\0" in text or len(text) > LONGEST or storable_text(text) != text:
        what = f"{text[:40]!r}… ({len(text):,} characters)" if len(text) > LONGEST else repr(text)
        raise UsageError(
            f"{what} cannot be a thread's id: the database does not hold it.",
            hint=f"Use at most {LONGEST:,} characters, without NUL and halves of surrogate pairs.",
        )
    return text


def new_thread_id(stem: str, settings: Settings | None = None) -> str:
    """A readable id that nobody else has: the first words of the task or plan and six random hexadecimal digits.

    Where an encryption key is set it has no words: ids are stored as they are.

    Args:
        stem: The words.
        settings: The user's settings; `None` loads them.
    """
    if settings is None:
        from openmanus_graph.config.settings import Settings  # imports pydantic, which a notebook's magic does not need

        settings = Settings.load()
    if settings.encrypts:
        return f"thread-{secrets.token_hex(6)}"
    slug = re.sub(r"[^A-Za-z0-9]+", "-", stem[:400]).strip("-").lower()
    if len(slug) > SLUG_CHARACTERS:
        slug = slug[: SLUG_CHARACTERS + 1].rpartition("-")[0] or slug[:SLUG_CHARACTERS]
    return f"{slug or 'thread'}-{secrets.token_hex(3)}"


def checked_thread(thread_id: str) -> str:
    """The id, if it can be one.

    Raises:
        UsageError: If it cannot.
    """
    if not _THREAD.fullmatch(thread_id):
        raise UsageError(
            f"{thread_id!r} cannot be a thread's id.",
            hint="Use letters, digits and . _ : @ -, at most 128, a letter or digit first.",
        )
    return thread_id
