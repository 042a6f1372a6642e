"""Mem0 memory: the same texts and questions in mem0, on the same Postgres with the same embedder, in its own process.

Texts are stored as they are (`infer=False`), since mem0 would otherwise ask a model to rewrite each of them.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.locked_packages import packages_of
from openmanus_graph.config.settings import Settings
from openmanus_graph.memory.embedding.choice import open_embedder
from openmanus_graph.memory.protocols import Embedder

TOP = Path(__file__).resolve().parent.parent
MEM0 = "mem0, the same embedder"
MOST_FOUND = 50
USER = "benchmark"


@dataclass(frozen=True)
class Mem0Answers:
    """What mem0 made of texts and questions."""

    found: Mapping[str, Sequence[str]]
    """Names of texts by question, best first."""
    query_ms: Sequence[float]
    """Milliseconds of each question."""
    add_ms: float
    """Milliseconds of a text to be stored, in the mean."""


def mem0_answers(url: str, embedder: str, texts: Mapping[str, str], questions: Sequence[str]) -> Mem0Answers:
    """Store texts in mem0, and ask.

    Args:
        url: An empty database with the extension `vector`.
        embedder: Name of the embedder, as the setting takes it.
        texts: Texts by name.
        questions: What is asked.

    Raises:
        PackagesError: If mem0 cannot be fetched.
    """
    packages = packages_of(TOP / "requirements-rivals.lock", TOP / "build")
    given = json.dumps({"url": url, "embedder": embedder, "texts": dict(texts), "questions": list(questions)})
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "PYTHONPATH": f"{TOP}{os.pathsep}{packages}",
            "MEM0_DIR": home,
            "MEM0_TELEMETRY": "False",
            "OPENAI_API_KEY": "nobody-is-asked",
        }
        command = [sys.executable, "-m", "benchmarks.mem0_memory"]
        ran = subprocess.run(
            command, input=given, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=TOP
        )
    return Mem0Answers(**json.loads(ran.stdout.splitlines()[-1]))


class _Embedding:
    """Our embedder, as mem0 calls one."""

    def __init__(self, embedder: Embedder, loop: asyncio.AbstractEventLoop) -> None:
        self._embedder = embedder
        self._loop = loop

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        """The vector of a text."""
        return self.embed_batch([text])[0]

    def embed_batch(self, texts: list[str], memory_action: str = "add") -> list[list[float]]:
        """Those of some texts."""
        return [list(vector) for vector in self._loop.run_until_complete(self._embedder.embed(texts))]


def _answer(given: Mapping[str, Any]) -> dict[str, Any]:
    with asyncio.Runner() as runner:
        embedder = open_embedder(Settings.load(embedder=given["embedder"]))
        library: Any = importlib.import_module("mem0")
        store = {"connection_string": given["url"], "embedding_model_dims": embedder.dimensions}
        memory = library.Memory.from_config({"vector_store": {"provider": "pgvector", "config": store}})
        memory.embedding_model = _Embedding(embedder, runner.get_loop())
        began = time.perf_counter()
        for name, text in given["texts"].items():
            memory.add(text, user_id=USER, metadata={"name": name}, infer=False)
        add_ms = (time.perf_counter() - began) * 1000 / len(given["texts"])
        found: dict[str, list[str]] = {}
        query_ms: list[float] = []
        for question in given["questions"]:
            began = time.perf_counter()
            results = memory.search(question, filters={"user_id": USER}, top_k=MOST_FOUND, threshold=0.0)["results"]
            query_ms.append((time.perf_counter() - began) * 1000)
            found[question] = [str(one["metadata"]["name"]) for one in results]
    return {"found": found, "query_ms": query_ms, "add_ms": add_ms}


if __name__ == "__main__":
    print(json.dumps(_answer(json.load(sys.stdin))))
