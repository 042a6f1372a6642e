#!/usr/bin/env bash
# duckdb 2.0.1: the sum of integers has the type HUGEINT, which is exact; written into a Parquet file it is a DOUBLE, without
# a word. What is read back differs from what was written from 2**53 on: here a sum of two BIGINT is one less. The same table
# in DuckDB's own file keeps type and value, and CSV keeps the value.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install duckdb==2.0.1 >&2
cat > "$folder/run.py" <<'PY'
import sys

import duckdb

folder = sys.argv[1]
database = duckdb.connect()
database.execute("CREATE TABLE sales (cents BIGINT)")
database.execute("INSERT INTO sales VALUES (9007199254740000), (993)")
database.execute("CREATE TABLE total AS SELECT sum(cents) AS cents FROM sales")
database.execute(f"COPY total TO '{folder}/total.parquet' (FORMAT parquet)")
database.execute(f"COPY total TO '{folder}/total.csv' (FORMAT csv, HEADER)")
database.execute(f"ATTACH '{folder}/total.duckdb' AS kept")
database.execute("CREATE TABLE kept.total AS FROM total")
shown = "SELECT typeof(cents), cents::DECIMAL(38, 0)::VARCHAR FROM "
for name, place in (
    ("in memory", "total"),
    ("DuckDB's file", "kept.total"),
    ("CSV", f"'{folder}/total.csv'"),
    ("Parquet", f"'{folder}/total.parquet'"),
):
    print(name, *database.execute(shown + place).fetchone())
PY
seen=$("$folder/venv/bin/python" "$folder/run.py" "$folder")
printf '%s\n' "$seen"
wanted="in memory HUGEINT 9007199254740993
DuckDB's file HUGEINT 9007199254740993
CSV BIGINT 9007199254740993
Parquet DOUBLE 9007199254740992"
[ "$seen" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
