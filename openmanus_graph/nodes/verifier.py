"""Verifier: the node that checks a subtask's outcome, first by what can be seen, then by a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import VERIFIER, WORKERS
from openmanus_graph.call_site import CallSite
from openmanus_graph.errors import (
    BudgetError,
    ContextOverflowError,
    ForeignTypeError,
    ModelError,
    ModelRefusedError,
    ToolArgumentsError,
)
from openmanus_graph.events import Event, Usage
from openmanus_graph.models.context import KEPT
from openmanus_graph.models.gateway import Structured, usage_of
from openmanus_graph.nodes.brief import clipped, request_sections
from openmanus_graph.nodes.checks import problems
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.material.evidence import LEAST_CHARACTERS, REFUSAL, Evidence, evidence_of, refusals
from openmanus_graph.nodes.material.untrusted_text import fenced
from openmanus_graph.nodes.outcome import ended, failed_or_again
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.nodes.turn import CHARACTERS_PER_TOKEN, MOST_CHARACTERS, SHORTENINGS
from openmanus_graph.plan import Subtask
from openmanus_graph.state import Draft, SubtaskState
from openmanus_graph.tools.spec import spec_of
from openmanus_graph.usage import add_usage

SHARE_FOR_EVIDENCE = 0.5
"""How much of the window evidence may take."""
REFUSALS_CHARACTERS = 4_000
WHY_CHARACTERS = 2_000

DONE_BY_GOAL = "The subtask above is done in full, and what it asks for is in the result or in the files."
AGAIN = "Answer once more: `verified` is true or false, `why` says what shows it or what is missing."
UNCHANGED = "Nothing has changed since it was refused: "
ASKED = "asked"
WHY = "why"
"""What a refusal's message keeps: the digest of what the model was asked, and its reason."""
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}

