"""Resume preview: what a resume of a thread keeps, runs, repeats and asks, found out without writing or running."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from langgraph.types import StateSnapshot

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.ledger import Effect, EffectStatus, list_effects
from openmanus_graph.checkpoints.progress import committed_results, plan_in
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.standing import Standing, StandingKind
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.errors import UnknownThreadError
from openmanus_graph.langgraph_internals import CHECKPOINTER_KEY
from openmanus_graph.namespaces import DISPATCHER, SUBTASKS, SubtaskTask
from openmanus_graph.plan import Plan
from openmanus_graph.questions import Question
from openmanus_graph.tools.spec import spec_of

if TYPE_CHECKING:
    from openmanus_graph.graphs.durable import DurableGraph


SubtaskAction = Literal["kept", "continues", "waits", "starts", "starts anew", "blocked"]
"""`waits`: for the answer to a question; `starts anew`: from its beginning, although it was begun before."""
EffectAction = Literal["recorded", "repeated", "verified", "asked", "waits", "left"]
"""`recorded`: its outcome is known and no call is made; `repeated`: the call is made again with its key; `verified`:
the tool's hook finds out; `asked`: a person is; `waits`: the tool begins again once a person has answered it; `left`:
its subtask has ended, so nothing needs to know."""


@dataclass(frozen=True)
class SubtaskPreview:
    """What a resume does with one subtask."""

    id: str
    action: SubtaskAction
    """What it does."""
    status: str | None = None
    """How the subtask ended, where that is kept."""
    step: int | None = None
    """`continues`, `waits`: the step it goes on with."""
    nodes: tuple[str, ...] = ()
    """`continues`, `waits`: the nodes of that step that run."""
    why: str = ""
    """More in words."""


@dataclass(frozen=True)
class EffectPreview:
    """What a resume does about one call with an effect outside."""

    key: str
    """Its idempotency key."""
    subtask: str
    tool: str
    args: str
    """Its arguments, shortened, without what looks like a secret."""
    status: EffectStatus
    """What the ledger says of it."""
    action: EffectAction
    """What a resume does."""


@dataclass(frozen=True)
class ResumePreview:
    """What a resume of a thread would do now."""

    thread_id: str
    status: str
    """The thread's status."""
    standing: StandingKind
    """Where it stands."""
    step: int
    """The step of the whole graph that it goes on with."""
    nodes: tuple[str, ...]
    """The nodes of that step that run; none where the thread ran to its end."""
    recorded: tuple[str, ...]
    """The nodes of that step that have run, whose stored writes are taken up."""
    text: str
    """Where it stands, in a sentence."""
    subtasks: tuple[SubtaskPreview, ...]
    """Subtasks in plan order; none where there is no plan yet."""
    effects: tuple[EffectPreview, ...]
    """Calls with effects outside, oldest first."""
    questions: tuple[Question, ...]
    """What is asked already."""

    def as_json(self) -> dict[str, Any]:
        """The same in JSON types."""
        return asdict(self)


async def resume_preview(app: DurableGraph, thread_id: str) -> ResumePreview:
    """What a resume of a thread would do; nothing is written or run.

    Args:
        app: The thread's graph, compiled with a saver of `open_checkpointer`.
        thread_id: The thread.

    Returns:
        What happens to each subtask and each effect.

    Raises:
        UnknownThreadError: If there is no such thread.
    """
    saver = cast("ThreadSaver", app.checkpointer)
    thread = await get_thread(saver, thread_id)
    if thread is None:
        raise UnknownThreadError(f"There is no thread {thread_id!r}.", hint=f"List them: {shell_commands.LIST_THREADS}")
    return await _Previewer(app, saver, thread).look()


