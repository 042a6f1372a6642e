"""Shared folder: one of the processes that use a folder of Chroma's at random, each read compared with an oracle.

    python -m tests.memory.shared_folder FOLDER SEED OPERATIONS PROCESSES [--without-counter]

It begins when as many processes are there. The oracle is an SQLite file that is changed and read under the folder's own
lock. The last line of output is JSON: how many writes and reads there were, how often the client was opened anew, and
each read that differed.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from openmanus_graph.memory.semantic import chroma_access
from openmanus_graph.memory.semantic.chroma_access import ChromaFolder

KEYS = 40
DIMENSIONS = 8


class Worker:
    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = ChromaFolder(folder)
        self.oracle = sqlite3.connect(folder.parent / "oracle.sqlite", timeout=60, isolation_level=None)
        self.oracle.execute("CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector TEXT)")
        self.random = random.Random(seed)
        self.writes = self.reads = 0
        self.wrong: list[str] = []

    def truth(self) -> dict[str, list[float]]:
        return {key: json.loads(vector) for key, vector in self.oracle.execute("SELECT key, vector FROM vectors")}

    def collection(self, client: Any) -> Any:
        return client.get_or_create_collection(
            "shared",
            embedding_function=None,
            configuration={"hnsw": {"space": "l2"}},  # cosine stores unit vectors
        )

    def write(self, client: Any) -> None:
        self.writes += 1
        collection = self.collection(client)
        keys = [f"k{number}" for number in self.random.sample(range(KEYS), 3)]
        if self.random.random() < 0.3:
            collection.delete(ids=keys)
            self.oracle.executemany("DELETE FROM vectors WHERE key = ?", [(key,) for key in keys])
            return
        # Eighths, which single precision holds exactly.
        vectors = [[self.random.randint(-80, 80) / 8 + 0.125 for _ in range(DIMENSIONS)] for _ in keys]
        collection.upsert(ids=keys, embeddings=vectors)
        rows = [(key, json.dumps(vector)) for key, vector in zip(keys, vectors, strict=True)]
        self.oracle.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def read(self, client: Any) -> None:
        self.reads += 1
        collection, truth = self.collection(client), self.truth()
        said = collection.get(include=["embeddings"])
        have = {
            key: [float(one) for one in vector] for key, vector in zip(said["ids"], said["embeddings"], strict=True)
        }
        if have != truth:
            self.wrong.append(f"get: {sorted(have)} instead of {sorted(truth)}, or other vectors")
        if collection.count() != len(truth):
            self.wrong.append(f"count: {collection.count()} instead of {len(truth)}")
        if truth:
            key = self.random.choice(sorted(truth))
            found = collection.query(query_embeddings=[truth[key]], n_results=1, include=["distances"])
            if not found["ids"][0] or found["distances"][0][0] > 1e-4:
                self.wrong.append(f"query: {key} not found by its own vector")

    def step(self) -> None:
        writes = self.random.random() < 0.4
        try:
            self.folder.use(self.write if writes else self.read, write=writes)
        except Exception as error:  # noqa: BLE001 - whatever Chroma raises is what is counted
            self.wrong.append(f"{type(error).__name__}: {error}")


class Counted(chroma_access._OpenFolder):
    """A folder that counts how often it is let go of because others have written."""

    reopened = 0

    def drop(self) -> None:
        Counted.reopened += self.client is not None
        super().drop()


class Blind(chroma_access._OpenFolder):
    """What the folder would be without the counter."""

    def current(self, count: int) -> Any:
        self.seen = count if self.client is not None else self.seen
        return super().current(count)


def wait_for_others(folder: Path, seed: str, processes: int) -> None:
    (folder.parent / f"ready-{seed}").touch()
    end = time.monotonic() + 120
    while len(list(folder.parent.glob("ready-*"))) < processes:
        assert time.monotonic() < end
        time.sleep(0.05)


def main(folder: str, seed: str, operations: str, processes: str, *options: str) -> None:
    chroma_access._OpenFolder = Blind if "--without-counter" in options else Counted  # type: ignore[misc]
    chroma_access.load_chroma()
    worker = Worker(Path(folder), int(seed))
    wait_for_others(Path(folder), seed, int(processes))
    for _ in range(int(operations)):
        worker.step()
    counted = {"writes": worker.writes, "reads": worker.reads, "reopened": Counted.reopened}
    worker.folder.close()
    worker.oracle.close()
    print(json.dumps({**counted, "wrong": worker.wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:])
