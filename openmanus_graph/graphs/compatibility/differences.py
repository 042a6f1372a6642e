"""Differences: changes between two fingerprints of a graph, in words, and whether each breaks a thread.

Only what the thread has used, or is about to use, can stand in its way: the nodes that are next, the fields that hold
something, the tools and arguments of its plan and of the calls of work that goes on. The rest is a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from openmanus_graph.agent_nodes import AGENT_PREFIX, EXECUTOR, WORKERS
from openmanus_graph.checkpoints.thread_position import UNKNOWN, Level, ThreadPosition, Use, structure_at
from openmanus_graph.errors import PlanError
from openmanus_graph.graphs.compatibility.value_type import fits, in_words, is_extended
from openmanus_graph.langgraph_internals import JOIN
from openmanus_graph.namespaces import DISPATCHER, task_of
from openmanus_graph.plan import Plan

_KEPT_BY = {
    ("LastValue", "BinaryOperatorAggregate"),
    ("BinaryOperatorAggregate", "LastValue"),
    ("DeltaChannel", "BinaryOperatorAggregate"),
}
"""Kinds of channels of which the second takes what the first has stored."""

_ANY_LIST = {"list": "any"}
"""What a growing list holds: of what type its items are is not known."""

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class GraphDifference:
    """One change of a graph."""

    text: str
    """What, in words."""
    breaks: bool
    """Whether the thread needs it as it was."""


def differences(old: Fields, new: Fields, standing: ThreadPosition) -> list[GraphDifference]:
    """The changes between two fingerprints, those that break the thread first.

    Args:
        old: The fingerprint of the graph that ran the thread last; empty if it is not known.
        new: That of the graph that is to go on with it.
        standing: Where the thread is.
    """
    uses = [*_plan_uses(standing.plan), *(use for level in standing.levels for use in level.uses)]
    found = [
        *_levels(old, new, standing),
        *_structure(old.get("graph") or {}, new["graph"], standing, (old.get("tools") or {}).keys() | new["tools"]),
        *_tools(old, new, uses),
        *_plan(old, new, standing.plan),
        *_prompts(old, new),
    ]
    # Of two with the same text that which breaks; of two where one only says more, that one.
    by_text = {difference.text: difference for difference in sorted(found, key=lambda difference: difference.breaks)}
    shown = [
        difference
        for text, difference in by_text.items()
        if not any(other.startswith(f"{text}, and ") for other in by_text)
    ]
    return sorted(shown, key=lambda difference: not difference.breaks)


def _inside(path: tuple[str, ...]) -> str:
    """The graph at a path, as a phrase."""
    if not path:
        return ""
    if task_of(path[-1]) is not None or path == (DISPATCHER,):
        return " of the graph that runs subtasks"
    return f" of the graph inside {path[-1]!r}"


def _levels(old: Fields, new: Fields, standing: ThreadPosition) -> Iterator[GraphDifference]:
    """Nodes that are due and gone, and stored fields that the graph no longer has."""
    for level in standing.levels:
        inside = _inside(level.path)
        now = structure_at(new["graph"], level.namespace)
        before = structure_at(old.get("graph") or {}, level.namespace) or {}
        if now is None:
            if level.due:
                yield GraphDifference(
                    f"the graph inside {level.path[-1]!r} is gone, and the thread is in the midst of it", True
                )
            continue
        for node in sorted(level.due - now["nodes"].keys() - {"__start__", "__end__"}):
            yield GraphDifference(f"the node {node!r}{inside} is gone, and the thread is about to run it", True)
        yield from _held(level, before.get("channels") or {}, now["channels"], inside)


def _held(level: Level, before: Fields, now: Fields, inside: str) -> Iterator[GraphDifference]:
    for name, value in level.channels.items():
        if name.startswith(JOIN):
            if level.due and name not in now:
                waits = name.rpartition(":")[2]
                yield GraphDifference(
                    f"the node {waits!r}{inside} no longer waits for the nodes that it waited for", True
                )
        elif name in before and name not in now:
            yield GraphDifference(
                f"the field {name!r} of the state{inside} is gone, and the thread has a value in it", True
            )
        elif name in before and not _is_same(before[name], now[name]):
            yield _changed_field(name, value, before[name], now[name], inside)


def _is_same(before: Fields, now: Fields) -> bool:
    """Whether a field of the state is as it was; more that its records may have changes nothing for a thread."""
    others = {**before, "holds": None} == {**now, "holds": None}
    return others and is_extended(before["holds"], now["holds"])


def _changed_field(name: str, value: Any, before: Fields, now: Fields, inside: str) -> GraphDifference:
    what = f"the field {name!r} of the state{inside}"
    if before["kind"] != now["kind"]:
        taken = (before["kind"], now["kind"]) in _KEPT_BY or now["kind"] == "DeltaChannel"
        if before["kind"] == "DeltaChannel":  # LangGraph puts its writes together again; of items no types are known
            fitting = before["holds"] == now["holds"] or (before["holds"] == _ANY_LIST and fits([], now["holds"]))
        else:
            fitting = value is UNKNOWN or fits(value, now["holds"])
        kept = taken and fitting
        return GraphDifference(f"{what} is kept in another way: {before['kind']} before, {now['kind']} now", not kept)
    if before["holds"] != now["holds"]:
        text = f"{what} was {in_words(before['holds'])} and is now {in_words(now['holds'])}"
        if in_words(before["holds"]) == in_words(now["holds"]):
            text = f"{what} holds something else than before"
        return GraphDifference(text, value is not UNKNOWN and not fits(value, now["holds"]))
    return GraphDifference(
        f"{what} is merged by {now.get('merged by')!r}, no longer by {before.get('merged by')!r}", False
    )


def _structure(
    old: Fields, new: Fields, standing: ThreadPosition, tools: set[str], path: tuple[str, ...] = ()
) -> Iterator[GraphDifference]:
    """Nodes, edges and fields that came or went, where the thread has nothing to do with them."""
    if not old:
        return
    inside = _inside(path)
    nodes, before = new["nodes"], old["nodes"]
    as_tools = tools if path else set[str]()  # nodes of the graph that runs subtasks, which `_tools` compares
    for node in sorted((before.keys() - nodes.keys()) - as_tools):
        yield GraphDifference(f"the node {node!r}{inside} is gone", False)
    for node in sorted((nodes.keys() - before.keys()) - as_tools):
        yield GraphDifference(f"the node {node!r}{inside} is new", False)
    both = {*(before.keys() & nodes.keys()), "__start__", "__end__", "any node"}
    for edge in sorted({*old["edges"]} ^ {*new["edges"]}):
        if {name for end in edge.split(" → ") for name in end.split(" + ")} <= both:
            yield GraphDifference(f"the edge {edge}{inside} is {'gone' if edge in old['edges'] else 'new'}", False)
    ours = DISPATCHER in nodes or path[:1] == (DISPATCHER,)
    yield from _fields(old["channels"], new["channels"], inside, ours=ours)
    for node in sorted(before.keys() & nodes.keys()):
        inner, now = before[node].get("graph"), nodes[node].get("graph")
        if inner and now:
            yield from _structure(inner, now, standing, tools, (*path, node))
        elif inner or now:
            yield GraphDifference(
                f"the node {node!r}{inside} {'no longer runs' if inner else 'now runs'} a graph", False
            )


def _fields(before: Fields, now: Fields, inside: str, *, ours: bool) -> Iterator[GraphDifference]:
    """Fields of the state that came, went or changed; of the engine's own graphs not those that came."""
    for name in sorted({*before} ^ {*now}):
        if not name.startswith(JOIN) and not (ours and name in now):
            state = "gone" if name in before else "new"
            yield GraphDifference(f"the field {name!r} of the state{inside} is {state}", False)
    for name in sorted({*before} & {*now}):
        if not _is_same(before[name], now[name]):
            # What is in it is judged where it is held; this is the note where nothing is.
            yield GraphDifference(_changed_field(name, UNKNOWN, before[name], now[name], inside).text, False)


