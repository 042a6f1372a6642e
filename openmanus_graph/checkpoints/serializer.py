"""Serializer: states as bytes, refused by name when they are written if they could not be read again as they were."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, cast

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from openmanus_graph.checkpoints.encryption.cipher import SUFFIX, Cipher, sealed_without_key
from openmanus_graph.checkpoints.values.classes import MissingClassError
from openmanus_graph.checkpoints.values.decoding import decoded
from openmanus_graph.checkpoints.values.encoding import LARGEST, Change, UnstorableError, encoded
from openmanus_graph.errors import ForeignTypeError

_stand_ins: ContextVar[bool] = ContextVar("openmanus_graph_stand_ins", default=False)


@contextmanager
def stand_ins() -> Generator[None]:
    """Read values of classes that are not here as `StoredObject`s, for views and edits; no graph may be given those."""
    token = _stand_ins.set(True)
    try:
        yield
    finally:
        _stand_ins.reset(token)


class Serialized(NamedTuple):
    """A value as bytes."""

    kind: str
    """How it is stored, as LangGraph names it."""
    data: bytes
    """The bytes."""
    changes: list[Change]
    """What of it will come back as something else."""


class StateSerializer(JsonPlusSerializer):
    """Msgpack for users' graphs: all that comes back as it was.

    What it writes LangGraph's own serializer reads too, but for the few values that has no form for.
    """

    plain = False
    """Whether only built-in types and messages are taken."""

    def __init__(self, cipher: Cipher | None = None) -> None:
        super().__init__(allowed_msgpack_modules=None)
        self.cipher = cipher
        """Seals the bytes; `None` leaves them plain."""

    def serialized(self, value: Any) -> Serialized:
        """Serialize a value, and tell what of it will come back as something else.

        Raises:
            UnstorableError: If it cannot be stored.
        """
        kind = cast("type[Any]", type(value))
        if value is None:
            return Serialized("null", b"", [])
        if self.cipher is not None:
            made = self._plainly(value, kind)
            return Serialized(made.kind + SUFFIX, self.cipher.blob(made.kind, made.data), made.changes)
        return self._plainly(value, kind)

    def _plainly(self, value: Any, kind: type[Any]) -> Serialized:
        if kind is bytes or (kind is bytearray and not self.plain):
            return Serialized(kind.__name__, value, [])
        data, changes = encoded(value, plain=self.plain)
        if len(data) > LARGEST:
            raise UnstorableError("is larger than the gigabyte that Postgres takes", "Keep it in a file.")
        return Serialized("msgpack", data, changes)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Serialize `obj`.

        Raises:
            ForeignTypeError: If it holds what cannot be stored.
        """
        try:
            kind, data, _ = self.serialized(obj)
        except UnstorableError as error:
            place = f"{error.path!r} of it" if error.path else "it"
            raise ForeignTypeError(f"The value cannot be stored: {place} {error.why}.", hint=error.cure) from error
        return kind, data

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Read a value.

        Raises:
            ForeignTypeError: If it holds a class that is not here.
            EncryptionKeyError: If it is encrypted, and its key is not set.
            DamagedValueError: If it is encrypted, and its key does not open it.
        """
        if data[0] != "msgpack":
            if not data[0].endswith(SUFFIX):
                return super().loads_typed(data)
            kind = data[0].removesuffix(SUFFIX)
            if self.cipher is None:
                sealed_without_key()
            return self.loads_typed((kind, self.cipher.opened_blob(kind, bytes(data[1]))))
        allowed = self._allowed_msgpack_modules
        names = allowed if isinstance(allowed, set) else ()
        try:
            return decoded(data[1], allowed=names, stand_ins=_stand_ins.get())
        except MissingClassError as error:
            raise ForeignTypeError(
                f"It is of the class {error.module}.{error.name}, which {error.why}.",
                hint=f"Import {error.module!r} before the thread is read, or bring the class back.",
            ) from error


class PlainSerializer(StateSerializer):
    """Msgpack for our own graphs: built-in types and messages, so that an old thread loads after the code moved."""

    plain = True
