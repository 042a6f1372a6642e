"""Surroundings: the line that tells models of the day, the system, its Python packages and the network."""

from __future__ import annotations

import platform
import site
import sys
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from importlib.machinery import PathFinder

from openmanus_graph.config.settings import Settings
from openmanus_graph.tools.web.sandbox_network import network_sentence

USEFUL_PACKAGES = (
    "matplotlib",
    "pandas",
    "numpy",
    "scipy",
    "sklearn",
    "PIL",
    "openpyxl",
    "docx",
    "pypdf",
    "reportlab",
    "bs4",
    "lxml",
    "yaml",
    "requests",
    "duckdb",
    "sympy",
)
"""Packages that are told of where they are there, by the names that code imports them by."""
EXPECTED_PACKAGES = ("matplotlib", "pandas")
"""Packages that models take for granted: it is told, too, that one of them is not there."""
_RUNS_PYTHON = ("python_execute", "bash")
_REACHES_OUT = ("fetch_page", "web_search", "http_request")


def surroundings_line(
    tools: Collection[str], sandbox: str, *, settings: Settings | None = None, briefly: bool = False
) -> str:
    """The surroundings of a subtask, or of those to be planned, in a line.

    The date is as recordings and caches know it for one: it is no difference to them.

    Args:
        tools: The names of the tools that may be called.
        sandbox: The confinement chosen for the thread.
        settings: The hosts that commands and code reach, where they are confined; `None` means the defaults.
        briefly: Whether to leave out packages, and what the declarations of tools say.
    """
    parts = [f"It is {datetime.now().astimezone():%a %d %b %Y}, on {platform.system()}."]
    if any(name in tools for name in _RUNS_PYTHON):
        parts += [] if briefly else [_packages_sentence(installed_packages())]
        network = network_sentence(settings or Settings.model_construct(), sandbox)
        parts += [network] if network else []
    reaching = [name for name in _REACHES_OUT if name in tools]
    if reaching and not briefly:
        parts.append(f"The Web is reached by {', '.join(reaching)}.")
    return " ".join(parts)


def _packages_sentence(installed: Sequence[str]) -> str:
    missing = [name for name in EXPECTED_PACKAGES if name not in installed]
    version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    has = f"{version} has {', '.join(installed)}" if installed else f"{version} has its standard library"
    return f"{has}, but no {' and no '.join(missing)}." if missing else f"{has}."


@lru_cache(maxsize=1)
def installed_packages() -> tuple[str, ...]:
    """Those of `USEFUL_PACKAGES` that the interpreter of `python_execute` can import.

    It is the one that runs this, but confined, without a user's own folder of packages or `PYTHONPATH`.
    """
    return packages_in(site.getsitepackages())


def packages_in(folders: Sequence[str]) -> tuple[str, ...]:
    """Those of `USEFUL_PACKAGES` that are in folders of packages; a folder without code is none."""
    found = ((name, PathFinder.find_spec(name, folders)) for name in USEFUL_PACKAGES)
    return tuple(name for name, spec in found if spec is not None and spec.loader is not None and spec.origin)
