"""DuckDB worker: answers one SQL query over the workspace's files, inside the sandbox.

It reads a request as JSON from standard input, and writes its answer as one line of JSON to standard output, followed
by the bytes of the file with the whole result where one is wanted. It imports nothing of the package, which is not
there inside.
"""

import datetime
import decimal
import json
import math
import os
import re
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any, cast

DATA = (".csv", ".tsv", ".txt", ".parquet", ".json", ".jsonl", ".ndjson", ".xlsx")
"""How the names of files end that a name in a query may mean."""
MOST_FILES = 20_000
"""Files of the workspace that are looked at."""
MOST_TABLES = 100
"""Files that one query may name."""
ALLOWED = ("SELECT", "EXPLAIN", "CREATE", "INSERT", "UPDATE", "DELETE", "DROP", "ALTER", "MULTI")
"""Kinds of statements: those that read files, and those that change tables in memory."""
_MISSING = re.compile(r'^Catalog Error: Table with name "?(?P<name>.+?)"? does not exist!', re.DOTALL)
_NULL = "\\N"
_SQL_TYPES = {"bool": "BOOLEAN", "int": "BIGINT", "float": "DOUBLE", "datetime": "TIMESTAMP", "date": "DATE"}
_RESULT = "the whole result"
_TOO_MUCH = "The query needs more memory, or more room for what it works on, than it may have; ask for less."


class RefusedError(Exception):
    """What a query cannot have, in a sentence."""


def main() -> None:
    """Answer the request on standard input."""
    import duckdb

    request: dict[str, Any] = json.load(sys.stdin)
    saved = None
    try:
        answer, saved = Query(request).answer()
    except RefusedError as error:
        answer = {"error": str(error)}
    except duckdb.OutOfMemoryException:
        answer = {"error": _TOO_MUCH}
    except (duckdb.Error, RuntimeError) as error:
        answer = {"error": str(error).strip()}
    except MemoryError:
        answer = {"error": _TOO_MUCH}
    sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=True, allow_nan=False).encode() + b"\n")
    if saved is not None:
        with saved.open("rb") as file:
            while piece := file.read(1 << 20):
                sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


