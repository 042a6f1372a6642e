"""Database: what a migrated database has, and what real runs have left in it, read with plain SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg.rows import dict_row

from tests.repository.promises.runs import AGENT, FAILED, FORK, KINDS, PLAN

Row = dict[str, Any]
_IMPORTED = re.compile(r"(openmanus_graph_own_\w+_)[0-9a-f]{8}\b")
"""The name of a module that was imported by its file: it ends with a digest of the folder."""


class Store:
    """A database that is read with plain SQL, so that no module of the package is asked what it wrote."""

    def __init__(self, url: str, folder: Path) -> None:
        """Read a database; the folder of the runs is told as `<folder>`."""
        self._url = url
        self._folder = str(folder)

    def rows(self, query: LiteralString, *values: Any) -> list[Row]:
        """Rows of a query, in our schema."""
        with psycopg.connect(self._url, options="-c search_path=openmanus_graph") as connection:
            found = connection.cursor(row_factory=dict_row).execute(query, values).fetchall()
        return [self.placeless(row) for row in found]

    def row(self, query: LiteralString, thread: str) -> Row:
        """The only row of a query about a thread.

        Raises:
            LookupError: If there is none: the thread's run has failed.
        """
        for row in self.rows(query, thread):
            return row
        raise LookupError(f"The run of {thread!r} left nothing in the database; what it said stands on stderr.")

    def texts(self, query: LiteralString, *values: Any) -> list[str]:
        """The texts of a query's only column, sorted."""
        return sorted({str(text) for row in self.rows(query, *values) for text in row.values()})

    def placeless(self, value: Any) -> Any:
        """A value without the folder of the runs."""
        if isinstance(value, str):
            return _IMPORTED.sub(r"\1#", value.replace(self._folder, "<folder>"))
        if isinstance(value, Mapping):
            return {key: self.placeless(item) for key, item in cast("Mapping[str, Any]", value).items()}
        if isinstance(value, list):
            return [self.placeless(item) for item in cast("list[Any]", value)]
        return value


def schema(store: Store) -> dict[str, Any]:
    """Tables, columns, keys, indexes, functions and states of errors."""
    columns = store.rows(
        "SELECT relname AS table, attname AS name, format_type(atttypid, atttypmod)"
        " || CASE WHEN attnotnull THEN '' ELSE ', null' END"
        " || CASE WHEN attidentity <> '' THEN ', numbered' WHEN attgenerated <> '' THEN ', generated' ELSE '' END"
        " AS type FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid WHERE relkind = 'r'"
        " AND relnamespace = 'openmanus_graph'::regnamespace AND attnum > 0 AND NOT attisdropped"
        " ORDER BY relname, attnum"
    )
    tables: dict[str, dict[str, str]] = {}
    for column in columns:
        tables.setdefault(column["table"], {})[column["name"]] = column["type"]
    functions = store.rows(
        "SELECT proname || '(' || pg_get_function_arguments(oid) || ')' AS name,"
        " pg_get_function_result(oid) AS returns, prosrc AS source FROM pg_proc"
        " WHERE pronamespace = 'openmanus_graph'::regnamespace ORDER BY 1"
    )
    states = {found for row in functions for found in re.findall(r"ERRCODE = '(\w+)'", row["source"])}
    return {
        "tables": tables,
        "constraints": store.texts(
            "SELECT conrelid::regclass || ': ' || pg_get_constraintdef(oid) AS held FROM pg_constraint"
            " WHERE connamespace = 'openmanus_graph'::regnamespace AND contype <> 'n'"
        ),
        "indexes": store.texts(
            "SELECT indexname || ': ' || indexdef FROM pg_indexes WHERE schemaname = 'openmanus_graph'"
        ),
        "sequences": store.texts("SELECT sequencename FROM pg_sequences WHERE schemaname = 'openmanus_graph'"),
        "functions": {row["name"]: row["returns"] for row in functions},
        "SQLSTATEs": sorted(states),
        "keys of locks": store.rows(
            "SELECT runner_key('thread')::text AS runner, fence_key('thread')::text AS fence,"
            " contents_key()::text AS contents"
        )[0],
    }


def threads(store: Store) -> dict[str, Any]:
    """What the rows of `threads` hold: the graph and how it is built again, settings, the keys of the rest."""
    found: dict[str, Any] = {}
    for thread, kind in KINDS.items():
        row = store.row("SELECT * FROM threads WHERE thread_id = %s", thread)
        graph = {**row["graph"], "tools": _first_of_each_kind(row["graph"].get("tools") or [])}
        found[kind] = {
            "graph": {key: value for key, value in graph.items() if value != []},
            "settings": row["settings"],
            "progress": sorted(row["progress"] or {}),
            "runner": sorted(row["runner"]),
            "workspace": row["workspace"],
            "plan_file": row["plan_file"],
            "sandbox": row["sandbox"],
            "status": row["status"],
        }
    fork = store.row("SELECT origin FROM threads WHERE thread_id = %s", FORK)
    found["fork"] = {"origin": sorted(fork["origin"])}
    found["status of a failure"] = store.texts("SELECT status FROM threads WHERE thread_id = %s", FAILED)
    return found


