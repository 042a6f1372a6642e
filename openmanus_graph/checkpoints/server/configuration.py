"""Configuration: the three files the server reads, written anew at every start.

They lie outside the cluster, so that the account the server runs under cannot change them.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from openmanus_graph.checkpoints.server.account import user_name
from openmanus_graph.checkpoints.server.paths import ServerPaths

ROLE = "openmanus"
"""The one role; a superuser."""
DATABASE = "openmanus"
"""The database of the checkpoints."""
MAP = "openmanus"

SERVER = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # No replicas: the least of write-ahead log, in small files that are used again.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_compression": "on",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    # Compiling costs more than the short statements here can win.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # The locks of a client that was killed in the middle of a statement become free soon.
    "client_connection_check_interval": "1s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # To the inherited file; no statements, which hold people's data.
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
    "log_min_messages": "error",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": "-1",
}

SINCE = {18: {"io_method": "sync"}}
"""Settings that a major version brought: no three worker processes for a small machine."""


def write(place: ServerPaths, major: int) -> list[str]:
    """Write the files, and return the server's arguments that point to them."""
    folder = place.configuration
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    settings = dict(SERVER)
    for since, more in SINCE.items():
        if major >= since:
            settings |= more
    files = {"hba": folder / "pg_hba.conf", "ident": folder / "pg_ident.conf"}
    paths = {
        "data_directory": place.data,
        "unix_socket_directories": place.sockets,
        "hba_file": files["hba"],
        "ident_file": files["ident"],
    }
    settings |= {name: str(path) for name, path in paths.items()}
    main = folder / "postgresql.conf"
    _replace(main, "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items()))
    _replace(files["hba"], f"local all {ROLE} peer map={MAP}\n")
    # Only the user who runs the program. The account that runs the server may run confined tools too, and those
    # must not get in, even where a sandbox lets them reach the socket.
    _replace(files["ident"], f'{MAP} "{_doubled(user_name(os.geteuid()))}" {ROLE}\n')
    return ["-c", f"config_file={main}"]


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _doubled(name: str) -> str:
    return name.replace('"', '""')


def _replace(path: Path, text: str) -> None:
    handle, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(draft).chmod(0o644)
    Path(draft).replace(path)
