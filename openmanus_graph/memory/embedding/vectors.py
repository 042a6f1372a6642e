"""Vectors: those of some texts, from an embedder that may be anybody's."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from openmanus_graph.errors import OpenManusGraphError, VectorIndexError
from openmanus_graph.memory.protocols import Embedder
from openmanus_graph.memory.semantic.vector_index import index_error


async def vectors_of(embedder: Embedder, texts: Sequence[str]) -> list[list[float]]:
    """The vector of each text.

    Args:
        embedder: What makes them; whatever it raises or gives, nothing but an error of ours comes of it.
        texts: The texts.

    Raises:
        VectorIndexError: If it fails, or gives too few, too many, or what are no vectors.
        OpenManusGraphError: What an embedder of ours raises.
    """
    if not texts:
        return []
    try:
        made = await asyncio.to_thread(_numbers, await embedder.embed(texts))
    except OpenManusGraphError:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise index_error(f"the embedder {embedder.name!r}", error) from error
    if len(made) != len(texts):
        raise VectorIndexError(f"The embedder {embedder.name!r} gave {len(made)} vectors for {len(texts)} texts.")
    if not await asyncio.to_thread(_finite, made):
        raise VectorIndexError(f"The embedder {embedder.name!r} gave a vector with a number that is infinite or none.")
    return made


def _numbers(vectors: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[float(number) for number in vector] for vector in vectors]


def _finite(vectors: Sequence[Sequence[float]]) -> bool:
    return all(math.isfinite(number) for vector in vectors for number in vector)