VERDICT = {
    "type": "object",
    "properties": {
        "verified": {"type": "boolean", "description": "Whether what done looks like is met in full."},
        "why": {"type": "string", "description": "What shows it, or what exactly is missing."},
    },
    "required": ["verified", "why"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Verdict:
    """The result of a check."""

    verified: bool | None
    """`None` when there was nothing to check by, or no check."""
    why: str
    usage: Usage | None = None
    asked: str = ""
    """Digest of what the model was asked; empty where none was."""
    failed: bool = False
    """Whether it could not be checked."""


async def check(roles: Roles, state: SubtaskState, draft: Draft, subtask: Subtask, run: SubtaskScope) -> Verdict:
    """Check an outcome against `done_when`, or, where that is empty, an executor's work against its goal.

    Raises:
        BudgetError: If there is no budget left for the model.
        ModelError: If the model cannot be asked.
        OpenManusGraphError: If what the subtask built on is gone.
    """
    if not subtask.done_when and subtask.agent not in WORKERS:
        return Verdict(None, "Nothing says what done looks like.")
    messages = state.get("messages") or []
    commands = {name for name, tool in roles.tools.items() if spec_of(tool).runs_commands}
    missing = problems(subtask.done_when or "", run.context.workspace, messages, commands, subtask.goal)
    if missing:
        return Verdict(False, " ".join(missing))
    refused = refusals(messages)
    question = await _question(roles, state, draft, subtask, run)
    digest = hashlib.sha256(question.text().encode("utf-8", "replace")).hexdigest()
    if refused and refused[-1].additional_kwargs.get(ASKED) == digest:
        why = str(refused[-1].additional_kwargs.get(WHY))
        return Verdict(False, UNCHANGED + why.removeprefix(UNCHANGED), asked=digest)
    if refused:
        listed = "\n".join(f"- {message.additional_kwargs.get(WHY)}" for message in refused)
        question.before = f"# What you found missing before\n{fenced(clipped(listed, REFUSALS_CHARACTERS))}"
    return replace(await _verdict(roles, state, subtask, run, question), asked=digest)


@dataclass
class _Question:
    head: str
    """What is to be judged."""
    evidence: Evidence
    """What it is judged by."""
    characters: int
    """How much of the evidence is shown."""
    before: str = ""
    """What was found missing before."""

    def text(self) -> str:
        self.evidence.share(self.characters)
        return "\n\n".join(part for part in (self.head, self.evidence.text(), self.before) if part)


async def _question(roles: Roles, state: SubtaskState, draft: Draft, subtask: Subtask, run: SubtaskScope) -> _Question:
    """What the model is asked, the same as long as nothing has changed."""
    sections = request_sections(subtask, run, "The subtask")
    if not subtask.done_when:
        sections.append(f"# It is done when\n{DONE_BY_GOAL}")
    if run.background:
        sections.append(run.background)
    head = "\n\n".join(sections)
    room = int(await roles.window(VERIFIER) * SHARE_FOR_EVIDENCE * CHARACTERS_PER_TOKEN)
    characters = max(min(room, MOST_CHARACTERS) - len(head), LEAST_CHARACTERS)
    return _Question(
        head, evidence_of(state.get("messages") or [], draft, subtask, run, state.get("started_at")), characters
    )


async def _verdict(
    roles: Roles, state: SubtaskState, subtask: Subtask, run: SubtaskScope, question: _Question
) -> Verdict:
    """The model's verdict; it is told once what was wrong with its reply."""
    usage: Usage | None = None
    problem = ""
    further: list[BaseMessage] = []
    for turn in (1, 2):
        place = CallSite(VERIFIER, subtask.id, 2 * (state.get("checks") or 0) + turn, state.get("round") or 1)
        found = await _asked(roles, place, run, question, further)
        usage = add_usage(usage, usage_of(found.message))
        value = cast("dict[str, Any]", found.value or {})
        verified = _TRUTHS.get(str(value.get("verified")).strip().lower())
        if verified is not None:
            return Verdict(verified, clipped(str(value.get("why") or ""), WHY_CHARACTERS), usage)
        problem = found.problem or f"'verified' is to be true or false, not {value.get('verified')!r}."
        said = str(found.message.text) or json.dumps(value, ensure_ascii=False)
        further = [AIMessage(clipped(said, WHY_CHARACTERS)), HumanMessage(f"That is no verdict. {problem} {AGAIN}")]
    why = f"The model that checks gave no verdict in two tries: {problem} What was done is not judged by that."
    return Verdict(None, why, usage, failed=True)


async def _asked(
    roles: Roles, place: CallSite, run: SubtaskScope, question: _Question, further: Sequence[BaseMessage]
) -> Structured:
    """The model's reply; of evidence that the provider finds too long, half is left out."""
    shortened = 0
    while True:
        try:
            return await roles.models.structured(
                place,
                [roles.prompt(VERIFIER), HumanMessage(question.text()), *further],
                scope=run,
                emit=run.emit,
                schema=VERDICT,
                name="verdict",
                description="Whether the subtask is done.",
            )
        except ContextOverflowError:
            if shortened == SHORTENINGS:
                raise
            shortened += 1
            question.characters = min(question.characters, question.evidence.shown) // 2


def verifier_node(roles: Roles) -> Node[SubtaskState]:
    """The gated node that ends a subtask, or sends it back to its executor with the reason."""

    async def verifier(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskScope]) -> dict[str, Any]:
        run = runtime.context
        subtask = Subtask.model_validate(state.get("subtask"))
        draft = cast("Draft", state.get("draft"))
        if draft["error"] is not None:
            return failed_or_again(state, run, draft["error"])
        try:
            verdict = await check(roles, state, draft, subtask, run)
        except ModelRefusedError:
            raise
        except (BudgetError, ModelError, ToolArgumentsError, ForeignTypeError) as error:
            verdict = Verdict(None, error.message, failed=True)
        return _judged(roles, state, draft, subtask, run, verdict)

    return gated(verifier, VERIFIER)


def _judged(
    roles: Roles, state: SubtaskState, draft: Draft, subtask: Subtask, run: SubtaskScope, verdict: Verdict
) -> dict[str, Any]:
    checks = (state.get("checks") or 0) + 1
    used: dict[str, Any] = {"checks": checks}
    if verdict.usage is not None:
        used["usage"] = verdict.usage
    state = cast("SubtaskState", {**state, "usage": add_usage(state.get("usage"), verdict.usage)})
    if verdict.failed:
        why = f"It could not be checked: {verdict.why}"
        return {**used, **failed_or_again(state, run, why, again=False, verified=None, why=why)}
    if verdict.verified is not None:
        run.emit(
            Event(
                type="subtask_verified",
                id=f"{subtask.id}/verified/{checks}",
                subtask=subtask.id,
                verified=verdict.verified,
                text=verdict.why,
            )
        )
    if verdict.verified is not False:
        return {**used, "draft": None, "result": ended(state, draft, verified=verdict.verified, why=verdict.why)}
    left = roles.settings.max_verifications - checks
    if subtask.agent in WORKERS and left > 0:
        return {**used, "draft": None, "messages": [_refusal(verdict, left)]}
    error = f"It ended, but it is not done: {verdict.why}"
    return {**used, **failed_or_again(state, run, error, again=False, verified=False, why=verdict.why)}


def _refusal(verdict: Verdict, left: int) -> HumanMessage:
    """What sends an agent back to its work; no summary takes it away."""
    more = "once more" if left == 1 else f"{left} more times"
    text = (
        f"Your result was checked, and it is not done yet: {verdict.why}\nCorrect that. It is checked {more} at most."
    )
    return HumanMessage(text, name=REFUSAL, additional_kwargs={ASKED: verdict.asked, WHY: verdict.why, KEPT: True})
