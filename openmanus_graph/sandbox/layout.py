"""Layout: which files of the machine a confined process sees, besides its workspace."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from functools import cache
from pathlib import Path

SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Programs and libraries, read-only."""
SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
)
"""What programs need of `/etc` to start, read-only."""
CERTIFICATES = (
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates/extracted",
)
"""Certificates that programs trust, which those with a way out need; no folder with keys is among them."""
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

_PREFIX_PARTS = ("bin", "lib", "lib64", "include", "share", "pyvenv.cfg")
"""What belongs to an interpreter below its prefix; the prefix itself may be somebody's home."""
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|DATABASE_URL|_DSN\b|_PAT\b", re.IGNORECASE)


@cache
def interpreter_paths() -> tuple[Path, ...]:
    """Files and folders of `sys.executable`'s own installation that the system folders do not hold.

    Each is there as spelled and, where that differs, as resolved, because an environment refers to its
    interpreter by either.
    """
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    candidates = {Path(prefix) / part for prefix in prefixes for part in _PREFIX_PARTS}
    named = sysconfig.get_paths()
    candidates |= {Path(named[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    link = Path(sys.executable)
    while link.is_symlink():
        link = link.parent / link.readlink()
        candidates.add(link.parent)
    candidates |= {path.resolve() for path in candidates}
    outside = {path for path in candidates if path.exists() and not _below(path, SYSTEM_FOLDERS)}
    tops = [path for path in outside if not any(other in path.parents for other in outside)]
    return tuple(sorted(tops))


def _below(path: Path, folders: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def search_path() -> str:
    """`PATH` inside: the interpreter's own programs first."""
    own = dict.fromkeys(str(Path(prefix) / "bin") for prefix in (sys.prefix, sys.base_prefix))
    return ":".join([*own, SYSTEM_PATH])


def confined_environment() -> dict[str, str]:
    """The whole environment of a confined process: nothing of the user's own."""
    return {"PATH": search_path(), "HOME": "/tmp", "LANG": "C.UTF-8", "TERM": "dumb", "MPLBACKEND": "Agg"}  # noqa: S108 - its own


def open_environment() -> dict[str, str]:
    """The environment of an unconfined process: the user's own, less what looks like a secret."""
    kept = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    return {
        **kept,
        "PATH": f"{Path(sys.prefix) / 'bin'}:{kept.get('PATH', SYSTEM_PATH)}",
        "MPLBACKEND": "Agg",
    }
