"""Use_skill: the tool with which an agent gets a skill's instructions, and its files."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import tool_context
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.loading.skills import copy_files, find_skills, instructions_of
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.tools.spec import ToolSpec, builtin_tool


def _unavailable(settings: Settings) -> str | None:
    return None if find_skills(settings.skills)[0] else "There are no skills: name a folder of them in `skills`."


_SPEC = ToolSpec(
    effect="write",
    idempotent=True,
    on_request=True,
    returns={"instructions": TEXT, "files": [TEXT]},
    unavailable=_unavailable,
)


class SkillArguments(BaseModel):
    """Which skill."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="The skill's name.")


@builtin_tool("use_skill", SkillArguments, _SPEC)
async def use_skill(name: str) -> dict[str, Any]:
    """Get the instructions of a skill, which are to be followed, and its files, which are put into skills/NAME."""
    context = tool_context()
    skills, _ = await asyncio.to_thread(find_skills, context.settings.skills)
    if name not in skills:
        raise ToolArgumentsError(f"There is no skill {name!r}.", hint=f"There are {', '.join(skills) or 'none'}.")
    context.report(f"reading the skill {name}")
    instructions = await asyncio.to_thread(instructions_of, skills[name])
    return {"instructions": instructions, "files": await asyncio.to_thread(copy_files, skills[name], context.workspace)}
