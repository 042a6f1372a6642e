"""Passages: the truth of semantic memory, in Postgres; every change asks the vector indexes to follow it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, LiteralString, cast

from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import UsageError
from openmanus_graph.fault_points import writing
from openmanus_graph.memory.semantic.passage import EDITED, Passage, StoredPassage, source_digest, text_digest
from openmanus_graph.redaction import redact_log, redact_values
from openmanus_graph.values.storable_json import storable, storable_text

MOST_CHARACTERS = 20_000
"""Characters of a passage that are kept: full text has a limit, and a passage is a piece."""
SOURCE_CHARACTERS = 600
"""Characters of a source's name that are kept: it is in an index."""
DIGEST = 8
"""Characters of a source's digest."""
PAGE = 500
"""Passages that are read at a time."""

_SELECT = sql.SQL("SELECT key, owner, source, position, text, meta, thread, created_at FROM passages WHERE owner = ")
_FORGET = sql.SQL(
    "WITH gone AS (DELETE FROM passages WHERE owner = %(owner)s {chosen} RETURNING key)"
    " SELECT enqueue_passages(%(owner)s, coalesce(array_agg(key), '{{}}')), count(*) AS gone FROM gone"
)
_COUNT = sql.SQL("SELECT count(*) AS n FROM passages WHERE owner = %(owner)s {chosen}")


@dataclass(frozen=True)
class Added:
    """What became of passages that were to be stored."""

    new: int
    """How many were new."""
    gone: int
    """How many went, because their source no longer says them."""
    kept_edits: int = 0
    """How many stay as a person edited them, because their source says of them what it said."""
    lost_edits: tuple[str, ...] = ()
    """The texts of those that went although a person had edited them."""


@dataclass(frozen=True)
class Selection:
    """Which passages are meant; what is `None` does not restrict."""

    keys: Collection[str] | None = None
    """Those of these keys."""
    source: str | None = None
    """Those of this path or address."""
    thread: str | None = None
    """Those that were stored for this thread."""
    before: datetime | None = None
    """Those that were added before this moment."""
    matching: str | None = None
    """Those that have all words of this text."""


