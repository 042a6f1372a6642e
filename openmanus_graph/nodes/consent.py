"""Consent: the decision whether a call is made, by the policy or by a person whom the policy has asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool

from openmanus_graph.checkpoints.ledger import Effect
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import UnknownQuestionError
from openmanus_graph.plans.arguments import call_problems
from openmanus_graph.policy import Policy
from openmanus_graph.questions import Approval, Question, ask
from openmanus_graph.tools.spec import spec_of

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
    site: str | None = None
    """The site that it holds on; `None` if the call has none."""
    for_site: bool = False
    """Whether it holds for calls to come on that site, too."""
    recorded: Effect | None = None
    """The call as the ledger has it, where it has been made with other arguments."""


def consent_to(
    tool: BaseTool,
    args: Mapping[str, Any],
    context: ToolContext,
    policy: Policy | None,
    site: str | None = None,
) -> Consent:
    """Decide about a call; suspends the run where a person must be asked.

    Args:
        tool: The tool.
        args: Its arguments, references resolved.
        context: Whose call it is.
        policy: The policy; `None` allows every call.
        site: The site of the call, for which a person may say yes as a whole.
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
        reason=decision.reason if site is None else f"{decision.reason} {offer_of(site)}",
        about=site,
        site=site,
        check=lambda given: check_edit(given, tool, args, policy, context.workspace),
    )
    return replace(consent_of(approval, args), site=site, for_site=approval.covers == "site")


def offer_of(site: str) -> str:
    """What a person is told of a yes for a site."""
    return f"'yes for this site' allows such calls on {site} until the request is over."


def check_edit(
    approval: Approval, tool: BaseTool, args: Mapping[str, Any], policy: Policy | None, workspace: Path | None
) -> None:
    """Refuse an edit with arguments that the tool cannot take or the policy refuses; other approvals pass.

    Args:
        approval: What a person said, with all arguments of the call.
        tool: The tool.
        args: The arguments that were asked about.
        policy: The policy; `None` allows every call.
        workspace: The thread's folder, for the policy's patterns.

    Raises:
        UnknownQuestionError: With what is wrong.
    """
    if approval.action != "edit" or approval.args is None:
        return
    # Where a tool checks arguments itself, it may take what its schema does not have, and what it was given counts.
    known = call_problems(tool, args) if spec_of(tool).checks_arguments else []
    problems = [text for text in call_problems(tool, approval.args) if text not in known]
    if problems:
        what = "; it ".join(problems)
        raise UnknownQuestionError(
            f"The edited call cannot be made: it {what}{'' if what.endswith('?') else '.'}",
            hint="An edit names what it changes, as JSON; null takes an argument away.",
        )
    decision = None if policy is None else policy.decide(tool, approval.args, workspace=workspace)
    if decision is not None and decision.verdict == "deny":
        raise UnknownQuestionError(decision.refusal(tool.name), hint="Answer with other arguments, or with no: REASON.")


def check_asked_edit(
    question: Question,
    approval: Approval,
    tools: Mapping[str, BaseTool],
    policy: Policy | None,
    workspace: str | None,
) -> None:
    """Refuse an edit of a call before it is handed to the node that asked; that one checks it again.

    Args:
        question: What was asked.
        approval: What a person said, with all arguments of the call.
        tools: The graph's tools by name.
        policy: The policy; `None` allows every call.
        workspace: The thread's folder, or `None`.

    Raises:
        UnknownQuestionError: With what is wrong.
    """
    tool = tools.get(question.get("tool") or "")
    if tool is not None:
        folder = None if workspace is None else Path(workspace)
        check_edit(approval, tool, question.get("args") or {}, policy, folder)


def is_refused(tool: BaseTool, args: Mapping[str, Any], policy: Policy | None, workspace: Path | None) -> bool:
    """Whether the policy refuses a call, so that nobody needs to be asked, and nobody's word makes it."""
    return policy is not None and policy.decide(tool, args, workspace=workspace).verdict == "deny"


def consent_of(approval: Approval, args: Mapping[str, Any]) -> Consent:
    """The decision that a person's approval states."""
    if approval.action == "approve":
        return Consent(dict(args), asked=True)
    if approval.action == "edit":
        edited = dict(args if approval.args is None else approval.args)
        return Consent(edited, asked=True, edited=edited != dict(args))
    if approval.action == "answer":
        return Consent(None, asked=True, answered=True, value=approval.value)
    why = f": {approval.reason}" if approval.reason else "."
    return Consent(None, asked=True, refusal=f"A person did not approve it{why}")
