"""Plug-ins: stores and embedders of installed packages, found by name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from openmanus_graph.errors import SettingsError
from openmanus_graph.loading.plugins import EMBEDDERS, STORES, find_objects
from openmanus_graph.memory.protocols import Embedder, EpisodicMemory


def episodic_store(name: str) -> EpisodicMemory:
    """The installed store of past requests called `name`.

    Raises:
        SettingsError: If no installed package brings it.
    """
    stores = find_objects(STORES, EpisodicMemory)
    if name not in stores:
        raise _missing("memory store", name, stores)
    return stores[name]


def embedder(name: str) -> Embedder:
    """The installed embedder called `name`.

    Raises:
        SettingsError: If no installed package brings it.
    """
    embedders = find_objects(EMBEDDERS, Embedder)
    if name not in embedders:
        raise _missing("embedder", name, embedders)
    return embedders[name]


def _missing(what: str, name: str, known: Iterable[str]) -> SettingsError:
    near = get_close_matches(name, known, 1)
    cure = f"Did you mean {near[0]!r}?" if near else f"The installed ones are: {', '.join(known) or 'none'}."
    return SettingsError(f"No installed package brings the {what} {name!r}.", hint=cure)
