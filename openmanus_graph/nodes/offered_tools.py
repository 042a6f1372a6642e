"""Offered tools: those that an agent's subtask is offered in its next step, and those that it may ask for by name.

What a subtask asked for is read from its messages, so it is known again after a kill, and takes effect with the next
step. Schemas are most of an executor's prompt, and each is sent in every step: so few are offered to begin with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool

from openmanus_graph.agent_nodes import KNOWLEDGE
from openmanus_graph.context import FollowsChanges, ToolContext
from openmanus_graph.models.context import KEPT
from openmanus_graph.nodes.reply import TERMINATE, refusal
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.plan import Subtask
from openmanus_graph.tools.registry import builtin
from openmanus_graph.tools.spec import ToolSpec, spec_of, use_of

MORE_TOOLS = "more_tools"
"""The call by which an agent asks for tools; the executor's node answers it, and no tool's node makes it."""

NAMES: Mapping[str, Any] = {"names": {"type": "array", "items": {"type": "string"}}}
"""The arguments of `more_tools`."""
_READS = ToolSpec(effect="read", idempotent=True)


@dataclass(frozen=True)
class OfferedTools:
    """The tools of one step."""

    tools: list[BaseTool]
    """What the request carries, `more_tools` among them if there is anything to ask for."""
    others: dict[str, BaseTool]
    """Tools that may be asked for; a call of one without asking is made all the same."""

    @property
    def callable_names(self) -> list[str]:
        """The names that a call may have."""
        return [*(tool.name for tool in self.tools), *self.others]

    def answered(self, message: AIMessage) -> list[BaseMessage]:
        """A reply with the answers to its calls of `more_tools`; it is then kept from summaries."""
        if not any(tool.name == MORE_TOOLS and _is_ours(tool) for tool in self.tools):
            return [message]
        answers = [self._answer(made) for made in message.tool_calls if made["name"] == MORE_TOOLS]
        if not answers:
            return [message]
        kept = {**message.additional_kwargs, KEPT: True}
        return [message.model_copy(update={"additional_kwargs": kept}), *answers]

    def _answer(self, made: ToolCall) -> ToolMessage:
        names, key = _names(made["args"]), str(made["id"])
        offered = [tool.name for tool in self.tools]
        found = [name for name in names if name in self.others]
        unknown = [name for name in names if name not in self.others and name not in offered]
        said = [f"Offered from your next step on: {', '.join(found)}."] if found else []
        said += [f"{name!r} is offered already." for name in names if name in offered]
        if unknown or not names:
            wrong = f"There is no {', '.join(map(repr, unknown))} to be had" if unknown else "Give 'names'"
            said.append(f"{wrong}; you can ask for: {', '.join(self.others)}.")
        if unknown or not names:
            return refusal(key, MORE_TOOLS, " ".join(said))
        return ToolMessage(" ".join(said), tool_call_id=key, name=MORE_TOOLS)


def offered_tools(subtask: Subtask, roles: Roles, messages: Sequence[BaseMessage]) -> OfferedTools:
    """The tools of a subtask's next step; `terminate` is always among them.

    Args:
        subtask: One that names its tools is offered those, and can ask for no others; the agent `knowledge` those that
            read the Web and are not on request.
        roles: The tools that the graph was built with, and the policy, of which no tool is had that it always refuses.
        messages: The subtask's conversation so far.
    """
    ending = roles.tools.get(TERMINATE) or builtin(TERMINATE)
    if subtask.tools is not None or subtask.agent == KNOWLEDGE:
        usable = usable_tools(roles)
        web = [name for name, tool in usable.items() if reads_web(tool) and not spec_of(tool).on_request]
        names = web if subtask.tools is None else subtask.tools
        named = {name: roles.tools[name] for name in names if name in roles.tools}
        return OfferedTools(list({**named, TERMINATE: ending}.values()), {})
    offered = offered_of({name: tool for name, tool in usable_tools(roles).items() if name != TERMINATE}, messages)
    return OfferedTools([*offered.tools, ending], offered.others)


def offered_of(usable: Mapping[str, BaseTool], messages: Sequence[BaseMessage]) -> OfferedTools:
    """Of some tools those of the next step: without what is on request, but for what a conversation asked for.

    Args:
        usable: The tools that may be had.
        messages: The conversation so far.
    """
    asked = _asked_for(messages)
    chosen = {name: tool for name, tool in usable.items() if not spec_of(tool).on_request}
    chosen |= {name: usable[name] for name in asked if name in usable}
    chosen = chosen or dict(usable)
    others = {name: tool for name, tool in usable.items() if name not in chosen}
    more = [_more_tools(others)] if others and MORE_TOOLS not in usable else []
    return OfferedTools([*chosen.values(), *more], others)


async def roles_of_now(roles: Roles, context: ToolContext) -> Roles:
    """The roles with the tools as they are now: a server may have changed some of its own, or taken them away.

    Args:
        roles: What the graph was built with.
        context: The subtask's context, which knows what servers have said.
    """
    now: dict[str, BaseTool] = {}
    for name, tool in roles.tools.items():
        current: BaseTool | None = await tool.as_of_now(context) if isinstance(tool, FollowsChanges) else tool
        if current is not None:
            now[name] = current
    return roles if list(now.values()) == list(roles.tools.values()) else replace(roles, tools=now)


def reads_web(tool: BaseTool) -> bool:
    """Whether a tool only reads, and says which addresses: what it gives has a source that can be cited."""
    spec = spec_of(tool)
    return spec.source is not None and spec.effect == "read"


def usable_tools(roles: Roles) -> dict[str, BaseTool]:
    """The graph's tools without second names, and without those that the policy always refuses."""
    return {
        name: tool
        for name, tool in roles.tools.items()
        if spec_of(tool).alias_of is None and not roles.policy.always_denies(tool)
        if not isinstance(tool, FollowsChanges) or tool.is_there
    }


