#!/usr/bin/env python3
"""Notebooks: runs those in notebooks/ and stores what their cells print and draw, or checks that this was done.

    python scripts/notebooks.py [NAME ...]         run them in order, without a key, and rewrite them
    python scripts/notebooks.py --check [NAME ...] say whose cells were changed since; nothing runs; exit 1 if any were

A name is the beginning of a file's name, such as `02`. They run in a copy of the folder, on a server of their own.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

TOP = Path(__file__).resolve().parents[1]
FOLDER = TOP / "notebooks"
CELL_S = 120
"""Seconds that one cell may take."""
MARK = "openmanus_graph"
"""Key of a notebook's metadata under which it is kept which cells the stored outputs are of."""
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def notebooks(names: Sequence[str] = ()) -> list[Path]:
    """The notebooks in order, or those whose names begin so."""
    found = sorted(FOLDER.glob("*.ipynb"))
    return [path for path in found if not names or path.name.startswith(tuple(names))]


def sources_of(notebook: Any) -> str:
    """A digest of what the cells say, outputs left aside."""
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    return hashlib.sha256(repr(cells).encode()).hexdigest()


def read(path: Path) -> Any:
    """A notebook as it is on the disk."""
    return nbformat.read(path, as_version=4)


def outdated(path: Path) -> bool:
    """Whether the stored outputs are those of other cells."""
    notebook = read(path)
    return notebook.metadata.get(MARK, {}).get("sources") != sources_of(notebook)


def environment(home: Path) -> dict[str, str]:
    """What kernels see: no key, no model, no settings of the user's, a server of their own."""
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "LC_ALL", "TZ")}
    return kept | {"OPENMANUS_GRAPH_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


async def execute(path: Path, folder: Path, variables: Mapping[str, str]) -> Any:
    """Run a notebook in a kernel of its own.

    Args:
        path: The notebook.
        folder: The kernel's current folder.
        variables: The kernel's environment.

    Returns:
        The notebook with its outputs.

    Raises:
        CellExecutionError: If a cell raises.
    """
    notebook = read(path)
    client = NotebookClient(
        notebook, timeout=CELL_S, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    await client.async_execute(env=dict(variables))
    return tidy(notebook)


def tidy(notebook: Any) -> Any:
    """Take out what differs from run to run and from machine to machine, and join what was printed in pieces."""
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        joined: list[Any] = []
        for output in cell.outputs:
            if WIDGET in output.get("data", {}):
                continue  # there is no kernel behind it; the picture next to it stays
            if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
                joined[-1].text += output.text
            else:
                joined.append(output)
        cell.outputs = joined
    notebook.metadata[MARK] = {"sources": sources_of(notebook)}
    return notebook


def private(notebook: Any) -> list[str]:
    """What the outputs tell of the machine they were made on: absolute paths."""
    texts = [str(output) for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pattern = re.compile(r"(?<![\w./<])/(?:home|root|tmp|var|usr|opt|Users|private)/[\w./-]*")
    return sorted({match[0] for text in texts for match in pattern.finditer(text)})


@contextmanager
def place() -> Iterator[tuple[Path, dict[str, str]]]:
    """A copy of the folder to run in, with the environment; a server that was started for it is stopped."""
    base = Path(tempfile.mkdtemp(prefix="omg-notebooks-"))
    base.chmod(0o755)  # the server's account passes through it when root runs this
    folder, variables = base / "notebooks", environment(base / "home")
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("openmanus-work", ".ipynb_checkpoints"))
    try:
        yield folder, variables
    finally:
        stop = [sys.executable, "-m", "openmanus_graph", "db", "stop"]
        subprocess.run(stop, check=True, env=variables, cwd=base, capture_output=True)
        shutil.rmtree(base)


async def rewrite(paths: Sequence[Path]) -> int:
    """Run notebooks one after the other and store their outputs; the number of those that fail or tell too much."""
    wrong = 0
    with place() as (folder, variables):
        for path in paths:
            try:
                notebook = await execute(path, folder, variables)
            except CellExecutionError as error:
                print(f"{path.name}: {error}", file=sys.stderr)
                wrong += 1
                continue
            if told := private(notebook):
                print(f"{path.name}: its outputs name {', '.join(told)}; it was not written", file=sys.stderr)
                wrong += 1
                continue
            nbformat.write(notebook, path)
            print(path.name)
    return wrong


def main(arguments: Sequence[str]) -> int:
    """Run or check the notebooks that are named; the exit code."""
    paths = notebooks([one for one in arguments if one != "--check"])
    if not paths:
        print("There is no such notebook.", file=sys.stderr)
        return 1
    if "--check" not in arguments:
        return 1 if asyncio.run(rewrite(paths)) else 0
    late = [path.name for path in paths if outdated(path)]
    for name in late:
        print(f"{name}: its outputs are of other cells; run: make notebooks ARGS={name[:2]}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
