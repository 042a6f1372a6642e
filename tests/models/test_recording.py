"""Recordings: what is written is what is replayed, and what is missing, broken or drifted is said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from openmanus_graph.call_site import CallSite
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import RecordingError
from openmanus_graph.models.recording import Replay, ReplyRecorder, secrets_hidden, secrets_of
from openmanus_graph.testing import replaying, write_recording

PLANNER = CallSite("planner")
PROMPT: list[BaseMessage] = [SystemMessage("You plan."), HumanMessage("Compare A and B.")]


@tool
def look(path: str) -> str:
    """Look at a file."""
    return path


@tool
def think(thought: str) -> str:
    """Think."""
    return thought


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replies.jsonl"


def said(text: str = "Yes.", **fields: object) -> AIMessage:
    return AIMessage(text, response_metadata={"finish_reason": "stop"}, **fields)


def record(path: Path, place: CallSite, reply: AIMessage, messages: Sequence[BaseMessage] = PROMPT) -> None:
    ReplyRecorder(path).write(place, "openai/some-model", messages, [look], reply)


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_reply_comes_back_as_it_was(path: Path) -> None:
    calls = [{"name": "look", "args": {"path": "ä.txt"}, "id": "call-1", "type": "tool_call"}]
    usage = {"input_tokens": 30, "output_tokens": 5, "total_tokens": 35, "input_token_details": {"cache_read": 20}}
    reply = AIMessage("", tool_calls=calls, usage_metadata=usage, response_metadata={"finish_reason": "tool_calls"})
    place = CallSite("executor", "s3", 2)
    record(path, place, reply)

    again = Replay(path).reply(place, PROMPT, [look])

    assert again.tool_calls == reply.tool_calls
    assert again.usage_metadata == usage
    assert again.response_metadata == {"finish_reason": "tool_calls", "model_name": "openai/some-model"}
    assert lines_of(path)[0] == {"format": "openmanus-graph recording", "version": 1, "source": "live"}
    assert lines_of(path)[1]["place"] == "executor/s3/2"


def test_usage_that_only_the_gateway_counted_is_recorded(path: Path) -> None:
    counted = {
        "calls": 1,
        "input_tokens": 12,
        "output_tokens": 3,
        "cached_tokens": 4,
        "cost_usd": None,
        "cache_hits": 0,
    }
    record(path, PLANNER, AIMessage("Yes.", response_metadata={"openmanus_graph": {"usage": counted}}))

    usage = Replay(path).reply(PLANNER).usage_metadata
    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (12, 3, 15)


def test_broken_arguments_and_cut_replies_come_back_too(path: Path) -> None:
    broken = {"name": "look", "args": '{"path": ', "id": "c", "error": "cut", "type": "invalid_tool_call"}
    record(path, PLANNER, AIMessage("", invalid_tool_calls=[broken], response_metadata={"finish_reason": "length"}))

    again = Replay(path).reply(PLANNER)

    assert again.invalid_tool_calls == [broken]
    assert again.response_metadata["finish_reason"] == "length"


@given(text=st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_comes_back(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "replies.jsonl"
    record(path, PLANNER, said(text))

    assert Replay(path).reply(PLANNER).text == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def test_the_newer_reply_of_a_place_counts(path: Path) -> None:
    record(path, PLANNER, said("before the crash"))
    record(path, PLANNER, said("after it"))

    assert Replay(path).reply(PLANNER).text == "after it"


def test_a_missing_reply_names_its_place_and_the_nearest(path: Path) -> None:
    for place in (PLANNER, CallSite("executor", "s1", 1), CallSite("executor", "s2", 1), CallSite("executor", "s2", 3)):
        record(path, place, said())
    replay = Replay(path)

    with pytest.raises(RecordingError, match=r"no reply for executor/s2/4; the nearest .* is executor/s2/3"):
        replay.reply(CallSite("executor", "s2", 4))
    with pytest.raises(RecordingError, match=r"no reply for executor/s9/1; the nearest .* is executor/s[12]/1"):
        replay.reply(CallSite("executor", "s9", 1))
    with pytest.raises(RecordingError, match="reporter/-/1; the nearest recorded one is planner/-/1"):
        replay.reply(CallSite("reporter"))


def test_a_recording_without_replies_says_so(path: Path) -> None:
    write_recording(path, {})

    with pytest.raises(RecordingError, match="it holds no reply at all"):
        Replay(path).reply(PLANNER)


def test_a_corrupt_line_is_named_by_its_number(path: Path) -> None:
    record(path, PLANNER, said())
    with path.open("a") as file:
        file.write('{"place": "executor/s1/1", "text": 3}\n')

    with pytest.raises(RecordingError, match=r"^Line 3 of the recording .* is no reply: 'text': "):
        Replay(path)


@pytest.mark.parametrize("content", ["", "hello\n", "[]\n", '{"place": "planner/-/1", "text": "x"}\n', "\x00\x01\xff"])
def test_what_is_no_recording_is_neither_read_nor_written_to(path: Path, content: str) -> None:
    path.write_text(content, encoding="latin1")

    with pytest.raises(RecordingError, match=r"is no recording|cannot be read"):
        Replay(path)
    if content:
        with pytest.raises(RecordingError, match="is no recording"):
            record(path, PLANNER, said())
        assert path.read_text(encoding="latin1") == content


def test_another_version_is_refused(path: Path) -> None:
    path.write_text('{"format": "openmanus-graph recording", "version": 2, "source": "live"}\n')

    with pytest.raises(RecordingError, match="has version 2, not 1"):
        Replay(path)


def test_a_missing_file_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file or directory") as raised:
        Replay(path)

    assert raised.value.hint == "Make one with: openmanus-graph run TASK --record FILE"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be written: Is a directory"):
        record(tmp_path, PLANNER, said())


@pytest.mark.parametrize("kept", [3, 40, -1])
def test_a_line_that_a_kill_cut_off_is_recorded_again(path: Path, kept: int) -> None:
    record(path, PLANNER, said("first"))
    whole = path.read_bytes()
    record(path, CallSite("reporter"), said("second"))
    second = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + second[:kept])

    assert "reporter/-/1" not in Replay(path).places or kept == -1
    record(path, CallSite("reporter"), said("second, again"))

    assert Replay(path).reply(CallSite("reporter")).text == "second, again"
    assert Replay(path).reply(PLANNER).text == "first"


def test_a_last_line_without_an_end_is_kept(path: Path) -> None:
    write_recording(path, {"planner/-/1": "by hand"})
    path.write_text(path.read_text().rstrip("\n"))

    record(path, CallSite("reporter"), said("more"))

    assert [Replay(path).reply(place).text for place in (PLANNER, CallSite("reporter"))] == ["by hand", "more"]


WRITER = """
import sys
from langchain_core.messages import AIMessage
from openmanus_graph.call_site import CallSite
from openmanus_graph.models.recording import ReplyRecorder
recorder = ReplyRecorder(sys.argv[1])
for turn in range(1, 41):
    recorder.write(CallSite("executor", sys.argv[2], turn), "m", [], [], AIMessage("x" * 9000))
