"""Program: what it is told from outside: commands, settings, variables, entry points, exit codes, files it brings."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
import typing
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click
from click.testing import CliRunner
from pydantic import AliasChoices, BaseModel

from tests.repository.promises.documented import TOP
from tests.repository.promises.inside import inside
from tests.repository.promises.surface import PACKAGE, fields_of

NAME = "openmanus-graph"
WIDTH = 80
VARIABLE = re.compile(r"[\"']((?:OPENMANUS_GRAPH|LLM|DATABASE|[A-Z]+_API|XDG)_[A-Z_]+)[\"']")


def everything() -> dict[str, Any]:
    """All that is told below, besides the help texts and the plans."""
    return {
        "settings": settings(),
        "variables": variables(),
        "entry points": entry_points(),
        "errors": errors(),
        "words": words(),
        "prompts": prompts(),
        "migrations": migrations(),
        "graphs of langgraph.json": server_graphs(),
        "scaffold": scaffold(),
    }


def help_texts() -> dict[str, str]:
    """What each command prints for `--help`, by the words that name it."""
    return dict(_help(inside("command line"), (NAME,)))


def _help(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    # Through the program itself: a command keeps the names of its help option from the context it is first run in.
    root = inside("command line")
    said = CliRunner().invoke(root, [*words[1:], "--help"], prog_name=NAME, terminal_width=WIDTH)
    assert said.exit_code == 0, said.output
    yield " ".join(words), said.output.rstrip()
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=words[-1])
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, name
            yield from _help(found, (*words, name))


def settings() -> dict[str, Any]:
    """Every setting by the path of its keys: its variable, type and default."""
    from openmanus_graph import Settings

    prefix = str(Settings.model_config.get("env_prefix"))
    separator = str(Settings.model_config.get("env_nested_delimiter"))
    found: dict[str, Any] = {}
    for name, kind in fields_of(Settings).items():
        field = Settings.model_fields[name]
        alias = field.validation_alias
        variable = str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"{prefix}{name.upper()}"
        inner = list(_models(field.annotation))
        # What a table holds is told by its own fields.
        found[name] = {"variable": variable, "is": kind.split(" = ")[0] if inner else kind}
        for model, many in inner:
            where = f"{name}.<name>" if many else name
            middle = f"{separator}<name>" if many else ""
            for key, declared in fields_of(model).items():
                path = f"{variable}{middle}{separator}{key.upper()}"
                found[f"{where}.{key}"] = {"variable": path, "is": declared}
    return found


def _models(kind: Any, many: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    """The models inside an annotation, and whether there are several, by name."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind, many
    for inner in typing.get_args(kind):
        yield from _models(inner, many or typing.get_origin(kind) is dict)


def variables() -> list[str]:
    """Environment variables that are named in the package's code."""
    found: set[str] = set()
    for path in (TOP / PACKAGE).rglob("*.py"):
        found |= set(VARIABLE.findall(path.read_text(encoding="utf-8")))
    return sorted(name for name in found if not name.endswith("_"))


