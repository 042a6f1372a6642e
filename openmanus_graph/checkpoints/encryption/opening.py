"""Opening: makes a connection open what is sealed, whichever query reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg import AsyncConnection
from psycopg.abc import Loader
from psycopg.types.json import JsonbBinaryLoader, JsonbLoader
from psycopg.types.string import TextBinaryLoader, TextLoader

from openmanus_graph.checkpoints.encryption.cipher import Cipher


def opening_with(cipher: Cipher) -> Callable[[AsyncConnection[Any]], None]:
    """What makes connections open sealed texts and JSON in all that they read; bytes are left to the serializer.

    Args:
        cipher: Opens what is sealed.
    """

    # Classes of our own: those that psycopg makes for a function are the same for a method of any object.
    class OpeningTextLoader(TextLoader):
        def load(self, data: Any) -> Any:
            text = super().load(data)
            return cipher.opened_text(text) if isinstance(text, str) else text

    class OpeningTextBinaryLoader(TextBinaryLoader):
        def load(self, data: Any) -> Any:
            text = super().load(data)
            return cipher.opened_text(text) if isinstance(text, str) else text

    class OpeningJsonbLoader(JsonbLoader):
        def load(self, data: Any) -> Any:
            return cipher.opened_json(bytes(data))

    class OpeningJsonbBinaryLoader(JsonbBinaryLoader):
        def load(self, data: Any) -> Any:
            return cipher.opened_json(bytes(data)[1:])  # after the version of the format

    loaders: list[tuple[str, type[Loader]]] = [
        ("text", OpeningTextLoader),
        ("text", OpeningTextBinaryLoader),
        ("jsonb", OpeningJsonbLoader),
        ("jsonb", OpeningJsonbBinaryLoader),
    ]

    def prepare(connection: AsyncConnection[Any]) -> None:
        for name, loader in loaders:
            connection.adapters.register_loader(name, loader)

    return prepare
