"""Store: LangGraph's store for what outlives threads, in our schema of the database that has the threads.

A node reaches it with LangGraph's `get_store()`. No item belongs to a thread, so removing or pruning threads leaves
all of them. Its tables are made when it is first used.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, cast

import psycopg
from langgraph.store.base import Item, Op, PutOp, Result, SearchOp
from langgraph.store.postgres.aio import AsyncPostgresStore

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.encryption.cipher import MARK, Cipher, refuse_sealed
from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_item
from openmanus_graph.checkpoints.migrations import make_store_tables
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import MigrationNeededError, UsageError


class ThreadStore(AsyncPostgresStore):
    """LangGraph's Postgres store on the connections of a saver."""

    def __init__(self, saver: ThreadSaver) -> None:
        """Use a saver's connections; nothing is read or made yet.

        Args:
            saver: The saver, on whose event loop the store works, too.
        """
        self._saver = saver
        self._making = asyncio.Lock()
        self._made = False
        self._begun = False
        super().__init__(saver.pool)
        self._begun = True

    def _ensure_task(self) -> None:
        if self._begun:  # LangGraph begins the task with the store, also for runs that never use one
            super()._ensure_task()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what LangGraph asks, surviving one broken connection; the tables are there from now on.

        Raises:
            MigrationNeededError: If they are not, and may not be made.
            EncryptionKeyError: If an item is encrypted with a key that is not set.
            UsageError: If the name of an item begins like an encrypted text.
            ValueError: If a search asks for a comparison that LangGraph's store does not know.
        """
        wanted = list(ops)
        for op in wanted:
            if isinstance(op, PutOp) and op.value is not None:
                _refuse_name(op)
        await self.setup()
        if self._saver.cipher is not None:
            return await self._sealed_batch(wanted, self._saver.cipher)
        results = await self._saver.retried(lambda: super(ThreadStore, self).abatch(wanted))
        for result in results:
            items = cast("list[Any]", result) if isinstance(result, list) else [result]
            for item in items:
                if isinstance(item, Item):
                    refuse_sealed(item.value.values())
        return results

    async def _sealed_batch(self, ops: list[Op], cipher: Cipher) -> list[Result]:
        """Do what LangGraph asks with items whose values are sealed; connections open them."""
        asked = [_sealed_op(op, cipher) for op in ops]
        results = await self._saver.retried(lambda: super(ThreadStore, self).abatch(asked))
        for place, op in enumerate(ops):
            if isinstance(op, SearchOp) and op.filter:
                fitting = [item for item in results[place] if _fits(item.value, op.filter)]  # type: ignore[union-attr]
                results[place] = fitting[op.offset : op.offset + op.limit]
        return results

    async def setup(self) -> None:
        """Make the tables if they are not there; called by hand, it does so before the first use.

        Raises:
            MigrationNeededError: If they may not be made.
        """
        async with self._making:
            if not self._made:
                await self._saver.retried(self._make)
                self._made = True

    async def _make(self) -> None:
        async with self._saver.pool.connection() as connection:
            try:
                await make_store_tables(connection)
            except psycopg.errors.InsufficientPrivilege as error:
                raise MigrationNeededError(
                    "The database has no tables for get_store(), and its user may not make them.",
                    hint=f"Create them as a user who may: {shell_commands.MIGRATE}",
                ) from error

    async def aclose(self) -> None:
        """End the task that works for it."""
        task: asyncio.Task[Any] | None = self._task
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


MOST_SEARCHED = 1_000_000
"""Items that a search with a filter reads at most where values are sealed, and so are compared here."""
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda held, wanted: _is_same(held, json.loads(json.dumps(wanted))),
    "$ne": lambda held, wanted: not _is_same(held, json.loads(json.dumps(wanted))),
    "$gt": lambda held, wanted: held is not None and _as_text(held) > str(wanted),
    "$gte": lambda held, wanted: held is not None and _as_text(held) >= str(wanted),
    "$lt": lambda held, wanted: held is not None and _as_text(held) < str(wanted),
    "$lte": lambda held, wanted: held is not None and _as_text(held) <= str(wanted),
}
"""LangGraph's comparisons, as SQL makes them: its Postgres store compares larger and smaller as text, where null is
neither. Texts are compared by their characters' numbers, as a database of the locale C does."""


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: Python takes `True` for 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        ours, theirs = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        return ours.keys() == theirs.keys() and all(_is_same(value, theirs[key]) for key, value in ours.items())
    if isinstance(one, list) and isinstance(other, list):
        pairs = cast("list[Any]", one), cast("list[Any]", other)
        return len(pairs[0]) == len(pairs[1]) and all(map(_is_same, *pairs))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _as_text(value: Any) -> str:
    """A value as Postgres takes it out of JSON as text."""
    return value if isinstance(value, str) else _as_json(value)


def _as_json(value: Any) -> str:
    """A value as Postgres writes it in JSON: short keys first, and numbers without an exponent."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        keys = sorted(fields, key=lambda key: (len(key.encode()), key.encode()))
        return f"{{{', '.join(f'{_as_json(key)}: {_as_json(fields[key])}' for key in keys)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_as_json, cast('list[Any]', value)))}]"
    if isinstance(value, float):
        number = Decimal(repr(value))
        return format(abs(number) if number.is_zero() else number, "f")  # there is no -0.0
    return json.dumps(value, ensure_ascii=False)


def _comparisons(wanted: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """The fields that a search asks for, how each is compared, and with what.

    Raises:
        ValueError: If LangGraph knows no such comparison.
    """
    for name, one in wanted.items():
        signs = cast("dict[str, Any]", one) if isinstance(one, dict) else {"$eq": one}
        for sign, other in signs.items():
            if sign not in _COMPARED:
                raise ValueError(f"Unsupported operator: {sign}")  # as without a key
            yield name, sign, other


def _refuse_name(op: PutOp) -> None:
    """Raise for the name of an item that whoever lists its neighbours would take for an encrypted text.

    Raises:
        UsageError: If it is one.
    """
    for what, name in (("key", op.key), ("namespace", ".".join(op.namespace))):
        if name.startswith(MARK):
            raise UsageError(
                f"The {what} {name!r} of an item of get_store() cannot begin with {MARK!r}, as encrypted texts do.",
                hint="Put something before it.",
            )


def _sealed_op(op: Op, cipher: Cipher) -> Op:
    """What is asked of the tables: sealed values, and a search without a filter that they could not answer.

    Raises:
        ValueError: If a search asks for a comparison that there is not.
    """
    if isinstance(op, PutOp) and op.value is not None:
        return op._replace(value=sealed_item(cipher, op.value))
    if isinstance(op, SearchOp) and op.filter:
        _ = [*_comparisons(op.filter)]
        return op._replace(filter=None, limit=MOST_SEARCHED, offset=0)
    return op


def _fits(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an item has the fields that a search asks for."""
    return all(name in value and _COMPARED[sign](value[name], other) for name, sign, other in _comparisons(wanted))
