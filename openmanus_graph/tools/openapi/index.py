"""Index: the operations of a document as JSON, made once and kept in the data folder while its files are the same.

That of an address is read anew after a day; while the service does not answer, what is kept is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from openmanus_graph.config.sections import OpenApiSettings
from openmanus_graph.config.settings import Settings, config_file
from openmanus_graph.errors import ToolError
from openmanus_graph.files.atomic_write import put_file
from openmanus_graph.plans.json_schema import mapping_of
from openmanus_graph.tools.openapi.documents import SHIPPED, Documents, digest_of, is_address
from openmanus_graph.tools.openapi.operation import Operation
from openmanus_graph.tools.openapi.reader import Reader
from openmanus_graph.tools.openapi.schemas import Schema

OLD_S = 86_400.0
"""Seconds after which the document of an address is read anew."""
FORMAT = 1
"""What an index looks like; one of another format is made anew."""
_SHIPPED_NAME = re.compile(r"[a-z0-9_-]+")


@dataclass(frozen=True)
class Index:
    """The operations of one document."""

    title: str
    """What the document calls the service."""
    operations: dict[str, Operation]
    """Its operations by name."""
    defs: dict[str, Schema]
    """The schemas that they share."""
    problems: list[str]
    """What of it cannot be used, in sentences."""
    sources: dict[str, str]
    """Digest of each file."""
    at: float
    """When it was made, in seconds since 1970."""


def place_of(api: OpenApiSettings) -> str:
    """The path or address of a document.

    Raises:
        ToolError: If it is the name of a shipped one, and none has it.
    """
    if is_address(api.document):
        return api.document
    path = config_file().parent / Path(api.document).expanduser()
    shipped = SHIPPED / f"{api.document}.yaml"
    if _SHIPPED_NAME.fullmatch(api.document) and not path.exists() and shipped.exists():
        return str(shipped)
    return str(path)


def index_of(api: OpenApiSettings, settings: Settings, *, anew: bool = False) -> Index:
    """The index of an API: the one that is kept, or one made now.

    Args:
        api: The API.
        settings: The user's settings.
        anew: Whether the document is read in any case.

    Raises:
        ToolError: If the document cannot be used.
    """
    place = place_of(api)
    file = _file(settings.home, place, api)
    known = _kept(file)
    if known is not None and not anew and _is_current(known):
        return known
    try:
        made = _made(place, api, settings)
    except ToolError as error:
        if anew or known is None or not is_address(place):
            raise
        return replace(known, problems=[*known.problems, f"{error.message} What is kept of it is used."])
    _keep(file, made)
    return made


def _made(place: str, api: OpenApiSettings, settings: Settings) -> Index:
    documents = Documents(place, settings, api.reference_hosts)
    reader = Reader(documents)
    reader.read()
    info = mapping_of(mapping_of(documents.load(documents.root)).get("info"))
    return Index(
        title=str(info.get("title") or "")[:100],
        operations=reader.operations,
        defs=reader.schemas.defs,
        problems=reader.problems,
        sources=documents.sources,
        at=time.time(),
    )


def _is_current(index: Index) -> bool:
    """Whether every file is as it was, and no address was read too long ago."""
    for place, digest in index.sources.items():
        if is_address(place):
            if time.time() - index.at > OLD_S:
                return False
        elif _digest(place) != digest:
            return False
    return True


def _digest(place: str) -> str | None:
    try:
        return digest_of(Path(place).read_bytes())
    except OSError:
        return None


# ---------------------------------------------------------------- kept


def _file(home: Path, place: str, api: OpenApiSettings) -> Path:
    told = json.dumps([FORMAT, place, api.reference_hosts])
    return home / "openapi" / f"{hashlib.sha256(told.encode()).hexdigest()[:24]}.json"


def _keep(file: Path, index: Index) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fields: dict[str, Any] = {**vars(index), "operations": [one.to_dict() for one in index.operations.values()]}
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        put_file(folder, file.name, json.dumps(fields, separators=(",", ":")).encode())
    finally:
        os.close(folder)


def _kept(file: Path) -> Index | None:
    try:
        read: Mapping[str, Any] = json.loads(file.read_bytes())
        operations = [Operation.from_dict(one) for one in read["operations"]]
        return Index(
            title=read["title"],
            operations={one.name: one for one in operations},
            defs=read["defs"],
            problems=read["problems"],
            sources=read["sources"],
            at=read["at"],
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
