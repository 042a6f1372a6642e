"""Fusion: one ranking of what words and what meaning find, as a sum of their scores, weighed by how sure the words are.

Not by ranks: with words joined by "or" nearly every passage has a rank, so the weaker list would vote as loudly as the
stronger one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openmanus_graph.memory.semantic.full_text import TextHit

SURE = 0.75
"""Coverage of a query from which its words are taken to name the passage."""
SURE_WEIGHT = 0.2
"""What nearness counts when the words are sure."""
WEIGHT = 0.75
"""What nearness counts otherwise, unless the embedder says less."""


def fuse(texts: Sequence[TextHit], near: Mapping[str, float], most_weight: float = WEIGHT) -> list[tuple[str, float]]:
    """All keys with their scores, 0 to 1, best first.

    Args:
        texts: What full text found.
        near: Cosines by key, of what the vector index found.
        most_weight: What nearness may count at most, 0 to 1; an embedder of words gets little.
    """
    if not near:
        return sorted(((hit.key, hit.score) for hit in texts), key=lambda one: (-one[1], one[0]))
    sure = max((hit.coverage for hit in texts), default=0.0) > SURE
    weight = min(SURE_WEIGHT if sure else WEIGHT, most_weight)
    words = _normalised({hit.key: hit.score for hit in texts})
    meaning = _normalised(near)
    scores = {key: (1 - weight) * words.get(key, 0.0) + weight * meaning.get(key, 0.0) for key in {**words, **meaning}}
    return sorted(scores.items(), key=lambda one: (-one[1], one[0]))


def _normalised(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores as shares of the highest one."""
    highest = max(scores.values(), default=0.0)
    return {key: max(score, 0.0) / highest for key, score in scores.items()} if highest > 0 else {}
