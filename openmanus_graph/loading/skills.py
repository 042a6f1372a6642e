"""Skills: folders with instructions for a kind of work, as other agents read them, and the instructions of a workspace.

A skill is a folder with a `SKILL.md`, which begins with its name and description in YAML between lines of `---`
(https://agentskills.io/specification). Only folders that the settings name are looked into, as what stands there is
followed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from openmanus_graph.config.settings import Settings, config_file
from openmanus_graph.errors import ToolError, UsageError
from openmanus_graph.files.safe_paths import locate, open_parent, read_file, write_file
from openmanus_graph.values.storable_json import storable_text

SKILL_FILE = "SKILL.md"
AGENTS_FILE = "AGENTS.md"
NAME_CHARACTERS, DESCRIPTION_CHARACTERS = 64, 1_024
"""The longest name and description, as the specification has it."""
LARGEST_TEXT = 100_000
"""Bytes of a `SKILL.md`."""
LARGEST_INSTRUCTIONS = 32_768
"""Bytes of an `AGENTS.md`."""
MOST_FILES, MOST_BYTES = 500, 50_000_000
"""What a skill's folder may hold besides."""
MOST_SKILLS = 100
PLACE = "skills"
"""The folder of a workspace that files of skills are put into."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_HEAD = re.compile(r"\A---[ \t]*\r?\n(?P<head>.*?)^---[ \t]*\r?$\n?(?P<body>.*)\Z", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Skill:
    """A skill."""

    name: str
    """Its name, small letters, digits and hyphens."""
    description: str
    """What it does, and when it is of use."""
    folder: Path
    """Where it is."""


def find_skills(folders: Sequence[Path]) -> tuple[dict[str, Skill], list[str]]:
    """The skills of some folders by name, and what cannot be used in sentences.

    Args:
        folders: Folders whose folders are skills, or that are one, relative to that of the TOML file; of two with one
            name the first one counts.
    """
    found: dict[str, Skill] = {}
    problems: list[str] = []
    for folder in folders:
        top = config_file().parent / folder.expanduser()
        if not top.is_dir():
            problems.append(f"The folder of skills {str(folder)!r} does not exist.")
            continue
        places = [top] if (top / SKILL_FILE).is_file() else sorted(one.parent for one in top.glob(f"*/{SKILL_FILE}"))
        for place in places:
            skill = _skill_of(place)
            if isinstance(skill, str):
                problems.append(skill)
            elif skill.name in found:
                problems.append(f"The skill {skill.name!r} in {str(place)!r} is there already; the first one counts.")
            elif len(found) >= MOST_SKILLS:
                problems.append(f"There are more than {MOST_SKILLS} skills; {skill.name!r} is left out.")
            else:
                found[skill.name] = skill
    return found, problems


def _skill_of(folder: Path) -> Skill | str:
    """The skill in a folder, or why there is none."""
    try:
        head, _ = _parts(_text(folder / SKILL_FILE, LARGEST_TEXT))
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        return f"The skill in {str(folder)!r} cannot be read: {why}."
    name, description = str(head.get("name") or ""), " ".join(str(head.get("description") or "").split())
    if not _NAME.fullmatch(name) or len(name) > NAME_CHARACTERS:
        return f"The skill in {str(folder)!r} has the name {name!r}; it is small letters, digits and single hyphens."
    if not 0 < len(description) <= DESCRIPTION_CHARACTERS:
        return f"The skill {name!r} has a description of {len(description):,} characters; it has 1 to 1,024."
    return Skill(name, description, folder)


def _text(path: Path, largest: int) -> str:
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"it has more than {largest:,} bytes")
    return data.decode("utf-8-sig")


def _parts(text: str) -> tuple[dict[str, Any], str]:
    """What stands between the lines of `---`, and what stands below them.

    Raises:
        ValueError: If there are none.
        yaml.YAMLError: If what stands there is no YAML.
    """
    parts = _HEAD.match(text)
    head: Any = yaml.safe_load(parts["head"]) if parts is not None else None
    if parts is None or not isinstance(head, dict):
        raise ValueError("it does not begin with its name and description between lines of ---")
    return cast("dict[str, Any]", head), parts["body"].strip()


def instructions_of(skill: Skill) -> str:
    """What a skill says to do.

    Raises:
        ToolError: If it cannot be read any more.
    """
    try:
        return _parts(_text(skill.folder / SKILL_FILE, LARGEST_TEXT))[1]
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ToolError(f"The skill {skill.name!r} cannot be read any more: {error}.") from error


def copy_files(skill: Skill, workspace: Path) -> list[str]:
    """Put a skill's other files into a workspace, those that are there already and the same left alone; their paths.

    Raises:
        ToolError: If they are too many, or cannot be written.
    """
    found: list[str] = []
    size = 0
    for place, folders, names in os.walk(skill.folder):
        folders[:] = sorted(one for one in folders if not one.startswith(".") and not (Path(place) / one).is_symlink())
        for name in sorted(names):
            source = Path(place) / name
            relative = source.relative_to(skill.folder)
            if name.startswith(".") or source.is_symlink() or not source.is_file() or str(relative) == SKILL_FILE:
                continue
            size += source.stat().st_size
            if len(found) >= MOST_FILES or size > MOST_BYTES:
                raise ToolError(
                    f"The skill {skill.name!r} has more than {MOST_FILES} files or {MOST_BYTES:,} bytes.",
                    hint=f"Make its folder {str(skill.folder)!r} smaller.",
                )
            target = locate(workspace, f"{PLACE}/{skill.name}/{relative.as_posix()}")
            data = source.read_bytes()
            if not target.full.is_file() or read_file(target, MOST_BYTES)[0] != data:
                with open_parent(target, make=True):
                    write_file(target, data, mode=0o755 if os.access(source, os.X_OK) else None)
            found.append(target.path)
    return found


def workspace_instructions(workspace: Path, settings: Settings) -> str:
    """What the `AGENTS.md` of a workspace says, if it lies in a folder that is trusted; else nothing.

    Raises:
        OutsideWorkspaceError: If it is a link out of the workspace.
        UsageError: If it is too large.
    """
    trusted = [(config_file().parent / folder.expanduser()).resolve() for folder in settings.trusted_folders]
    if not any(workspace.resolve().is_relative_to(folder) for folder in trusted):
        return ""
    if not (workspace / AGENTS_FILE).is_file():
        return ""
    place = locate(workspace, AGENTS_FILE)
    if (size := place.full.stat().st_size) > LARGEST_INSTRUCTIONS:
        raise UsageError(
            f"The file {AGENTS_FILE!r} of the workspace has {size:,} bytes; it may have {LARGEST_INSTRUCTIONS:,}.",
            hint="Make it shorter, or take the workspace out of `trusted_folders`.",
        )
    data, _ = read_file(place, LARGEST_INSTRUCTIONS)
    return storable_text(data.decode("utf-8-sig", "replace")).strip()
