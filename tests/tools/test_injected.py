"""What a tool asks to be given, and all that it may return: in direct calls of plans, and in calls of an agent."""

from __future__ import annotations

import functools
import gc
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, ToolException, tool
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from pydantic import Field

from openmanus_graph import Settings, ThreadSaver, build_plan_graph, tool_context
from openmanus_graph.errors import PlanError
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.nodes.invocation import _noting_functions
from openmanus_graph.plan import Plan
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse

pytestmark = pytest.mark.postgres


@tool
def with_runtime(x: int, runtime: ToolRuntime) -> dict[str, Any]:
    """Uses the runtime."""
    return {
        "id": runtime.tool_call_id,
        "thread": runtime.config.get("configurable", {})["thread_id"],
        "subtask": tool_context().subtask_id,
        "messages": len(runtime.state["messages"]),
        "asked": runtime.state["subtask"]["id"],
        "x": x,
    }


@tool
async def with_id(x: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
    """Uses the call's id."""
    return f"{x} {tool_call_id}"


@tool
async def with_own_id(x: int, mine: Annotated[str, InjectedToolCallId]) -> dict[str, Any]:
    """Uses the call's id under a name of its own, and returns no text."""
    return {"x": x, "id": mine}


@tool
def with_state(
    x: int, state: Annotated[dict[str, Any], InjectedState], messages: Annotated[list[Any], InjectedState("messages")]
) -> dict[str, Any]:
    """Uses the state, and a field of it."""
    return {"x": x, "subtask": state["subtask"]["id"], "same": state["messages"] == messages, "keys": sorted(state)}


@tool
def with_unknown_field(x: int, user: Annotated[str, InjectedState("user")]) -> str:
    """Asks for what no subtask has."""
    return f"{x} {user}"


@tool
async def with_store(x: int, store: Annotated[BaseStore, InjectedStore()]) -> str:
    """Uses the store."""
    await store.aput(("numbers",), str(x), {"n": x})
    found = await store.aget(("numbers",), str(x))
    return str(found and found.value["n"])


class Bare(BaseTool):
    """A tool that is a class, and counts its calls."""

    name: str = "bare"
    description: str = "b"
    made: list[str] = Field(default_factory=list[str])

    def _run(self, x: int, runtime: ToolRuntime) -> str:
        self.made.append(threading.current_thread().name)
        return f"{x} {runtime.tool_call_id}"


def with_effect(*tools: BaseTool) -> list[BaseTool]:
    for one in tools:
        one.metadata = {"effect": "read"}
    return list(tools)


async def results(
    saver: ThreadSaver, folder: Path, *tools: BaseTool, args: Any = None, **options: Any
) -> dict[str, dict[str, Any]]:
    """What each tool gives when a plan calls it with `x: 1`, by its name."""
    app = build_plan_graph(list(tools)).compile(checkpointer=saver, **options)
    subtasks = [
        {"id": one.name, "tool": one.name, "args": {"x": 1} if args is None else args, "retries": 2} for one in tools
    ]
    out = await app.ainvoke(
        {"plan": {"subtasks": subtasks}}, {"configurable": {"thread_id": "t", "workspace": str(folder)}}
    )
    found: dict[str, dict[str, Any]] = out["results"]
    return found


async def test_a_plan_gives_what_a_tool_asks_for(saver: ThreadSaver, tmp_path: Path) -> None:
    bare = Bare()
    tools = with_effect(with_runtime, with_id, with_own_id, with_state, with_store, bare)

    found = await results(saver, tmp_path, *tools, store=InMemoryStore())

    assert {key: result["error"] for key, result in found.items()} == dict.fromkeys(found)
    runtime = found["with_runtime"]["output"]
    call_id = f"with_runtime-{found['with_runtime']['definition']}-r1"
    assert runtime == {
        "id": call_id, "thread": "t", "subtask": "with_runtime", "messages": 0, "asked": "with_runtime", "x": 1
    }  # fmt: skip
    assert found["with_id"]["output"] == f"1 with_id-{found['with_id']['definition']}-r1"
    assert found["with_own_id"]["output"] == {"x": 1, "id": f"with_own_id-{found['with_own_id']['definition']}-r1"}
    state = found["with_state"]["output"]
    assert (state["x"], state["subtask"], state["same"]) == (1, "with_state", True)
    assert not [key for key in state["keys"] if ":" in key or key.startswith("__")]
    assert found["with_store"]["output"] == "1"
    assert found["bare"]["output"] == f"1 bare-{found['bare']['definition']}-r1"
    assert bare.made == ["tool"]


async def test_tools_whose_annotations_cannot_be_read_are_called_without(saver: ThreadSaver, tmp_path: Path) -> None:
    def unreadable(x):  # type: ignore[no-untyped-def]
        return {"x": x}

    unreadable.__annotations__ = {"x": "NotThere", "return": "NorThis"}
    part = made(functools.partial(lambda y, x: {"x": x + y}, 0), "part", **ANY_X)
    tools = [made(unreadable, "unreadable", **ANY_X), part]

    found = await results(saver, tmp_path, *tools)

    assert {key: result["output"] for key, result in found.items()} == {"unreadable": {"x": 1}, "part": {"x": 1}}


async def test_what_is_not_there_is_said_before_the_tool_runs(saver: ThreadSaver, tmp_path: Path) -> None:
    found = await results(saver, tmp_path, *with_effect(with_unknown_field))

    assert {result["attempts"] for result in found.values()} == {1}
    assert "cannot be given what it asks for: the state of a subtask has no 'user'; it has" in str(
        found["with_unknown_field"]["error"]
    )


async def test_a_tool_gets_the_store_of_the_threads_if_its_graph_has_none(saver: ThreadSaver, tmp_path: Path) -> None:
    found = await results(saver, tmp_path, *with_effect(with_store))

    assert found["with_store"]["output"] == "1"


ANY_X: dict[str, Any] = {"args_schema": {"type": "object", "properties": {"x": {"type": "integer"}}}}


@pytest.mark.parametrize(
    ("one", "name"), [(with_runtime, "runtime"), (with_own_id, "mine"), (with_state, "state"), (with_store, "store")]
)
def test_a_plan_cannot_give_what_is_injected(one: BaseTool, name: str) -> None:
    plan = Plan.from_dict({"subtasks": [{"id": "a", "tool": one.name, "args": {"x": 1, name: "mine"}}]})
    with pytest.raises(PlanError, match=f"unknown argument '{name}'"):
        plan.check({one.name: one})


def made(function: Callable[..., Any], name: str = "made", **more: Any) -> BaseTool:
    return StructuredTool.from_function(func=function, name=name, description="m", metadata={"effect": "read"}, **more)


ARTIFACTS: list[tuple[Any, str, bytes | None]] = [
    ({"v": 1}, "json", b'{"v": 1}'),
    ([Document("text", id="1")], "json", None),
    (b"\x89PNG\x00\xff", "bin", b"\x89PNG\x00\xff"),
    ("text\x00 ä", "txt", "text\x00 ä".encode()),
    ("x" * 300_000, "txt", b"x" * 300_000),
]


async def test_an_artifact_is_kept_beside_the_text(saver: ThreadSaver, tmp_path: Path) -> None:
    tools = [
        made(lambda x, given=artifact: (f"text {x}", given), f"t{n}", response_format="content_and_artifact", **ANY_X)
        for n, (artifact, _, _) in enumerate(ARTIFACTS)
    ]

    found = await results(saver, tmp_path, *tools)

    for n, (_, suffix, content) in enumerate(ARTIFACTS):
        output = found[f"t{n}"]["output"]
        assert found[f"t{n}"]["error"] is None
        assert output["content"] == "text 1"
        file = tmp_path / output["artifact"]["file"]
        assert file.suffix == f".{suffix}"
        assert file.stat().st_size == output["artifact"]["bytes"]
        if content is not None:
            assert file.read_bytes() == content
        else:
            assert json.loads(file.read_text())[0]["page_content"] == "text"


async def test_what_was_done_is_not_lost_to_an_artifact_that_cannot_be_kept(saver: ThreadSaver, tmp_path: Path) -> None:
    def art(x: int) -> tuple[Any, Any]:
        return {"rows": x}, object()

    def no_pair(x: int) -> Any:
        return {"rows": x}

    kind: Any = {"response_format": "content_and_artifact"}
    found = await results(saver, tmp_path, made(art, **kind), made(no_pair, "no_pair", **kind))

    assert found["made"]["status"] == "completed"
    assert found["made"]["output"]["content"] == {"rows": 1}
    assert "builtins.object" in found["made"]["output"]["artifact"]["not_kept"]
    assert (found["no_pair"]["status"], found["no_pair"]["output"]) == ("completed", {"rows": 1})


async def test_other_subtasks_refer_to_text_and_artifact(saver: ThreadSaver, tmp_path: Path) -> None:
    def art(x: int) -> tuple[str, Any]:
        return f"text {x}", {"v": x}

    def read(text: str, file: str) -> dict[str, Any]:
        return {"text": text, "v": json.loads((tmp_path / file).read_text())["v"]}

    subtasks = [
        {"id": "a", "tool": "made", "args": {"x": 7}},
        {"id": "b", "tool": "read", "args": {"text": "${a.content}", "file": "${a.artifact.file}"}},
    ]
    tools = [made(art, response_format="content_and_artifact"), made(read, "read")]
    app = build_plan_graph(tools).compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t", "workspace": str(tmp_path)}}
    out = await app.ainvoke({"plan": {"subtasks": subtasks}}, config)

    assert out["results"]["b"]["output"] == {"text": "text 7", "v": 7}


def _message(text: str, **more: Any) -> ToolMessage:
    return ToolMessage(text, tool_call_id="another", **more)


RETURNED: list[tuple[Any, Any, str | None]] = [
    (_message("done"), "done", None),
    (ToolMessage([{"type": "text", "text": "a"}, "b"], tool_call_id="c"), "ab", None),
    (_message("no luck", status="error"), "no luck", "no luck"),
    (Command(update={"messages": [_message("done")]}), "done", None),
    (Command(update=[_message("done")]), "done", None),
    ([_message("one"), Command(update={"messages": [_message("two")]})], ["one", "two"], None),
    (
        Command(update={"messages": [_message("done")], "user": "me"}),
        {"content": "done", "update": {"user": "me"}},
        None,
    ),
    (Command(update={"user": "me"}), {"content": None, "update": {"user": "me"}}, None),
    (
        Command(goto="other", update={"messages": [_message("done")]}),
        "done",
        "returned a Command that leads to 'other'; a subtask has nowhere to go",
    ),
    (Command(graph=Command.PARENT), None, "leads to '__parent__'"),
    ([{"type": "text", "text": "a"}], [{"type": "text", "text": "a"}], None),
    ({"plain": [1, 2.5, None]}, {"plain": [1, 2.5, None]}, None),
    (None, None, None),
]


async def test_whatever_a_tool_returns_is_a_result(saver: ThreadSaver, tmp_path: Path) -> None:
    calls: list[str] = []

    def tool_of(name: str, returned: Any) -> BaseTool:
        def give(x: int) -> Any:
            calls.append(name)
            return returned

        return made(give, name)

    found = await results(saver, tmp_path, *[tool_of(f"t{n}", row[0]) for n, row in enumerate(RETURNED)])

    for n, (returned, output, error) in enumerate(RETURNED):
        result = found[f"t{n}"]
        assert result["output"] == output, returned
        assert result["status"] == ("completed" if error is None else "failed"), returned
        if error is not None:
            assert error in str(result["error"]), returned
        if isinstance(returned, Command):
            assert calls.count(f"t{n}") == 1, returned  # another attempt would lead there as well


async def test_what_a_tool_raises_is_the_failure_of_its_subtask(saver: ThreadSaver, tmp_path: Path) -> None:
    def raises(x: int) -> str:
        raise ToolException(f"No {x}.")

    def breaks(x: int) -> str:
        raise LookupError(f"no {x}")

    kept: Any = {"handle_tool_error": lambda error: f"handled: {error}"}
    tools = [made(raises), made(breaks, "breaks"), made(raises, "handles", **kept)]

    found = await results(saver, tmp_path, *tools)

    assert {result["status"] for result in found.values()} == {"failed"}
    assert found["made"]["error"] == "No 1."
    assert found["breaks"]["error"] == "The tool 'breaks' failed: LookupError: no 1"
    assert found["handles"]["error"] == "handled: No 1."


async def test_arguments_that_do_not_fit_a_tool_with_a_runtime_are_named(saver: ThreadSaver, tmp_path: Path) -> None:
    plan = {
        "subtasks": [
            {"id": "text", "tool": "say", "args": {}},
            {"id": "use", "tool": "with_runtime", "args": {"x": "${text}"}, "retries": 3},
        ]
    }
    app = build_plan_graph([with_runtime, made(lambda: "many", "say")]).compile(checkpointer=saver)
    out = await app.ainvoke({"plan": plan}, {"configurable": {"thread_id": "t", "workspace": str(tmp_path)}})

    result = out["results"]["use"]
    assert result["attempts"] == 1
    assert "The tool 'with_runtime' cannot take 'x' = 'many': Input should be a valid integer" in result["error"]


async def test_an_agents_call_is_given_the_same(saver: ThreadSaver, tmp_path: Path) -> None:
    def art(x: int, runtime: ToolRuntime) -> tuple[str, Any]:
        """Finds, with an artifact."""
        last = runtime.state["messages"][-1]
        mine = [one["id"] for one in last.tool_calls if one["id"] == runtime.tool_call_id]
        return f"found {x} for {mine}", {"v": x}

    forged = ToolUse("art", {"x": 5, "runtime": "forged"}, id="call_7")
    with ScriptedServer() as provider:
        provider.add(
            Reply(tool_calls=[forged]),
            Reply(tool_calls=[ToolUse("terminate", {"status": "success", "answer": "seen"})]),
            Reply(tool_calls=[ToolUse("verdict", {"verified": True, "why": "It was seen."})]),
            Reply("The report."),
        )
        settings = Settings.load(
            home=tmp_path / "home", llm_model="openai/s", llm_base_url=provider.base_url, llm_api_key="sk-scripted"
        )
        one = made(art, "art", response_format="content_and_artifact")
        app = build_manus_graph(settings=settings, tools=[one]).compile(checkpointer=saver)
        plan = {"subtasks": [{"id": "look", "agent": "executor", "goal": "Find it."}]}
        config: Any = {"configurable": {"thread_id": "t", "workspace": str(tmp_path)}}
        out = await app.ainvoke({"plan": plan}, config)
        told = [message for message in provider.requests[1].messages if message["role"] == "tool"]

    assert out["results"]["look"]["status"] == "completed"
    (message,) = told
    assert message["content"].startswith("found 5 for ['call_7']\n[The call also gave an artifact, in the file ")
    file = message["content"].split()[-1].removesuffix(".]")
    assert json.loads((tmp_path / file).read_text()) == {"v": 5}


async def test_a_tool_is_called_as_it_is_now_and_let_go_of(saver: ThreadSaver) -> None:
    def fails(x: int) -> str:
        raise ToolException("no")

    changing = StructuredTool.from_function(func=fails, name="changing", description="c")
    app: Any = build_plan_graph([changing]).compile(checkpointer=saver)
    given: Any = {"plan": {"subtasks": [{"id": "a", "tool": "changing", "args": {"x": 1}}]}}

    async def result(thread: str) -> Any:
        return (await app.ainvoke(given, {"configurable": {"thread_id": thread}}))["results"]["a"]

    assert (await result("one"))["status"] == "failed"
    changing.handle_tool_error = "handled"
    assert (await result("two"))["output"] == "handled"
    changing.func = lambda x: f"now {x}"
    assert (await result("three"))["output"] == "now 1"

    kept = len(_noting_functions)
    app = changing = given = None  # type: ignore[assignment]
    gc.collect()
    assert len(_noting_functions) < kept
