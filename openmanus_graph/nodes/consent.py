"""Consent: the decision whether a call is made, by the policy or by a person whom the policy has asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool

from openmanus_graph.context import ToolContext
from openmanus_graph.policy import Policy
from openmanus_graph.questions import Approval, ask

SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Consent:
    """A decision about a call."""

    args: dict[str, Any] | None
    """The arguments to make it with; `None` means that it is not made."""
    refusal: str | None = None
    """Why it is not made."""
    answered: bool = False
    """Whether a person gave a value in its place."""
    value: Any = None
    """That value."""
    asked: bool = False
    """Whether a person was asked."""
    edited: bool = False
    """Whether a person changed the arguments."""


def consent_to(tool: BaseTool, args: Mapping[str, Any], context: ToolContext, policy: Policy | None) -> Consent:
    """Decide about a call; suspends the run where a person must be asked.

    Args:
        tool: The tool.
        args: Its arguments, references resolved.
        context: Whose call it is.
        policy: The policy; `None` allows every call.
    """
    if policy is None:
        return Consent(dict(args))
    decision = policy.decide(tool, args, workspace=context.workspace)
    if decision.verdict == "allow":
        return Consent(dict(args))
    if decision.verdict == "deny":
        return Consent(None, refusal=decision.refusal(tool.name))
    shown = json.dumps(dict(args), ensure_ascii=False, default=str)
    if len(shown) > SHOWN_CHARACTERS:
        shown = shown[:SHOWN_CHARACTERS] + "…"
    approval = ask(
        f"May {context.subtask_id!r} call {tool.name} with {shown}?",
        subtask=context.subtask_id,
        kind="approve",
        tool=tool.name,
        args=args,
        reason=decision.reason,
    )
    return consent_of(approval, args)


def consent_of(approval: Approval, args: Mapping[str, Any]) -> Consent:
    """The decision that a person's approval states."""
    if approval.action == "approve":
        return Consent(dict(args), asked=True)
    if approval.action == "edit":
        return Consent(dict(approval.args or {}), asked=True, edited=True)
    if approval.action == "answer":
        return Consent(None, asked=True, answered=True, value=approval.value)
    why = f": {approval.reason}" if approval.reason else "."
    return Consent(None, asked=True, refusal=f"A person did not approve it{why}")
