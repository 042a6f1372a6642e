"""Model embedder: vectors from the model of `[models.embedding]`, behind its provider."""

from __future__ import annotations

import re
from collections.abc import Sequence

from openmanus_graph.models.catalog import ModelTarget
from openmanus_graph.models.embedding_call import embed
from openmanus_graph.redaction import redact_log

MOST_CHARACTERS = 8_000
"""Characters of a text that are sent: models of vectors take some 500 to 8,000 tokens."""


class ModelEmbedder:
    """An `Embedder` that asks a model."""

    def __init__(self, target: ModelTarget) -> None:
        """Ask nothing yet.

        Args:
            target: The model.
        """
        self._target = target
        self._dimensions = 0

    @property
    def name(self) -> str:
        """The model's name, and where it answers if that is no provider's own place, without what may be secret."""
        url = re.sub(r"//[^/?#]*@", "//", self._target.settings.base_url or "").partition("?")[0]
        return f"{self._target.name} at {redact_log(url)}" if url else self._target.name

    @property
    def dimensions(self) -> int:
        """How many numbers each vector has; 0 until the model has given the first one."""
        return self._dimensions

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The vector of each text.

        Raises:
            ModelError: If the provider failed for good, or refuses.
        """
        vectors = await embed(self._target, [text[:MOST_CHARACTERS] or " " for text in texts])
        if not self._dimensions and vectors:
            self._dimensions = len(vectors[0])
        return vectors
