"""Embedder choice: the model of the settings, else what they name, else MiniLM where it is installed, else hashing."""

from __future__ import annotations

from collections.abc import Sequence

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import Embed
from openmanus_graph.memory.embedding.hashing import HashingEmbedder
from openmanus_graph.memory.embedding.minilm import MiniLMEmbedder, installed
from openmanus_graph.memory.embedding.model_embedder import ModelEmbedder
from openmanus_graph.memory.plugins import embedder
from openmanus_graph.memory.protocols import Embedder
from openmanus_graph.models.embedding_call import embedding_target

HASHING, MINILM = "hashing", "minilm"
"""Names of the built-in ones in the setting `embedder`."""
NEAR = 0.6
"""Cosine from which a passage is worth telling by nearness alone, unless the embedder has a `near` of its own."""


def open_embedder(settings: Settings) -> Embedder:
    """The embedder of the settings; a model is not asked yet.

    Args:
        settings: The user's settings.

    Raises:
        SettingsError: If they name a plug-in that is not installed.
        NoModelError: If the model's key is missing.
    """
    target = embedding_target(settings)
    if target is not None:
        return ModelEmbedder(target)
    if settings.embedder == MINILM or (settings.embedder is None and installed()):
        return MiniLMEmbedder()
    if settings.embedder in (None, HASHING):
        return HashingEmbedder()
    return embedder(settings.embedder)


def embed_of(settings: Settings) -> Embed:
    """Makes vectors of texts for tools, by the embedder of the settings, which is opened at its first use.

    Args:
        settings: The user's settings.
    """

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        chosen = open_embedder(settings)
        return [] if isinstance(chosen, HashingEmbedder) else await chosen.embed(texts)

    return embed


def near_of(chosen: Embedder) -> float:
    """The cosine from which a passage is worth telling by nearness alone."""
    return float(getattr(chosen, "near", NEAR))