class Passages:
    """One owner's passages."""

    def __init__(self, saver: ThreadSaver, owner: str) -> None:
        """Use a store.

        Args:
            saver: The store.
            owner: Whose passages; nobody else's are seen or changed.
        """
        self._saver = saver
        self.owner = storable_text(owner)

    async def any(self) -> bool:
        """Whether there is any passage."""
        row = await self._row("SELECT EXISTS (SELECT 1 FROM passages WHERE owner = %s) AS there", (self.owner,))
        return bool(row["there"])

    async def counts(self) -> tuple[int, int]:
        """How many passages and sources there are."""
        query: LiteralString = (
            "SELECT count(*) AS passages, count(DISTINCT source) AS sources FROM passages WHERE owner = %s"
        )
        row = await self._row(query, (self.owner,))
        return int(row["passages"]), int(row["sources"])

    async def add(self, passages: Iterable[Passage], *, replace_sources: Collection[str] = ()) -> Added:
        """Store passages; those that are there stay, and get the new position.

        One that a person has edited stays as it is as long as its source says of it what it said, unless it is given
        with a later edit.

        Args:
            passages: The passages. What looks like a key or a password in them is not stored.
            replace_sources: Sources that these passages are all of: what they have besides goes.

        Returns:
            How many were new, how many went, and what became of those that a person had edited.

        Raises:
            DatabaseError: If the store does not answer, or has no space left.
        """
        by_key = await asyncio.to_thread(self._by_key, list(passages))

        async def write() -> Added:
            async with self._saver.pool.connection() as connection, connection.transaction():
                gone, lost = await self._remove_others(
                    connection, list(by_key), [clean_source(one) for one in replace_sources]
                )
                new, changed, kept = 0, list[str](), 0
                for keys in _pages(sorted(by_key)):
                    for row in await self._insert(connection, [(key, by_key[key]) for key in keys]):
                        new += bool(row["is_new"])
                        kept += bool(row["was_edited"])
                        changed += [str(row["key"])] if row["is_changed"] else []
                await connection.execute("SELECT enqueue_passages(%s, %s)", (self.owner, changed))
                return Added(new, gone, kept, lost)

        with writing("passages"):
            return await self._saver.retried(write)

    def _by_key(self, passages: Sequence[Passage]) -> dict[str, Passage]:
        """Those that may be stored; of thousands it takes seconds."""
        return {made.key(self.owner): made for made in map(clean_passage, passages) if made.text.strip()}

    async def _remove_others(self, connection: Any, keys: list[str], sources: list[str]) -> tuple[int, tuple[str, ...]]:
        if not sources:
            return 0, ()
        cursor = await connection.execute(
            "WITH gone AS (DELETE FROM passages WHERE owner = %(owner)s AND source = ANY(%(sources)s)"
            " AND key <> ALL(%(keys)s) RETURNING key, text, meta)"
            " SELECT enqueue_passages(%(owner)s, coalesce(array_agg(key), '{}')), count(*) AS gone,"
            " coalesce(array_agg(text) FILTER (WHERE meta #>> '{edited,digest}' IS NOT NULL), '{}') AS lost FROM gone",
            {"owner": self.owner, "sources": sources, "keys": keys},
        )
        row = await cursor.fetchone()
        return int(row["gone"]), tuple(row["lost"])

    async def _insert(self, connection: Any, rows: Sequence[tuple[str, Passage]]) -> list[DictRow]:
        cursor = await connection.execute(
            """
            WITH given AS (
                SELECT * FROM unnest(%(keys)s::text[], %(sources)s::text[], %(positions)s::int[], %(texts)s::text[],
                                     %(metas)s::jsonb[], %(threads)s::text[], %(moments)s::timestamptz[])
                    AS p (key, source, position, text, meta, thread, created_at)
            ), added AS (
                INSERT INTO passages (key, owner, source, position, text, meta, thread, created_at)
                SELECT key, %(owner)s, source, position, text, meta, thread, coalesce(created_at, clock_timestamp())
                FROM given
                ON CONFLICT (key) DO UPDATE SET
                    position = EXCLUDED.position,
                    text = CASE WHEN keeps_edit(passages.meta, EXCLUDED.meta) THEN passages.text ELSE EXCLUDED.text END,
                    meta = CASE WHEN keeps_edit(passages.meta, EXCLUDED.meta)
                        THEN EXCLUDED.meta || jsonb_build_object('edited', passages.meta -> 'edited')
                        ELSE EXCLUDED.meta END
                    WHERE (passages.position, passages.meta - 'edited')
                            IS DISTINCT FROM (EXCLUDED.position, EXCLUDED.meta - 'edited')
                        OR (NOT keeps_edit(passages.meta, EXCLUDED.meta)
                            AND (passages.text, passages.meta) IS DISTINCT FROM (EXCLUDED.text, EXCLUDED.meta))
                RETURNING key, text, xmax = 0 AS is_new
            )
            -- The passages themselves are here as they were before.
            SELECT g.key, coalesce(a.is_new, false) AS is_new, a.text <> coalesce(p.text, '') AS is_changed,
                keeps_edit(p.meta, g.meta) AS was_edited
            FROM given g LEFT JOIN added a ON a.key = g.key LEFT JOIN passages p ON p.key = g.key
            """,
            {
                "owner": self.owner,
                "keys": [key for key, _ in rows],
                "sources": [made.source for _, made in rows],
                "positions": [made.position for _, made in rows],
                "texts": [made.text for _, made in rows],
                "metas": [Jsonb(made.meta) for _, made in rows],
                "threads": [made.thread for _, made in rows],
                "moments": [made.created_at for _, made in rows],
            },
        )
        return await cursor.fetchall()

    async def edit(self, passage: StoredPassage, text: str) -> StoredPassage:
        """Change the text of a passage, which keeps its key and says that a person edited it.

        Args:
            passage: The passage, as it was when the person saw it.
            text: What it is to say; what its source says makes it one that was not edited.

        Returns:
            The passage, as it is now.

        Raises:
            UsageError: If the text is empty or too long, or the passage is another by now.
            DatabaseError: If the store does not answer.
        """
        if not text.strip() or len(text) > MOST_CHARACTERS:
            size = f"{len(text):,} characters, and may have {MOST_CHARACTERS:,}" if text.strip() else "no text"
            hint = f"Remove a passage with: {shell_commands.DELETE_PASSAGE}"
            raise UsageError(f"The passage {passage.key[:12]!r} would have {size}.", hint=hint)
        digest = source_digest(passage.meta) or text_digest(passage.text)
        mark = {EDITED: {"at": datetime.now(UTC).isoformat(timespec="microseconds"), "digest": digest}}
        old = {name: value for name, value in passage.meta.items() if name != EDITED}
        made = clean_passage(Passage(passage.source, passage.position, text, old))
        meta = made.meta if text_digest(made.text) == digest else {**made.meta, **mark}

        async def write() -> list[DictRow]:
            async with self._saver.pool.connection() as connection, connection.transaction():
                cursor = await connection.execute(
                    "WITH changed AS (UPDATE passages SET text = %(text)s, meta = %(meta)s"
                    " WHERE owner = %(owner)s AND key = %(key)s AND text IN (%(before)s, %(text)s) RETURNING key)"
                    " SELECT enqueue_passages(%(owner)s, array_agg(key)) FROM changed HAVING count(*) > 0",
                    {
                        "owner": self.owner,
                        "key": passage.key,
                        "before": passage.text,
                        "text": made.text,
                        "meta": Jsonb(meta),
                    },
                )
                return await cursor.fetchall()

        with writing("edited passage"):
            if not await self._saver.retried(write):
                hint = f"Look at it: {shell_commands.show_passage(passage.key)}"
                raise UsageError(f"The passage {passage.key[:12]!r} has changed or gone meanwhile.", hint=hint)
        return replace(passage, text=made.text, meta=meta)

    async def forget(self, chosen: Selection) -> int:
        """Remove passages; nobody finds them any more, whatever an index still has of them.

        Returns:
            How many went.

        Raises:
            DatabaseError: If the store does not answer.
        """

        async def write() -> int:
            async with self._saver.pool.connection() as connection, connection.transaction():
                cursor = await connection.execute(_FORGET.format(chosen=_CHOSEN), self._chosen(chosen))
                return int(cast("DictRow", await cursor.fetchone())["gone"])

        with writing("forgotten passages"):
            return await self._saver.retried(write)

    async def count(self, chosen: Selection) -> int:
        """How many passages are meant."""
        return int((await self._row(_COUNT.format(chosen=_CHOSEN), self._chosen(chosen)))["n"])

    async def lookup(self, keys: Sequence[str]) -> dict[str, StoredPassage]:
        """Those of some passages that are there, by key."""
        return {found.key: found for found in await self._stored("%s AND key = ANY(%s)", (self.owner, list(keys)))}

    async def find(self, key: str) -> StoredPassage:
        """The passage of a key, or of the beginning of one that only one has.

        Raises:
            UsageError: If there is none, or several.
        """
        which: LiteralString = "%s AND starts_with(key, %s) LIMIT 2"
        found = await self._stored(which, (self.owner, storable_text(key))) if key else []
        if len(found) == 1:
            return found[0]
        what = "Several passages begin" if found else "No passage begins"
        raise UsageError(f"{what} with {key!r}.", hint=f"Find its key with: {shell_commands.SEARCH_MEMORY}")

    async def every(self) -> AsyncIterator[StoredPassage]:
        """All passages, source by source."""
        which: LiteralString = "%s AND (source, position, key) > (%s, %s, %s) ORDER BY source, position, key LIMIT %s"
        after: tuple[str, int, str] = ("", -1, "")
        while found := await self._stored(which, (self.owner, *after, PAGE)):
            for passage in found:
                yield passage
            after = found[-1].source, found[-1].position, found[-1].key

    def _chosen(self, chosen: Selection) -> dict[str, Any]:
        keys = None if chosen.keys is None else list(chosen.keys)
        source = None if chosen.source is None else clean_source(chosen.source)
        matching = None if chosen.matching is None else storable_text(chosen.matching)
        thread = None if chosen.thread is None else storable_text(chosen.thread)
        given = {"keys": keys, "source": source, "thread": thread, "matching": matching, "before": chosen.before}
        return {**given, "owner": self.owner}

    async def _stored(self, which: LiteralString, values: Sequence[Any]) -> list[StoredPassage]:
        query = _SELECT + sql.SQL(which)

        async def read() -> list[StoredPassage]:
            async with self._saver.pool.connection() as connection:
                rows = await (await connection.execute(query, values)).fetchall()
            return [StoredPassage(**row) for row in rows]

        return await self._saver.retried(read)

    async def _row(self, query: LiteralString | sql.Composed, values: Any) -> DictRow:
        async def read() -> DictRow:
            async with self._saver.pool.connection() as connection:
                return cast("DictRow", await (await connection.execute(query, values)).fetchone())

        return await self._saver.retried(read)


