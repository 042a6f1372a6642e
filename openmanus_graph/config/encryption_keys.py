"""Encryption keys: those that are set, from the environment or a file, and new ones."""

from __future__ import annotations

import binascii
import re
import secrets
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from openmanus_graph import shell_commands
from openmanus_graph.errors import SettingsError

if TYPE_CHECKING:
    from openmanus_graph.config.settings import Settings

VARIABLE = "OPENMANUS_GRAPH_ENCRYPTION_KEY"
"""The environment variable with the keys."""
BYTES = 32
"""Bytes of a key, of AES-256."""


def new_key() -> str:
    """A new key, as the setting takes it: 32 random bytes in base64."""
    return b64encode(secrets.token_bytes(BYTES)).decode("ascii")


def encryption_keys(settings: Settings) -> list[bytes]:
    """The keys that are set, the one that encrypts first; empty if none is.

    Raises:
        SettingsError: If one is not a key, or their file cannot be read; no message says what was set.
    """
    if settings.encryption_key is not None:
        place, text = VARIABLE, settings.encryption_key.get_secret_value()
    elif settings.encryption_key_file is not None:
        file = settings.encryption_key_file.expanduser()
        place = repr(str(file))
        try:
            text = file.read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SettingsError(
                f"The encryption key cannot be read from {place}: {why}.", hint=f"Make one: {shell_commands.NEW_KEY}"
            ) from error
    else:
        return []
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if not words:
        raise SettingsError(f"There is no encryption key in {place}.", hint=f"Make one: {shell_commands.NEW_KEY}")
    return list(dict.fromkeys(_key(word, place, number) for number, word in enumerate(words, 1)))


def _key(word: str, place: str, number: int) -> bytes:
    try:
        key = b64decode(word.translate({ord("-"): "+", ord("_"): "/"}) + "=" * (-len(word) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != BYTES:
        raise SettingsError(
            f"Key {number} in {place} is not one: a key is {BYTES} bytes in base64.",
            hint=f"Make one: {shell_commands.NEW_KEY}",
        )
    return key
