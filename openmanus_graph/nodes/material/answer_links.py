"""Answer links: the files that were made and the sources, behind an answer that names none of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from openmanus_graph.state import ManusState, SubtaskResult

MOST_LINKS = 20
CLOCK_TICK_S = 0.02
"""How much a file's time may be behind the clock."""
_URL = re.compile(r"https?://[^\s<>\"')\]}]+")


def with_links(text: str, files: list[str], results: Mapping[str, SubtaskResult]) -> str:
    """An answer with the files that were made and its sources, each where it names none of them."""
    named = any(name in text for name in files)
    more = "\n\nFiles:\n" + "\n".join(f"- {name}" for name in files) if files and not named else ""
    urls = sources(results)
    if urls and not _URL.search(text):
        more += "\n\nSources:\n" + "\n".join(f"- {url}" for url in urls)
    return text + more


def made_files(state: ManusState) -> list[str]:
    """Files in the workspace that were written since the work began, hidden ones left out, as relative paths."""
    workspace = Path(state.get("workspace") or ".")
    given = set(state.get("attachments") or [])
    starts = [result["started_at"] for result in (state.get("results") or {}).values() if result["started_at"]]
    if not state.get("workspace") or not workspace.is_dir() or not starts:
        return []
    began = datetime.fromisoformat(min(starts)).timestamp() - CLOCK_TICK_S
    found: list[str] = []
    for folder, folders, files in os.walk(workspace):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(folder).relative_to(workspace)
        new = [name for name in sorted(files) if not name.startswith(".") and written_at(Path(folder, name)) >= began]
        found += [str(relative / name) for name in new]
        if len(found) > MOST_LINKS:
            break
    return [name for name in found if name not in given][:MOST_LINKS]


def written_at(path: Path) -> float:
    """When a file got its content or its place, in Unix time: one that is copied or unpacked may say it is older."""
    try:
        status = path.lstat()
    except FileNotFoundError:  # gone meanwhile
        return 0.0
    return max(status.st_mtime, status.st_ctime)


def sources(results: Mapping[str, SubtaskResult]) -> list[str]:
    """Addresses that calls have read without an error, each once; not of a result that its check refused.

    A link that is found on a page or by a search is no source.
    """
    taken = [result for result in results.values() if result.get("verified") is not False]
    return list(dict.fromkeys(url for result in taken for url in result.get("sources") or []))[:MOST_LINKS]
