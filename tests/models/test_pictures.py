"""Pictures that messages refer to: each model gets them as it can, none is counted wrongly, and replies are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage

from openmanus_graph.config.sections import ModelSettings
from openmanus_graph.files.picture import sha256_of
from openmanus_graph.models.pictures import IMAGE_TOKENS, reference
from openmanus_graph.testing import Fault, Reply, ScriptedServer
from tests.agent.shown import chart, colours, pictures
from tests.models.conftest import PLACE, Asker, Maker
from tests.models.tools import bash

RED = (255, 0, 0)


def asked(folder: Path, path: str = "a.png") -> list[BaseMessage]:
    """A message that refers to a red picture in a folder."""
    chart(folder / path)
    block: Any = reference(path, sha256_of(folder, path))
    return [HumanMessage(["Look.", block])]


async def ask(role: Asker, messages: list[BaseMessage], folder: Path | None) -> AIMessage:
    return await role.models.reply(PLACE, messages, scope=role.scope, emit=role.events.append, folder=folder)


async def test_a_fallback_that_does_not_see_gets_a_line(server: ScriptedServer, asker: Maker, tmp_path: Path) -> None:
    server.add(Fault(404), Reply("I saw nothing."))
    blind = {"blind": ModelSettings(model="openai/blind", images=False)}

    reply = await ask(asker(images=True, fallbacks=("blind",), roles=blind), asked(tmp_path), tmp_path)

    first, second = (request.messages for request in server.requests)
    assert colours(first) == [RED]
    assert pictures(second) == []
    line = "[The picture a.png is not shown: this model cannot see. The tool `view_image` says what is on it.]"
    assert second[0]["content"] == f"Look.\n{line}"  # servers of text models may take no blocks
    assert reply.text == "I saw nothing."


async def test_without_a_folder_there_is_a_line(server: ScriptedServer, asker: Maker, tmp_path: Path) -> None:
    server.add(Reply("Nothing."))

    await ask(asker(images=True), asked(tmp_path), None)

    assert "The picture a.png is not shown: there is no workspace." in str(server.requests[0].messages)


async def test_a_langchain_model_that_sees_is_given_the_bytes(asker: Maker, tmp_path: Path) -> None:
    given: list[list[BaseMessage]] = []

    class Seeing(GenericFakeChatModel):
        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
            given.append(messages)
            return super()._generate(messages, *args, **kwargs)

    role = asker(Seeing(messages=iter([AIMessage("Red.")]), profile=cast("Any", {"image_inputs": True})))
    messages = asked(tmp_path)
    await ask(role, messages, tmp_path)

    _, block = cast("list[dict[str, Any]]", given[0][0].content)
    assert (block["type"], block["mime_type"]) == ("image", "image/png")
    assert block["base64"].startswith("iVBOR")
    assert role.models.count_tokens("executor", messages) > IMAGE_TOKENS


def test_pictures_are_counted_for_those_that_see_them(asker: Maker, tmp_path: Path) -> None:
    messages = asked(tmp_path)

    assert asker(images=True).models.count_tokens("executor", messages) > IMAGE_TOKENS
    assert asker(images=False).models.count_tokens("executor", messages) < 100


async def test_pictures_of_results_stand_before_the_next_words_in_one_message(
    server: ScriptedServer, asker: Maker, tmp_path: Path
) -> None:
    (human,) = asked(tmp_path)
    call = AIMessage("", tool_calls=[ToolCall(name="bash", args={}, id="c1")])
    server.add(Reply("Red."))

    told = [HumanMessage("Go."), call, ToolMessage(human.content, tool_call_id="c1"), HumanMessage("One step left.")]
    role = asker(images=True)
    await role.models.reply(PLACE, told, scope=role.scope, emit=role.events.append, tools=[bash], folder=tmp_path)

    sent = server.requests[0].messages
    assert [one["role"] for one in sent] == ["user", "assistant", "tool", "user"]
    assert colours(sent[-1:]) == [RED]
    assert "One step left." in json.dumps(sent[-1])


async def test_another_picture_of_the_same_name_is_another_request_to_the_cache(
    server: ScriptedServer, asker: Maker, tmp_path: Path
) -> None:
    server.add(Reply("Red."), Reply("Blue."))
    made = asker(images=True)
    kept = made.settings.model_copy(
        update={"model_cache": made.settings.model_cache.model_copy(update={"kind": "disk"})}
    )
    told = [(await ask(Asker(kept), asked(tmp_path), tmp_path)).text for _ in range(2)]
    chart(tmp_path / "a.png", colour="blue")
    block: Any = reference("a.png", sha256_of(tmp_path, "a.png"))
    told.append((await ask(Asker(kept), [HumanMessage(["Look.", block])], tmp_path)).text)

    assert told == ["Red.", "Red.", "Blue."]
    assert len(server.requests) == 2
