"""Readable saver: refuses a checkpoint that cannot be read, and names it and the last good one.

Nothing is left out in silence: a value that is damaged, of an unknown type or missing makes its checkpoint unreadable.
"""

# LangGraph's saver is partly unknown to a strict checker; what crosses it here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, LiteralString, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, DeltaChannelHistory, get_checkpoint_id
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import DictRow

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.encryption.cipher import Cipher, named_damage, sealed_without_key
from openmanus_graph.checkpoints.encryption.sealed_rows import PLAIN_METADATA, SEALED
from openmanus_graph.errors import (
    DamagedValueError,
    DatabaseError,
    EncryptionKeyError,
    ForeignTypeError,
    ThreadUnreadableError,
)

MOST_TRIED = 200
"""Earlier checkpoints that are tried, newest first, before none counts as good."""
_RECORD = {"id": str, "channel_values": dict, "channel_versions": dict, "versions_seen": dict}
"""What the record of a checkpoint has."""

_searching: ContextVar[bool] = ContextVar("openmanus_graph_searching", default=False)
_walks: ContextVar[dict[str, bool] | None] = ContextVar("openmanus_graph_walks", default=None)


class BadValueError(Exception):
    """A stored value that cannot be read."""

    def __init__(self, channel: str, why: str, *, in_writes: bool = False) -> None:
        """Name it.

        Args:
            channel: The field of the state, or LangGraph's own channel.
            why: What is wrong, as the end of a sentence.
            in_writes: Whether it is what a task has written after the checkpoint.
        """
        self.in_writes = in_writes
        whose = "what a task had written to" if in_writes else "the value of"
        super().__init__(f"{whose} {channel!r} {why}")