def entry_points() -> dict[str, Any]:
    """What others find the program by, and what it finds others by."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    import openmanus_graph

    return {
        "scripts": project["scripts"],
        "extras": sorted(project["optional-dependencies"]),
        "plug-ins": {"agents": inside("agent plug-ins"), "tools": inside("tool plug-ins")},
        "IPython extension": sorted(name for name in _EXTENSION if callable(getattr(openmanus_graph, name, None))),
        "root links": {path.name: str(path.readlink()) for path in sorted(TOP.iterdir()) if path.is_symlink()},
    }


_EXTENSION = ("load_ipython_extension", "unload_ipython_extension")


def errors() -> dict[str, Any]:
    """Every error of `openmanus_graph.errors`: its exit code, and what catches it."""
    module = import_module(f"{PACKAGE}.errors")
    base = module.OpenManusGraphError
    return {
        name: {
            "exit code": kind.exit_code,
            "is": sorted(one.__name__ for one in kind.__mro__[1:] if issubclass(one, base)),
        }
        for name, kind in sorted(vars(module).items())
        if isinstance(kind, type) and issubclass(kind, base)
    }


def words() -> dict[str, list[str]]:
    """The words that fields of public classes may hold: events, statuses, kinds of questions."""
    import openmanus_graph

    fields = {
        "Event": ("type",),
        "Question": ("kind",),
        "Answer": ("kind",),
        "SubtaskResult": ("status",),
        "Thread": ("status",),
        "Approval": ("action",),
    }
    found: dict[str, list[str]] = {}
    for name, wanted in fields.items():
        hints = typing.get_type_hints(getattr(openmanus_graph, name))
        found |= {f"{name}.{field}": sorted(map(str, _literals(hints[field]))) for field in wanted}
    return found


def _literals(kind: Any) -> Iterator[Any]:
    if typing.get_origin(kind) is typing.Literal:
        yield from typing.get_args(kind)
    else:
        for inner in typing.get_args(kind):
            yield from _literals(inner)


def prompts() -> dict[str, str]:
    """The prompts' files, one a role as the setting `prompts` takes them, with a digest of each."""
    found = {path.name: path for path in (TOP / PACKAGE).rglob("prompts/*.md")}
    return {name: digest(path.read_bytes()) for name, path in sorted(found.items())}


def migrations() -> dict[str, str]:
    """The files that made the tables of databases out there, with a digest of each: none may ever change."""
    found = {path.name: path for path in (TOP / PACKAGE).rglob("sql/[0-9]*.sql")}
    return {name: digest(_statements(path.read_text(encoding="utf-8"))) for name, path in sorted(found.items())}


def _statements(text: str) -> bytes:
    """SQL without comments and white space."""
    return " ".join(re.sub(r"--.*", "", text).split()).encode()


def digest(data: bytes) -> str:
    """A short digest."""
    return hashlib.sha256(data).hexdigest()[:16]


def server_graphs() -> dict[str, str]:
    """The graphs of `langgraph.json` by the names that clients use."""
    stated = json.loads((TOP / "langgraph.json").read_text(encoding="utf-8"))
    return {name: graph["path"] for name, graph in stated["graphs"].items()}


def scaffold() -> list[str]:
    """The files that `openmanus-graph new` writes."""
    folder = TOP / PACKAGE / "scaffold"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.tmpl"))


def plan_definitions() -> dict[str, Any]:
    """Hashes of the subtasks of some plans: a stored result is kept only as long as its hash stays."""
    from openmanus_graph import Plan

    found: dict[str, Any] = {}
    for name, plan in PLANS.items():
        parsed = Plan.parse(plan)
        found[name] = {"plan": plan, "as stored": parsed.to_dict(), "hashes": parsed.definition_hashes()}
    return found


PLANS: dict[str, dict[str, Any]] = {
    "tools": {
        "goal": "A report",
        "subtasks": [
            {"id": "read", "tool": "list_files", "args": {"path": "."}},
            {"id": "ask", "goal": "Which one?", "tool": "ask_human", "args": {"inquire": "Which of ${read.files}?"}},
            {
                "id": "write",
                "tool": "str_replace_editor",
                "needs": ["read"],
                "priority": 2,
                "retries": 1,
                "args": {"command": "create", "path": "a.txt", "file_text": "${ask.answer}"},
            },
        ],
    },
    "agents": {
        "name": "two agents",
        "goal": "Überblick",
        "subtasks": [
            {"id": "look", "goal": "Look around", "agent": "executor", "tools": ["list_files"], "done_when": "seen"},
            {
                "id": "tell",
                "goal": "Tell about ${look}",
                "agent": "executor",
                "timeout_s": 60.0,
                "needs": ["look"],
                "kind": "browser",
                "expected_s": 3.0,
                "approval": True,
            },
        ],
    },
}
"""Fixed for good: other plans may be added, these never change."""
