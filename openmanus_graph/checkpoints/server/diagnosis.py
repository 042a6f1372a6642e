"""Diagnosis: turns the output of the server's programs into errors for the user."""

from __future__ import annotations

import re
from pathlib import Path

from openmanus_graph.checkpoints.server.account import OTHER_SERVER
from openmanus_graph.checkpoints.server.paths import disk_full
from openmanus_graph.errors import DatabaseError, EmbeddedServerError

SEVERE = re.compile(r"\b(?:PANIC|FATAL|ERROR):|^(?:postgres|initdb|sh): ")
SUSPECT = re.compile(r"\b(?:error|fatal|failed|could not|cannot)\b")
DETAIL = re.compile(
    r"\b(?:HINT|DETAIL|CONTEXT|STATEMENT|LOG|NOTICE):|^initdb: (?:removing|hint|data directory)"
    # What our own questions got while the server was on its way.
    r"|the database system is |database \"\w+\" does not exist"
)
PREFIX = re.compile(
    r"^\d{4}-\d\d-\d\d [\d:.]+ \w+ \[\d+\] |^(?:initdb|postgres): (?:error: )?|(?:PANIC|FATAL|ERROR):\s+"
)


def meaningful(text: str) -> str:
    """The line of a log that tells most: the last severe one, else the last that sounds like a failure."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    candidates = [line for line in lines if not DETAIL.search(line)] or lines
    for kind in (SEVERE, SUSPECT, re.compile("")):
        matches = [line for line in candidates if kind.search(line)]
        if matches:
            return PREFIX.sub("", matches[-1]).rstrip(".")
    return "it said nothing"


def failure(doing: str, output: str, home: Path, log: Path | None = None) -> DatabaseError:
    """The error for a server program that failed.

    Args:
        doing: What it did, as in "could not be started".
        output: What it printed.
        home: The data folder.
        log: Where all of it can be read, if anywhere.
    """
    line = meaningful(output)
    if re.search(r"No space left on device|Disk quota exceeded", output):
        return disk_full(home, line)
    where = f"Read all of it in {log}. " if log else ""
    library = re.search(r"loading shared libraries: (\S+):", output)
    if library:
        where = f"Install the system library {library[1]}. "
    elif "could not create shared memory segment" in output or "could not map anonymous shared memory" in output:
        where = "Free some memory, or give this machine or container more. "
    elif "Permission denied" in output or "Read-only file system" in output:
        where = f"Set OPENMANUS_GRAPH_HOME to a folder that can be written. {where}"
    return EmbeddedServerError(f"The embedded server {doing}: {line}.", hint=f"{where}{OTHER_SERVER}")
