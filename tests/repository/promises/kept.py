"""Kept: the promises as files, how they are taken anew, and what of them no longer holds.

What is added breaks nothing and needs no new files. What is gone or different is told, each with the promise it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from tests.repository.promises import database, documented, files, program, runs, surface
from tests.repository.promises.documented import WHERE
from tests.repository.promises.inside import RENAMED

FOLDER = Path(__file__).with_name("kept")
UPDATE = "If the change is meant, write the promises anew and commit them: .venv/bin/python scripts/promises.py"
LINE = 120
"""Characters of a line of JSON, above which a value is written over several."""

WORDS = {
    "api.json": "The public API",
    "results.json": "What public functions give",
    "imports.json": "A documented import path",
    "help.txt": "The help of a command",
    "program.json": "The program as others find and set it",
    "plans.json": "How plans are hashed (stored results are found by it)",
    "schema.json": "The tables of databases that are in use",
    "stored.json": "What databases and workspaces of earlier runs hold",
    "graphs.json": "The graphs that stored threads go on with",
    "formats.json": "A file or a JSON output that others read",
}
"""What each file holds, in words."""


TAKEN: dict[str, Callable[[], Any]] = {
    "api.json": surface.public_names,
    "results.json": surface.results,
    "imports.json": documented.documented_names,
    "help.txt": program.help_texts,
    "program.json": program.everything,
    "plans.json": program.plan_definitions,
}
"""How the files are made that need no run."""


def with_database(url: str, folder: Path) -> dict[str, Any]:
    """The promises that real runs show, by file.

    Args:
        url: A database with our tables and no thread.
        folder: An empty folder.
    """
    store = database.Store(url, folder)
    tables = database.schema(store)
    exits, outputs = runs.run_everything(url, folder)
    return {
        "schema.json": tables,
        "stored.json": {
            "exit codes": exits,
            "threads": database.threads(store),
            "checkpoints": database.checkpoints(store),
            "events": database.events(store),
            "questions": database.questions(store),
            "other rows": database.other_rows(store),
        },
        "graphs.json": database.fingerprints(store),
        "formats.json": {
            "archive of a thread": files.archive(folder),
            "recording": files.recording(folder),
            "files of the engine in a workspace": files.engine_files(folder),
            "files of the embedded server": files.server_files(url),
            "--json": outputs,
        },
    }


def read(name: str) -> Any:
    """The promises of a file."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return json.loads(text) if name.endswith(".json") else _commands(text)


def write(promises: Mapping[str, Any]) -> list[str]:
    """Write files anew; the names of those that changed."""
    FOLDER.mkdir(exist_ok=True)
    changed: list[str] = []
    for name, value in promises.items():
        text = f"{pretty(value)}\n" if name.endswith(".json") else _page(value)
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    return changed


def pretty(value: Any, indent: int = 0) -> str:
    """JSON that is read and compared by lines: what fits on one is on one, keys in their order."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= LINE or not isinstance(value, dict | list) or not value:
        return flat
    inner = " " * (indent + 2)
    if isinstance(value, list):
        parts = [pretty(item, indent + 2) for item in cast("list[Any]", value)]
    else:
        items = cast("dict[str, Any]", value).items()
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {pretty(item, indent + 2)}" for key, item in items]
    left, right = "[]" if isinstance(value, list) else "{}"
    joined = f",\n{inner}".join(parts)
    return f"{left}\n{inner}{joined}\n{' ' * indent}{right}"


_HEAD = re.compile(r"^=== (.+) ===\n", re.MULTILINE)


def _page(texts: Mapping[str, str]) -> str:
    return "\n".join(f"=== {words} ===\n{text}\n" for words, text in texts.items())


def _commands(page: str) -> dict[str, str]:
    parts = _HEAD.split(page)
    return {words: text.rstrip("\n") for words, text in zip(parts[1::2], parts[2::2], strict=True)}


def broken(name: str, promised: Any, found: Any) -> list[str]:
    """What of a file's promises no longer holds, a sentence each."""
    differences = _help_lost(promised, found) if name == "help.txt" else _lost(promised, found)
    return [f"{WORDS[name]} changed, {where}" for where in differences]


