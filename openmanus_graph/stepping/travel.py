"""Travel: forks that a stepper goes on in, with a changed plan, changed results or a changed state."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_type_hints

from langgraph.pregel import Pregel
from langgraph.types import Command
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from openmanus_graph.checkpoints.forking.fork import Fork, fork_thread
from openmanus_graph.checkpoints.history.checkpoint_ref import Point, chosen_point, points_of
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import UsageError
from openmanus_graph.events import now
from openmanus_graph.namespaces import DISPATCHER
from openmanus_graph.plan import Plan
from openmanus_graph.plans.accepted import AcceptedPlans
from openmanus_graph.state import SubtaskResult, SubtaskState
from openmanus_graph.stepping.record import StoredThread


@dataclass(frozen=True)
class Edits:
    """What is to be different in a fork."""

    plan: Plan | None = None
    results: Mapping[str, Any] | None = None
    """Outputs by subtask id; a dict with `status` and `output` is taken as a whole result."""
    values: Mapping[str, Any] | None = None
    """Values of the state by path, such as `task` or `subtask.args.command`."""


@dataclass(frozen=True)
class Forked:
    """A fork to go on in."""

    thread_id: str
    given: Any
    """What its graph is to be given."""
    overlay: Mapping[str, Any]
    """What `given` changes in the state once it runs."""
    missing: list[str]
    """Files whose contents were not kept."""
    subtask: str = ""
    """The subtask it was made in, whose step comes first; empty for the graph itself."""


def fork_of(app: Pregel[Any, Any, Any, Any], done: str) -> ThreadSaver:
    """The saver that can fork threads.

    Raises:
        UsageError: If the graph has none; `done` says what cannot be done then.
    """
    if isinstance(app.checkpointer, ThreadSaver):
        return app.checkpointer
    name = type(app.checkpointer).__name__
    raise UsageError(
        f"{done} needs forks, which a {name} does not make.",
        hint="Compile the graph with `saver = await open_checkpointer()` instead.",
    )


def checked_plan(app: Pregel[Any, Any, Any, Any], given: Any) -> Plan:
    """A plan that the graph can execute.

    Raises:
        PlanError: If it does not validate.
        UsageError: If the graph executes no plans.
    """
    builder: Any = getattr(app, "builder", None)
    plans: AcceptedPlans | None = getattr(builder, "plans", None)
    if plans is None:
        raise UsageError("This graph executes no plans.", hint="Edit its values: edit(values={...}).")
    return plans.accept(given)


def check_values(app: Pregel[Any, Any, Any, Any], values: Mapping[str, Any], *, inside: bool) -> None:
    """Raise if a value does not fit the state's schema.

    Args:
        app: The graph.
        values: New values by path; those of a whole channel are checked.
        inside: Whether they are of a subtask's state.

    Raises:
        UsageError: If one does not fit.
    """
    schema = SubtaskState if inside else getattr(getattr(app, "builder", None), "state_schema", None)
    try:
        hints = get_type_hints(schema) if schema is not None else {}
    except (NameError, TypeError):  # a schema of a cell that names what is not there any more
        return
    for name, value in values.items():
        if name not in hints:
            if hints and name.split(".")[0] not in hints:
                raise UsageError(f"The state has no {name!r}.", hint=f"It has: {', '.join(hints)}.")
            continue
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(hints[name], config=ConfigDict(arbitrary_types_allowed=True))
        except PydanticUserError:  # a type with rules of its own
            try:
                adapter = TypeAdapter(hints[name])
            except PydanticUserError:
                continue
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in (name, *first["loc"]))
            raise UsageError(
                f"{first.get('input')!r} does not fit {where!r} of the state: {first['msg']}.",
                hint="Nothing was changed.",
            ) from error


async def destination(
    saver: ThreadSaver, points: Sequence[Point], cursor: int | None, point: int | str | None, steps: int
) -> Point:
    """Where the cursor is to go.

    Args:
        saver: Where the thread is kept.
        points: Its points that have not been pruned.
        cursor: Where it is; `None`: at the head.
        point: Where to, as a person says it; `None` or `head` for the head.
        steps: How many points further instead, negative for back; 0: `point` says it.

    Raises:
        UnknownPointError: If there is no such point.
        UsageError: If it was pruned.
    """
    places = {known.number: index for index, known in enumerate(points)}
    if steps:
        here = len(points) - 1 if cursor is None else places[cursor]
        return points[min(max(here + steps, 0), len(points) - 1)]
    if point in (None, "head"):
        return points[-1]
    thread_id = points[-1].thread_id
    wanted = chosen_point(await points_of(saver, thread_id), str(point), thread_id)
    if wanted.number not in places:
        raise UsageError(f"The steps before point {wanted.number} were pruned.", hint="Go to a later one.")
    return points[places[wanted.number]]


async def forked(
    app: Pregel[Any, Any, Any, Any], thread_id: str, record: StoredThread, cursor: int | None, edits: Edits
) -> Forked:
    """Fork a thread at the cursor.

    Args:
        app: Its graph.
        thread_id: The thread.
        record: What is stored of it.
        cursor: The number of a point; `None` means the head.
        edits: What is to be different.

    Raises:
        UsageError: If something does not fit.
    """
    saver = fork_of(app, "Editing" if edits.plan or edits.results or edits.values else "Going on from an earlier point")
    if not record.exists:
        raise UsageError("Nothing of the thread is stored yet.", hint="Take a step first, or give another input.")
    points = await points_of(saver, thread_id)
    point = None if cursor is None else points[cursor - 1]
    check_values(app, edits.values or {}, inside=point is not None and point.subtask is not None)
    if point is not None:
        fork = await _at(saver, point, edits)
        return Forked(fork.thread.thread_id, fork.given, {}, fork.missing, point.subtask or "")
    committed = [key for key in edits.results or {} if key in record.begun and _completed(record, key)]
    if committed:
        return await _with_result(saver, thread_id, points, committed, edits)
    if DISPATCHER not in record.next or not record.begun:
        here = [candidate for candidate in points if not candidate.namespace][-1]
        fork = await _at(saver, here, edits, record)
        given = fork.given
        if record.over and edits.results and given is None:
            given = undone(app, edits.plan or record.plan)
        return Forked(fork.thread.thread_id, given, {}, fork.missing)
    update: dict[str, Any] = dict(edits.values or {})
    if nested := next((name for name in update if "." in name), None):
        raise UsageError(
            f"In the middle of a dispatch only whole values can be changed, not {nested!r}.",
            hint="goto a point first, or change a subtask's input and run it again: rerun('s1', values={...}).",
        )
    if edits.plan is not None:
        update["plan"] = edits.plan.to_dict()
    if edits.results:
        update["results"] = _results(edits.plan or record.plan, edits.results)
    fork = await fork_thread(saver, thread_id)
    overlay = {**update, "results": {**(record.values.get("results") or {}), **update.get("results", {})}}
    return Forked(fork.thread.thread_id, Command(update=update) if update else None, overlay, fork.missing)


def fork_text(fork: Forked, source: str, cursor: int | None) -> str:
    """A fork that was made, in words.

    Args:
        fork: It.
        source: The thread that it was made of.
        cursor: The number of the point it was made at; `None` means the head.
    """
    where = f"{source}@{cursor}" if cursor is not None else f"{source}, where that stands"
    text = f"The thread {fork.thread_id} goes on from {where}; {source} stays as it is."
    if fork.missing:
        text += f" Not there, because their contents were not kept: {', '.join(fork.missing[:5])}."
    return text


def undone(app: Pregel[Any, Any, Any, Any], plan: Plan | None) -> dict[str, Any]:
    """What a graph whose plan has ended is given to do what that left undone."""
    agent = getattr(getattr(app, "builder", None), "roles", None) is not None
    return {"again": True} if agent or plan is None else {"plan": plan.to_dict()}


def _completed(record: StoredThread, subtask: str) -> bool:
    return subtask in (record.values.get("results") or {})


async def _at(saver: ThreadSaver, point: Point, edits: Edits, record: StoredThread | None = None) -> Fork:
    """A fork at a point, with the edits in its state."""
    changes = dict(edits.values or {})
    for key, result in _results(edits.plan or (record.plan if record else None), edits.results or {}).items():
        if point.subtask is not None:
            raise UsageError("Results are no part of a subtask's state.", hint="goto a point of the graph itself.")
        changes[f"results.{key}"] = result
    address = f"{point.thread_id}@{point.number}"
    return await fork_thread(saver, address, edits=changes or None, plan=edits.plan)


async def _with_result(
    saver: ThreadSaver, thread_id: str, points: list[Point], committed: list[str], edits: Edits
) -> Forked:
    """A fork in which a subtask of the dispatch at hand ended otherwise; what builds on it runs again."""
    if len(committed) > 1 or len(edits.results or {}) > 1 or edits.plan is not None or edits.values:
        raise UsageError(
            f"Results of subtasks that have ended ({', '.join(committed)}) are changed one at a time.",
            hint=f"edit(results={{{committed[0]!r}: ...}}) first.",
        )
    subtask = committed[0]
    last = [point for point in points if point.subtask == subtask][-1]
    given = cast("Mapping[str, Any]", edits.results)[subtask]
    whole = cast("dict[str, Any]", given) if _is_result(given) else {"output": given}
    changes = {f"result.{key}": value for key, value in {"status": "completed", "error": None, **whole}.items()}
    changes["result.output_file"] = None
    fork = await fork_thread(saver, f"{thread_id}@{last.number}", edits=changes)
    return Forked(fork.thread.thread_id, fork.given, {}, fork.missing)


def _is_result(given: Any) -> bool:
    return isinstance(given, dict) and {"status", "output"} <= cast("dict[str, Any]", given).keys()


def _results(plan: Plan | None, given: Mapping[str, Any]) -> dict[str, SubtaskResult]:
    """Outputs as results of the plan's subtasks."""
    definitions = plan.definition_hashes() if plan is not None else {}
    results: dict[str, SubtaskResult] = {}
    for key, output in given.items():
        if key not in definitions:
            raise UsageError(f"The plan has no subtask {key!r}.", hint=f"It has: {', '.join(definitions) or 'none'}.")
        made = SubtaskResult(
            status="completed",
            output=output,
            error=None,
            attempts=0,
            started_at=None,
            finished_at=now(),
            definition=definitions[key],
            output_file=None,
        )
        results[key] = cast("SubtaskResult", {**made, **output}) if _is_result(output) else made
    return results
