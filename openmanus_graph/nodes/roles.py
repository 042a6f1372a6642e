"""Roles: models, tools, agents, policy, prompts and settings that the nodes of a graph share."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path

from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool

from openmanus_graph.agent_nodes import COORDINATOR, EXECUTOR, PLANNER
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SettingsError
from openmanus_graph.loading.skills import find_skills
from openmanus_graph.models.gateway import Models
from openmanus_graph.policy import Policy

SKILLED = (COORDINATOR, PLANNER, EXECUTOR)
"""Roles that are told of skills."""
_VERSION = re.compile(r"\A<!--.*?-->\s*", re.DOTALL)


@dataclass(frozen=True)
class Roles:
    """What was chosen when the graph was built; one per graph."""

    models: Models
    """The gateway to the models."""
    tools: dict[str, BaseTool]
    """The tools by name."""
    agents: dict[str, str]
    """Descriptions of the agents that may be given subtasks, by name."""
    policy: Policy
    """Which calls are made, asked about or refused."""
    settings: Settings
    """The user's settings."""
    instructions: str = ""
    """More instructions for every role."""
    _read: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    _windows: dict[str, int] = field(default_factory=dict[str, int], repr=False)

    async def window(self, role: str) -> int:
        """Tokens of a role's model; asked in a thread, because the first answer imports LiteLLM."""
        if role not in self._windows:
            self._windows[role] = await asyncio.to_thread(self.models.window, role)
        return self._windows[role]

    @cached_property
    def _more(self) -> str:
        return "\n".join(text for text in (self.settings.instructions, self.instructions) if text)

    def prompt(self, role: str) -> SystemMessage:
        """The system prompt of a role: the user's own file if there is one, with the instructions after it."""
        more = f"\n\n# Instructions\n{self._more}" if self._more else ""
        skills = f"\n\n{self._skills}" if self._skills and role in SKILLED else ""
        return SystemMessage(self.text(role) + more + skills)

    @cached_property
    def _skills(self) -> str:
        """What skills there are; each one's instructions are got with a tool."""
        skills = find_skills(self.settings.skills)[0].values() if "use_skill" in self.tools else ()
        told = "\n".join(f"- {skill.name}: {skill.description}" for skill in skills)
        return f"# Skills: where one fits, call `use_skill` with its name, and do as it says\n{told}" if told else ""

    def text(self, role: str) -> str:
        """A role's prompt alone."""
        if role not in self._read:
            self._read[role] = prompt_text(role, self.settings.prompts)
        return self._read[role]


def prompt_text(role: str, folder: Path | None = None, *, of: str = "openmanus_graph.nodes") -> str:
    """A role's prompt, without the comment in its first line that has its version.

    Args:
        role: The role.
        folder: Where the user's own prompts are; one that lacks there is the built-in one.
        of: The package that has the built-in ones in its `prompts`.

    Raises:
        SettingsError: If the folder or the file cannot be read.
    """
    if folder is not None:
        if not folder.is_dir():
            raise SettingsError(f"The prompts' folder {str(folder)!r} does not exist.", hint="Correct `prompts`.")
        own = folder / f"{role}.md"
        if own.is_file():
            return _VERSION.sub("", own.read_text(encoding="utf-8")).strip()
    built_in = resources.files(of).joinpath("prompts", f"{role}.md")
    return _VERSION.sub("", built_in.read_text(encoding="utf-8")).strip()