class _Previewer:
    """Reads a thread and previews its resume."""

    def __init__(self, app: DurableGraph, saver: ThreadSaver, thread: Thread) -> None:
        self.app = app
        self.saver = saver
        self.thread = thread
        self.committed: Mapping[str, Any] = {}
        self.begun: Collection[str] = ()
        self.questions: list[Question] = []
        self.effects: list[Effect] = []

    async def look(self) -> ResumePreview:
        thread_id = self.thread.thread_id
        standing = await self.app.standing(self.thread)
        if standing.error is not None:
            raise standing.error
        self.effects = await list_effects(self.saver, thread_id)
        self.questions = list(standing.questions)
        plan = plan_in(standing.values)
        subtasks = () if plan is None else await self._subtasks(plan, standing)
        over = {subtask.id for subtask in subtasks if subtask.action in ("kept", "blocked")}
        return ResumePreview(
            thread_id=thread_id,
            status=self.thread.status,
            standing=standing.kind,
            step=standing.step,
            nodes=standing.nodes,
            recorded=standing.recorded,
            text=standing.text,
            subtasks=subtasks,
            effects=tuple(self._effect(effect, over) for effect in self.effects),
            questions=tuple(self.questions),
        )

    def _effect(self, effect: Effect, over: Collection[str]) -> EffectPreview:
        return EffectPreview(
            effect.key, effect.subtask, effect.tool, effect.args, effect.status, self._fate(effect, over)
        )

    def _fate(self, effect: Effect, over: Collection[str]) -> EffectAction:
        if effect.status in ("done", "failed"):
            return "recorded"
        if effect.subtask in over:
            return "left"
        if effect.status == "waiting":
            return "waits"
        tools: Mapping[str, Any] = getattr(self.app.builder, "tools", None) or {}
        spec = spec_of(tools[effect.tool]) if effect.tool in tools else None
        if spec is not None and spec.idempotent:
            return "repeated"
        return "verified" if spec is not None and spec.verify is not None else "asked"

    async def _subtasks(self, plan: Plan, standing: Standing) -> tuple[SubtaskPreview, ...]:
        values = standing.values
        results: Mapping[str, Any] = values.get("results") or {}
        definitions = plan.definition_hashes()
        kept = {
            key: result
            for key, result in results.items()
            if result["status"] == "completed" and definitions.get(key) == result["definition"]
        }
        if not standing.goes_on:
            return tuple(self._after_the_end(subtask.id, kept, results) for subtask in plan.subtasks)
        if DISPATCHER not in standing.nodes + standing.recorded:  # what comes of the plan is not decided yet
            return tuple(SubtaskPreview(key, "kept", kept[key]["status"]) for key in definitions if key in kept)
        thread_id, number = self.thread.thread_id, int(values.get("round") or 0) + 1
        self.committed = await committed_results(self.saver, thread_id)
        self.begun = (await self.saver.latest_values(thread_id, SUBTASKS, "subtask")).keys()
        found: dict[str, SubtaskPreview] = {}
        for subtask in plan.in_order():
            task = SubtaskTask(subtask.id, definitions[subtask.id], number)
            result = kept.get(subtask.id) or self.committed.get(task.name)
            if result is not None:
                action: SubtaskAction = "blocked" if result["status"] == "blocked" else "kept"
                found[subtask.id] = SubtaskPreview(subtask.id, action, result["status"], why=result["error"] or "")
                continue
            stopped = next((key for key in subtask.prerequisites() if _stops(found[key])), None)
            if stopped is not None:
                ended = found[stopped].status or found[stopped].action
                found[subtask.id] = SubtaskPreview(
                    subtask.id, "blocked", why=f"Its prerequisite {stopped!r} is {ended}."
                )
            elif task.namespace in self.begun:
                found[subtask.id] = await self._going_on(subtask.id, task.namespace)
            else:
                found[subtask.id] = SubtaskPreview(subtask.id, "starts anew" if subtask.id in results else "starts")
        return tuple(found[subtask.id] for subtask in plan.subtasks)

    def _after_the_end(self, name: str, kept: Mapping[str, Any], results: Mapping[str, Any]) -> SubtaskPreview:
        if name in kept:
            return SubtaskPreview(name, "kept", "completed")
        if name not in results:
            return SubtaskPreview(name, "starts")
        return SubtaskPreview(name, "starts anew", why=f"It was {results[name]['status']}.")

    async def _going_on(self, name: str, namespace: str) -> SubtaskPreview:
        graph: Any = next((graph for at, graph in self.app.get_subgraphs() if at == DISPATCHER), None)
        where = {"thread_id": self.thread.thread_id, "checkpoint_ns": namespace, CHECKPOINTER_KEY: self.saver}
        snapshot: StateSnapshot = await graph.aget_state({"configurable": where})
        step = int((snapshot.metadata or {}).get("step", -1)) + 1
        # Those that ended in this step already are not run again; LangGraph has their writes.
        nodes = tuple(sorted({task.name for task in snapshot.tasks if task.result is None}))
        begun = {effect.tool for effect in self.effects if (effect.namespace, effect.step) == (namespace, step)}
        waits = any(
            question["subtask"] == name and not (question["kind"] == "approve" and question.get("tool") in begun)
            for question in self.questions
        )
        return SubtaskPreview(name, "waits" if waits else "continues", step=step, nodes=nodes)


def _stops(prerequisite: SubtaskPreview) -> bool:
    """Whether nothing that needs the subtask can run."""
    if prerequisite.action == "blocked":
        return True
    return prerequisite.action == "kept" and prerequisite.status != "completed"
