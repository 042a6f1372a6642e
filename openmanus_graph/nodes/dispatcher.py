"""Dispatcher: the node that executes a plan as a DAG, every subtask durable on its own and no barrier between them.

LangGraph runs super-steps, so parallel branches would wait for the slowest. Here one node runs the graph of every
subtask as a branch, when its turn in the schedule has come. A subtask has ended once its own graph has committed the
result, by which a resume knows it.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphBubbleUp, GraphDrained, GraphInterrupt
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Interrupt

from openmanus_graph.agent_nodes import WORKERS
from openmanus_graph.checkpoints.durations import Learned, learn_durations, learned_durations, shrunk
from openmanus_graph.checkpoints.encryption.cipher import cipher_of
from openmanus_graph.checkpoints.lease import Lease
from openmanus_graph.checkpoints.progress import committed_results
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.context import ToolContext
from openmanus_graph.display_text import work_line
from openmanus_graph.errors import SettingsError
from openmanus_graph.events import Event, now, seconds_between
from openmanus_graph.langgraph_internals import CHECKPOINTER_KEY, NAMESPACE_KEY
from openmanus_graph.memory.embedding.choice import embed_of
from openmanus_graph.namespaces import LEVEL, SubtaskTask, plain_namespace
from openmanus_graph.nodes.dispatching.branches import Branches
from openmanus_graph.nodes.dispatching.calls import Calls
from openmanus_graph.nodes.dispatching.closing import Closing
from openmanus_graph.nodes.dispatching.collection import rarer_collections
from openmanus_graph.nodes.dispatching.task_calls import TaskCalls
from openmanus_graph.nodes.gate import ANSWER_ARRIVED, enter, holder_of, passing
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.outputs import digest_of, whole
from openmanus_graph.plan import Plan, Subtask
from openmanus_graph.plans.accepted import AcceptedPlans
from openmanus_graph.plans.sampled_order import sampled_order
from openmanus_graph.plans.schedule import Order, Schedule, expected_seconds, upward_ranks
from openmanus_graph.questions import question_of
from openmanus_graph.run_config import LEASE, MAX_PARALLEL, configurable_of, thread_id_of
from openmanus_graph.scope import scope_of
from openmanus_graph.state import PlanState, SubtaskResult, SubtaskState, SubtaskStatus
from openmanus_graph.tools.spec import spec_of
from openmanus_graph.workspace import workspace_of

SubtaskGraph = CompiledStateGraph[SubtaskState, SubtaskScope, SubtaskState, SubtaskState]

logger = logging.getLogger(__name__)

NODE = "dispatcher"
PREVIEW_CHARACTERS = 160
MOST_STARTING = 16
"""How many subtasks may be between their slot and the start of their work."""
BRIEFED = 1
"""The step of a subtask's graph in which an agent is briefed; the next one asks its model."""
SHORTEST_S = 0.001
"""What the scheduler learns of a subtask that took no measurable time; the scheduler takes 0 for *unknown*."""

Outcomes = dict[str, "asyncio.Future[SubtaskResult | None]"]
"""How each subtask ended, by id; `None` when it ended without a result: it waits for a person, or was drained."""