class Query:
    """One request, with a database in memory of its own."""

    def __init__(self, request: dict[str, Any]) -> None:
        import duckdb

        self.request = request
        self.folder = Path.cwd()
        self.scratch = Path(tempfile.mkdtemp(prefix="query-"))
        self.tables: set[str] = set()
        self.found: list[str] | None = None
        self.database = duckdb.connect(":memory:")
        for name, value in (
            ("allowed_directories", [self.folder, self.scratch]),
            ("temp_directory", self.scratch),
            ("max_temp_directory_size", f"{request['scratch_mb']}MB"),
            ("memory_limit", f"{request['memory_mb']}MB"),
            ("autoinstall_known_extensions", False),
            ("autoload_known_extensions", False),
            ("enable_external_access", False),
            ("TimeZone", "UTC"),
            ("enable_progress_bar", False),
            ("lock_configuration", True),
        ):
            self.database.execute(f"SET {name} = {literal(value)}")

    def answer(self) -> tuple[dict[str, Any], Path | None]:
        """Columns, rows and count, and the path of the file with all of them where one is wanted."""
        for name, path in self.request["files"].items():
            self.register(name, path)
        statements = self.database.extract_statements(self.request["sql"])
        if not statements:
            raise RefusedError("The query is empty.")
        for statement in statements:
            if statement.type.name not in ALLOWED:
                raise RefusedError(f"A statement of the kind {statement.type.name} is not allowed; only reading is.")
        for statement in statements[:-1]:
            self.run(statement)
        last = statements[-1]
        if last.type.name != "SELECT":
            self.run(last)
            return self.shown(), None
        # Kept as a table, so that what is shown, counted and saved is one result.
        self.run(f"CREATE TEMP TABLE {quoted(_RESULT)} AS {last.query.rstrip().rstrip(';')}")
        counted = self.database.execute(f"SELECT count(*) FROM {quoted(_RESULT)}").fetchall()[0][0]
        self.database.execute(f"SELECT * FROM {quoted(_RESULT)}")
        answer = self.shown()
        answer["row_count"] = counted
        answer["truncated"] = counted > len(answer["rows"])
        ending = self.request["save_as"] or ("parquet" if answer["truncated"] else None)
        return answer, None if ending is None else self.saved(ending)

    def run(self, statement: Any) -> None:
        """Run a statement; a table that it lacks is looked for among the files."""
        import duckdb

        while True:
            try:
                self.database.execute(statement)
                return
            except duckdb.CatalogException as error:
                missing = _MISSING.match(str(error))
                if missing is None or missing["name"] in self.tables:
                    raise
                self.register(missing["name"], self.file_for(missing["name"], str(error)))

    def shown(self) -> dict[str, Any]:
        """The result as it can be told."""
        columns = [{"name": one[0], "type": str(one[1])} for one in self.database.description or []]
        rows: list[list[Any]] = []
        size, most = 0, self.request["max_rows"]
        while len(rows) < most and (piece := self.database.fetchmany(min(most - len(rows), 1_000))):
            for row in piece:
                plain = [told(value) for value in row]
                size += len(json.dumps(plain, allow_nan=False))
                if size > self.request["most_bytes"]:
                    return {"columns": columns, "rows": rows, "row_count": len(rows), "truncated": True}
                rows.append(plain)
        return {"columns": columns, "rows": rows, "row_count": len(rows), "truncated": bool(self.database.fetchone())}

    def saved(self, ending: str) -> Path:
        """Write the whole result; the path of the file."""
        path = self.scratch / f"result.{ending}"
        wide = [
            one[0] for one in self.database.execute(f"DESCRIBE {quoted(_RESULT)}").fetchall() if "HUGEINT" in one[1]
        ]
        chosen = "*"
        if ending == "parquet" and wide:  # a file of that kind would hold them as inexact numbers
            chosen = (
                "* REPLACE (" + ", ".join(f"CAST({quoted(w)} AS DECIMAL(38, 0)) AS {quoted(w)}" for w in wide) + ")"
            )
        form = {"parquet": "FORMAT parquet", "csv": "FORMAT csv, HEADER", "json": "FORMAT json, ARRAY true"}[ending]
        self.database.execute(f"COPY (SELECT {chosen} FROM {quoted(_RESULT)}) TO {literal(path)} ({form})")
        return path

    # ------------------------------------------------------------ files by name

    def file_for(self, name: str, error: str) -> str:
        """The one file that a name in a query means."""
        wanted = name.casefold()
        files = self.files()
        for names_of in (str, file_name, stem):
            found = [file for file in files if names_of(file).casefold() == wanted]
            if len(found) == 1:
                return found[0]
            if found:
                raise RefusedError(
                    f"The name {name!r} may mean {', '.join(map(repr, sorted(found)[:10]))}. Give the path in quotes."
                )
        books = [file for file in files if file.lower().endswith(".xlsx") and wanted.startswith(stem(file).casefold())]
        if len(books) == 1:
            return f"{books[0]}#{name[len(stem(books[0])) :].lstrip('_:.')}"
        import difflib

        names = {stem(file): file for file in files}
        close = [names[one] for one in difflib.get_close_matches(name, list(names), 5, 0.5)] or sorted(files)[:10]
        there = f"Files there are: {', '.join(map(repr, close))}." if close else "There is no file with data."
        raise RefusedError(f"{error.splitlines()[0].removeprefix('Catalog Error: ')} {there}")

    def files(self) -> list[str]:
        """The files with data, relative to the workspace; folders and files with a dot in front are left out."""
        if self.found is None:
            self.found = []
            seen = 0
            for place, folders, names in os.walk(self.folder):
                folders[:] = sorted(one for one in folders if not one.startswith("."))
                for name in sorted(names):
                    seen += 1
                    plain = name.lower().removesuffix(".gz")
                    if plain.endswith(DATA) and not name.startswith("."):
                        self.found.append(str((Path(place) / name).relative_to(self.folder)))
                if seen > MOST_FILES:
                    break
        return self.found

    def register(self, name: str, path: str) -> None:
        """Let a name in queries mean a file."""
        if len(self.tables) >= MOST_TABLES:
            raise RefusedError(f"The query names more than {MOST_TABLES} files.")
        self.tables.add(name)
        book, _, sheet = path.partition("#")
        if book.lower().endswith(".xlsx"):
            self.register_sheet(name, book, sheet)
            return
        reader = "read_csv" if book.lower().removesuffix(".gz").endswith(".txt") else None
        source = literal(path) if reader is None else f"{reader}({literal(path)})"
        self.database.execute(f"CREATE VIEW {quoted(name)} AS SELECT * FROM {source}")

    def register_sheet(self, name: str, path: str, sheet: str) -> None:
        """Let a name mean a sheet of a workbook, the first one if none is named."""
        from zipfile import BadZipFile

        import openpyxl  # type: ignore[import-untyped]

        try:
            book: Any = openpyxl.load_workbook(path, read_only=True, data_only=True)
        except FileNotFoundError:
            raise RefusedError(f"There is no {path!r}.") from None
        except (BadZipFile, KeyError, ValueError, OSError) as error:
            raise RefusedError(f"The workbook {path!r} cannot be read: {error}.") from None
        sheets: list[str] = list(book.sheetnames)
        wanted = plain(sheet)
        chosen = [one for one in sheets if plain(one) == wanted] if sheet else sheets[:1]
        if not chosen:
            raise RefusedError(f"The workbook {path!r} has no sheet {sheet!r}; it has {', '.join(map(repr, sheets))}.")
        rows = book[chosen[0]].iter_rows(values_only=True)
        head = headed(next(rows, ()))
        file = self.scratch / f"sheet-{len(self.tables)}.csv"
        kinds: list[set[str]] = [set() for _ in head]
        with file.open("w", newline="", encoding="utf-8") as stream:
            for row in rows:
                cells = [cell(value, kinds[place]) for place, value in enumerate(row[: len(head)])]
                cells += [None] * (len(head) - len(cells))
                if all(one is None for one in cells):
                    continue
                stream.write(",".join(_NULL if one is None else quoted(one) for one in cells) + "\n")
        typed = zip(head, map(sql_type, kinds), strict=True)
        columns = ", ".join(f"{literal(one)}: {literal(kind)}" for one, kind in typed)
        self.database.execute(
            f"CREATE TABLE {quoted(name)} AS SELECT * FROM read_csv({literal(file)}, header = false, delim = ',', "
            f"quote = '\"', escape = '\"', nullstr = {literal(_NULL)}, allow_quoted_nulls = false, "
            f"columns = {{{columns}}}, auto_detect = false, new_line = '\\n')"
        )
        file.unlink()


