"""Pictures: files of the workspace reach models that see, and no bytes of them a checkpoint or a recording."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph

from openmanus_graph import Settings, ThreadSaver, build_plan_graph
from openmanus_graph.context import tool_context
from openmanus_graph.files.picture import picture_in
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from openmanus_graph.tools.registry import builtin
from openmanus_graph.tools.view_image import SHOWN
from tests.agent.conftest import Build
from tests.agent.replies import calls, ends, plans, thread, verdict
from tests.agent.shown import bomb, chart, colours, of_role, pictures
from tests.encryption.plain_text import rows_with

pytestmark = pytest.mark.postgres

EYES = "eyes of an agent"
WORKER = "carry out one subtask"
RED, GREEN, BLUE = (255, 0, 0), (0, 128, 0), (0, 0, 255)
LOOK = {"id": "look", "goal": "look at the chart", "agent": "executor", "tools": ["view_image", "bash"]}
SEES = {"models": {"executor": {"images": True}}}
ASKS = {"models": {"executor": {"images": False}, "vision": {"images": True}}}


def looks(*paths: str, question: str = "") -> Reply:
    more = {"question": question} if question else {}
    return calls(*(ToolUse("view_image", {"path": path, **more}) for path in paths))


async def worked(build: Build, settings: Mapping[str, Any], **given: Any) -> Any:
    """The state after one request whose plan is `LOOK`."""
    app = build(settings=dict(settings))
    return await app.ainvoke({"task": "What does the chart say?", "workspace": "ws", **given}, thread())


def results_in(messages: list[dict[str, Any]]) -> list[str]:
    return [str(one["content"]) for one in messages if one["role"] == "tool"]


async def test_a_model_that_sees_is_sent_the_picture_of_a_result_scaled(
    build: Build, provider: ScriptedServer, tmp_path: Path
) -> None:
    chart(tmp_path / "ws" / "chart.png", (4_000, 3_000))
    provider.add(plans(LOOK), looks("chart.png"), ends("It is red."), verdict(True))

    state = await worked(build, SEES)

    before, after = of_role(provider, WORKER)
    assert pictures(before) == []
    assert [picture.size for picture in pictures(after)] == [(1_568, 1_176)]
    assert colours(after) == [RED]
    assert '"width": 4000, "height": 3000' in results_in(after)[0].replace("\\", "")
    assert of_role(provider, EYES) == []
    assert state["results"]["look"]["output"] == "It is red."


async def test_where_the_agents_model_does_not_see_the_role_vision_is_asked(
    build: Build, provider: ScriptedServer, tmp_path: Path
) -> None:
    chart(tmp_path / "ws" / "chart.png")
    provider.add(plans(LOOK), looks("chart.png", question="Which colour?"), Reply("All red."))
    provider.add(ends("It is red."), verdict(True))

    state = await worked(build, ASKS)

    (asked,) = of_role(provider, EYES)
    assert "Which colour?" in str(asked[1]["content"])
    assert colours(asked) == [RED]
    after = of_role(provider, WORKER)[-1]
    assert pictures(after) == []
    assert "All red." in results_in(after)[0]
    assert "chart.png is not shown: this model cannot see" in results_in(after)[0]
    assert state["results"]["look"]["usage"]["calls"] == 3 + 1  # two steps, the check, and the look


async def test_where_no_model_sees_the_call_says_what_to_set(
    build: Build, provider: ScriptedServer, tmp_path: Path
) -> None:
    chart(tmp_path / "ws" / "chart.png")
    provider.add(plans(LOOK), looks("chart.png"), ends("Nobody could look.", "failure"), Reply("It was not done."))

    await worked(build, {"models": {"default": {"images": False}}})

    after = of_role(provider, WORKER)[-1]
    assert pictures(after) == []
    assert "No model here can see" in results_in(after)[0]
    assert "Set a model for the role `vision`" in results_in(after)[0]


async def test_a_direct_call_of_a_plan_gives_words(build: Build, provider: ScriptedServer, tmp_path: Path) -> None:
    chart(tmp_path / "ws" / "chart.png")
    look = {"id": "look", "goal": "look", "tool": "view_image", "args": {"path": "chart.png"}}
    made = {"command": "create", "path": "said.txt", "file_text": "${look.description}"}
    say = {"id": "say", "goal": "say", "tool": "str_replace_editor", "args": made}
    provider.add(plans(look, say), Reply("A red square."), Reply("It is a red square."))

    state = await worked(build, {"models": {"default": {"images": True}}})

    assert len(of_role(provider, EYES)) == 1
    assert state["results"]["look"]["output"]["description"] == "A red square."
    assert state["results"]["look"]["usage"]["calls"] == 1
    assert (tmp_path / "ws" / "said.txt").read_text() == "A red square."
    assert colours(provider.requests[-1].messages) == [RED]  # the coordinator sees it too


async def test_only_the_newest_pictures_are_sent(build: Build, provider: ScriptedServer, tmp_path: Path) -> None:
    for name, colour in (("1", "yellow"), ("2", "red"), ("3", "green"), ("4", "blue")):
        chart(tmp_path / "ws" / f"{name}.png", colour=colour)
    provider.add(plans(LOOK), looks("1.png", "2.png"), looks("3.png", "4.png"), ends("Seen."), verdict(True))

    await worked(build, SEES)

    _, second, third = of_role(provider, WORKER)
    assert len(pictures(second)) == 2
    assert sorted(colours(third)) == sorted([RED, GREEN, BLUE])
    assert "The picture 1.png is not shown any more" in results_in(third)[0]


async def test_a_picture_that_was_replaced_or_is_gone_is_not_sent(
    build: Build, provider: ScriptedServer, tmp_path: Path
) -> None:
    chart(tmp_path / "ws" / "a.png")
    chart(tmp_path / "ws" / "b.png", colour="blue")
    change = calls(ToolUse("bash", {"command": "cp a.png c.png && mv b.png a.png"}))
    provider.add(plans(LOOK), looks("a.png", "b.png"), change, ends("Seen."), verdict(True))

    await worked(build, SEES)

    _, before, after = of_role(provider, WORKER)
    assert colours(before) == [RED, BLUE]
    assert pictures(after) == []
    told = str(after)
    assert "The picture a.png is not shown: the file has changed since." in told
    assert "The picture b.png is not shown." in told


async def test_files_that_cannot_be_shown_are_refused(build: Build, provider: ScriptedServer, tmp_path: Path) -> None:
    folder = tmp_path / "ws"
    folder.mkdir()
    bomb(folder / "bomb.png")
    (folder / "words.png").write_text("no picture")
    (folder / "half.png").write_bytes(chart(tmp_path / "whole.png", (300, 300)).read_bytes()[:200])
    provider.add(plans(LOOK), looks("bomb.png", "words.png", "half.png", "../whole.png", "none.png"))
    provider.add(ends("None of them can be seen.", "failure"), Reply("It was not done."))

    await worked(build, SEES)

    after = of_role(provider, WORKER)[-1]
    assert pictures(after) == []
    told = results_in(after)
    assert "has 20000×20000 pixels; at most 64 million" in told[0]
    assert "is no picture that can be shown" in told[1]
    assert "is broken" in told[2]
    assert "leads out of the workspace" in told[3]
    assert "There is no 'none.png'" in told[4]


async def test_the_coordinator_is_shown_attached_pictures_and_an_agent_is_told_of_them(
    build: Build, provider: ScriptedServer, tmp_path: Path
) -> None:
    chart(tmp_path / "ws" / "chart.png")
    (tmp_path / "ws" / "notes.txt").write_text("red means loss")
    app = build(settings={"models": {"default": {"images": True}}})
    provider.add(Reply("A red chart."), plans(LOOK), ends("Red."), verdict(True))

    given = {"task": "What is this?", "workspace": "ws", "attachments": ["chart.png", "notes.txt"]}
    await app.ainvoke(given, thread())
    await app.ainvoke({"task": "And what does red mean?"}, thread())

    first, second, brief = (one.messages for one in provider.requests[:3])
    assert colours(first) == [RED]
    assert colours(second) == [RED]  # it is still part of the conversation
    assert pictures(brief) == []


async def test_an_attached_picture_is_a_line_to_a_coordinator_that_does_not_see(
    build: Build, provider: ScriptedServer, tmp_path: Path
) -> None:
    chart(tmp_path / "ws" / "chart.png")
    provider.add(Reply("I cannot see it."))

    given = {"task": "What is this?", "workspace": "ws", "attachments": ["chart.png"]}
    await build(settings={"models": {"default": {"images": False}}}).ainvoke(given, thread())

    assert pictures(provider.requests[0].messages) == []
    assert "chart.png is not shown: this model cannot see" in str(provider.requests[0].messages)


async def test_no_bytes_of_a_picture_are_stored_or_recorded(
    build: Build, provider: ScriptedServer, database: str, tmp_path: Path
) -> None:
    chart(tmp_path / "ws" / "chart.png", (700, 500))
    recording = tmp_path / "recording.jsonl"
    provider.add(plans(LOOK), looks("chart.png"), ends("It is red."), verdict(True))

    await worked(build, {**SEES, "record": recording}, attachments=["chart.png"])

    sent = picture_in(tmp_path / "ws", "chart.png").data
    file = (tmp_path / "ws" / "chart.png").read_bytes()
    assert len(pictures(of_role(provider, WORKER)[1])) == 1
    for part in (sent[21:60], file[21:60]):
        assert rows_with(database, base64.b64encode(part).decode()) == {}
        assert rows_with(database, part.hex()) == {}
        assert base64.b64encode(part).decode() not in recording.read_text()
    assert rows_with(database, "view_image")
    assert "view_image" in recording.read_text()


async def test_a_replay_has_the_eyes_that_the_recorded_run_had(
    build: Build, provider: ScriptedServer, tmp_path: Path
) -> None:
    chart(tmp_path / "ws" / "chart.png")
    given = {"task": "What does the chart say?", "workspace": "ws"}
    for name, settings, words in (("seeing", SEES, SHOWN), ("asking", ASKS, "All red.")):
        file = tmp_path / f"{name}.jsonl"
        asked = [Reply(words)] if name == "asking" else []
        provider.add(plans(LOOK), looks("chart.png"), *asked, ends("It is red."), verdict(True))
        await build(settings={**settings, "record": file, "owner": name}).ainvoke(given, thread(name))

        replay = build(models=f"replay:{file}", settings={"owner": f"{name}-2"})  # who remembers nothing of it
        events = [event async for event in replay.astream(given, thread(f"{name}-2"), stream_mode="custom")]

        (returned,) = [event for event in events if event["type"] == "tool_returned"]
        assert words in returned["preview"]
        assert [event["text"] for event in events if event["type"] == "warned"] == []
    assert len(provider.requests) == 4 + 5


async def test_the_picture_that_a_users_tool_names_is_shown(
    build: Build, provider: ScriptedServer, tmp_path: Path
) -> None:
    async def draw(name: str) -> dict[str, Any]:
        """Draw a chart."""
        chart(tool_context().workspace / name)
        return {"path": name}

    drawing = StructuredTool.from_function(coroutine=draw, metadata={"effect": "write", "shows": "path"})
    provider.add(plans({**LOOK, "tools": ["draw"]}), calls(ToolUse("draw", {"name": "new.png"})))
    provider.add(calls(ToolUse("draw", {"name": "new.pdf"})), ends("Drawn."), verdict(True))

    app = build(settings=SEES, tools=[drawing])
    await app.ainvoke({"task": "Draw.", "workspace": "ws"}, thread())

    _, second, third = of_role(provider, WORKER)
    assert colours(second) == [RED]
    assert colours(third) == [RED]  # a PDF is no picture


async def test_an_agent_of_the_users_own_gets_words(build: Build, provider: ScriptedServer, tmp_path: Path) -> None:
    chart(tmp_path / "ws" / "chart.png")

    async def look(state: MessagesState) -> dict[str, Any]:
        found = await builtin("view_image").ainvoke({"path": "chart.png", "question": "Which colour?"})
        return {"messages": [AIMessage(found["description"])]}

    graph = StateGraph(MessagesState).add_node(look).add_edge(START, "look").add_edge("look", END).compile()
    provider.add(plans({"id": "look", "goal": "look", "agent": "eyes"}), Reply("All red."), verdict(True))

    app = build(settings={"models": {"default": {"images": True}}}, agents={"eyes": graph})
    state = await app.ainvoke({"task": "Look.", "workspace": "ws"}, thread())

    assert state["results"]["look"]["output"] == "All red."
    assert colours(of_role(provider, EYES)[0]) == [RED]


async def test_a_plan_by_itself_asks_the_models_of_the_settings(
    provider: ScriptedServer, saver: ThreadSaver, tmp_path: Path
) -> None:
    chart(tmp_path / "ws" / "chart.png")
    chosen = {"llm_model": "openai/scripted", "llm_base_url": provider.base_url, "llm_api_key": "sk-scripted"}
    plan = {"subtasks": [{"id": "look", "tool": "view_image", "args": {"path": "chart.png"}}]}
    given: Any = {"plan": plan, "workspace": str(tmp_path / "ws")}
    sees = Settings.load(home=tmp_path, models={"vision": {"images": True}}, **chosen)
    provider.add(Reply("All red."))

    found: list[Any] = []
    for number, settings in enumerate((sees, Settings.load(home=tmp_path))):
        app = build_plan_graph(["view_image"], settings=settings).compile(checkpointer=saver)
        found.append((await app.ainvoke(given, thread(str(number))))["results"]["look"])

    assert found[0]["output"]["description"] == "All red."
    assert colours(provider.requests[0].messages) == [RED]
    assert found[1]["status"] == "failed"
    assert "No model is set" in found[1]["error"]
    assert "LLM_MODEL" in found[1]["error"]
