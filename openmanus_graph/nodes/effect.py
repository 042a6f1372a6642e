"""Effect: one call of a tool through the ledger.

A step that runs again finds there whether its call was made: it then takes the recorded result, makes the call again
with the same key, finds out, or asks a person.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp

from openmanus_graph.checkpoints.ledger import Effect, Intent, Ledger, hash_of, key_of, new_token, preview_of
from openmanus_graph.checkpoints.reuse.tool_results import ToolResults
from openmanus_graph.context import ToolContext
from openmanus_graph.effect_outcome import EffectOutcome, effect_outcome_of
from openmanus_graph.errors import ForeignTypeError, ToolArgumentsError, UnknownQuestionError
from openmanus_graph.events import Event
from openmanus_graph.langgraph_internals import NAMESPACE_KEY
from openmanus_graph.nodes.call import CallOutcome, call
from openmanus_graph.nodes.consent import Consent, consent_to
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.outputs import stored, whole
from openmanus_graph.plans.arguments import check_call
from openmanus_graph.policy import Policy
from openmanus_graph.questions import ask, asked_so_far, pass_over, pass_over_others
from openmanus_graph.run_config import IDEMPOTENCY, with_keys
from openmanus_graph.tools.spec import effect_of, in_ledger, schema_of, spec_of

VERIFY_S = 60.0
"""How long a tool's `verify` may take."""
SETTLE_S = 5.0
"""How long a cancelled run waits for what is known of a call to be written down."""
TOLD_HAPPENED = "The call had been made before; what it returned is not known."


def repeatable(tool: BaseTool, args: Mapping[str, Any]) -> bool:
    """Whether a call whose outcome is unknown may be made again."""
    return spec_of(tool).idempotent or not in_ledger(tool, args)


