#!/usr/bin/env python3
"""Promises: writes down what users and their databases rely on, which `tests/repository/test_promises.py` compares.

    .venv/bin/python scripts/promises.py          write what is kept anew; `git diff` says what has changed
    .venv/bin/python scripts/promises.py --check  say what no longer holds; exit 1 if anything

What needs no database is taken from the code, the rest from runs on an embedded server in a folder of its own.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))


def taken(*, anew: bool) -> dict[str, Any]:
    """The promises as the code and real runs have them now, by file.

    Args:
        anew: Whether import paths are those that pages teach now, instead of those that were promised.
    """
    from openmanus_graph import Settings
    from tests.repository.promises import documented, kept
    from tests.repository.promises.inside import inside

    take = dict(kept.TAKEN)
    if not anew:
        take["imports.json"] = lambda: documented.importable(kept.read("imports.json"))
    home, folder = (Path(tempfile.mkdtemp(prefix="omg-")) for _ in range(2))
    home.chmod(0o755)  # the account that runs the server looks into it
    server: Any = inside("embedded server")(Settings.load(home=home))
    try:
        url = asyncio.run(server.acquire())
        try:
            asyncio.run(_migrated(url))
            return {name: made() for name, made in take.items()} | kept.with_database(url, folder)
        finally:
            asyncio.run(server.release())
    finally:
        shutil.rmtree(home)
        shutil.rmtree(folder)


async def _migrated(url: str) -> None:
    from openmanus_graph import open_checkpointer

    async with open_checkpointer(url, migrate_tables=True):
        pass


def main(arguments: list[str]) -> int:
    """Write the promises, or check them."""
    from tests.repository.promises import kept

    found = taken(anew="--check" not in arguments)
    if "--check" in arguments:
        problems = [line for name, value in found.items() for line in kept.broken(name, kept.read(name), value)]
        sys.stderr.write("".join(f"{line}\n" for line in [*problems, *([kept.UPDATE] if problems else [])]))
        return int(bool(problems))
    changed = kept.write(found)
    sys.stdout.write(f"Changed: {', '.join(changed) or 'nothing'}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