def _plan_uses(plan: Fields | None) -> Iterator[Use]:
    """The calls that a plan names."""
    for subtask in cast("list[dict[str, Any]]", (plan or {}).get("subtasks") or []):
        by = f"the subtask {subtask.get('id')!r}"
        if subtask.get("tool"):
            yield Use(str(subtask["tool"]), subtask.get("args") or {}, True, by)
        for name in subtask.get("tools") or ():
            yield Use(str(name), {}, False, by)


def _tools(old: Fields, new: Fields, uses: list[Use]) -> Iterator[GraphDifference]:
    before, now = cast("Fields", old.get("tools") or {}), cast("Fields", new["tools"])
    used: dict[str, list[Use]] = {}
    for use in uses:
        used.setdefault(use.tool, []).append(use)
    for name in sorted(before.keys() - now.keys()):
        by = used.get(name)
        yield GraphDifference(f"the tool {name!r} is gone" + (f", and {by[0].by} uses it" if by else ""), bool(by))
    if before:
        for name in sorted(now.keys() - before.keys()):
            yield GraphDifference(f"the tool {name!r} is new", False)
    for name in sorted(before.keys() & now.keys()):
        if before[name] != now[name]:
            yield from _tool(name, before[name], now[name], used.get(name, []))


def _tool(name: str, before: Fields, now: Fields, uses: list[Use]) -> Iterator[GraphDifference]:
    for argument in sorted(before["args"].keys() - now["args"].keys()):
        by = next((use.by for use in uses if argument in use.args), None)
        text = f"the tool {name!r} has lost its argument {argument!r}" + (f", which {by} gives" if by else "")
        yield GraphDifference(text, by is not None and not now["open"])
    for argument in sorted({*now["required"]} - {*before["required"]}):
        by = next((use.by for use in uses if use.open and argument not in use.args), None)
        text = f"the tool {name!r} now needs the argument {argument!r}" + (f", which {by} does not give" if by else "")
        yield GraphDifference(text, by is not None)
    for argument in sorted(now["args"].keys() - before["args"].keys() - {*now["required"]}):
        yield GraphDifference(f"the tool {name!r} has a new argument {argument!r}", False)
    for argument in sorted(before["args"].keys() & now["args"].keys()):
        was, holds = before["args"][argument], now["args"][argument]
        if was != holds:
            by = next((use.by for use in uses if use.open and _misfits(use.args.get(argument), holds)), None)
            text = f"the argument {argument!r} of the tool {name!r} was {in_words(was)} and is now {in_words(holds)}"
            if in_words(was) == in_words(holds):
                text = f"the argument {argument!r} of the tool {name!r} takes something else than before"
            yield GraphDifference(text + (f", which does not fit what {by} gives" if by else ""), by is not None)
    if before["effect"] != now["effect"]:
        # A call that was begun as an external one would be repeated as if it did no harm.
        risky = before["effect"] == "external" and any(use.open for use in uses)
        yield GraphDifference(
            f"the effect of the tool {name!r} was {before['effect']} and is now {now['effect']}", risky
        )
    if before["words"] != now["words"]:
        yield GraphDifference(f"the description of the tool {name!r} has changed", False)