# ---------------------------------------------------------------- values


def told(value: Any) -> Any:
    """A value as JSON holds it: what is no number there, and numbers that would lose digits, as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, decimal.Decimal):
        near = float(value)
        return near if math.isfinite(near) and decimal.Decimal(repr(near)) == value else str(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta | uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): told(one) for key, one in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [told(one) for one in cast("list[Any]", value)]
    return str(value)


def cell(value: Any, kinds: set[str]) -> str | None:
    """A cell of a sheet as text, and its kind noted."""
    if value is None or value == "":
        return None
    kinds.add(_SQL_TYPES.get(type(value).__name__, "VARCHAR"))
    return value.isoformat(sep=" ") if isinstance(value, datetime.datetime) else str(value)


def sql_type(kinds: set[str]) -> str:
    """The type that holds all values of a column."""
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds == {"BIGINT", "DOUBLE"}:
        return "DOUBLE"
    return "TIMESTAMP" if kinds == {"DATE", "TIMESTAMP"} else "VARCHAR"


def headed(row: tuple[Any, ...]) -> list[str]:
    """Names of columns: each there, and none twice."""
    names: list[str] = []
    for place, value in enumerate(row):
        name = str(value).strip() if value is not None and str(value).strip() else f"column{place + 1}"
        taken, number = name, 1
        while taken.casefold() in {one.casefold() for one in names}:
            number += 1
            taken = f"{name}_{number}"
        names.append(taken)
    if not names:
        raise RefusedError("The sheet is empty.")
    return names


def file_name(path: str) -> str:
    """A file's name without its folders."""
    return Path(path).name


def stem(path: str) -> str:
    """A file's name without its endings."""
    name = Path(path).name
    return Path(name[:-3] if name.lower().endswith(".gz") else name).stem


def plain(name: str) -> str:
    """A sheet's name as a query may write it without quotes."""
    return re.sub(r"\W+", "_", name).strip("_").casefold()


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A value in SQL."""
    if isinstance(value, list):
        return "[" + ", ".join(literal(one) for one in cast("list[Any]", value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "'" + str(value).replace("'", "''") + "'"


if __name__ == "__main__":
    main()
