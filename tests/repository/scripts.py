"""Scripts: the modules in `scripts/`, which belong to no package, loaded for the tests of them."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from tests.repository.conftest import TOP


def script(name: str) -> ModuleType:
    """The module; the scripts it imports beside it are found too."""
    folder = str(TOP / "scripts")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
