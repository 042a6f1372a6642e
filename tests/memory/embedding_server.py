"""Embedding server: OpenAI's interface for vectors, and Ollama's, on loopback; concepts of words are the model."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

CONCEPTS = [
    {"car", "cars", "automobile", "vehicle", "drive"},
    {"whale", "whales", "cetacean", "humpback", "sea"},
    {"money", "invoice", "invoices", "tax", "pay"},
    {"doctor", "physician", "illness", "medicine"},
]


def vector_of(text: str) -> list[float]:
    words = set(re.findall(r"\w+", text.lower()))
    return [float(len(words & concept)) for concept in CONCEPTS] + [0.1]


class EmbeddingServer(ThreadingHTTPServer):
    """Counts what it is asked, and answers with `status` where that is no 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.place = f"http://127.0.0.1:{self.server_address[1]}"
        self.url = f"{self.place}/v1"
        self.asked: list[list[str]] = []
        self.keys: list[str | None] = []
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        """What is answered instead, whatever it is."""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        serving = cast("EmbeddingServer", self.server)
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        serving.asked.append(texts)
        serving.keys.append(self.headers["Authorization"])
        status = serving.statuses.pop(0) if serving.statuses else 200
        data = [{"object": "embedding", "index": n, "embedding": vector_of(text)} for n, text in enumerate(texts)]
        answer: dict[str, Any] = {
            "object": "list",
            "data": data[::-1],  # their numbers say which is which, and not their order
            "model": body["model"],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }
        if self.path == "/api/embed":  # Ollama's; it knows no encoding format
            vectors = [vector_of(text) for text in texts]
            answer = {"model": body["model"], "embeddings": vectors, "prompt_eval_count": 1}
        if status != 200:
            answer = {"error": {"message": f"said {status}", "type": "error", "code": None}}
        written = serving.bodies.pop(0) if serving.bodies else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def embedding_server() -> Iterator[EmbeddingServer]:
    server = EmbeddingServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
