"""Vector index: where vectors of passages are searched; it knows keys only, and may be late, or away."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from openmanus_graph import shell_commands
from openmanus_graph.errors import OpenManusGraphError, VectorIndexError
from openmanus_graph.redaction import KEY, redact_log

Vector = Sequence[float]


@dataclass(frozen=True)
class VectorSpace:
    """Which vectors belong together: those of one embedder, of the passages of one database."""

    database: str
    """Names the database; several may share one vector store."""
    embedder: str
    """The embedder's name: vectors of different ones are not compared."""
    dimensions: int
    """How many numbers each vector has."""

    def name(self, owner: str = "") -> str:
        """A short name for the vectors of an owner: letters, digits and hyphens."""
        digest = hashlib.sha256(f"{self.embedder}\0{self.dimensions}\0{owner}".encode()).hexdigest()[:16]
        return f"openmanus-{self.database}-{digest}"

    def check(self, vectors: Sequence[Vector]) -> None:
        """Refuse vectors of another length.

        Raises:
            VectorIndexError: With both lengths.
        """
        for vector in vectors:
            if len(vector) != self.dimensions:
                raise VectorIndexError(
                    f"The embedder {self.embedder!r} gave a vector of {len(vector)} numbers instead of "
                    f"{self.dimensions}.",
                    hint="Name the embedder that the index was made with, or another one: each has its own index.",
                )


class VectorIndex(Protocol):
    """An index of vectors by owner and key.

    Every method raises `VectorIndexError` if the store does not answer or refuses.
    """

    @property
    def target(self) -> str:
        """Names the place and the space, the same in every process that means the same index."""
        ...

    @property
    def place(self) -> str:
        """The place in words."""
        ...

    @property
    def space(self) -> VectorSpace:
        """Which vectors it holds."""
        ...

    async def upsert(self, owner: str, items: Sequence[tuple[str, Vector]]) -> None:
        """Store vectors by key; those that are there are replaced."""
        ...

    async def delete(self, owner: str, keys: Sequence[str]) -> None:
        """Remove vectors; keys that are not there do no harm."""
        ...

    async def query(self, owner: str, vector: Vector, limit: int) -> list[tuple[str, float]]:
        """Keys of the nearest vectors with their cosines, the nearest first."""
        ...

    async def keys(self, owner: str) -> set[str]:
        """All keys of an owner."""
        ...

    async def owners(self) -> set[str]:
        """Everybody who has vectors, or had some."""
        ...

    async def tidy(self) -> None:
        """Do what makes queries fast, after many changes."""
        ...

    async def aclose(self) -> None:
        """Let go of the store."""
        ...


def index_error(what: str, error: Exception, secrets: Iterable[str] = ()) -> VectorIndexError:
    """The error for whatever an index or an embedder raised, in one line and without secrets.

    Args:
        what: What failed, in words.
        error: What it raised.
        secrets: Values that are not to be shown.
    """
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    for secret in secrets:
        said = said.replace(secret, KEY)
    return VectorIndexError(
        f"{what[0].upper()}{what[1:]} fails: {redact_log(said).rstrip('.')}.",
        hint=f"See what waits for it with: {shell_commands.MEMORY_STATUS}",
    )


def failure_of(error: Exception) -> OpenManusGraphError:
    """An error of ours as it is, and one for anything else."""
    return error if isinstance(error, OpenManusGraphError) else index_error("the index of vectors", error)