REMEMBERED = sql.SQL("""
     (%(thread)s::text IS NULL OR {thread} = %(thread)s)
 AND (%(before)s::timestamptz IS NULL OR created_at < %(before)s)
 AND (%(matching)s::text IS NULL OR search @@ plainto_tsquery('english', %(matching)s))
""")
"""The rows of passages or of episodes that a selection means; `thread` is the column with the thread."""
_CHOSEN = sql.SQL(
    " AND (%(keys)s::text[] IS NULL OR key = ANY(%(keys)s))"
    " AND (%(source)s::text IS NULL OR source = %(source)s) AND {}"
).format(REMEMBERED.format(thread=sql.Identifier("thread")))


def clean_passage(made: Passage) -> Passage:
    """The passage as it may be stored: without secrets, and with characters that Postgres takes."""
    text = storable_text(redact_log(made.text))[:MOST_CHARACTERS]  # a key that is cut first is not known as one
    thread = None if made.thread is None else storable_text(made.thread)
    meta = redact_values(storable(made.meta))
    return replace(made, text=text, source=clean_source(made.source), meta=meta, thread=thread)


def clean_source(source: str) -> str:
    """The name of a source as it may be stored; one that had to be changed ends with a part of its digest.

    So two sources stay two, such as addresses that differ in a token only.
    """
    clean = storable_text(redact_log(source))
    if clean == source and len(source) <= SOURCE_CHARACTERS:
        return source
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    return f"{clean[: SOURCE_CHARACTERS - DIGEST - 2]} #{digest}"


def _pages(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    return (keys[start : start + PAGE] for start in range(0, len(keys), PAGE))
