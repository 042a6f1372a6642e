"""Inside: every place within the package that the promises are taken from and that is no promise itself.

When a module moves, this is the one thing to change. All else is read through what users see: `openmanus_graph`,
its documented import paths, the command line, files, and rows of the database.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

INSIDE = {
    "command line": "openmanus_graph.cli:cli",
    "agent plug-ins": "openmanus_graph.loading.plugins:AGENTS",
    "tool plug-ins": "openmanus_graph.loading.plugins:TOOLS",
    "embedded server": "openmanus_graph.checkpoints.server.embedded:EmbeddedServer",
    "graph of a thread": "openmanus_graph.graphs.rebuild:rebuild_app",
}
"""`module:name` by what it is."""
RENAMED: dict[str, str] = {}
"""Types that signatures name and that no page teaches to import: what they are called now, and were when promised."""


def inside(what: str) -> Any:
    """The object of one of the places above."""
    module, _, name = INSIDE[what].partition(":")
    return getattr(import_module(module), name)