def _asked_for(messages: Sequence[BaseMessage]) -> list[str]:
    """The tools that a conversation asked for, or called, each once, in that order."""
    names: dict[str, None] = {}
    for message in messages:
        for made in message.tool_calls if isinstance(message, AIMessage) else ():
            names |= dict.fromkeys(_names(made["args"]) if made["name"] == MORE_TOOLS else [made["name"]])
    return list(names)


def _names(args: Mapping[str, Any]) -> list[str]:
    """The names that a call of `more_tools` gives, in a list or in one text."""
    given = args.get("names")
    listed = given.split(",") if isinstance(given, str) else cast("list[Any]", given) if isinstance(given, list) else []
    return list(dict.fromkeys(str(name).strip() for name in listed))


def _is_ours(tool: BaseTool) -> bool:
    return (tool.metadata or {}).get(MORE_TOOLS) is True


def _more_tools(others: Mapping[str, BaseTool]) -> BaseTool:
    lines = [f"- {name}: {use_of(tool)}" for name, tool in others.items()]
    words = "\n".join(["Get more tools, from your next step on. There are:", *lines])
    return declaration(MORE_TOOLS, words, NAMES, ["names"], {**_READS.metadata, MORE_TOOLS: True})


def _answered_by_the_node(**_: Any) -> str:
    raise NotImplementedError("The node whose model makes these calls answers them.")


def declaration(
    name: str,
    words: str,
    fields: Mapping[str, Any],
    required: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> BaseTool:
    """A call as a model is told of it, which the node that asks the model answers itself.

    Args:
        name: The call's name.
        words: What it does.
        fields: JSON Schemas of its arguments, by name.
        required: The arguments that it needs.
        metadata: The facts of a tool's spec; `None` states none.
    """
    schema: dict[str, Any] = {"type": "object", "properties": dict(fields)}
    schema |= {"required": list(required)} if required else {}
    return StructuredTool.from_function(
        _answered_by_the_node,
        name=name,
        description=words,
        args_schema=schema,
        infer_schema=False,
        metadata=None if metadata is None else dict(metadata),
    )
