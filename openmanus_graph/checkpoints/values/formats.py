"""Formats: codes of msgpack's extension types, LangGraph's and those of ours that it has none for.

What LangGraph knows is written as it writes it, so that its own savers read it too.
"""

from __future__ import annotations

import ormsgpack

ONE_ARGUMENT = 0
"""LangGraph: module, name and the one argument of a class; of an enum also the member's name."""
ARGUMENTS = 1
"""LangGraph: module, name and the list of arguments."""
FIELDS = 2
"""LangGraph: module, name and the fields of a dataclass or NamedTuple; ours adds a dataclass's other attributes."""
METHOD = 3
"""LangGraph: module, name, argument and the method that makes it."""
OLD_MODEL = 4
"""LangGraph: module, name and the fields of a model of Pydantic's first version."""
MODEL = 5
"""LangGraph: module, name, fields and a word; ours adds which fields were set, and the private attributes."""
ARRAY = 6
"""LangGraph: type, shape, order and bytes of a numpy array."""
DELTA = 7
"""LangGraph: a whole copy of a growing list."""
INTEGER = 64
"""Ours: an integer of more than 64 bits, as signed bytes, the highest first."""
TEXT = 65
"""Ours: text with halves of surrogate pairs, as UTF-8 that lets them pass."""
PAIRS = 66
"""Ours: a dict with keys that msgpack has no form for, as a list of pairs."""
SCALAR = 67
"""Ours: type and bytes of a numpy scalar."""

RAW = "model_validate_json"
"""The word behind a model's fields, which LangGraph writes and does not read."""

STRICT = (
    ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_UUID
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
)
"""Leaves nothing to msgpack that would come back as something else."""
WITH_KEYS = STRICT | ormsgpack.OPT_NON_STR_KEYS
"""The same, once the keys of dicts have been looked at."""

OUR_SAFE: frozenset[tuple[str, ...]] = frozenset(
    {
        ("builtins", "tuple"),
        ("builtins", "bytearray"),
        ("pathlib", "PurePath"),
        ("pathlib", "PurePosixPath"),
        ("pathlib", "PureWindowsPath"),
        ("pydantic.types", "SecretStr"),
        ("pydantic.types", "SecretBytes"),
    }
)
"""Module and name of what may be made beside LangGraph's safe types."""
