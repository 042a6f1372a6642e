"""Passage: a piece of a source, small enough to be told to a model, and what a search finds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

EDITED = "edited"
"""The field of `meta` of a passage that a person has edited: `at`, when, and `digest`, that of its source's text."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Passage:
    """A piece of a source, before it is stored."""

    source: str
    """The path or address that it came from."""
    position: int
    """Which part of its source, from 0."""
    text: str
    """The text, with the headings that it stands under."""
    meta: dict[str, Any] = field(default_factory=dict[str, Any])
    """More of it, such as `title`; plain JSON values."""
    thread: str | None = None
    """The thread that it was stored for; `None` for none, as `memory add` does."""
    created_at: datetime | None = None
    """When it was added; `None` means now. Of one that is there already the time stays."""

    def key(self, owner: str) -> str:
        """The key of the passage for an owner: the same text of the same source has the same one, edited or not."""
        return _key(owner, self.source, source_digest(self.meta) or text_digest(self.text))


@dataclass(frozen=True)
class StoredPassage:
    """A passage as it is in the database."""

    key: str
    """Names it; 32 hexadecimal digits."""
    owner: str
    """Whose it is."""
    source: str
    """The path or address that it came from."""
    position: int
    """Which part of its source, from 0."""
    text: str
    """The text."""
    meta: dict[str, Any]
    """More of it, such as `title`."""
    thread: str | None
    """The thread that it was stored for; `None` for none, as `memory add` does."""
    created_at: datetime
    """When it was added."""

    @property
    def edited_at(self) -> datetime | None:
        """When a person edited it; `None` if it is as its source has it."""
        return datetime.fromisoformat(self.meta[EDITED]["at"]) if source_digest(self.meta) else None

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON types."""
        return {**vars(self), "created_at": self.created_at.isoformat()}


@dataclass(frozen=True)
class Hit:
    """A passage that a search found."""

    passage: StoredPassage
    """The passage, as it is now."""
    score: float
    """What it is ranked by, 0 to 1; only comparable within one search."""
    coverage: float
    """The share of the query's words that it has, weighed by how rare they are, 0 to 1."""
    nearness: float | None
    """Cosine of its vector and the query's; `None` if no vector index found it."""

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON types."""
        scores = {"score": self.score, "coverage": self.coverage, "nearness": self.nearness}
        rounded = {name: None if value is None else round(value, 4) for name, value in scores.items()}
        return {**self.passage.as_json(), **rounded}


def passage_key(owner: str, source: str, text: str) -> str:
    """The key of a text of a source for an owner."""
    return _key(owner, source, text_digest(text))


def text_digest(text: str) -> str:
    """What stands for a text of a source in keys: an edited passage keeps it, and not the text that was wrong."""
    return hashlib.sha256(text.encode()).hexdigest()


def source_digest(meta: Mapping[str, Any]) -> str | None:
    """The digest of what the source says, of a passage that was edited; `None` if this one was not."""
    if not isinstance(meta.get(EDITED), dict):
        return None
    mark = cast("dict[str, Any]", meta[EDITED])
    digest, at = mark.get("digest"), mark.get("at")
    if not (isinstance(digest, str) and isinstance(at, str) and _DIGEST.fullmatch(digest)):
        return None
    try:
        return digest if datetime.fromisoformat(at).tzinfo else None
    except ValueError:
        return None


def _key(owner: str, source: str, digest: str) -> str:
    return hashlib.sha256("\0".join((owner, source, digest)).encode()).hexdigest()[:32]
