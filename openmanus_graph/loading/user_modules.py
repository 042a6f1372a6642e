"""Importing: users' own Python files, so that two projects with a `tools` or `nodes` folder never meet."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import os
import re
import sys
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import UsageError
from openmanus_graph.files.atomic_write import put_file

_PREFIX = "openmanus_graph_own_"
_OWN = re.compile(_PREFIX + r"(?P<stem>.+)_[0-9a-f]{8}")
_KEPT = frozenset(sys.stdlib_module_names) | {"openmanus_graph"}
"""Top-level names that a user's folder never takes away from this process."""
_STAND_IN = """\
import importlib.util
import sys

spec = importlib.util.spec_from_file_location(__name__, {path})
module = importlib.util.module_from_spec(spec)
sys.modules[__name__] = module
spec.loader.exec_module(module)
"""
"""A module that puts the one of a user's file in its own place."""

logger = logging.getLogger(__name__)


def _names_in(folders: Sequence[Path]) -> set[str]:
    """The top-level names that the folders' own modules and packages have."""
    names: set[str] = set()
    for folder in folders:
        # Python's own import passes over what it may not read, too.
        with suppress(PermissionError):
            names.update(entry.stem for entry in folder.iterdir() if _is_module(entry))
    return names - _KEPT


def _is_module(entry: Path) -> bool:
    try:
        return entry.is_file() if entry.suffix == ".py" else (entry / "__init__.py").is_file()
    except PermissionError:
        return False


def _is_in(module: ModuleType | None, folders: Sequence[Path]) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and any(Path(file).resolve().is_relative_to(folder.resolve()) for folder in folders)


@contextmanager
def imports_from(folders: Sequence[Path]) -> Generator[None]:
    """Import from these folders first, and leave what others have imported under the same names untouched.

    Modules of another place that have a name of theirs, such as `tools`, step aside for the block and come back
    after it. The folders stay at the end of `sys.path`, for imports inside functions.

    Args:
        folders: Existing folders, the first one first.
    """
    names = _names_in(folders)
    aside = {
        key: module
        for key, module in list(sys.modules.items())
        if key.partition(".")[0] in names and not _is_in(module, folders)
    }
    for key in aside:
        del sys.modules[key]
    theirs = set(sys.modules)
    front = [str(folder) for folder in folders]
    sys.path[:0] = front
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for entry in front:
            sys.path.remove(entry)
        sys.path.extend(entry for entry in front if entry not in sys.path)
        taken = {key.partition(".")[0] for key in aside}
        for key in [key for key in sys.modules if key.partition(".")[0] in taken and key not in theirs]:
            del sys.modules[key]
        sys.modules.update(aside)


def import_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own.

    Raises:
        UsageError: If there is no such file, or it cannot be imported; the message has the line.
    """
    if not path.is_file():
        raise UsageError(f"There is no Python file {str(path)!r}.", hint=_files_beside(path))
    name = f"{_PREFIX}{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"The file {str(path)!r} is no Python module.", hint="Name a .py file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _name_for_children(name, path)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(
            f"The file {str(path)!r} cannot be imported: {described(error)}.",
            hint="Run it with Python to see the whole traceback.",
        ) from error
    return module


def plain_module_name(name: str) -> str:
    """The name by which a module is known in other folders and programs: that of its file, for one of a user's own."""
    if name == "__main__":
        file = getattr(sys.modules.get(name), "__file__", None)
        return Path(file).stem if file else name
    found = _OWN.fullmatch(name) if name.startswith(_PREFIX) else None
    return name if found is None else found["stem"]


def modules_named(name: str) -> list[ModuleType]:
    """The imported modules of a plain name: that of this very name first."""
    own = (known for known in list(sys.modules) if known == "__main__" or known.startswith(_PREFIX))
    names = [name, *(known for known in own if known != name and plain_module_name(known) == name)]
    return [sys.modules[known] for known in names if known in sys.modules]


def _name_for_children(name: str, path: Path) -> None:
    """Let processes that this one starts import the module by its name, as what is pickled for them needs."""
    folder = Settings.load().home / "modules"
    stand_in = folder / f"{name}.py"
    text = _STAND_IN.format(path=ascii(str(path))).encode()
    try:
        if not stand_in.is_file() or stand_in.read_bytes() != text:
            folder.mkdir(parents=True, exist_ok=True)
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                put_file(opened, stand_in.name, text)
            finally:
                os.close(opened)
    except OSError as error:
        logger.info(
            "Processes of a graph cannot import its file by name.", extra={"file": str(path), "why": str(error)}
        )
        return
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # which the processes get, too


def import_named(name: str) -> ModuleType:
    """Import a module by its name.

    Raises:
        UsageError: If it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise UsageError(
            f"The module {name!r} cannot be imported: {described(error)}.",
            hint="Give path/to/file.py:attribute, or the name of an installed module.",
        ) from error


def described(error: BaseException) -> str:
    """An exception in a line: its type, its message and the user's line that raised it."""
    text = f"{type(error).__name__}: {error}".rstrip(".")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else text


def _is_users(file: str) -> bool:
    path = Path(file)
    return path.is_absolute() and not path.is_relative_to(Path(__file__).parents[1]) and "site-packages" not in file


def _files_beside(path: Path) -> str:
    from difflib import get_close_matches

    if not path.parent.is_dir():
        return f"There is no folder {str(path.parent)!r} either."
    found = get_close_matches(path.name, [entry.name for entry in path.parent.glob("*.py")], 1)
    return f"Did you mean {str(path.parent / found[0])!r}?" if found else "Check the path."