class ReadingSaver(AsyncPostgresSaver):
    """LangGraph's Postgres saver that raises `ThreadUnreadableError` where a checkpoint cannot be read."""

    cipher: Cipher | None = None
    """Seals and opens what is stored; `None` stores it plain."""

    def _load_blobs(self, blob_values: Any) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for channel, kind, value in blob_values or ():
            if kind != b"empty":
                values[channel.decode()] = self.load(channel.decode(), kind.decode(), value)
        return values

    def _load_writes(self, writes: Any) -> list[tuple[str, str, Any]]:
        try:
            return super()._load_writes(writes)
        except Exception:
            for _, channel, kind, value, *_ in writes or ():
                self.load(channel.decode(), kind.decode(), value, in_writes=True)
            raise

    def load(self, channel: str, kind: str, value: Any, *, in_writes: bool = False) -> Any:
        """Read one stored value.

        Raises:
            BadValueError: If it cannot be read.
        """
        try:
            return self.serde.loads_typed((kind, value))
        except EncryptionKeyError:
            raise
        except Exception as error:
            raise BadValueError(channel, _why(error), in_writes=in_writes) from error

    async def _load_checkpoint_tuple(self, value: DictRow) -> CheckpointTuple:
        try:
            for name, kind in _RECORD.items():
                if not isinstance(value["checkpoint"].get(name), kind):
                    raise BadValueError(name, "is missing in its record")
            if SEALED in value["metadata"]:
                if self.cipher is None:
                    sealed_without_key()
                value["metadata"] |= value["metadata"].pop(SEALED)  # opened where it was read
            stored = await super()._load_checkpoint_tuple(value)
            await self._refuse_lost_snapshot(value)
        except BadValueError as error:
            place = str(value["thread_id"]), str(value["checkpoint_ns"]), str(value["checkpoint_id"])
            raise await self.unreadable(*place, error) from error
        return stored

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint, as the base does.

        Raises:
            ThreadUnreadableError: If a value of it cannot be read.
            DamagedValueError: If its record, or what stands in that, is encrypted and damaged.
        """
        with _on_its_record(config):
            return await super().aget_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """List checkpoints, as the base does; metadata that is sealed is compared once it is opened."""
        hidden = {key: value for key, value in (filter or {}).items() if key not in PLAIN_METADATA}
        with _on_its_record(config):
            if self.cipher is None or not hidden:
                async for stored in super().alist(config, filter=filter, before=before, limit=limit):
                    yield stored
                return
            shown = {key: value for key, value in (filter or {}).items() if key in PLAIN_METADATA}
            found = 0
            if limit == 0:
                return
            async for stored in super().alist(config, filter=shown, before=before):
                if contains(stored.metadata, hidden):
                    found += 1
                    yield stored
                    if found == limit:
                        return

    async def _refuse_lost_snapshot(self, value: DictRow) -> None:
        """Raise `BadValueError` if the checkpoint marks a growing list as stored whole, and it is not there.

        The mark is `true`, as a field that holds just that has it, too; only growing lists have been counted.
        """
        inline = cast("Mapping[str, Any]", value["checkpoint"]["channel_values"])
        stored = {channel.decode() for channel, *_ in value["channel_values"] or ()}
        marked = [name for name, held in inline.items() if held is True and name not in stored]
        if marked:
            place = value["thread_id"], value["checkpoint_ns"]
            lost = set(marked) & set(await self._growing(*place))
            if lost:
                raise BadValueError(min(lost), "is missing")

    async def _growing(self, thread_id: str, namespace: str) -> list[str]:
        """The growing lists of a namespace, by LangGraph's own counts of them."""
        rows = await self._rows(_GROWING, (thread_id, namespace))
        return [str(row["channel"]) for row in rows]

    async def _rows(self, query: LiteralString, values: Sequence[Any]) -> list[DictRow]:
        async with self._cursor() as cursor:
            await cursor.execute(query, values)
            return await cursor.fetchall()

    @staticmethod
    def _try_advance_walks(*walk: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - passed on whole
        """Walk back as the base does, and note which walks have not yet come to their end."""
        AsyncPostgresSaver._try_advance_walks(*walk)
        noted = _walks.get()
        if noted is not None:
            channels, cursors, seeded = walk[1], walk[-2], walk[-1]
            noted.update({name: name not in seeded and cursors.get(name) is not None for name in channels})

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Read growing lists, as the base does.

        Raises:
            ThreadUnreadableError: If a piece of one cannot be read, or is not there.
        """
        unfinished: dict[str, bool] = {}
        token = _walks.set(unfinished)
        try:
            histories = await super().aget_delta_channel_history(config=config, channels=channels)
            for name, history in histories.items():
                if unfinished.get(name) or history.get("seed") is True:
                    raise BadValueError(name, "is missing a piece that earlier checkpoints had")
        except (psycopg.Error, ThreadUnreadableError, DatabaseError, EncryptionKeyError):
            raise
        except Exception as error:
            configurable: dict[str, Any] = config.get("configurable") or {}
            place = str(configurable["thread_id"]), str(configurable.get("checkpoint_ns") or "")
            bad = error if isinstance(error, BadValueError) else BadValueError(" and ".join(channels), _why(error))
            raise await self.unreadable(*place, get_checkpoint_id(config) or "", bad) from error
        finally:
            _walks.reset(token)
        return histories

    async def unreadable(
        self, thread_id: str, namespace: str, checkpoint_id: str, error: BadValueError
    ) -> ThreadUnreadableError:
        """The error for a checkpoint that cannot be read, with the last good point.

        Args:
            thread_id: The thread.
            namespace: The namespace of the checkpoint.
            checkpoint_id: The checkpoint.
            error: What of it cannot be read.
        """
        good = None
        if not _searching.get():
            token = _searching.set(True)
            try:
                good = await self._last_good(thread_id, namespace, checkpoint_id)
                if good is None and namespace:
                    good = await self._last_good(thread_id, "", None)
            finally:
                _searching.reset(token)
        cure = f"Go on from the last good point, in a new thread: {shell_commands.rerun(f'{thread_id}@{good}')}"
        if good is None:
            remove = shell_commands.delete_thread(thread_id)
            cure = f"No earlier point can be read. Begin anew, and remove it: {remove}"
        if isinstance(missing := error.__cause__, ForeignTypeError):
            cure = f"{missing.hint} Else: {cure[0].lower()}{cure[1:]}"
        failure = ThreadUnreadableError(
            f"The checkpoint {checkpoint_id} of {_whose(namespace)}thread {thread_id!r} cannot be read: {error}.",
            checkpoint_id=checkpoint_id,
            good=good,
            hint=cure,
        )
        failure.__cause__ = error
        return failure

    async def _last_good(self, thread_id: str, namespace: str, newest: str | None) -> str | None:
        """The newest fully readable checkpoint at or before the given one, ignoring pending writes."""
        growing = await self._growing(thread_id, namespace)
        rows = await self._rows(_CANDIDATES, (thread_id, namespace, newest, newest, MOST_TRIED))
        for row in rows:
            place: Any = {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": row["checkpoint_id"]}
            if await self._is_good({"configurable": place}, growing):
                return str(row["checkpoint_id"])
        return None

    async def _is_good(self, config: RunnableConfig, growing: Sequence[str]) -> bool:
        try:
            await self.aget_tuple(config)
        except DamagedValueError:
            return False
        except ThreadUnreadableError as error:
            if not isinstance(error.__cause__, BadValueError) or not error.__cause__.in_writes:
                return False
        try:
            await self.aget_delta_channel_history(config=config, channels=growing)
        except ThreadUnreadableError:
            return False
        return True


_GROWING: LiteralString = """
SELECT DISTINCT jsonb_object_keys(metadata -> 'counters_since_delta_snapshot') AS channel FROM checkpoints
WHERE thread_id = %s AND checkpoint_ns = %s AND jsonb_typeof(metadata -> 'counters_since_delta_snapshot') = 'object'
"""
_CANDIDATES: LiteralString = """
SELECT checkpoint_id FROM checkpoints
WHERE thread_id = %s AND checkpoint_ns = %s AND (%s::text IS NULL OR checkpoint_id <= %s) AND NOT metadata ? 'pruned'
ORDER BY checkpoint_id DESC LIMIT %s
"""


def _on_its_record(config: RunnableConfig | None) -> AbstractContextManager[None]:
    """Say in errors for damaged values where an earlier point may be whole, as far as it is known whose they are."""
    thread_id = ((config or {}).get("configurable") or {}).get("thread_id")
    known = () if thread_id is None else (str(thread_id),)
    return named_damage(f"An earlier point may be whole, see: {shell_commands.thread_history(*known)}")


def contains(held: Any, wanted: Any) -> bool:
    """Whether JSON holds what is wanted of it, as `@>` of Postgres takes it."""
    if isinstance(wanted, Mapping):
        fields = cast("Mapping[str, Any]", wanted)
        return isinstance(held, Mapping) and all(
            key in held and contains(held[key], value) for key, value in fields.items()
        )
    if isinstance(wanted, list):
        items = cast("list[Any]", wanted)
        return isinstance(held, list) and all(any(contains(item, one) for item in held) for one in items)
    return isinstance(held, bool) == isinstance(wanted, bool) and bool(held == wanted)


def _why(error: Exception) -> str:
    """The fault of a value, as the end of a sentence."""
    if isinstance(error, NotImplementedError):  # LangGraph's word for a serialization that it does not know
        return f"is stored in an unknown way ({error})"
    if isinstance(error, ForeignTypeError):
        return f"is refused: {error.message.removesuffix('.')}"
    return f"is damaged ({type(error).__name__}: {error})"


def _whose(namespace: str) -> str:
    subtask = re.findall(r"(?:^|\|)subtask (\S+) ", namespace)
    if subtask:
        return f"the subtask {subtask[-1]!r} of the "
    return f"{namespace.split(':', 1)[0]!r} in the " if namespace else "the "