def _lost(promised: Any, found: Any, where: str = "") -> Iterator[str]:
    if isinstance(promised, dict) and isinstance(found, dict):
        before, now = cast("dict[str, Any]", promised), cast("dict[str, Any]", found)
        for key, value in before.items():
            place = f"{where} → {key}" if where else key
            if key == WHERE:
                continue
            if key not in now:
                pages = (
                    f", and {', '.join(value[WHERE])} taught it" if isinstance(value, dict) and WHERE in value else ""
                )
                yield f"{place}: it is gone{pages}"
            elif key == "parameters":
                yield from (f"{place}: {problem}" for problem in _uncallable(value, now[key]))
            else:
                yield from _lost(value, now[key], place)
        yield from _required(before, now, where)
    elif isinstance(promised, list) and isinstance(found, list):
        there = [json.dumps(item, sort_keys=True) for item in cast("list[Any]", found)]
        for item in cast("list[Any]", promised):
            if json.dumps(item, sort_keys=True) not in there:
                yield f"{where}: {item!r} is gone"
        if where.endswith("→ required"):
            yield from (f"{where}: {item!r} is new" for item in cast("list[Any]", found) if item not in promised)
    elif promised not in (found, _former(found)):
        yield f"{where}: it was {promised!r}, and is {found!r}"


def _former(value: Any) -> Any:
    """A text with the types in it called as they were when they were promised."""
    if not isinstance(value, str):
        return value
    for new, old in RENAMED.items():
        value = re.sub(rf"\b{new}\b", old, value)
    return value


def _required(promised: Mapping[str, Any], found: Mapping[str, Any], where: str) -> Iterator[str]:
    """New fields of a class that whoever makes one would have to give."""
    if promised.get("kind") != "class":
        return
    fields = cast("dict[str, str]", found.get("fields") or {})
    for name in fields.keys() - cast("dict[str, str]", promised.get("fields") or {}).keys():
        if " = " not in fields[name]:
            yield f"{where}: its new field {name!r} has no default"


def _uncallable(promised: list[str], found: list[str]) -> Iterator[str]:
    """Why a call that was right may not be: parameters that are gone, others, elsewhere, or newly required."""
    found = [text if text in promised else _former(text) for text in found]
    by_place, by_name = _split(promised)
    places, names = _split(found)
    for number, text in enumerate(by_place):
        now = places[number] if number < len(places) else None
        if now != text:
            yield f"{text!r} is {'gone' if now is None else f'now {now!r}'}"
    anywhere = {*names, *places}
    yield from (f"{text!r} is gone or another one" for text in by_name if text not in anywhere)
    for text in [*places[len(by_place) :], *names]:
        if text not in promised and " = " not in text and not text.startswith("*"):
            yield f"the new {text!r} has no default"


def _split(texts: list[str]) -> tuple[list[str], list[str]]:
    """Parameters that go by place, and those that only go by name."""
    first = next((number for number, text in enumerate(texts) if text.startswith("*")), len(texts))
    return texts[:first], [text for text in texts[first:] if text != "*"]


def _help_lost(promised: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for words, text in promised.items():
        if words not in found:
            yield f"{words}: the command is gone"
            continue
        now = {_tight(entry) for entry in _entries(found[words])}
        for entry in _entries(text):
            if _tight(entry) not in now:
                yield f"{words}: it no longer says {entry!r}"


def _tight(text: str) -> str:
    """Without white space, which is as wide as the longest option."""
    return re.sub(r"\s", "", text)


def _entries(text: str) -> list[str]:
    """The usage, the paragraphs and the options of a help text; of commands inside only the names."""
    entries: list[str] = []
    section, fresh = "", True
    for line in text.splitlines():
        if not line.strip():
            fresh = True
        elif re.fullmatch(r"\w[\w ]*:", line):
            section = line
        elif section == "Commands:":
            entries += [line.split()[0]] if re.match(r"  \S", line) else []
        elif fresh or (section and re.match(r"  \S", line)):
            entries.append(line)
            fresh = False
        else:
            entries[-1] += f"\n{line}"
    return [" ".join(entry.split()) for entry in entries]
