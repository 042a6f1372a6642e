"""Documented: the import paths that README, docs, examples, notebooks and templates teach."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from tests.repository.promises.surface import PACKAGE, Facts, described

TOP = Path(__file__).parents[3]
GENERATED = re.compile(r"<!-- generated: .*?<!-- end -->", re.DOTALL)
IMPORT = re.compile(rf"\bfrom ({PACKAGE}[\w.]*) import (\([^)]*\)|\w+(?: as \w+)?(?:, ?\w+(?: as \w+)?)*)")
PLAIN_IMPORT = re.compile(rf"^\s*import ({PACKAGE}[\w.]*)", re.MULTILINE)
REFERENCE = re.compile(rf"\b({PACKAGE}(?:\.\w+)*):(\w+)")
NAMED = re.compile(rf"`(\w+)` of `({PACKAGE}(?:\.\w+)+)`")
MENTIONED = re.compile(rf"`({PACKAGE}(?:\.\w+)+)`")
WHERE = "taught in"
"""Pages that teach it; told, not compared."""
MODULE = "(the module)"


def pages() -> Iterator[tuple[str, str]]:
    """What people learn from, each file with its text; parts made of the code are left out, they follow it."""
    patterns = ("README.md", "docs/*.md", "examples/**/*.py", "examples/**/*.md", "notebooks/*.ipynb", "notebooks/*.py")
    files = [path for pattern in patterns for path in sorted(TOP.glob(pattern))]
    files += [*sorted((TOP / PACKAGE / "scaffold").rglob("*.tmpl")), TOP / "langgraph.json", TOP / "pyproject.toml"]
    for path in files:
        text = path.read_text(encoding="utf-8")
        if ".ipynb" in path.name:
            text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
        yield str(path.relative_to(TOP)), GENERATED.sub("", text)


def taught() -> dict[tuple[str, str], list[str]]:
    """Where each `(module, name)` is taught; no name stands for the module itself."""
    found: dict[tuple[str, str], list[str]] = {}
    for page, text in pages():
        for module, name in _in_text(text):
            places = found.setdefault((module, name), [])
            places += [page] if page not in places else []
    return dict(sorted(found.items()))


def _in_text(text: str) -> Iterator[tuple[str, str]]:
    for module, names in IMPORT.findall(text):
        for name in re.findall(r"(\w+)(?: as \w+)?", names):
            yield module, name
    for module in PLAIN_IMPORT.findall(text):
        yield module, ""
    for module, name in REFERENCE.findall(text):
        yield module, name
    for name, module in NAMED.findall(text):
        yield module, name
    for path in MENTIONED.findall(text):
        module, _, name = path.rpartition(".")
        yield (module, name) if name[:1].isupper() or name == "__all__" else (path, "")


def documented_names() -> dict[str, dict[str, Facts]]:
    """Every documented import path by module: of what kind the name is, and how it is called.

    Raises:
        ImportError: If a module is not there.
        AttributeError: If it lacks a name.
    """
    found: dict[str, dict[str, Facts]] = {}
    for (module, name), places in taught().items():
        found.setdefault(module, {})[name or MODULE] = {**facts_of(module, name), WHERE: places}
    return found


def importable(promised: dict[str, dict[str, Facts]]) -> dict[str, dict[str, Facts]]:
    """Of promised import paths those that are there, also where no page teaches them any longer."""
    found: dict[str, dict[str, Facts]] = {module: {} for module in promised}
    for module, names in promised.items():
        for name in names:
            with suppress(ImportError, AttributeError):
                found[module][name] = facts_of(module, name)
    return found


def facts_of(module: str, name: str) -> Facts:
    """What an import path stands for; of a public name, which is described as such, that it is this one.

    Raises:
        ImportError: If the module is not there.
        AttributeError: If it lacks the name.
    """
    value = import_module(module)
    if name and name != MODULE:
        value = getattr(value, name)
    public = import_module(PACKAGE)
    facts = described(value, methods=False)
    if name in public.__all__ and getattr(public, name) is value:
        same = {} if module == PACKAGE else {"is the same as": f"{PACKAGE}.{name}"}
        return {"kind": facts["kind"], **same}
    return facts
