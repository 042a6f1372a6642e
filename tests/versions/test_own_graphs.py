"""Own graphs: a thread goes on only with a graph that still has what the thread needs."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool, tool
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send, interrupt

from openmanus_graph import ThreadSaver
from openmanus_graph.checkpoints.forking.fork import fork_thread
from openmanus_graph.checkpoints.history.checkpoint_ref import points_of
from openmanus_graph.errors import ThreadVersionError
from openmanus_graph.graphs.user.user_graph import make_durable
from tests.chains import Words, chain, thread

from .conftest import down, row_of, says, stopped, warnings_of

pytestmark = pytest.mark.postgres

LOST = "the tool 'mail' has lost its argument 'text', which the thread gives"
NEEDS = "the tool 'mail' now needs the argument 'cc', which the thread does not give"
NO_FIT = (
    "the argument 'to' of the tool 'mail' was text and is now a whole number, which does not fit what the thread gives"
)


async def refused(app: Any, given: Any = None, config: Any = None) -> list[str]:
    """Why the thread cannot go on."""
    with pytest.raises(ThreadVersionError) as caught:
        await app.ainvoke(given, config or thread())
    assert caught.value.exit_code == 2
    assert "--force" in str(caught.value.hint)
    return caught.value.differences


async def test_the_same_graph_goes_on_without_a_word(saver: ThreadSaver) -> None:
    await stopped(make_durable(chain(a=says(1), b=down), saver), {"task": "x"})
    out = await make_durable(chain(a=says(1), b=says(2)), saver).ainvoke(None, thread())
    assert out["seen"] == [1, 2]
    assert await warnings_of(saver) == []
    assert (await row_of(saver))["forced"] == []


async def test_a_node_that_is_next_must_be_there(saver: ThreadSaver) -> None:
    await stopped(make_durable(chain(a=says(1), b=down), saver), {"task": "x"})
    before = await row_of(saver)
    app = make_durable(chain(a=says(1), c=says(3)), saver)
    assert await refused(app) == ["the node 'b' is gone, and the thread is about to run it"]
    assert await row_of(saver) == before  # a refused thread is left as it was
    out = await make_durable(chain(a=says(1), b=says(2)), saver).ainvoke(None, thread())
    assert out["seen"] == [1, 2]


async def test_a_node_that_nobody_is_at_may_go(saver: ThreadSaver) -> None:
    await stopped(make_durable(chain(a=says(1), b=down, c=says(3)), saver), {"task": "x"})
    app = make_durable(chain(z=says(0), b=says(2)), saver)
    events = [event async for event in app.astream(None, thread(), stream_mode="custom")]
    assert events[0]["type"] == "warned"
    told = events[0]["text"]
    assert "the node 'a' is gone; the node 'c' is gone; the node 'z' is new" in told
    assert [told] == await warnings_of(saver)
    assert (await app.snapshot("t")).values["seen"] == [1, 2]
    assert await app.ainvoke({"task": "y"}, thread())  # told once
    assert len(await warnings_of(saver)) == 1


async def _stored(saver: ThreadSaver, channel: str) -> bool:
    async with saver.connection() as connection:
        found = await connection.execute("SELECT 1 FROM checkpoint_writes WHERE channel = %s LIMIT 1", (channel,))
        return await found.fetchone() is not None


async def test_nodes_of_sends_and_of_tasks_that_have_ended_must_be_there(saver: ThreadSaver) -> None:
    async def down_once_c_is_stored(state: Any) -> dict[str, Any]:
        while not await _stored(saver, "branch:to:d"):
            await asyncio.sleep(0.02)
        return down(state)

    def graph(names: list[str]) -> StateGraph[Any, Any, Any, Any]:
        made = StateGraph(Words)
        for name in names:
            made.add_node(name, cast("Any", down_once_c_is_stored if name == "b" else says(name)))
        made.add_edge(START, "a")
        made.add_conditional_edges(
            "a", lambda _: [Send("b", {}), Send("c", {})], [name for name in names if name > "a"]
        )
        if {"c", "d"} <= {*names}:
            made.add_edge("c", "d")
        return made

    await stopped(make_durable(graph(["a", "b", "c", "d"]), saver), {"task": "x"})
    assert await refused(make_durable(graph(["a", "b", "d"]), saver)) == [
        "the node 'c' is gone, and the thread is about to run it"
    ]
    assert await refused(make_durable(graph(["a", "b", "c"]), saver)) == [
        "the node 'd' is gone, and the thread is about to run it"
    ]


async def test_nodes_that_wait_for_one_another_must_go_on_doing_so(saver: ThreadSaver) -> None:
    def graph(*more: str) -> StateGraph[Any, Any, Any, Any]:
        made = StateGraph(Words)
        for name in ("a", "b", *more, "end"):
            made.add_node(name, cast("Any", down if name == "b" else says(name)))
        for name in ("a", "b", *more):
            made.add_edge(START, name)
        made.add_edge(["a", "b", *more], "end")
        return made

    await stopped(make_durable(graph(), saver), {"task": "x"})
    assert await refused(make_durable(graph("c"), saver)) == [
        "the node 'end' no longer waits for the nodes that it waited for"
    ]


async def test_a_renamed_entrypoint_would_begin_anew(saver: ThreadSaver) -> None:
    @entrypoint()
    async def work(number: int) -> int:
        return number + int(interrupt("and?"))

    @entrypoint()
    async def other(number: int) -> int:
        return number

    await make_durable(work, saver).ainvoke(1, thread())
    assert await refused(make_durable(other, saver), Command(resume=2)) == [
        "the node 'work' is gone, and the thread is about to run it"
    ]


async def test_force_goes_on_and_is_recorded(saver: ThreadSaver) -> None:
    await stopped(make_durable(chain(a=says(1), b=down), saver), {"task": "x"})
    app = make_durable(chain(a=says(1), c=says(3)), saver)
    out = await app.ainvoke(None, thread(force=True))
    assert out["seen"] == [1]
    row = await row_of(saver)
    assert [one["differences"] for one in row["forced"]] == [
        ["the node 'b' is gone, and the thread is about to run it"]
    ]
    assert "c" in row["fingerprint"]["graph"]["nodes"]
    assert (await warnings_of(saver))[0].startswith(
        "The thread goes on although its graph no longer fits: the node 'b'"
    )
    assert await app.ainvoke({"task": "y"}, thread())  # it fits from now on
    async with saver.connection() as connection:
        found = await connection.execute("SELECT count(*) AS n FROM checkpoints WHERE metadata ? 'force'")
        assert await found.fetchone() == {"n": 0}


class Typed(TypedDict, total=False):
    task: str
    mood: Literal["good", "bad"]
    size: int
    notes: dict[str, str]
    draft: str


def typed(**changes: Any) -> Any:
    fields = {**Typed.__annotations__, **changes}
    return TypedDict("Typed", {name: kind for name, kind in fields.items() if kind is not None}, total=False)  # type: ignore[operator]


class Note(TypedDict):
    text: str
    by: NotRequired[str]


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({"extra": str}, []),
        ({"size": float}, []),
        ({"size": str | int}, []),
        ({"mood": Literal["good", "fair"]}, []),
        ({"mood": Literal["bad"]}, ["the field 'mood' of the state was one of 'bad', 'good' and is now one of 'bad'"]),
        ({"size": str}, ["the field 'size' of the state was a whole number and is now text"]),
        ({"size": None}, ["the field 'size' of the state is gone, and the thread has a value in it"]),
        ({"draft": None}, []),
        ({"draft": int}, []),
        (
            {"notes": dict[str, Note]},
            ["the field 'notes' of the state was a dict of text and is now a dict of a record"],
        ),
        ({"notes": Annotated[dict[str, str], operator.or_]}, []),
    ],
    ids=repr,
)
async def test_fields_that_hold_something_must_still_take_it(
    saver: ThreadSaver, changes: dict[str, Any], differences: list[str]
) -> None:
    def sets(_: Any) -> dict[str, Any]:
        return {"mood": "good", "size": 3, "notes": {"a": "b"}}

    first = chain(Typed, a=sets, b=lambda _: interrupt("go on?") and {})
    await make_durable(first, saver).ainvoke({"task": "x"}, thread())
    app = make_durable(chain(typed(**changes), a=sets, b=lambda _: interrupt("go on?") and {}), saver)
    if differences:
        found = await refused(app, Command(resume="yes"))
        assert len(found) == 1
        assert found[0].startswith(differences[0])
        assert (await refused(app, {"task": "again"})) == found  # a new input keeps what the state holds
    else:
        await app.ainvoke(Command(resume="yes"), thread())
        assert len(await warnings_of(saver)) == 1


class Longer(Note):
    at: NotRequired[int]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (Note, Longer, 0),
        (dict[str, Note], dict[str, Longer], 0),
        (list[Note | None], list[Longer | None], 0),
        (Longer, Note, 1),
        (Note, TypedDict("Other", {"text": int, "by": NotRequired[str]}), 1),  # type: ignore[misc]
        (Note, TypedDict("Whole", {"text": str, "by": str}), 1),  # type: ignore[misc]
    ],
    ids=repr,
)
async def test_more_that_a_record_may_have_is_no_change(saver: ThreadSaver, before: Any, now: Any, told: int) -> None:
    nodes = {"a": lambda _: {}, "b": lambda _: interrupt("go on?") and {}}
    await make_durable(chain(typed(notes=before), **nodes), saver).ainvoke({"task": "x"}, thread())
    await make_durable(chain(typed(notes=now), **nodes), saver).ainvoke(Command(resume="yes"), thread())
    assert len(await warnings_of(saver)) == told


def calling(*tools: BaseTool, args: dict[str, Any], wait: bool) -> StateGraph[Any, Any, Any, Any]:
    """A graph whose model has made a call, which waits for a person first, or was made."""

    def model(state: MessagesState) -> dict[str, Any]:
        if isinstance(state["messages"][-1], HumanMessage):
            made = {"name": "mail", "args": args, "id": "c1", "type": "tool_call"}
            return {"messages": [AIMessage("", tool_calls=[cast("Any", made)])]}
        return {"messages": [AIMessage(f"done: {state['messages'][-1].content}")]}

    def check(_: MessagesState) -> dict[str, Any]:
        if wait:
            interrupt("may it?")
        return {}

    def after(state: MessagesState) -> str:
        last = state["messages"][-1]
        return "check" if isinstance(last, AIMessage) and last.tool_calls else END

    def rest(_: MessagesState) -> dict[str, Any]:
        if not wait:
            interrupt("and now?")
        return {}

    graph = StateGraph(MessagesState)
    for name, node in {"model": model, "check": check, "tools": ToolNode(list(tools)), "rest": rest}.items():
        graph.add_node(name, cast("Any", node))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", after, ["check", END])
    graph.add_edge("check", "tools")
    graph.add_edge("tools", "rest")
    graph.add_edge("rest", "model")
    return graph


def mail(**arguments: Any) -> BaseTool:
    """A tool with these arguments."""

    def sent(**given: Any) -> str:
        return str(sorted(given))

    schema = {
        "type": "object",
        "properties": {name: kind for name, kind in arguments.items() if name != "required"},
        "required": arguments.get("required", []),
    }
    from langchain_core.tools import StructuredTool

    return StructuredTool.from_function(sent, name="mail", description="Send.", args_schema=schema)


TEXT = {"type": "string"}


@tool
def other() -> str:
    """Another one."""
    return ""


@pytest.mark.parametrize(
    ("tools", "differences"),
    [
        ([mail(to=TEXT, text=TEXT, cc=TEXT), other], []),
        ([other], ["the tool 'mail' is gone, and the thread uses it"]),
        ([mail(to=TEXT)], [LOST]),
        ([mail(to=TEXT, text=TEXT, cc=TEXT, required=["cc"])], [NEEDS]),
        ([mail(to={"type": "integer"}, text=TEXT)], [NO_FIT]),
        ([mail(to={"type": "string", "enum": ["ada", "bob"]}, text=TEXT)], []),
    ],
)
async def test_a_call_that_is_still_to_be_made_must_fit(
    saver: ThreadSaver, tools: list[BaseTool], differences: list[str]
) -> None:
    args = {"to": "ada", "text": "hello"}
    app = make_durable(calling(mail(to=TEXT, text=TEXT), args=args, wait=True), saver)
    await app.ainvoke({"messages": [HumanMessage("mail ada")]}, thread())
    app = make_durable(calling(*tools, args=args, wait=True), saver)
    if differences:
        assert await refused(app, Command(resume="yes")) == differences
    else:
        out = await app.ainvoke(Command(resume="yes"), thread())
        assert out["messages"][-1].content == "done: ['text', 'to']"


async def test_a_call_that_was_made_needs_its_tool_while_the_work_goes_on(saver: ThreadSaver) -> None:
    args = {"to": "ada", "text": "hello"}
    app = make_durable(calling(mail(to=TEXT, text=TEXT), args=args, wait=False), saver)
    await app.ainvoke({"messages": [HumanMessage("mail ada")]}, thread())
    gone = make_durable(calling(other, args=args, wait=False), saver)
    assert await refused(gone, Command(resume="yes")) == ["the tool 'mail' is gone, and the thread uses it"]
    # What no call has to fit any more may change.
    needs = make_durable(calling(mail(to=TEXT, text=TEXT, cc=TEXT, required=["cc"]), args=args, wait=False), saver)
    out = await needs.ainvoke(Command(resume="yes"), thread())
    assert out["messages"][-1].content == "done: ['text', 'to']"
    # A new request of a thread that has ended does not go on with the old one's calls.
    assert await gone.ainvoke({"messages": [HumanMessage("once more")]}, thread())


async def test_a_graph_inside_another_is_looked_into(saver: ThreadSaver) -> None:
    def outer(inner: StateGraph[Any, Any, Any, Any]) -> StateGraph[Any, Any, Any, Any]:
        return chain(a=says(1), team=inner.compile(), z=says(9))

    await stopped(make_durable(outer(chain(x=says(2), y=down)), saver), {"task": "x"})
    assert await refused(make_durable(outer(chain(x=says(2), w=says(3))), saver)) == [
        "the node 'y' of the graph inside 'team' is gone, and the thread is about to run it"
    ]
    app = make_durable(outer(chain(w=says(0), y=says(3))), saver)
    out = await app.ainvoke(None, thread())
    assert out["seen"][-1] == 9
    assert "the node 'x' of the graph inside 'team' is gone" in (await warnings_of(saver))[0]


async def test_a_thread_from_before_fingerprints_goes_on_where_it_can(saver: ThreadSaver) -> None:
    await stopped(make_durable(chain(a=says(1), b=down), saver), {"task": "x"})
    async with saver.connection() as connection:
        await connection.execute("UPDATE threads SET fingerprint = NULL")
    assert await refused(make_durable(chain(a=says(1), c=says(3)), saver)) == [
        "the node 'b' is gone, and the thread is about to run it"
    ]
    out = await make_durable(chain(a=says(1), b=says(2)), saver).ainvoke(None, thread())
    assert out["seen"] == [1, 2]
    assert (await row_of(saver))["fingerprint"]["graph"]["nodes"].keys() == {"a", "b"}


async def test_a_fork_at_an_earlier_point_is_compared_there(saver: ThreadSaver) -> None:
    await stopped(make_durable(chain(a=says(1), b=down), saver), {"task": "x"})
    points = [one.id for one in await points_of(saver, "t")]
    app = make_durable(chain(z=says(0), b=says(2)), saver)
    await app.ainvoke(None, thread())  # it is past `a`
    fork = await fork_thread(saver, f"t@{points[1]}", new_id="u")
    assert await refused(app, config=thread(fork.thread.thread_id)) == [
        "the node 'a' is gone, and the thread is about to run it"
    ]
    fork = await fork_thread(saver, f"t@{points[2]}", new_id="v")
    out = await app.ainvoke(None, thread(fork.thread.thread_id))
    assert out["seen"] == [1, 2]
    assert await warnings_of(saver, "v") == []