def _first_of_each_kind(references: list[Row]) -> list[Row]:
    """The references of tools, of those that have the same keys only the first one."""
    kinds = {tuple(sorted(reference)): reference for reference in reversed(references)}
    return [kinds[key] for key in sorted(kinds)]


def checkpoints(store: Store) -> dict[str, Any]:
    """Namespaces and channels of the checkpoints, what is written beside them, and the keys of their metadata."""
    found: dict[str, Any] = {}
    for thread, kind in KINDS.items():
        namespaces = store.texts("SELECT DISTINCT checkpoint_ns FROM checkpoints WHERE thread_id = %s", thread)
        channels: dict[str, list[str]] = {}
        for namespace in namespaces:
            channels[namespace] = _ours(
                store.texts(
                    "SELECT DISTINCT jsonb_object_keys(checkpoint -> 'channel_versions') FROM checkpoints"
                    " WHERE thread_id = %s AND checkpoint_ns = %s",
                    thread,
                    namespace,
                )
            )
        found[kind] = {
            "channels by namespace": channels,
            "channels written": _ours(
                store.texts("SELECT DISTINCT channel FROM checkpoint_writes WHERE thread_id = %s", thread)
            ),
            "metadata": store.texts(
                "SELECT DISTINCT jsonb_object_keys(metadata) FROM checkpoints WHERE thread_id = %s", thread
            ),
        }
    found["types of values"] = store.texts(
        "SELECT DISTINCT type FROM checkpoint_blobs UNION SELECT DISTINCT type FROM checkpoint_writes"
    )
    return found


def _ours(channels: list[str]) -> list[str]:
    """Channels without those of LangGraph itself."""
    return [channel for channel in channels if not channel.startswith("__")]


def events(store: Store) -> dict[str, list[str]]:
    """The keys of stored events by type."""
    rows = store.rows(
        "SELECT type, array_agg(DISTINCT key) AS keys FROM events, jsonb_object_keys(event) AS key"
        " WHERE thread_id = ANY(%s) GROUP BY type ORDER BY type",
        list(KINDS),
    )
    return {row["type"]: sorted(row["keys"]) for row in rows}


def questions(store: Store) -> dict[str, Any]:
    """Questions as events and rows have them: the keys by kind."""
    rows = store.rows(
        "SELECT event -> 'question' AS question FROM events WHERE type IN ('subtask_waiting', 'question_asked')"
        " UNION ALL SELECT jsonb_array_elements(questions) FROM threads"
    )
    found: dict[str, set[str]] = {}
    for row in rows:
        if row["question"]:
            found.setdefault(row["question"]["kind"], set()).update(row["question"])
    return {kind: sorted(keys) for kind, keys in sorted(found.items())}


def other_rows(store: Store) -> dict[str, Any]:
    """Words in columns of other tables."""
    return {
        "effects": store.rows(
            "SELECT subtask, call_id, attempt, tool, status, namespace, args, args_hash FROM effects"
            " WHERE thread_id = %s ORDER BY subtask",
            PLAN,
        ),
        "model_calls": store.texts(
            "SELECT role || ' of ' || coalesce(nullif(subtask, ''), 'the agent') || ', turn ' || turn FROM model_calls"
        ),
        "episodes": store.rows("SELECT request, task, outcome FROM episodes ORDER BY thread_id"),
        "durations": store.texts("SELECT kind FROM durations"),
        "file_changes": store.rows(
            "SELECT path, subtask, tool, checkpoint_ns FROM file_changes WHERE thread_id = ANY(%s)"
            " AND path NOT LIKE '.openmanus/%%' ORDER BY thread_id, number",
            [PLAN, AGENT],
        ),
    }


def fingerprints(store: Store) -> dict[str, Any]:
    """What each graph is like, as it is kept with a thread: a graph that lacks any of it refuses the thread."""
    found: dict[str, Any] = {}
    for thread, kind in KINDS.items():
        row = store.row("SELECT fingerprint FROM threads WHERE thread_id = %s", thread)
        found[kind] = {**row["fingerprint"], "program": sorted(row["fingerprint"]["program"])}
    # Both have the same tools; the plan's are kept, with its own.
    found["agent"]["tools"] = sorted(found["agent"]["tools"])
    return found
