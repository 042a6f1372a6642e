"""Passage: a piece of a source, small enough to be told to a model, and what a search finds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


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
        """The key of the passage for an owner: the same source and text have the same one."""
        return passage_key(owner, self.source, self.text)


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
    return hashlib.sha256("\0".join((owner, source, text)).encode()).hexdigest()[:32]
