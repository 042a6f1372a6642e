"""Cipher: AES-256-GCM over single values, under the first of several keys; each value names the key that opens it.

A sealed text is text itself, and a sealed JSON value a JSON string, so both stand in the columns of plain ones. They
begin with `MARK`, by which whoever reads a row knows them; bytes are known by how their row says they are stored.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NoReturn, cast

from openmanus_graph import shell_commands
from openmanus_graph.config.encryption_keys import VARIABLE, encryption_keys
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import DamagedValueError, EncryptionKeyError, SettingsError
from openmanus_graph.values.storable_json import SEAL, Sealed, storable_json

MARK = SEAL
"""Begins a sealed text; plain ones that begin so are changed where they are stored (`storable_json.py`)."""
MARK_IN_JSON = b"\\u001aomg1"
"""The same as Postgres writes it in JSON."""
SUFFIX = "+omg1"
"""Ends the name of how a value is stored, if its bytes are sealed."""
FILE_MAGIC = b"\x1aomg1"
"""Begins the sealed content of a file."""
LOCKED = "(encrypted)"
"""Stands for a text that cannot be read, where that is no error."""
ONLY_A_BACKUP = "Only a backup of the database can bring it back."
"""What to do about a damaged value where nothing better is known."""
_TEXT, _JSON = "t", "j"
_KEY_BYTES, _NONCE_BYTES = 4, 12

_leniency: ContextVar[Literal["none", "keys", "all"]] = ContextVar("openmanus_graph_leniency", default="none")


@contextmanager
def lenient(what: Literal["keys", "all"]) -> Generator[None]:
    """Read `LOCKED` for values that cannot be opened, instead of raising.

    Args:
        what: `keys`: for lack of their key; `all`: also damaged ones.
    """
    token = _leniency.set(what)
    try:
        yield
    finally:
        _leniency.reset(token)


class Cipher:
    """Seals values with the first key, and opens those of every key."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Use keys of 32 bytes each.

        Args:
            keys: The keys; the first one seals.

        Raises:
            SettingsError: If the package that encrypts is not installed.
        """
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise SettingsError(
                f"{VARIABLE} is set, and the package 'cryptography' that encrypts is not installed.",
                hint=f"Install it: {shell_commands.install('openmanus-graph[encryption]')}",
            ) from error
        self._refused = InvalidTag
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self.ids = tuple(name.hex() for name in self._keys)
        """What names each key in rows: the beginning of its digest, which says nothing of the key."""
        self.id = self.ids[0]
        """What names the key that seals."""
        self._first = bytes.fromhex(self.id)
        self._sealing = self._keys[self._first]

    def text(self, value: str) -> str:
        """A text, sealed; an empty one stays, which says no more than its length would."""
        if not value:
            return value
        data = self._sealed(value.encode("utf-8", "surrogatepass"), b"text")
        return Sealed(f"{MARK}{_TEXT}{b64encode(data).decode('ascii')}")

    def json(self, value: Any) -> str:
        """A value in JSON types, sealed as one string."""
        data = self._sealed(storable_json(value).encode(), b"json")
        return Sealed(f"{MARK}{_JSON}{b64encode(data).decode('ascii')}")

    def blob(self, kind: str, data: bytes) -> bytes:
        """Bytes, sealed; they open only as what they were stored as.

        Args:
            kind: How the value is stored.
            data: Its bytes.
        """
        return self._sealed(data, kind.encode())

    def file(self, digest: str, content: bytes) -> bytes:
        """The content of a file, sealed; it opens only under its digest."""
        return FILE_MAGIC + self._sealed(content, b"file " + digest.encode())

    def _sealed(self, data: bytes, place: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return self._first + nonce + self._sealing.encrypt(nonce, data, place)

    def opened(self, value: Any) -> Any:
        """A value in JSON types with all that is sealed in it opened.

        Raises:
            EncryptionKeyError: If a key is missing.
            DamagedValueError: If something of it is damaged.
        """
        if isinstance(value, str):
            return self._opened(value) if value.startswith(MARK) else value
        if isinstance(value, dict):
            return {key: self.opened(item) for key, item in cast("dict[str, Any]", value).items()}
        if isinstance(value, list):
            return [self.opened(item) for item in cast("list[Any]", value)]
        return value

    def opened_text(self, value: str) -> str:
        """A column of text, opened if it is sealed; a JSON value that SQL took out as text is its JSON.

        Raises:
            EncryptionKeyError: If its key is missing.
            DamagedValueError: If it is damaged.
        """
        if not value.startswith(MARK):
            return value
        opened = self._opened(value)
        return opened if isinstance(opened, str) else json.dumps(opened)

    def opened_json(self, text: bytes) -> Any:
        """JSON as Postgres sends it, with all that is sealed in it opened.

        Raises:
            EncryptionKeyError: If a key is missing.
            DamagedValueError: If something of it is damaged.
        """
        value = json.loads(text)
        return self.opened(value) if MARK_IN_JSON in text else value

    def opened_blob(self, kind: str, data: bytes) -> bytes:
        """Bytes that `blob` sealed.

        Args:
            kind: How the value is stored, without `SUFFIX`.
            data: The sealed bytes.

        Raises:
            EncryptionKeyError: If their key is missing.
            DamagedValueError: If they are damaged.
        """
        return self._plain(data, kind.encode())

    def opened_file(self, digest: str, content: bytes) -> bytes:
        """The content of a file, opened if it is sealed.

        Args:
            digest: Its SHA-256, in hexadecimal.
            content: The content as it is stored.

        Raises:
            EncryptionKeyError: If its key is missing.
            DamagedValueError: If it is damaged.
        """
        if not is_sealed_file(digest, content):
            return content
        return self._plain(content[len(FILE_MAGIC) :], b"file " + digest.encode())

    def _opened(self, token: str) -> Any:
        try:
            kind = token[len(MARK) : len(MARK) + 1]
            try:
                data = binascii.a2b_base64(token[len(MARK) + 1 :], strict_mode=True)
            except (binascii.Error, ValueError) as error:
                raise damaged() from error
            if kind not in (_TEXT, _JSON):
                raise damaged()
            plain = self._plain(data, b"text" if kind == _TEXT else b"json")
            return plain.decode("utf-8", "surrogatepass") if kind == _TEXT else json.loads(plain)
        except EncryptionKeyError:
            if _leniency.get() == "none":
                raise
        except DamagedValueError:
            if _leniency.get() != "all":
                raise
        return LOCKED

    def _plain(self, data: bytes, place: bytes) -> bytes:
        if len(data) < _KEY_BYTES + _NONCE_BYTES + 16:
            raise damaged()
        name = data[:_KEY_BYTES]
        key = self._keys.get(name)
        if key is None:
            raise missing_key([name.hex()], self.ids)
        nonce, rest = data[_KEY_BYTES : _KEY_BYTES + _NONCE_BYTES], data[_KEY_BYTES + _NONCE_BYTES :]
        try:
            return key.decrypt(nonce, rest, place)
        except self._refused as error:
            raise damaged() from error

    def is_current(self, token: Any) -> bool:
        """Whether something is a sealed text or JSON value of the first key."""
        if not isinstance(token, str) or not token.startswith(MARK):
            return False
        begin = token[len(MARK) + 1 : len(MARK) + 9]
        try:
            return b64decode(begin)[:_KEY_BYTES] == self._first
        except (binascii.Error, ValueError):
            return False

    def is_current_blob(self, data: bytes) -> bool:
        """Whether sealed bytes are of the first key."""
        return data[:_KEY_BYTES] == self._first

    def is_current_file(self, content: bytes) -> bool:
        """Whether the sealed content of a file is of the first key."""
        return self.is_current_blob(content[len(FILE_MAGIC) :])


def is_sealed_file(digest: str, content: bytes) -> bool:
    """Whether the content of a file is stored sealed: one that begins so by itself has its own digest."""
    return content.startswith(FILE_MAGIC) and hashlib.sha256(content).hexdigest() != digest


def cipher_of(settings: Settings) -> Cipher | None:
    """The cipher of the keys that are set; `None` without any.

    Raises:
        SettingsError: If one is not a key, or the package that encrypts is not installed.
    """
    keys = encryption_keys(settings)
    return Cipher(keys) if keys else None


def refuse_sealed(values: Iterable[Any]) -> None:
    """Raise if one of some values is sealed: they were read where no key is set, so nothing has opened them.

    Raises:
        EncryptionKeyError: If one is.
    """
    for value in values:
        if isinstance(value, str) and value.startswith(MARK):
            sealed_without_key()


def refuse_locked(whose: str, names: Collection[str], known: Collection[str] = ()) -> None:
    """Raise unless every key that something was encrypted with is there.

    Args:
        whose: What it is, as the beginning of a sentence.
        names: What names its keys.
        known: What names the keys that are set.

    Raises:
        EncryptionKeyError: If one is missing.
    """
    if not set(names) <= set(known):
        raise missing_key(sorted(set(names) - set(known)), known, whose)


def missing_key(names: Sequence[str], known: Collection[str], whose: str = "A stored value") -> EncryptionKeyError:
    """The error for what is encrypted with keys that are not there."""
    keys = f"the key {names[0]!r}" if len(names) == 1 else f"the keys {', '.join(map(repr, names))}"
    have = f"has {', '.join(map(repr, known))}" if known else "is not set"
    return EncryptionKeyError(
        f"{whose} is encrypted with {keys}, and {VARIABLE} {have}.",
        hint=f"Set {VARIABLE} to the key that it was stored with; several are separated by commas.",
    )


def damaged() -> DamagedValueError:
    """The error for a sealed value that its key does not open."""
    return DamagedValueError(
        "An encrypted value cannot be opened with its own key: it is damaged, or was changed or moved by others.",
        hint=ONLY_A_BACKUP,
    )


@contextmanager
def named_damage(hint: str) -> Generator[None]:
    """Give the error for a damaged value the next step, where whose it is is known.

    Args:
        hint: What to do.

    Raises:
        DamagedValueError: If a value that is read meanwhile is damaged.
    """
    try:
        yield
    except DamagedValueError as error:
        raise DamagedValueError(error.message, hint=hint) from error


def sealed_without_key() -> NoReturn:
    """Raise the error for a sealed value where no key is set.

    Raises:
        EncryptionKeyError: Always.
    """
    raise EncryptionKeyError(
        f"A stored value is encrypted, and {VARIABLE} is not set.",
        hint=f"Set {VARIABLE} to the key that it was stored with.",
    )


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"openmanus_graph key id\0" + key).digest()[:_KEY_BYTES]
