"""LangGraph internals: each name that `langgraph_internals` gives is what the installed LangGraph uses."""

import ast
import uuid
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast

import pytest
from langgraph._internal import _constants as constants
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import get_checkpoint_metadata
from langgraph.checkpoint.base import id as ids
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.func import task
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import ToolNode, ToolRuntime
from langgraph.pregel._loop import PregelLoop
from langgraph.pregel.debug import rm_pregel_keys
from langgraph.runtime import Runtime
from langgraph.types import Command, Send, interrupt

import openmanus_graph
from openmanus_graph import langgraph_internals as internals

PACKAGE = Path(openmanus_graph.__file__).parent


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("TASK_ID_KEY", constants.CONFIG_KEY_TASK_ID),
        ("CHECKPOINTER_KEY", constants.CONFIG_KEY_CHECKPOINTER),
        ("SCRATCHPAD_KEY", constants.CONFIG_KEY_SCRATCHPAD),
        ("RESUME_MAP_KEY", constants.CONFIG_KEY_RESUME_MAP),
        ("SEND_KEY", constants.CONFIG_KEY_SEND),
        ("NAMESPACE_OF_TASK", constants.CONFIG_KEY_CHECKPOINT_NS),
        ("RUNTIME_KEY", constants.CONFIG_KEY_RUNTIME),
        ("CHECKPOINT_MAP_KEY", constants.CONFIG_KEY_CHECKPOINT_MAP),
        ("START_CHANNEL", START),
        ("SENDS", constants.TASKS),
        ("INTERRUPT", constants.INTERRUPT),
        ("RESUME", constants.RESUME),
        ("ERROR", constants.ERROR),
        ("RETURN", constants.RETURN),
        ("NULL_TASK", constants.NULL_TASK_ID),
    ],
)
def test_a_key_is_what_langgraph_calls_it(ours: str, theirs: str) -> None:
    assert getattr(internals, ours) == theirs


class State(TypedDict):
    number: int
    items: Annotated[list[str], DeltaChannel(lambda old, writes: [*old, *(one for write in writes for one in write)])]


@task
async def doubled(number: int) -> int:
    return 2 * number


async def calls(state: State) -> dict[str, Any]:
    return {"number": await doubled(state["number"]), "items": ["called"]}


def sent(state: dict[str, Any]) -> dict[str, Any]:
    return {"items": ["sent"]}


def asks(_: State) -> dict[str, Any]:
    return {"items": [interrupt("well?")]}


def graph_with_all() -> Any:
    builder: Any = StateGraph(State)
    builder.add_node(calls)
    builder.add_node(sent)
    builder.add_node(asks)
    builder.add_edge(START, "calls")
    builder.add_conditional_edges("calls", lambda _: [Send("sent", {"a": 1})], ["sent"])
    builder.add_edge("sent", "asks")
    builder.add_edge("asks", END)
    return builder.compile(checkpointer=InMemorySaver())


async def run_once(app: Any) -> tuple[Any, list[Any]]:
    config = {"configurable": {"thread_id": str(uuid.uuid4())}}
    await app.ainvoke({"number": 1, "items": ["given"]}, config)
    return config, [one async for one in app.checkpointer.alist(config)]


async def test_channels_of_a_checkpoint_are_named_as_we_read_them() -> None:
    _, points = await run_once(graph_with_all())
    channels = {name for point in points for name in point.checkpoint["channel_values"]}
    assert internals.START_CHANNEL in channels
    assert {internals.TO_NODE + "calls", internals.TO_NODE + "asks"} <= channels
    assert any(internals.SENDS in point.checkpoint["channel_values"] for point in points)
    assert all(internals.is_inner(name) for name in channels - {"number", "items"})
    assert "items" in points[0].metadata[internals.DELTA_COUNTERS_KEY]


async def test_paths_of_tasks_are_read_as_langgraph_writes_them() -> None:
    app = graph_with_all()
    config, _ = await run_once(app)
    writes: dict[str, set[str]] = {}
    for (thread, _, _), stored in app.checkpointer.writes.items():
        if thread == config["configurable"]["thread_id"]:
            for _, channel, _, path in stored.values():
                writes.setdefault(path, set()).add(channel)
    pulled = {node for path in writes if (node := internals.pulled_node(path))}
    assert {"calls", "asks"} <= pulled
    assert [path for path in writes if internals.is_send(path)]
    called = [(call, writes[path]) for path in writes if (call := internals.call_in(path))]
    assert [(internals.pulled_node(caller), index) for (caller, index), _ in called] == [("calls", 0)]
    assert internals.RETURN in called[0][1]
    assert all(internals.is_pushed(path) for path in writes if internals.is_send(path) or internals.call_in(path))
    assert any(internals.INTERRUPT in channels for channels in writes.values())


def test_a_tool_node_says_what_its_tools_ask_for() -> None:
    def asks(number: int, runtime: ToolRuntime) -> str:
        """Ask."""
        return str(runtime.tool_call_id)

    def plain(number: int) -> str:
        """Take what there is."""
        return str(number)

    node = ToolNode([asks, plain])
    assert (internals.asks_for_more(node, "asks"), internals.asks_for_more(node, "plain")) == (True, False)


