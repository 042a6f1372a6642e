"""Reference repair: rewrites references as models write them into the form that plans have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from langchain_core.tools import BaseTool

from openmanus_graph.agent_nodes import WORKERS
from openmanus_graph.plans.output_shape import shape_of

_DOUBLE_BRACES = re.compile(r"(?<!\{)\{\{\s*([^{}]+?)\s*\}\}(?!\})")
_BARE = re.compile(r"(?<![\w$\\])\$(?!\d)([A-Za-z0-9_-]+)((?:\.\w+)*)")
_OPENING = re.compile(r"(?<!\$)(?:\$\$)*\$\{")
_INDEX = re.compile(r"\[\s*(?:(\d+)|'([^'\[\]]*)'|\"([^\"\[\]]*)\")\s*\]")
_DOTTED = re.compile(r"\w+(?:\[[^\]]*\])*(?:\.\w[\w-]*(?:\[[^\]]*\])*)+", re.ASCII)
"""A name with a field, which no variable of a shell has."""
_DIGITS = re.compile(r"\d+")
_CONTAINERS = ("subtasks", "steps", "tasks", "results", "outputs")
_WHOLE = ("output", "outputs", "result", "answer")


class References:
    """Mends references to the subtasks of one plan."""

    def __init__(self, ids: Mapping[str, str], runs: Mapping[str, Any], tools: Mapping[str, BaseTool]) -> None:
        """Know a plan.

        Args:
            ids: Ids as the model wrote them, and as they become.
            runs: The tool or agent of each, by the new id.
            tools: The tools by name.
        """
        self._ids = ids
        self._runs = runs
        self._tools = tools

    def subtask_in(self, text: str) -> str:
        """The id that an entry of `needs` means; the text as it is if that is none."""
        inside = text.strip().removeprefix("${").removesuffix("}").strip()
        if inside in self._ids:
            return self._ids[inside]
        found = self._read(inside) if text != inside else None
        alike = [made for raw, made in self._ids.items() if raw.lower() == inside.lower()]
        return found[0] if found else alike[0] if len(alike) == 1 else text

    def mended(self, text: str, *, code: bool, runs: bool = False) -> str:
        """A text with references as plans have them.

        Args:
            text: Text of a goal or an argument.
            code: Whether it may have variables of its own: then `${x}` that is no subtask is taken literally.
            runs: Whether it is a command or program: then `${x.y}` can only be a reference, for validation to judge.
        """
        text = _DOUBLE_BRACES.sub(lambda found: self._written(found[1]) or found[0], text)
        if not code:
            text = _BARE.sub(lambda found: self._written(found[1] + found[2]) or found[0], text)
        parts: list[str] = []
        at = 0
        for opening in _OPENING.finditer(text):
            if opening.start() < at:
                continue
            end = text.find("}", opening.end())
            inside = text[opening.end() : end] if end != -1 else ""
            reference = self._written(inside)
            parts.append(text[at : opening.end() - 2])
            if reference is not None:
                parts.append(reference)
                at = end + 1
            else:
                is_reference = self._like_an_id(inside) or (runs and _DOTTED.fullmatch(inside.strip()))
                parts.append("$${" if code and not is_reference else "${")
                at = opening.end()
        return "".join(parts) + text[at:]

    def _like_an_id(self, inside: str) -> bool:
        """Whether it looks more like a subtask that is not there than like a variable."""
        head = inside.partition(".")[0]
        shapes = {_DIGITS.sub("#", raw) for raw in self._ids if _DIGITS.search(raw)}
        return _DIGITS.sub("#", head) in shapes or bool(get_close_matches(head, self._ids, n=1, cutoff=0.75))

    def _written(self, inside: str) -> str | None:
        found = self._read(inside)
        return None if found is None else "${" + ".".join((found[0], *found[1])) + "}"

    def _read(self, inside: str) -> tuple[str, tuple[str, ...]] | None:
        """The subtask and the path that are meant, or `None`."""
        text = _INDEX.sub(lambda found: "." + (found[1] or found[2] or found[3] or ""), inside.strip())
        raw = next((raw for raw in sorted(self._ids, key=len, reverse=True) if _begins(text, raw)), None)
        if raw is None:
            head, _, rest = text.partition(".")
            if head not in _CONTAINERS or not rest:
                return None
            return self._read(rest)
        path = tuple(_parts(text[len(raw) :]))
        if any(not part or (part[0] != '"' and re.search(r"[\s{}$\"]", part)) for part in path):
            return None
        return self._ids[raw], self._without_wrapper(self._ids[raw], path)

    def _without_wrapper(self, name: str, path: tuple[str, ...]) -> tuple[str, ...]:
        """The path without an `output` around it that no output has."""
        if not path or path[0] not in _WHOLE:
            return path
        runs = self._runs.get(name)
        shape = shape_of(self._tools[runs]) if isinstance(runs, str) and runs in self._tools else None
        if shape is not None:
            return path[1:] if isinstance(shape, dict) and path[0] not in shape else path
        # What an agent of our own says is text; with more behind it, an answer that is an object may be meant.
        return () if runs in WORKERS and len(path) == 1 else path


def _begins(text: str, raw: str) -> bool:
    return text == raw or text.startswith(f"{raw}.")


def _parts(rest: str) -> list[str]:
    return re.findall(r'\.("(?:[^"\\]|\\.)*"|[^.]*)', rest)
