"""Reach_hosts: the tool with which an agent asks a person to let its commands and code reach other hosts."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from openmanus_graph.approval import Approval
from openmanus_graph.config.sections import HostPattern
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import tool_context
from openmanus_graph.errors import ToolError, UnknownQuestionError
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.questions import ask
from openmanus_graph.sandbox.level import choose_level
from openmanus_graph.tools.spec import ToolSpec, builtin_tool
from openmanus_graph.tools.web.sandbox_network import hosts_of, note_of

MOST_HOSTS = 20
_HOSTS = TypeAdapter(list[HostPattern])


def _unavailable(settings: Settings) -> str | None:
    if settings.sandbox_new_hosts == "ask":
        return None
    return "The setting 'sandbox_new_hosts' is 'refuse', so nobody is asked for hosts. Set it to: ask"


# Its one effect comes after a person's own yes, which no policy can give in their place.
_SPEC = ToolSpec(
    effect="read",
    idempotent=True,
    returns={"hosts": [TEXT]},
    planned=False,
    on_request=True,
    unavailable=_unavailable,
)


class ReachHostsArguments(BaseModel):
    """What the tool takes."""

    model_config = ConfigDict(extra="forbid")

    hosts: list[HostPattern] = Field(
        min_length=1,
        max_length=MOST_HOSTS,
        description="Names or addresses, alone or with :PORT; *.example.com means every host below it.",
    )
    reason: str = Field(min_length=1, description="What they are needed for, for the person who is asked.")


@builtin_tool("reach_hosts", ReachHostsArguments, _SPEC)
async def reach_hosts(hosts: list[str], reason: str) -> dict[str, Any]:
    """Ask a person to let your commands and code reach hosts that they do not reach yet.

    Returns hosts, all that they reach from now on. It holds for this subtask. Shell and interpreter begin anew then.
    """
    context = tool_context()
    why = _unavailable(context.settings)
    if why is not None:
        raise ToolError(why)
    level = await asyncio.to_thread(choose_level, context.sandbox, context.settings)
    note = note_of(context.settings, level)
    if note is not None:
        raise ToolError(note)
    reached = (await hosts_of(context)).listed
    new = [host for host in dict.fromkeys(hosts) if host not in reached]
    if new:
        given: Approval = ask(
            f"May commands and code of {context.subtask_id!r} reach {', '.join(new)}?",
            subtask=context.subtask_id,
            kind="approve",
            tool="reach_hosts",
            args={"hosts": new, "reason": reason},
            reason=reason,
            check=_check,
        )
        if given.action == "reject":
            raise ToolError(f"A person did not allow it{f': {given.reason}' if given.reason else '.'}")
        allowed = new if given.args is None else _HOSTS.validate_python(given.args["hosts"])
        reached += [host for host in allowed if host not in reached]
    return {"hosts": list(reached)}


def _check(given: Approval) -> None:
    """Refuse an answer that says neither yes nor no, and an edit to what are no hosts.

    Raises:
        UnknownQuestionError: With what is wrong.
    """
    if given.action == "answer":
        raise UnknownQuestionError("This question takes a yes, a no or other hosts.")
    if given.args is not None:
        try:
            _HOSTS.validate_python(given.args.get("hosts"))
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UnknownQuestionError(
                f"The hosts {given.args.get('hosts')!r} cannot be allowed: {why}.",
                hint='Answer with hosts, such as: edit {"hosts": ["packages.example"]}',
            ) from error