def _misfits(value: Any, holds: Any) -> bool:
    if value is None or (isinstance(value, str) and "${" in value):  # what a reference stands for is not known yet
        return False
    return not _has_reference(value) and not fits(value, holds)


def _has_reference(value: Any) -> bool:
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, Mapping):
        return any(_has_reference(item) for item in cast("Mapping[str, Any]", value).values())
    return isinstance(value, list) and any(_has_reference(item) for item in cast("list[Any]", value))


def _plan(old: Fields, new: Fields, plan: Fields | None) -> Iterator[GraphDifference]:
    """Whether the plan still is one, and whether its agents are there."""
    if plan is None or "plan" not in new:
        return
    if old.get("plan") not in (None, new["plan"]):
        try:
            Plan.parse(plan)
        except PlanError as error:
            yield GraphDifference(f"the format of plans has changed: {' '.join(error.problems)}", True)
        else:
            yield GraphDifference("the format of plans has changed, and the thread's own still fits", False)
    nodes = new["graph"]["nodes"].get(DISPATCHER, {}).get("graph", {}).get("nodes", {})
    for subtask in cast("list[dict[str, Any]]", plan.get("subtasks") or []):
        agent = None if subtask.get("tool") else subtask.get("agent") or EXECUTOR
        if agent is not None and (EXECUTOR if agent in WORKERS else AGENT_PREFIX + str(agent)) not in nodes:
            yield GraphDifference(f"the agent {agent!r} is gone, and the subtask {subtask.get('id')!r} uses it", True)


def _prompts(old: Fields, new: Fields) -> Iterator[GraphDifference]:
    before, now = cast("Fields", old.get("prompts") or {}), cast("Fields", new["prompts"])
    changed = sorted(role for role in before.keys() & now.keys() if before[role] != now[role])
    if changed:
        yield GraphDifference(f"the prompts of {', '.join(changed)} have changed", False)
