"""Processes: what the processes of a Chromium are called with."""

from __future__ import annotations

from pathlib import Path

from openmanus_graph.sandbox.tree import TreeProcess


def command_of(process: TreeProcess) -> list[str]:
    """The words of a process' command; none if it is gone."""
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return [""]
