"""Level: how strongly this machine can confine a process, found out by doing it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.errors import OpenManusGraphError, SandboxUnavailableError
from openmanus_graph.sandbox.bubblewrap import find_bubblewrap
from openmanus_graph.sandbox.landlock import NEEDED_VERSION, landlock_version
from openmanus_graph.sandbox.launch import INSTALL_BUBBLEWRAP, Level, prepare_launch
from openmanus_graph.sandbox.limits import SandboxLimits
from openmanus_graph.sandbox.seccomp import supported

_WORD = "confined"
_FOLDER = "openmanus-graph-probe-"
_OLD_S = 600.0
"""Seconds after which a trial's folder is one that was left."""
_PROBE = ["sh", "-c", f"echo {_WORD} > probe && cat probe && ! cat probe.outside 2>/dev/null"]
_PROBE_S = 20.0


@dataclass(frozen=True)
class LevelReport:
    """Whether one level works here."""

    level: Level
    """The level."""
    works: bool
    """Whether a process was confined by it and could work in its workspace."""
    detail: str
    """What it does, or why it does not work and what to do about that."""


def probe(settings: Settings) -> list[LevelReport]:
    """Try every confining level, strongest first; the outcome is kept for the life of this process.

    Args:
        settings: The account to drop to as root.
    """
    return list(_probe(settings.sandbox_account, os.geteuid()))


def choose_level(choice: SandboxChoice, settings: Settings) -> Level:
    """The level to run at.

    Args:
        choice: `auto` takes the strongest that works; any other choice is taken or refused, never replaced.
        settings: The account to drop to as root.

    Raises:
        SandboxUnavailableError: If the chosen level, or with `auto` every level, does not work here.
    """
    if choice == "none":
        return "none"
    reports = [report for report in probe(settings) if choice in ("auto", report.level)]
    for report in reports:
        if report.works:
            return report.level
    reasons = " ".join(f"{report.level}: {report.detail}" for report in reports)
    what = "No sandbox works" if choice == "auto" else f"The sandbox {choice!r} does not work"
    raise SandboxUnavailableError(
        f"{what} on this machine, so shell and Python tools are refused.",
        hint=f"{reasons} To run them unconfined, choose that explicitly: --sandbox none",
    )


@lru_cache(maxsize=8)
def _probe(account: str, user: int) -> tuple[LevelReport, ...]:
    del user  # part of the key: a process that dropped its rights probes again
    settings = Settings.model_construct(sandbox_account=account)
    return _probe_bubblewrap(settings), _probe_landlock(settings)


def _probe_bubblewrap(settings: Settings) -> LevelReport:
    if find_bubblewrap() is None:
        return LevelReport("bubblewrap", works=False, detail=f"not installed. {INSTALL_BUBBLEWRAP}.")
    problem = _filter_problem() or _try("bubblewrap", settings)
    if problem is None:
        return LevelReport("bubblewrap", True, "own namespaces, filter, limits; no network, no file outside")
    cure = "It needs user namespaces: see the sysctls user.max_user_namespaces and"
    cure += " kernel.apparmor_restrict_unprivileged_userns, or the options of the container we run in."
    return LevelReport("bubblewrap", False, f"{problem}. {cure}")


def _probe_landlock(settings: Settings) -> LevelReport:
    version = landlock_version()
    if version < NEEDED_VERSION:
        has = f"has version {version}" if version else "has none"
        detail = f"needs version {NEEDED_VERSION} of the kernel's interface (Linux 6.7); this kernel {has}."
        return LevelReport("landlock", works=False, detail=detail)
    problem = _filter_problem() or _try("landlock", settings)
    if problem is None:
        return LevelReport("landlock", True, f"files and sockets by rules (version {version}), filter, limits")
    return LevelReport("landlock", False, f"{problem}.")


def _filter_problem() -> str | None:
    return None if supported() else f"no system call filter for {os.uname().machine!r}"


def _try(level: Level, settings: Settings) -> str | None:
    """Why a process cannot be confined at `level`, or `None` if one was."""
    try:
        _remove_old()
        with tempfile.TemporaryDirectory(prefix=_FOLDER) as name:
            done = _trial(Path(name), level, settings)
    except subprocess.TimeoutExpired:
        return f"a trial did not end within {_PROBE_S:g} s"
    except (OSError, OpenManusGraphError) as error:
        return str(error).rstrip(".")
    if done.returncode == 0 and done.stdout.decode(errors="replace").strip() == _WORD:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return f"a trial ended with {lines[-1]!r}" if lines else f"a trial ended with status {done.returncode}"


def _remove_old() -> None:
    """Remove what trials left whose process was killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with suppress(OSError):
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and time.time() - found.st_mtime > _OLD_S:
                shutil.rmtree(path)


def _trial(folder: Path, level: Level, settings: Settings) -> subprocess.CompletedProcess[bytes]:
    outside = folder / "outside"
    outside.write_text("outside")
    workspace = folder / "workspace"
    workspace.mkdir()
    (workspace / "probe.outside").symlink_to(outside)
    with prepare_launch(_PROBE, workspace=workspace, level=level, settings=settings, limits=SandboxLimits()) as launch:
        return subprocess.run(
            launch.argv,
            env=launch.environment,
            cwd=launch.workspace,
            pass_fds=launch.descriptors,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_S,
            check=False,
        )
