"""Embedding call: vectors of texts from the model of `[models.embedding]`, through LiteLLM."""

# LiteLLM's annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ModelError
from openmanus_graph.models.attempts import answered
from openmanus_graph.models.catalog import Catalog, ModelTarget
from openmanus_graph.models.providers import embed_once

ROLE = "embedding"
"""The table of `[models]` that names the model of vectors; that of `[models.default]` talks and does not embed."""


def embedding_target(settings: Settings) -> ModelTarget | None:
    """The model of vectors; `None` if the settings name none.

    Raises:
        NoModelError: If its key is missing.
    """
    table = settings.models.get(ROLE)
    if table is None or not table.model:
        return None
    return Catalog(settings).targets(ROLE)[0]


async def embed(target: ModelTarget, texts: Sequence[str]) -> list[list[float]]:
    """The vector of each text, in their order, after retries.

    Args:
        target: The model.
        texts: The texts; none may be empty.

    Raises:
        ModelError: If the provider failed for good, or refuses.
    """
    answer = await answered(target, lambda: embed_once(target, texts))
    try:
        vectors = [_vector(entry) for entry in sorted(answer.data, key=lambda entry: int(entry["index"]))]
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise ModelError(f"The model {target.name!r} of the role {target.role!r} gave what are no vectors.") from error
    if len(vectors) != len(texts):
        raise ModelError(
            f"The model {target.name!r} of the role {target.role!r} gave {len(vectors)} vectors for {len(texts)} texts."
        )
    return vectors


def _vector(entry: Any) -> list[float]:
    return [float(number) for number in entry["embedding"]]