@dataclass(frozen=True)
class EffectCall:
    """One call, which a step makes each time it runs, and the ledger at most once."""

    tool: BaseTool
    context: ToolContext
    config: RunnableConfig
    run: SubtaskScope
    id: str
    """The id that the tool is told: of the model's call, or one that names a direct call."""

    def _ledger(self, args: Mapping[str, Any]) -> Ledger | None:
        if self.context.call_id is None or not in_ledger(self.tool, args):
            return None
        return Ledger.of(self.run.saver, self.config)

    def _intent(self, args: Mapping[str, Any]) -> Intent:
        facts = self.config.get("metadata") or {}
        return Intent(
            thread_id=self.context.thread_id,
            subtask=self.context.subtask_id,
            call_id=str(self.context.call_id),
            attempt=self.context.attempt,
            tool=self.tool.name,
            args_hash=hash_of(args),
            args=preview_of(args),
            namespace=str(facts.get(NAMESPACE_KEY, "")).rpartition("|")[0],
            step=int(facts.get("langgraph_step", 0)),
            skips=asked_so_far(),
            token=new_token(),
        )

    async def consent(self, args: Mapping[str, Any], policy: Policy | None) -> Consent:
        """The decision whether the call is made.

        A person who has approved a call that was begun is not asked again, and nobody is asked about one that its
        arguments will make fail.
        """
        try:
            check_call(self.tool, dict(args))
        except ToolArgumentsError:
            return Consent(dict(args))
        ledger = self._ledger(args)
        if ledger is not None and policy is not None:
            verdict = policy.decide(self.tool, args, workspace=self.context.workspace).verdict
            if verdict == "ask":
                intent = self._intent(args)
                found = await ledger.find(intent)
                settled = found is not None and found.status in ("done", "failed")
                if found is not None and (
                    settled or (found.status == "claimed" and found.args_hash == intent.args_hash)
                ):
                    other = found if found.args_hash != intent.args_hash else None
                    return Consent(dict(args), asked=True, recorded=other)
        site = await self._site(args, policy)
        if site is not None and await self.run.sites.has(site):
            self.context.report(f"{self.tool.name} is called without asking: {site} is allowed for this request")
            return Consent(dict(args), site=site)
        consent = consent_to(self.tool, args, self.context, policy, site)
        if consent.for_site and site is not None:
            await self.run.sites.add(self.config, site)
            name = f"{self.context.subtask_id}/site_allowed/{site}"
            subtask, tool = self.context.subtask_id, self.tool.name
            self.run.emit(Event(type="site_allowed", id=name, subtask=subtask, tool=tool, text=site))
        return consent

    async def _site(self, args: Mapping[str, Any], policy: Policy | None) -> str | None:
        """The site of a call that nobody's own rule is about; `None` if it has none, or need not be asked about."""
        site_of = spec_of(self.tool).site
        if site_of is None or policy is None:
            return None
        decision = policy.decide(self.tool, args, workspace=self.context.workspace)
        return await site_of(args, self.context) if decision.verdict == "ask" and decision.built_in else None

    async def make(self, consent: Consent, limit: float | None) -> CallOutcome:
        """Make the call, unless its outcome is known.

        Args:
            consent: What somebody has consented to.
            limit: Seconds it may take; `None` means no limit.

        Raises:
            GraphInterrupt: If a person must be asked whether it happened.
        """
        context = replace(self.context, site=consent.site)
        return await replace(self, context=context)._made(dict(consent.args or {}), limit)

    async def _made(self, args: dict[str, Any], limit: float | None) -> CallOutcome:
        ledger = self._ledger(args)
        if ledger is None:
            return await self._kept_or_called(args, limit)
        intent = self._intent(args)
        claimed = await self._claimed(ledger, intent, args)
        if isinstance(claimed, CallOutcome):
            return claimed
        try:
            outcome = await self._call(args, claimed.key, limit)
        except GraphBubbleUp:  # the tool itself asks a person, and begins again with the answer
            await ledger.settle(intent, claimed, "waiting")
            raise
        await self._settle(ledger, intent, claimed, outcome)
        return outcome

    async def _kept_or_called(self, args: dict[str, Any], limit: float | None) -> CallOutcome:
        """The outcome of a call that no ledger has: a result that is kept of one like it, else what it returns now."""
        seconds = spec_of(self.tool).cache_s
        if seconds is None or self.run.saver is None or effect_of(self.tool, args) != "read":
            return await self._call(args, self._own_key(args), limit)
        results, key = ToolResults(self.run.saver, self.run.owner), self._kept_as(args)
        if (found := await results.find(key, seconds)) is not None:
            output, age = found
            self.context.report(f"{self.tool.name} is not called: its result of {age:.0f} s ago is used")
            return CallOutcome(output)
        outcome = await self._call(args, self._own_key(args), limit)
        if outcome.error is None and outcome.portable:
            await results.keep(key, outcome.output, seconds)
        return outcome

    def _kept_as(self, args: Mapping[str, Any]) -> str:
        """What results are kept by: the tool as it is defined now, and the arguments."""
        defined = {"name": self.tool.name, "description": self.tool.description, "schema": schema_of(self.tool)}
        return f"{hash_of(defined)}/{hash_of(args)}"

    def _own_key(self, args: Mapping[str, Any]) -> str | None:
        """The key of a call that no ledger has."""
        context = self.context
        if context.call_id is None:
            return None
        return key_of(context.thread_id, context.subtask_id, context.call_id, hash_of(args))

    async def _call(self, args: dict[str, Any], key: str | None, limit: float | None) -> CallOutcome:
        config, context = self.config, replace(self.context, idempotency_key=key)
        if key is not None:
            config = with_keys(config, {IDEMPOTENCY: key})
        return await call(self.tool, args, context, config, limit, self.id)

    async def _claimed(self, ledger: Ledger, intent: Intent, args: dict[str, Any]) -> Effect | CallOutcome:
        """The claim under which the call is to be made, or its outcome where that is known."""
        found = await ledger.claim(intent)
        if found.token == intent.token:
            return found
        if found.status in ("done", "failed"):
            self.context.report(f"{self.tool.name} is not called again: how it ended is recorded")
            return replace(self._recorded(found), recorded=found)
        goes_on = spec_of(self.tool).goes_on
        if found.status == "waiting" and (goes_on is None or goes_on(self.context)):
            pass_over(found.skips)
            return await ledger.retake(replace(intent, skips=max(found.skips, intent.skips)), found.key)
        same = found.args_hash == intent.args_hash
        if same and spec_of(self.tool).idempotent:
            self.context.report(f"{self.tool.name} is called again with its idempotency key")
            return await ledger.retake(intent, found.key)
        known = await self._find_out(found, args if same else None)
        intent = replace(intent, skips=asked_so_far())
        if known.happened:
            outcome = CallOutcome(known.output if known.has_result else {"happened": True, "note": TOLD_HAPPENED})
            await self._settle(ledger, intent, found, outcome)
            return replace(outcome, recorded=found)
        if same:
            return await ledger.retake(intent, found.key)
        await ledger.settle(intent, found, "failed", error="It did not happen.", final=True)
        return await ledger.claim(intent, anew=True)

    async def _find_out(self, found: Effect, args: dict[str, Any] | None) -> EffectOutcome:
        """Whether a call happened: by the tool's `verify`, else by a person, for whom the run is suspended."""
        asked = "it asked a question, and its session ended before the answer came"
        reason = found.error or (asked if found.status == "waiting" else "its process ended before the call did")
        verify = spec_of(self.tool).verify
        if verify is not None and args is not None:
            self.context.report(f"{self.tool.name} finds out whether its call happened")
            given: Any = None
            try:
                async with asyncio.timeout(VERIFY_S):
                    given = verify(dict(args), replace(self.context, idempotency_key=found.key))
                    given = await given if inspect.isawaitable(given) else given
                if given is not None:
                    return effect_outcome_of(given)
            except GraphBubbleUp:
                raise
            except UnknownQuestionError:
                reason += f"; its 'verify' gave {given!r}"
            except Exception as error:  # noqa: BLE001 - whatever a user's hook raises, it has not found out
                reason += f"; its 'verify' failed with {type(error).__name__}: {error}"
        pass_over_others(found.token)
        moment = f"{found.claimed_at.astimezone():%Y-%m-%d %H:%M:%S}"
        return ask(
            f"Did the call of {found.tool} that {found.subtask!r} began at {moment} happen? {found.args}",
            subtask=self.context.subtask_id,
            kind="effect",
            tool=found.tool,
            args=args,
            reason=reason,
            about=found.token,
        )

    def _recorded(self, found: Effect) -> CallOutcome:
        output: Any = None if found.result is None else json.loads(found.result)
        if found.result_file is not None:
            try:
                kept: Any = {"output": output, "output_file": found.result_file}
                output = whole(kept, self.context.workspace)
            except ForeignTypeError as problem:
                return CallOutcome(error=f"The call was made, but its result is gone: {problem}", again=False)
        if found.status == "done":
            return CallOutcome(output)
        return CallOutcome(output, found.error or "It failed.", again=not found.final)

    async def _settle(self, ledger: Ledger, intent: Intent, effect: Effect, outcome: CallOutcome) -> None:
        """Record the outcome of a call, even of one whose run is being cancelled."""
        if not outcome.known:
            writing = ledger.settle(intent, effect, "claimed", error=outcome.error)
        else:
            text, file = self._stored(outcome.output)
            status = "done" if outcome.error is None else "failed"
            writing = ledger.settle(
                intent, effect, status, error=outcome.error, result=text, file=file, final=not outcome.again
            )
        settling = asyncio.ensure_future(writing)
        try:
            await asyncio.shield(settling)
        except asyncio.CancelledError:
            await asyncio.wait({settling}, timeout=SETTLE_S)
            raise

    def _stored(self, output: Any) -> tuple[str, str | None]:
        limit, subtask = self.context.settings.inline_output, self.context.subtask_id
        try:
            kept, file = stored(output, workspace=self.context.workspace, subtask_id=subtask, limit=limit)
        except (OSError, ValueError) as problem:
            kept, file = {"not_kept": str(problem)}, None
        return json.dumps(kept), file
