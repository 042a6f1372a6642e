"""Plan file: YAML or JSON text read into plain data, with the line of each part."""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from openmanus_graph.errors import PlanError
from openmanus_graph.plans.json_values import MAX_DEPTH, PlanPath, shown
from openmanus_graph.plans.yaml_reader import read_yaml

_UNICODE_BREAK = re.compile("[\x85\u2028\u2029]")

MAX_BYTES = 64 * 1024 * 1024
"""Bytes that a plan file may have."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass
class PlanSource:
    """The data of a plan file before it is a plan."""

    data: dict[str, Any]
    """The top-level mapping."""
    lines: dict[PlanPath, int] = field(default_factory=dict[PlanPath, int])
    """Line (from 1) that a part of a YAML file begins on; empty for JSON."""


def read_plan_file(path: str | os.PathLike[str]) -> PlanSource:
    """Read a plan file; `.json` is JSON, anything else is YAML unless it is JSON.

    Raises:
        PlanError: If it cannot be read, or its top level is not a mapping.
    """
    source = os.fspath(path)
    return plan_source(_text_of(Path(path), source), source)


def plan_source(text: str, source: str) -> PlanSource:
    """Read the text of a plan file.

    Args:
        text: The text.
        source: The name of the file, by which errors name it; where it ends in `.json` the text is JSON only.

    Raises:
        PlanError: If it is neither YAML nor JSON, or its top level is not a mapping.
    """
    if not text.strip():
        raise PlanError(["it is empty; write a mapping with 'subtasks'"], source=source)
    if source.lower().endswith(".json"):
        file = PlanSource(_json(text, source))
    elif text.lstrip().startswith("{"):
        try:
            file = PlanSource(_json(text, source))
        except PlanError:
            file = PlanSource(*read_yaml(text, source))
    else:
        file = PlanSource(*read_yaml(text, source))
    if not isinstance(cast("Any", file.data), dict):
        what = "nothing but comments" if cast("Any", file.data) is None else shown(file.data)
        raise PlanError([f"its top level is {what}; write a mapping with 'subtasks'"], source=source)
    return file


def _text_of(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        problem = "there is no such file; check the path"
    except IsADirectoryError:
        problem = "it is a folder; name the file in it"
    except PermissionError:
        problem = f"it may not be read by this account; run: chmod +r {source}"
    except (OSError, ValueError) as error:
        problem = f"it cannot be read: {getattr(error, 'strerror', None) or error}"
    else:
        if len(content) > MAX_BYTES:
            problem = f"it is larger than {MAX_BYTES // 2**20} MiB; keep data in files that the plan names"
        else:
            return _decoded(content, source)
    raise PlanError([problem], source=source)


def _decoded(content: bytes, source: str) -> str:
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"it is not a text file: byte {error.start} is not UTF-8; save it as UTF-8"
        raise PlanError([problem], source=source) from error
    control = _CONTROL.search(text)
    if control is not None:
        line = text.count("\n", 0, control.start()) + 1
        problem = f"line {line}: it is not a text file: it has the control character {control[0]!r}"
        raise PlanError([problem], source=source)
    return text


def _json(text: str, source: str) -> Any:
    duplicates: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key, value in pairs:
            if key in mapping:
                duplicates.append(f"the key {shown(key)} appears twice in one mapping; keep one of them")
            mapping[key] = value
        return mapping

    try:
        data = json.loads(text, object_pairs_hook=members)
    except json.JSONDecodeError as error:
        problem = f"line {error.lineno}, column {error.colno}: it is not JSON: {error.msg.lower()}"
        raise PlanError([problem], source=source) from error
    except RecursionError as error:
        raise PlanError([f"it is nested more than {MAX_DEPTH} levels deep; flatten it"], source=source) from error
    except ValueError as error:
        raise PlanError([f"it holds a number that cannot be read: {error}"], source=source) from error
    if duplicates:
        raise PlanError(duplicates, source=source)
    return data


def yaml_text(data: dict[str, Any]) -> str:
    """Plain data as YAML that reads back the same; text of several lines is written as a block."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def of_text(dumper: Any, text: str) -> Any:
        block = "\n" in text and "\r" not in text
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if block else None)

    Dumper.add_representer(str, of_text)
    options: dict[str, Any] = {"Dumper": Dumper, "sort_keys": False, "width": 100}
    dump = cast("Callable[..., str]", cast("Any", yaml).dump)
    text = dump(data, allow_unicode=True, **options)
    # PyYAML writes these three line breaks in a way that loses them, unless it escapes all but ASCII.
    if _UNICODE_BREAK.search(text):
        text = dump(data, **options)
    return text
