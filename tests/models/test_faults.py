"""Faults: each kind of failure of a provider ends as it should, and never as a reply."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import pytest
from langchain_core.messages import HumanMessage

from openmanus_graph.config.sections import BudgetSettings, ModelSettings
from openmanus_graph.errors import BudgetError, ContextOverflowError, ModelError, ModelRefusedError
from openmanus_graph.models.gateway import usage_of
from openmanus_graph.redaction import redact
from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse
from tests.models.conftest import Asker, Maker

LONG = Reply("These are many words that come in many pieces, one after the other, until the end.")


@pytest.mark.parametrize(
    "fault",
    [
        Fault.rate_limit(),
        Fault(500, "Internal error."),
        Fault(502, "Bad gateway."),
        Fault(503, "Overloaded."),
        Fault(529, "Overloaded."),
        Fault(408, "Too slow."),
        Fault.breaks_off(LONG),
        Fault.breaks_off(LONG, politely=True),
        Fault.breaks_off(Reply(tool_calls=[ToolUse("bash", {"command": "x" * 100})]), 3, politely=True),
        Fault.breaks_off(LONG, pieces=0),
        Reply(),
        Reply("  \n"),
    ],
    ids=str,
)
async def test_a_fault_that_passes_is_tried_again(server: ScriptedServer, asker: Maker, fault: Fault | Reply) -> None:
    server.add(fault, Reply("At last."))
    role = asker()

    assert (await role.ask()).text == "At last."

    assert len(server.requests) == 2
    (retrying,) = role.said("model_retrying")
    assert retrying.get("attempt") == 2
    assert retrying.get("error", "") not in ("", None)


async def test_retries_end(server: ScriptedServer, asker: Maker) -> None:
    server.add(*[Fault(503, "Overloaded.")] * 9)
    role = asker(retries=2)

    with pytest.raises(ModelError, match=r"'openai/scripted' of the role 'executor'.*503.*3 times in a row"):
        await role.ask()

    assert len(server.requests) == 3
    assert "503" in str(role.said("model_finished")[0].get("error"))


async def test_empty_replies_end_as_an_error_and_are_paid_for(server: ScriptedServer, asker: Maker) -> None:
    server.add(*[Reply(usage=(10, 1))] * 2)
    role = asker(retries=1)

    with pytest.raises(ModelError, match="empty reply"):
        await role.ask()

    assert role.scope.spending.total["calls"] == 2
    assert role.scope.spending.total["input_tokens"] == 20


async def test_a_budget_ends_retries_too(server: ScriptedServer, asker: Maker) -> None:
    server.add(*[Reply(usage=(10, 1))] * 9)
    made = asker(retries=8)
    role = Asker(made.settings.model_copy(update={"budget": BudgetSettings(model_calls=2)}))

    with pytest.raises(BudgetError):
        await role.ask()
    assert len(server.requests) == 2


async def test_a_reply_that_is_all_thought_names_the_cure(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply(finish_reason="length"))

    with pytest.raises(ModelRefusedError, match="max_tokens"):
        await asker().ask()


@pytest.mark.parametrize("after", ["0.4", "date"])
async def test_the_pause_a_provider_asks_for_is_kept(server: ScriptedServer, asker: Maker, after: str) -> None:
    until = int(time.time() + 3)
    server.add(Fault.rate_limit(formatdate(until, usegmt=True) if after == "date" else after), Reply("Yes."))
    role = asker()

    await role.ask()

    if after == "date":
        assert time.time() >= until
    else:
        assert server.requests[1].at - server.requests[0].at >= 0.4
        assert role.said("model_retrying")[0].get("delay_s", 0) >= 0.4


async def test_a_pause_that_is_too_long_is_a_failure(server: ScriptedServer, asker: Maker) -> None:
    server.add(Fault.rate_limit(7200))

    with pytest.raises(ModelError, match="asks to wait 7200 s"):
        await asker().ask()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.wrong_key(), "refuses the key.*LLM_API_KEY"),
        (Fault(403, "Not allowed for this project."), "refuses the key"),
        (Fault.unknown_model("scripted"), "is not there.*Check the model's name"),
        (Fault.no_credit(), "has no credit left.*Check the account"),
        (Fault(400, "Unsupported value: 'temperature'."), "refuses the request.*temperature"),
    ],
    ids=str,
)
async def test_a_refusal_stops_at_once(server: ScriptedServer, asker: Maker, fault: Fault, words: str) -> None:
    server.add(fault)

    with pytest.raises(ModelRefusedError, match=words) as raised:
        await asker().ask()

    assert len(server.requests) == 1
    assert "'executor'" in str(raised.value)
    assert "'openai/scripted'" in str(raised.value)


async def test_an_overflow_is_an_error_of_its_own(server: ScriptedServer, asker: Maker) -> None:
    server.add(Fault.overflow())

    with pytest.raises(ContextOverflowError):
        await asker().ask()
    assert len(server.requests) == 1


async def test_a_server_that_hangs_is_left(server: ScriptedServer, asker: Maker) -> None:
    server.add(Fault.hang(), Reply("At last."))
    role = asker(timeout_s=0.5)

    assert (await role.ask()).text == "At last."
    assert "within 0.5 s" in str(role.said("model_retrying")[0].get("error"))


async def test_a_stream_that_trickles_for_ever_is_left(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("word " * 500, piece_delay_s=0.05), Reply("At last."))

    assert (await asker(timeout_s=0.6).ask()).text == "At last."


async def test_a_server_that_is_not_there_is_named(asker: Maker) -> None:
    with pytest.raises(ModelError, match=r"cannot be reached.*See whether a server answers at http://127.0.0.1:9\."):
        await asker(base_url="http://127.0.0.1:9/v1", retries=1).ask()


async def test_a_call_can_be_cancelled(server: ScriptedServer, asker: Maker) -> None:
    server.add(Fault.hang())
    role = asker()
    call = asyncio.create_task(role.ask())
    while not server.requests and not call.done():
        await asyncio.sleep(0.01)

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert len(server.requests) == 1


async def test_fallbacks_are_tried_in_order(server: ScriptedServer, asker: Maker) -> None:
    server.add(*[Fault(503, "Overloaded.")] * 2, Fault.unknown_model(), Reply("I am third."))
    role = asker(retries=1, fallbacks=("openai/second", "third"), roles={"third": ModelSettings(model="openai/third")})

    reply = await role.ask()

    assert reply.text == "I am third."
    assert [request.body["model"] for request in server.requests] == ["scripted", "scripted", "second", "third"]
    assert role.said("model_finished")[0].get("model") == "openai/third"
    assert [event.get("model") for event in role.said("model_retrying")] == [
        "openai/scripted",
        "openai/second",
        "openai/third",
    ]


async def test_a_wrong_key_is_no_reason_to_fall_back(server: ScriptedServer, asker: Maker) -> None:
    server.add(Fault.wrong_key(), Reply("Never."))

    with pytest.raises(ModelRefusedError):
        await asker(fallbacks=("openai/second",)).ask()
    assert len(server.requests) == 1


async def test_an_overflow_falls_back_only_to_a_larger_window(server: ScriptedServer, asker: Maker) -> None:
    tables = {"small": ModelSettings(model="openai/small", window=100), "large": ModelSettings(model="openai/large")}
    server.add(Fault.overflow(), Reply("It fits."))

    reply = await asker(window=1000, fallbacks=("small", "large"), roles=tables).ask()

    assert reply.text == "It fits."
    assert [request.body["model"] for request in server.requests] == ["scripted", "large"]


async def test_usage_counts_replies_that_were_none(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply(usage=(10, 0)), Reply("Yes.", usage=(10, 5)))

    usage = usage_of(await asker().ask())

    assert (usage["calls"], usage["input_tokens"], usage["output_tokens"]) == (2, 20, 5)


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_no_key_is_in_an_error_or_event(
    server: ScriptedServer, asker: Maker, monkeypatch: pytest.MonkeyPatch, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_PLANTED_KEY", "planted-and-quite-secret-93417")
    server.add(*[Fault(status, "You sent planted-and-quite-secret-93417 and sk-abcdef0123456789abcdef.")] * 2)
    role = asker(api_key_env="MY_PLANTED_KEY", retries=1)

    with pytest.raises(ModelError) as raised:
        await role.ask([HumanMessage("Hello.")])

    assert server.requests[0].headers["authorization"] == "Bearer planted-and-quite-secret-93417"
    told = f"{raised.value!r} {raised.value} {raised.value.hint} {role.events} {caplog.text}"
    assert "93417" not in told
    assert "abcdef0123" not in told
    assert raised.value.__cause__ is raised.value.__context__ is None  # nothing that a log would print leads to it


def test_texts_are_redacted_by_value_and_by_shape() -> None:
    text = "Bearer abcdefgh12345 sk-proj-123456789 plain xyzzy-key AIzaSyA1234567890abcdefghijklm"

    assert redact(text, ["xyzzy-key"]) == "[key] [key] plain [key] [key]"