async def test_a_nodes_config_has_what_we_take_from_it() -> None:
    seen: dict[str, Any] = {}

    def looks(_: State) -> dict[str, Any]:
        answer = interrupt("first")
        config: Any = get_config()
        seen.update(config["configurable"], metadata=config["metadata"])
        return {"items": [answer]}

    builder: Any = StateGraph(State)
    builder.add_node(looks)
    builder.add_edge(START, "looks")
    app = builder.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "one"}}
    await app.ainvoke({"number": 1, "items": []}, config)
    await app.ainvoke(Command(resume="yes"), config)
    assert isinstance(seen[internals.RUNTIME_KEY], Runtime)
    assert seen[internals.CHECKPOINTER_KEY] is app.checkpointer
    assert seen[internals.SCRATCHPAD_KEY].resume == ["yes"]
    assert seen[internals.TASK_ID_KEY] in seen["metadata"][internals.NAMESPACE_KEY]
    assert list(seen[internals.CHECKPOINT_MAP_KEY]) == [""]


async def test_a_branch_finds_what_a_call_of_a_task_finds() -> None:
    seen: dict[str, Any] = {}

    @task(name="inner")
    async def inner() -> str:
        config: Any = get_config()
        seen["call"] = config
        return str(interrupt("well?"))

    async def looks(_: State) -> dict[str, Any]:
        config: Any = get_config()
        seen["branch"] = internals.inside_of(config, "inner", 0)
        return {"items": [await inner()]}

    builder: Any = StateGraph(State)
    builder.add_node(looks)
    builder.add_edge(START, "looks")
    app = builder.compile(checkpointer=InMemorySaver())
    await app.ainvoke({"number": 1, "items": []}, {"configurable": {"thread_id": "one"}})
    branch, call = seen["branch"], seen["call"]["configurable"]
    ours = branch.config["configurable"]
    assert set(ours) == set(call)
    assert ours[internals.NAMESPACE_OF_TASK].rpartition(":")[0] == call[internals.NAMESPACE_OF_TASK].rpartition(":")[0]
    assert ours[internals.CHECKPOINT_MAP_KEY] == call[internals.CHECKPOINT_MAP_KEY]
    assert ours["checkpoint_id"] is call["checkpoint_id"] is None
    assert ours[internals.TASK_ID_KEY] == branch.task_id
    assert type(ours[internals.SCRATCHPAD_KEY]) is type(call[internals.SCRATCHPAD_KEY])
    ((place, stored),) = [
        (place, writes)
        for place, writes in app.checkpointer.writes.items()
        if any(internals.call_in(path) for *_, path in writes.values())
    ]
    around = branch.around["configurable"]
    assert (around["thread_id"], around["checkpoint_ns"], around["checkpoint_id"]) == place[:3]
    assert branch.path in {path for *_, path in stored.values()}


def test_private_keys_stay_out_of_what_is_stored_and_handed_out() -> None:
    config: Any = {"configurable": {f"{internals.PRIVATE}ours": "secret", "plain": "seen"}}
    assert get_checkpoint_metadata(config, {}) == {"plain": "seen"}
    assert rm_pregel_keys(config) == {"configurable": {"plain": "seen"}}


@pytest.mark.parametrize("name", ["CALLS_OF", "RUN_CALL", "ARUN_CALL"])
def test_a_tool_node_makes_its_calls_by_methods_of_these_names(name: str) -> None:
    assert callable(getattr(ToolNode, getattr(internals, name)))


def test_ids_of_checkpoints_count_on_from_a_variable_that_can_be_set() -> None:
    made = ids.uuid6()
    moment = (made.int >> 80) << 12 | (made.int >> 64) & 0x0FFF
    assert vars(ids)[internals.LAST_ID_TIME] == moment


def test_a_whole_copy_of_a_growing_list_has_its_value() -> None:
    assert internals.DeltaSnapshot([1]).value == [1]


def test_a_node_that_waits_for_several_has_a_join_channel() -> None:
    builder: Any = StateGraph(State)
    for name in ("left", "right", "both"):
        builder.add_node(name, sent)
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge(["left", "right"], "both")
    assert [name for name in builder.compile().channels if name.startswith(internals.JOIN)]


def spells(text: str) -> bool:
    return "__pregel" in text or text in ("branch:to:", "checkpoint_map", "__resume__", "__interrupt__")


def test_no_other_module_spells_an_internal_of_langgraph() -> None:
    found: list[str] = []
    for path in PACKAGE.rglob("*.py"):
        if path.name == "langgraph_internals.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and spells(node.value):
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {node.value!r}")
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("langgraph._", "langgraph.pregel._")):
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {node.module}")
    assert not found, "Put it into openmanus_graph/langgraph_internals.py"


@pytest.mark.parametrize("mended", [True, False])
async def test_a_graph_without_checkpoints_runs_inside_one_that_commits_each_step(
    mended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day it runs without the cure, the cure goes."""
    internals.let_graphs_without_checkpoints_run()
    if not mended:
        monkeypatch.delattr(PregelLoop, internals.SAVED)
    inner = StateGraph(State)
    inner.add_node("add", cast("Any", lambda state: {"number": state["number"] + 1}))
    inner.add_edge(START, "add")
    outer = StateGraph(State)
    outer.add_node("inner", inner.compile(checkpointer=False))
    outer.add_edge(START, "inner")
    graph: Any = outer.compile(checkpointer=InMemorySaver())

    async def call() -> int:
        return (await graph.ainvoke({"number": 1}, {"configurable": {"thread_id": "t"}}, durability="sync"))["number"]

    if mended:
        assert await call() == 2
        assert graph.invoke({"number": 1}, {"configurable": {"thread_id": "s"}}, durability="sync")["number"] == 2
    else:
        with pytest.raises(AttributeError, match=internals.SAVED):
            await call()
