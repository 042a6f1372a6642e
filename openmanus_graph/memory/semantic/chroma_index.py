"""Chroma index: vectors in Chroma, one collection for each owner and embedder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeVar, cast

from openmanus_graph.errors import VectorIndexError
from openmanus_graph.memory.semantic.chroma_access import ChromaAccess
from openmanus_graph.memory.semantic.vector_index import Vector, VectorSpace

ResultT = TypeVar("ResultT")

BATCH = 1_000
"""Vectors that are sent, removed or listed at a time."""


class ChromaIndex:
    """Vectors in a folder or a server of Chroma's."""

    def __init__(self, access: ChromaAccess, space: VectorSpace) -> None:
        """Use a place; nothing is opened yet.

        Args:
            access: The way to the client.
            space: Which vectors.
        """
        self._access = access
        self.space = space

    @property
    def target(self) -> str:
        """Names the place and the space."""
        return f"{self._access.target} {self.space.name()}"

    @property
    def place(self) -> str:
        """The place in words."""
        return self._access.place

    async def upsert(self, owner: str, items: Sequence[tuple[str, Vector]]) -> None:
        """Store vectors by key."""
        self.space.check([vector for _, vector in items])
        by_key = dict(items)

        def work(client: Any) -> None:
            collection = self._made(client, owner)
            for keys in _batches(list(by_key)):
                collection.upsert(ids=keys, embeddings=[list(by_key[key]) for key in keys])

        if by_key:
            await self._use(work, write=True)

    async def delete(self, owner: str, keys: Sequence[str]) -> None:
        """Remove vectors."""

        def work(client: Any) -> None:
            collection = self._found(client, owner)
            if collection is not None:
                for batch in _batches(list(keys)):
                    collection.delete(ids=batch)

        if keys:
            await self._use(work, write=True)

    async def query(self, owner: str, vector: Vector, limit: int) -> list[tuple[str, float]]:
        """Keys of the nearest vectors."""
        self.space.check([vector])

        def work(client: Any) -> list[tuple[str, float]]:
            collection = self._found(client, owner)
            if collection is None:
                return []
            said = collection.query(query_embeddings=[list(vector)], n_results=limit, include=["distances"])
            keys, distances = cast("list[str]", said["ids"][0]), cast("list[float]", said["distances"][0])
            return [(key, 1 - distance) for key, distance in zip(keys, distances, strict=True)]

        return await self._use(work, write=False)

    async def keys(self, owner: str) -> set[str]:
        """All keys of an owner; by `get`, for a query of all gives fewer."""

        def work(client: Any) -> set[str]:
            collection = self._found(client, owner)
            found: set[str] = set()
            while collection is not None:
                page = cast("list[str]", collection.get(limit=BATCH, offset=len(found), include=[])["ids"])
                found.update(page)
                if len(page) < BATCH:
                    break
            return found

        return await self._use(work, write=False)

    async def owners(self) -> set[str]:
        """Everybody who has a collection."""
        mine = {"database": self.space.database, "embedder": self.space.embedder}

        def work(client: Any) -> set[str]:
            noted = [_noted(collection) for collection in client.list_collections()]
            return {str(one["owner"]) for one in noted if mine.items() <= one.items() and "owner" in one}

        return await self._use(work, write=False)

    async def tidy(self) -> None:
        """Nothing: Chroma does so by itself."""

    async def aclose(self) -> None:
        """Let go of the client."""
        await asyncio.to_thread(self._access.close)

    async def _use(self, work: Callable[[Any], ResultT], *, write: bool) -> ResultT:
        return await asyncio.to_thread(self._access.use, work, write=write)

    def _made(self, client: Any, owner: str) -> Any:
        """The owner's collection, made if there is none."""
        collection = client.get_or_create_collection(
            self.space.name(owner),
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine"}},
            metadata={"database": self.space.database, "embedder": self.space.embedder, "owner": owner},
        )
        noted = _noted(collection).get("embedder")
        if noted != self.space.embedder:  # of an existing one Chroma gives back what is there, and says nothing
            raise VectorIndexError(
                f"The collection {collection.name!r} is of the embedder {noted!r} and not of {self.space.embedder!r}.",
                hint="Remove it, or use another place.",
            )
        return collection

    def _found(self, client: Any, owner: str) -> Any | None:
        """The owner's collection; `None` if there is none yet."""
        missing: Any = import_module("chromadb.errors").NotFoundError
        try:
            return client.get_collection(self.space.name(owner), embedding_function=None)
        except missing:
            return None


def _noted(collection: Any) -> dict[str, Any]:
    """What a collection says of itself."""
    return dict(collection.metadata or {})


def _batches(keys: list[str]) -> list[list[str]]:
    return [keys[start : start + BATCH] for start in range(0, len(keys), BATCH)]
