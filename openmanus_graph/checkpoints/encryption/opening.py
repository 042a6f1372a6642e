"""Opening: makes a connection open what is sealed, whichever query reads it."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import set_json_loads
from psycopg.types.string import TextBinaryLoader, TextLoader

from openmanus_graph.checkpoints.encryption.cipher import Cipher


def open_what_is_read(connection: AsyncConnection[Any], cipher: Cipher) -> None:
    """Open sealed texts and JSON in all that a connection reads from now on; bytes are left to the serializer."""

    class OpeningTextLoader(TextLoader):
        def load(self, data: Any) -> Any:
            text = super().load(data)
            return cipher.opened_text(text) if isinstance(text, str) else text

    class OpeningBinaryLoader(TextBinaryLoader):
        def load(self, data: Any) -> Any:
            text = super().load(data)
            return cipher.opened_text(text) if isinstance(text, str) else text

    connection.adapters.register_loader("text", OpeningTextLoader)
    connection.adapters.register_loader("text", OpeningBinaryLoader)
    set_json_loads(cipher.opened_json, connection)