"""


def test_several_processes_record_into_one_file(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("a", "b")]

    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert sorted(Replay(path).places) == sorted(f"executor/{name}/{turn}" for name in "ab" for turn in range(1, 41))
    assert sum("format" in line for line in lines_of(path)) == 1


def test_secrets_of_the_environment_are_not_recorded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", "sk-planted-1234")
    call = {"name": "look", "args": {"headers": ["Bearer sk-planted-1234"]}, "id": "c", "type": "tool_call"}
    record(path, PLANNER, said("It is sk-planted-1234.", tool_calls=[call]), [HumanMessage("Use sk-planted-1234.")])

    assert "planted" not in path.read_text()
    assert Replay(path).reply(PLANNER).tool_calls[0]["args"] == {"headers": ["Bearer [redacted]"]}
    assert path.stat().st_mode & 0o077 == 0


def test_secrets_of_the_settings_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIAL_A", "planted-in-a")
    settings = Settings.load(
        llm_api_key="planted-key",
        database_url="postgresql://me:planted-password@db/x",
        models={"planner": {"api_key_env": "CREDENTIAL_A"}, "executor": {"api_key_env": "UNSET"}},
    )

    text = "planted-in-a planted-key postgresql://me:planted-password@db/x"
    assert secrets_hidden(secrets_of(settings))(text) == "[redacted] [redacted] postgresql://me:[redacted]@db/x"


def test_a_redactor_of_ones_own(path: Path) -> None:
    ReplyRecorder(path, redact=secrets_hidden(["Rosebud!"])).write(PLANNER, "m", PROMPT, [], said("It was Rosebud!"))

    assert Replay(path).reply(PLANNER).text == "It was [redacted]"


def test_the_same_prompt_has_not_drifted(path: Path) -> None:
    def prompt(day: str, call: str, port: int) -> list[BaseMessage]:
        called = {"name": "look", "args": {"path": f"http://127.0.0.1:{port}/"}, "id": call, "type": "tool_call"}
        return [
            SystemMessage(f"You work. It is {day}T10:00:00Z."),
            HumanMessage("Look."),
            AIMessage("", tool_calls=[called]),
            ToolMessage("found in 0.3 s", tool_call_id=call, name="look"),
        ]

    record(path, PLANNER, said(), prompt("2026-11-21", "call-1", 4000))

    assert Replay(path).drift(PLANNER, prompt("2027-01-01", "call-2", 5000), [look]) is None


def test_drift_is_said_once_and_where(path: Path) -> None:
    record(path, PLANNER, said())
    changed = [PROMPT[0], HumanMessage("Compare A and C.")]
    replay = Replay(path)

    assert replay.drift(PLANNER, changed, [look]) == (
        "The prompt of planner/-/1 is not the one that was recorded: "
        "message 2 (human) begins 'Compare A and C.' and began 'Compare A and B.'."
    )
    assert replay.drift(PLANNER, changed, [look]) is None
    assert replay.reply(PLANNER, changed, [look]).text == "Yes."


def test_drift_of_tools_length_and_ends(path: Path) -> None:
    long = HumanMessage("a" * 100)
    record(path, PLANNER, said(), [*PROMPT, long])

    def drift(messages: Sequence[BaseMessage], tools: Sequence[object]) -> str:
        return Replay(path).drift(PLANNER, messages, tools) or ""

    assert "other tools are offered (new think; gone look)" in drift([*PROMPT, long], [think])
    assert "it has 2 messages and had 3" in drift(PROMPT, [look])
    assert "message 3 (human, 'aaa" in drift([*PROMPT, HumanMessage("a" * 99 + "b")], [look])


def test_what_was_written_by_hand_does_not_drift(path: Path) -> None:
    write_recording(path, {"planner/-/1": "by hand"})

    assert Replay(path).source == "hand"
    assert Replay(path).drift(PLANNER, PROMPT, [look]) is None


def test_a_hand_written_line_needs_no_more_than_its_place(path: Path) -> None:
    write_recording(
        path, {"executor/s1/1": {"tool_calls": [{"name": "look", "args": {"path": "a"}}, {"name": "think"}]}}
    )

    reply = Replay(path).reply(CallSite("executor", "s1"))

    assert [call["id"] for call in reply.tool_calls] == ["executor/s1/1/1", "executor/s1/1/2"]
    assert reply.response_metadata["finish_reason"] == "tool_calls"


def test_a_hand_written_reply_with_a_wrong_field_is_refused(path: Path) -> None:
    with pytest.raises(RecordingError, match="The reply for 'planner/-/1' cannot have 'tool_call'"):
        write_recording(path, {"planner/-/1": {"tool_call": []}})


def test_replies_left_over_fail_a_test(path: Path) -> None:
    write_recording(path, {"planner/-/1": "a", "reporter/-/1": "b"})

    with (
        pytest.raises(AssertionError, match=r"^Nobody asked for the recorded replies of reporter/-/1\.$"),
        replaying(path) as replayed,
    ):
        assert replayed.settings.llm_model == f"replay:{path}"
        Replay(path).reply(PLANNER)
    with replaying(path, all_used=False) as replayed:
        assert replayed.unused == ["planner/-/1", "reporter/-/1"]


def test_a_failing_test_is_not_hidden_by_replies_left_over(path: Path) -> None:
    write_recording(path, {"planner/-/1": "a"})

    with pytest.raises(ValueError, match="of the test"), replaying(path):
        raise ValueError("of the test")


def test_the_developers_models_do_not_reach_a_replayed_test(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text('record = "x.jsonl"\n[models.planner]\nmodel = "openai/expensive"\n')
    monkeypatch.setenv("OPENMANUS_GRAPH_CONFIG", str(tmp_path / "own.toml"))
    write_recording(path, {})

    with replaying(path, max_parallel=2) as replayed:
        assert (replayed.settings.models, replayed.settings.record, replayed.settings.max_parallel) == ({}, None, 2)