@dataclass
class Dispatch:
    """One execution of a plan by the dispatcher node."""

    plan: Plan
    state: PlanState
    config: RunnableConfig
    runtime: Runtime[Any]
    tools: Mapping[str, BaseTool]
    subtask_graph: SubtaskGraph
    settings: Settings
    background: str = ""
    """What agents are told of the request around the plan."""
    ended_with: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else the graph's state gets once every subtask has ended."""
    handed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What tools and agents are handed besides: the graph's `models` and `policy`."""
    outcomes: Outcomes = field(default_factory=dict[str, Any])
    interrupts: dict[str, tuple[Interrupt, ...]] = field(default_factory=dict[str, tuple[Interrupt, ...]])
    begun_before: set[str] = field(default_factory=set[str])
    """Namespaces in which an earlier process has stored something."""
    drained: str | None = None
    done: int = 0

    def __post_init__(self) -> None:
        configurable = configurable_of(self.config)
        self.thread_id = thread_id_of(self.config)
        self.lease: Lease | None = LEASE.get(configurable)
        saver = configurable.get(CHECKPOINTER_KEY)
        self.saver: BaseCheckpointSaver[Any] | None = saver if isinstance(saver, BaseCheckpointSaver) else None
        self.keeps_results = saver is None or isinstance(saver, ThreadSaver)
        """Whether a resume finds what subtask graphs have stored, as `_committed` does."""
        self.round = self.state.get("round", 0) + 1
        self.definitions: dict[str, str] = dict(self.plan.definition_hashes())
        self.subtasks: dict[str, Subtask] = {subtask.id: subtask for subtask in self.plan.subtasks}
        self.needs: dict[str, tuple[str, ...]] = self.plan.needs()
        self.specs = {name: spec_of(self.tools[name]) for name in {one.tool for one in self.plan.subtasks} if name}
        self.goals: dict[str, str] = {subtask.id: subtask.goal for subtask in self.plan.subtasks}
        self._level = plain_namespace(str((self.config.get("metadata") or {}).get(NAMESPACE_KEY, NODE)))
        self.workspace = workspace_of(self.state, self.thread_id)
        self.scope = scope_of(self.config, self.settings)
        self.holder = holder_of(self.runtime.control)
        self._emit = self.scope.emitter(self.runtime.stream_writer, str(self.round))
        self.max_parallel = _positive(configurable.get(MAX_PARALLEL.name, self.settings.max_parallel))
        self.took: dict[str, list[float]] = {}

    async def run(self) -> dict[str, Any]:
        """Execute every subtask that has no completed result, and give the results of all.

        Raises:
            GraphInterrupt: If subtasks wait for a person; it carries every open question.
            GraphDrained: If a drain was asked for and work is left.
        """
        self.closing = Closing(self.thread_id)
        try:  # what it has taken is closed, or stays open, whatever fails
            await self._run()
        finally:
            await self.closing.wait()
        if isinstance(self.saver, ThreadSaver):
            await learn_durations(self.saver, self.took)
        control = self.runtime.control
        if self.interrupts and control is not None and control.drain_reason == ANSWER_ARRIVED:
            raise GraphDrained(ANSWER_ARRIVED)  # the run goes on at once; what is open is asked then
        if self.interrupts:
            positions: dict[str, int] = {subtask.id: index for index, subtask in enumerate(self.plan.subtasks)}
            raise GraphInterrupt(
                tuple(
                    found
                    for key in sorted(self.interrupts, key=positions.__getitem__)
                    for found in self.interrupts[key]
                )
            )
        if self.drained is not None:
            raise GraphDrained(self.drained)
        results = {key: cast("SubtaskResult", outcome.result()) for key, outcome in self.outcomes.items()}
        self._tell_end(results)
        return {"plan": self.plan.to_dict(), "results": results, "round": self.round, **self.ended_with}

    async def _run(self) -> None:
        """Call the subtasks that have no completed result, and wait for all of them."""
        kept = self._kept(self.state.get("results") or {})
        committed = await self._committed()
        order = await self._ranked()
        self.workspace.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        self.outcomes = {subtask.id: loop.create_future() for subtask in self.plan.subtasks}
        known = {**committed, **kept}
        for key, result in known.items():
            self.outcomes[key].set_result(result)
        self.done = len(known)
        self._announce(list(known))
        self.calls = await self._calls(known)
        self.schedule = self._scheduled(order, known)
        if self.holder is not None:
            self.holder.follow(lambda: not self.schedule.settled)
        with rarer_collections():
            self._issue_first(known)
            await self.calls.all_ended()

    def _scheduled(self, order: Mapping[str, Order], known: Mapping[str, SubtaskResult]) -> Schedule:
        """The schedule of what is not known to have ended."""
        uses: dict[str, str | None] = {one.id: self.specs[one.tool].resource for one in self.plan.subtasks if one.tool}
        return Schedule(
            self.needs,
            order,
            self.max_parallel,
            resources=self.settings.resources,
            uses=uses,
            ended={key: result["status"] == "completed" for key, result in known.items()},
            most_starting=MOST_STARTING if self.holder is None else None,  # a holder holds each before it starts
        )

    def _kept(self, results: Mapping[str, SubtaskResult]) -> dict[str, SubtaskResult]:
        return {
            key: result
            for key, result in results.items()
            if result["status"] == "completed" and self.definitions.get(key) == result["definition"]
        }

    async def _ranked(self) -> Mapping[str, Order]:
        """The order for slots: priority, then the longest path to an end, then the place in the plan.

        Where every duration is known and no resource is limited, orders near that one are tried out too.
        """
        known: dict[str, Learned] = {}
        unstated = [one for one in self.plan.subtasks if one.expected_s is None]
        if unstated and isinstance(self.saver, ThreadSaver):
            known = await learned_durations(self.saver, {kind for one in unstated for kind in _kinds(one)})

        def learned(subtask: Subtask) -> float | None:
            kind, tool = _kinds(subtask)
            return shrunk(known.get(kind), known.get(tool))

        ranks = upward_ranks(self.plan, learned, self.needs)
        order: dict[str, Order] = {
            subtask.id: (-subtask.priority, -ranks[subtask.id], index)
            for index, subtask in enumerate(self.plan.subtasks)
        }
        seconds = expected_seconds(self.plan, learned)
        if len(seconds) < len(order) or self.settings.resources:
            return order
        return sampled_order(self.needs, order, seconds, self.max_parallel)

    async def _committed(self) -> dict[str, SubtaskResult]:
        """Results of this round that subtask graphs stored before an earlier process ended, in one query."""
        if not isinstance(self.saver, ThreadSaver):
            return {}
        found = await committed_results(self.saver, self.thread_id)
        places = {self._namespace(subtask) for subtask in self.plan.subtasks}
        self.begun_before = places & await self.saver.namespaces(self.thread_id, self._level + LEVEL)
        if self.lease is not None:
            self.lease.unwritten |= places - self.begun_before
            if self.holder is None:  # which shows what is stored
                self.lease.harmless.update(self._harmless())
        by_name = {self._name(subtask): subtask.id for subtask in self.plan.subtasks}
        return {by_name[name]: result for name, result in found.items() if name in by_name}

    def _harmless(self) -> Iterator[tuple[str, int]]:
        """Up to which step subtasks need not be committed before the next one: what follows only reads, or thinks."""
        for subtask in self.plan.subtasks:
            if subtask.agent in WORKERS:
                yield self._namespace(subtask), 0 if subtask.approval else BRIEFED
            elif subtask.tool is not None and self.specs[subtask.tool].effect == "read":
                yield self._namespace(subtask), 0

    def _name(self, subtask: Subtask) -> str:
        return SubtaskTask(subtask.id, self.definitions[subtask.id], self.round).name

    def _namespace(self, subtask: Subtask) -> str:
        """The namespace of the subtask's graph."""
        return f"{self._level}{LEVEL}{self._name(subtask)}"

    async def _calls(self, known: Collection[str]) -> Calls[SubtaskResult]:
        if not self.keeps_results:
            return TaskCalls()
        if not isinstance(self.saver, ThreadSaver):
            return Branches(self.config, None)
        begun = {
            str(one.id): self._name(one) for one in self.plan.subtasks if self._namespace(one) in self.begun_before
        }
        return await Branches[SubtaskResult].going_on(self.config, self.saver, begun, known)

    def _issue_first(self, known: Collection[str]) -> None:
        """Call the subtasks whose turn it is, and from then on each whose turn comes.

        With another saver all are called at once, in plan order: it keeps results by the number of the call.
        """
        if self.keeps_results:
            self.schedule.follow(lambda key: self._issue(self.subtasks[key]))
            return
        for subtask in self.plan.subtasks:
            if subtask.id not in known:
                self._issue(subtask)

    def _issue(self, subtask: Subtask) -> None:
        async def body() -> SubtaskResult:
            result = await self._execute(subtask)
            if self.keeps_results:
                self._conclude(subtask, result)  # another saver's resume would not find it before the task's own record
            return result

        self.calls.issue(self._name(subtask), body, lambda ended: self._settle(subtask, ended))

    async def _execute(self, subtask: Subtask) -> SubtaskResult:
        prerequisite = await self.schedule.turn(subtask.id)
        if prerequisite is not None:
            outcome = self.outcomes[prerequisite].result()
            if outcome is None:  # it waits for a person, or was drained
                raise GraphInterrupt(())
            return self._never_ran(subtask, "blocked", f"Its prerequisite {prerequisite!r} is {outcome['status']}.")
        await enter(self.runtime.control)
        if (budget := self.scope.spending.reached()) is not None:
            return self._never_ran(subtask, "skipped", self.scope.spending.describe(budget))
        if self.holder is not None:
            self.holder.began(self._namespace(subtask))
        return await self._run_graph(subtask)

    async def _run_graph(self, subtask: Subtask) -> SubtaskResult:
        run_name = f"{subtask.id}-{self.definitions[subtask.id]}-r{self.round}"
        sessions = self.closing.sessions_of(run_name)
        context = ToolContext(
            thread_id=self.thread_id,
            subtask_id=subtask.id,
            workspace=self.workspace,
            settings=self.settings,
            sandbox=cast("SandboxChoice", self.state.get("sandbox") or self.settings.sandbox),
            call_id=run_name,
            subtask_run=run_name,
            sessions=sessions,
            thread_sessions=self.closing.shared,
            sealing=self.saver.cipher if isinstance(self.saver, ThreadSaver) else cipher_of(self.settings),
            report=lambda text: self._progress(subtask, text),
            embed=embed_of(self.settings),
            **self.handed,
        )
        given = SubtaskScope(
            self.scope,
            self.emit,
            context,
            lookup=self._lookup,
            result_of=self._result_of,
            goals=self.goals,
            background=self.background,
        )
        start: SubtaskState = {
            "subtask": subtask.to_dict(),
            "definition": self.definitions[subtask.id],
            "attempts": 0,
            "approved": None,
            "started_at": None,
            "retry_at": None,
            "result": None,
            "round": self.round,
        }
        durable: dict[str, Any] = {} if self.saver is None else {"durability": "sync"}
        try:
            ended = await self.subtask_graph.ainvoke(start, context=given, **durable)
        except GraphInterrupt:
            self.closing.suspend(run_name, sessions)
            raise
        finally:  # not awaited here: nothing may stand between the committed result and its dependants
            self.closing.close(sessions)
        return cast("SubtaskResult", ended["result"])

    def _result_of(self, subtask_id: str) -> SubtaskResult:
        return cast("SubtaskResult", self.outcomes[subtask_id].result())

    def _lookup(self, subtask_id: str) -> Any:
        result = self.outcomes[subtask_id].result()
        return None if result is None else whole(result, self.workspace)

    def _never_ran(self, subtask: Subtask, status: SubtaskStatus, error: str) -> SubtaskResult:
        return SubtaskResult(
            status=status,
            output=None,
            error=error,
            attempts=0,
            started_at=None,
            finished_at=now(),
            definition=self.definitions[subtask.id],
            output_file=None,
        )

    def _conclude(self, subtask: Subtask, result: SubtaskResult) -> None:
        """Give the slot and the dependants of a subtask that has ended with a result on, and tell the views."""
        self.done += 1
        self.outcomes[subtask.id].set_result(result)
        self.schedule.ended(subtask.id, completed=result["status"] == "completed")
        if self.holder is not None:
            self.holder.ended(self._namespace(subtask))
        self._finished(subtask, result)

    def _settle(self, subtask: Subtask, ended: asyncio.Future[SubtaskResult]) -> None:
        """Conclude a subtask of which nothing has been told yet, or note why it has no result."""
        outcome = self.outcomes[subtask.id]
        if outcome.done():
            return
        error = None if ended.cancelled() else ended.exception()
        if not ended.cancelled() and error is None:
            self._conclude(subtask, ended.result())
            return
        if isinstance(error, GraphBubbleUp):
            self._note_stop(subtask, error)
            outcome.set_result(None)
        else:
            outcome.cancel()
        self.schedule.ended(subtask.id, completed=False)
        if self.holder is not None:
            self.holder.ended(self._namespace(subtask))

    def _note_stop(self, subtask: Subtask, stop: GraphBubbleUp) -> None:
        """Note the questions of a subtask that waits for a person, or that it was drained."""
        if isinstance(stop, GraphDrained):
            self.drained = stop.reason
        if not isinstance(stop, GraphInterrupt):
            return
        raised = tuple(cast("tuple[Interrupt, ...]", stop.args[0]))
        if raised:
            self.interrupts[subtask.id] = raised
        for open_one in raised:
            question = cast("dict[str, Any]", question_of(open_one))
            self.emit(Event(type="subtask_waiting", id=open_one.id, subtask=subtask.id, question=question))

    def emit(self, event: Event) -> None:
        """Complete an event with thread and time, and send it into the run's own stream."""
        if event.get("type") == "subtask_started":
            self.schedule.begun(event.get("subtask") or "")
        self._emit(event)
        if self.lease is not None:
            self.lease.progress = {"done": self.done, "total": len(self.plan.subtasks)}

    def _progress(self, subtask: Subtask, text: str) -> None:
        self.emit(
            Event(type="subtask_progress", id=f"{subtask.id}/progress/{digest_of(text)}", subtask=subtask.id, text=text)
        )

    def _announce(self, kept: list[str]) -> None:
        outline = [
            {
                "id": subtask.id,
                "goal": subtask.goal or work_line(None, subtask.tool, subtask.args),
                "runs": subtask.tool or subtask.agent,
                "needs": list(self.needs[subtask.id]),
            }
            for subtask in self.plan.subtasks
        ]
        # Each process announces it anew, because what is kept differs.
        name = f"plan_started/{0 if self.lease is None else self.lease.epoch}"
        self.emit(Event(type="plan_started", id=name, subtasks=outline, kept=kept, goal=self.plan.goal))

    def _finished(self, subtask: Subtask, result: SubtaskResult) -> None:
        started, finished = result["started_at"], result["finished_at"]
        output = result["output"]
        elapsed = seconds_between(started, finished) if started else 0.0
        if result["status"] == "completed" and started:
            for kind in set(_kinds(subtask)):
                self.took.setdefault(kind, []).append(max(elapsed, SHORTEST_S))
        shown = "" if output is None else output if isinstance(output, str) else repr(cast("object", output))
        self.emit(
            Event(
                type="subtask_finished",
                id=f"{subtask.id}/finished",
                subtask=subtask.id,
                status=result["status"],
                error=result["error"],
                elapsed_s=elapsed,
                preview=shown[:PREVIEW_CHARACTERS],
            )
        )

    def _tell_end(self, results: Mapping[str, SubtaskResult]) -> None:
        counts: dict[str, int] = {}
        for result in results.values():
            counts[result["status"]] = counts.get(result["status"], 0) + 1
        self.emit(Event(type="plan_finished", status=outcome_of(results), counts=counts))


