"""Feature hashing: vectors of words and their parts, without a model, the same on every machine.

Each word, each pair of neighbours and each run of four letters adds to one of the numbers, with a sign, both chosen by
a hash (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009). It finds other spellings of the
same words, not other words for the same thing: hence `most_weight`.
"""

from __future__ import annotations

import asyncio
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

from openmanus_graph.memory.episodic import STOP_WORDS

_WORD = re.compile(r"\w+")
GRAM = 4
"""Letters of a part of a word."""
MOST_WORDS = 2_000
"""Words of a text that count."""


class HashingEmbedder:
    """An `Embedder` that needs nothing: likeness of words and their parts."""

    most_weight = 0.3
    """What nearness by these vectors counts at most beside words: it is a likeness of words itself."""
    batch = 512
    """Passages that are delivered at a time: it is fast, and an index takes many as quickly as few."""
    near = 2.0
    """Cosine from which a passage is worth telling by nearness alone; above 1 means never."""

    def __init__(self, dimensions: int = 1024) -> None:
        """Make vectors of a length.

        Args:
            dimensions: How many numbers each has.
        """
        self._dimensions = dimensions

    @property
    def name(self) -> str:
        """The way of hashing and its version."""
        return f"hashing-1-{self._dimensions}"

    @property
    def dimensions(self) -> int:
        """How many numbers each vector has."""
        return self._dimensions

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The vector of each text."""
        return await asyncio.to_thread(lambda: [self._vector(text) for text in texts])

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self._dimensions
        for feature, count in Counter(_features(text)).items():
            weight = (1 + math.log(count)) * (0.4 if feature.startswith("#") else 1.0)
            mixed = _mixed(zlib.crc32(feature.encode("utf-8", "replace")))
            vector[(mixed >> 1) % self._dimensions] += weight if mixed & 1 else -weight
        length = math.sqrt(sum(number * number for number in vector))
        if length == 0:
            vector[0] = length = 1.0  # a text without words: a vector all the same, like that of no text with words
        return [number / length for number in vector]


def _mixed(code: int) -> int:
    """A CRC, which is linear, with all of its bits in each (the finalizer of MurmurHash3, by Austin Appleby)."""
    code = ((code ^ (code >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    code = ((code ^ (code >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return code ^ (code >> 16)


def _features(text: str) -> Iterator[str]:
    """Words without stop words, pairs of neighbours, and parts of longer words, marked with `#`."""
    words = [word for word in _WORD.findall(text.lower().replace("_", " ")) if word not in STOP_WORDS][:MOST_WORDS]
    previous = ""
    for word in words:
        yield word
        if previous:
            yield f"{previous} {word}"
        if len(word) > GRAM:
            marked = f"<{word}>"
            yield from (f"#{marked[at : at + GRAM]}" for at in range(len(marked) - GRAM + 1))
        previous = word
