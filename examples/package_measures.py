"""Measures: what the Python files of one installed package hold, as a program of its own.

`python package_measures.py NAME` prints one JSON object a line: progress, then the result. It needs nothing
but the standard library, and being a process it leaves the other measures and the engine their time.
"""

from __future__ import annotations

import ast
import gc
import json
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

REPORT_SECONDS = 0.2
"""Time between two lines of progress."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Measures:
    """What was counted."""

    python_files: int = 0
    """Files that end in `.py`."""
    unparsed: int = 0
    """Those of them that this version of Python cannot parse."""
    lines: int = 0
    """Lines of the Python files."""
    functions: int = 0
    """Functions and methods, nested ones included."""
    public: int = 0
    """Functions and classes whose name does not begin with an underscore."""
    documented: int = 0
    """Those of them that have a docstring."""
    longest: dict[str, Any] = field(default_factory=dict[str, Any])
    """The longest function: `name`, `file`, `line` and `lines`; empty if there is none."""

    def add_file(self, path: Path, shown: str) -> None:
        """Count one Python file."""
        source = path.read_bytes()
        self.python_files += 1
        self.lines += source.count(b"\n") + (not source.endswith(b"\n") and bool(source))
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            self.unparsed += 1
            return
        for node in definitions(tree):
            if isinstance(node, Function):
                self._add_function(node, shown)
            if not node.name.startswith("_"):
                self.public += 1
                self.documented += ast.get_docstring(node, clean=False) is not None

    def _add_function(self, node: Function, shown: str) -> None:
        self.functions += 1
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > self.longest.get("lines", 0):
            self.longest = {"name": node.name, "file": shown, "line": node.lineno, "lines": lines}


def definitions(tree: ast.Module) -> Iterator[Function | ast.ClassDef]:
    """All functions and classes, found through statements alone: expressions are most of a tree."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, Function | ast.ClassDef):
            yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            below = getattr(node, name, None)
            if isinstance(below, list):  # of a lambda or `a if b else c` it is an expression
                todo.extend(below)


def say(**said: Any) -> None:
    """Print one line of JSON at once."""
    print(json.dumps(said), flush=True)


def main(name: str) -> None:
    """Measure the package called `name`."""
    warnings.simplefilter("ignore")  # other people's escape sequences
    gc.disable()  # trees have no cycles, and looking for some takes a quarter of the time
    package = distribution(name)
    files = sorted(str(file) for file in package.files or [] if file.suffix == ".py")
    measures = Measures()
    said = time.monotonic()
    for number, file in enumerate(files, 1):
        path = Path(str(package.locate_file(file)))
        if path.is_file():
            measures.add_file(path, file)
        if time.monotonic() - said > REPORT_SECONDS:
            said = time.monotonic()
            say(progress=f"{number:,} of {len(files):,} files")
    say(result=asdict(measures))


if __name__ == "__main__":
    main(sys.argv[1])