def outcome_of(results: Mapping[str, SubtaskResult]) -> str:
    """`completed` if every subtask is, else `failed`."""
    return "completed" if all(result["status"] == "completed" for result in results.values()) else "failed"


def _kinds(subtask: Subtask) -> tuple[str, str]:
    """The kind of work that a subtask is, and its tool or agent; the same where it states no kind."""
    return subtask.work_kind, str(subtask.tool or subtask.agent)


def _positive(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise SettingsError(f"The setting 'max_parallel' cannot be {value!r}.", hint="Give a whole number from 1.")


def dispatcher_node(
    subtask_graph: SubtaskGraph,
    tools: Mapping[str, BaseTool],
    settings: Settings,
    plans: AcceptedPlans,
    background: Callable[[Any], str] | None = None,
    ended_with: Mapping[str, Any] | None = None,
    handed: Mapping[str, Any] | None = None,
) -> Callable[[PlanState, RunnableConfig, Runtime[Any]], Awaitable[dict[str, Any]]]:
    """The dispatcher node of a plan graph.

    Args:
        subtask_graph: What runs one subtask; the node's own function refers to it, so that drawings show it.
        tools: The tools by name.
        settings: The user's settings.
        plans: The plans that the graph has accepted; it accepts that of the state.
        background: What agents are told of the request around the plan, from the graph's state; `None` means nothing.
        ended_with: What else the graph's state gets once every subtask has ended; `None` means nothing.
        handed: What tools and agents are handed besides: `models`, `policy`; `None` means nothing.
    """

    async def dispatcher(state: PlanState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        async with passing(NODE, state, config, runtime):
            plan = plans.accept(state.get("plan", {}))
            known = "" if background is None else background(state)
            given = (plan, state, config, runtime, tools, subtask_graph, settings, known, ended_with or {})
            return await Dispatch(*given, handed=handed or {}).run()

    return dispatcher
