"""Arguments: the names and the schema of an operation's arguments, whichever part of a request they go into."""

from __future__ import annotations

import re
from typing import Any

from openmanus_graph.tools.openapi.operation import ALL_PAGES
from openmanus_graph.tools.openapi.schemas import LONGEST_TEXT, Schema

LONGEST_NAME = 64
"""Characters of an argument's name, as providers take them."""
_ODD = re.compile(r"[^A-Za-z0-9_.-]+")


class Arguments:
    """The arguments of one operation."""

    def __init__(self) -> None:
        """Start without any."""
        self._properties: dict[str, Schema] = {}
        self._required: list[str] = []
        self._dependent: dict[str, list[str]] = {}

    def add(self, name: str, where: str, schema: Schema, *, required: bool, description: Any = None) -> str:
        """Add one; its name as an argument.

        Args:
            name: Its name at the service.
            where: The part of the request, which stands before the name where that is taken.
            schema: Its schema.
            required: Whether it must be given.
            description: What it is, if that is not said in the schema.
        """
        plain = _ODD.sub("_", name).strip("_.")[:LONGEST_NAME] or where
        argument, number = plain, 1
        while argument in self._properties or argument == ALL_PAGES:
            argument = f"{where}_{plain}"[: LONGEST_NAME - 4] + ("" if number == 1 else f"_{number}")
            number += 1
        if isinstance(description, str) and description.strip():
            schema = {**schema, "description": description.strip()[:LONGEST_TEXT]}
        self._properties[argument] = schema
        if required:
            self._required.append(argument)
        return argument

    def need_together(self, arguments: list[str], needed: list[str]) -> None:
        """Say that some must be given as soon as any of others is, as in a body that need not be there."""
        for argument in arguments if needed else ():
            self._dependent[argument] = needed

    @property
    def schema(self) -> Schema:
        """Their JSON Schema; unknown ones are refused."""
        made: Schema = {"type": "object", "properties": self._properties, "additionalProperties": False}
        if self._required:
            made["required"] = self._required
        if self._dependent:
            made["dependentRequired"] = self._dependent
        return made
