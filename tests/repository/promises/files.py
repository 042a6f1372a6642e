"""Files: what runs leave on the disk, read without the package."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

from psycopg import conninfo

from tests.repository.promises.runs import ARCHIVE, PLAN, RECORDING
from tests.repository.promises.shape import keys, shape

_LENGTH = 4
_TRAILER = len(b"\nsha256 ") + 64 + 1


def archive(folder: Path) -> dict[str, Any]:
    """The format of an exported thread: its first and last line, and the keys of its records."""
    first, _, rest = (folder / ARCHIVE).read_bytes().partition(b"\n")
    body, trailer = rest[:-_TRAILER], rest[-_TRAILER:].decode()
    records: dict[str, Any] = {}
    tables: dict[str, list[str]] = {}
    stream = gzip.decompress(body)
    while stream:
        line, _, stream = stream.partition(b"\n")
        fields: dict[str, Any] = json.loads(line)
        records[fields["kind"]] = keys([*records.get(fields["kind"], []), *fields])
        if fields["kind"] == "table":
            tables[fields["table"]] = fields["columns"]
        while length := int.from_bytes(stream[:_LENGTH], "big"):
            stream = stream[_LENGTH + length :]
        stream = stream[_LENGTH:]
    return {
        "first line": first.decode(),
        "last line": re.sub(r"[0-9a-f]{64}", "#", trailer.strip()),
        "records": records,
        "tables": tables,
    }


def recording(folder: Path) -> dict[str, Any]:
    """The format of a recording of models: its header, and the keys of its lines."""
    header, *lines = [json.loads(line) for line in (folder / RECORDING).read_text(encoding="utf-8").splitlines()]
    return {"header": header, "lines": keys(key for line in lines for key in line)}


def engine_files(folder: Path) -> dict[str, Any]:
    """The engine's own files in a workspace, numbers that are drawn as `#`, and the keys of those that are JSON."""
    top = folder / "openmanus-work" / PLAN
    found: dict[str, Any] = {}
    for path in sorted((top / ".openmanus").rglob("*")):
        if path.is_file():
            name = re.sub(r"[0-9a-f]{12,}", "#", str(path.relative_to(top)))
            found[name] = ""
            if path.suffix == ".json" and "outputs" not in path.parts:
                found[name] = shape(json.loads(path.read_text(encoding="utf-8")))
    return found


def server_files(url: str) -> list[str]:
    """The files of the embedded server, beside its cluster: the next version finds its data by them."""
    socket = str(conninfo.conninfo_to_dict(url).get("host"))
    return keys(path.name for path in Path(socket).parent.iterdir())
