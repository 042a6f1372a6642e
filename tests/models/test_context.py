"""Context: what is sent to a model fits its window, and no call of a tool is ever parted from its result."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from openmanus_graph.models.context import (
    INTERRUPTED,
    LEFT_OUT,
    SUMMARY,
    fit,
    older,
    repaired,
    summarised,
    summary_request,
)


def count(messages: Sequence[BaseMessage]) -> int:
    """A token for four characters, and three for each message and call."""
    calls = sum(len(message.tool_calls) for message in messages if isinstance(message, AIMessage))
    return sum(3 + len(message.text) // 4 for message in messages) + 3 * calls


def call(key: str, name: str = "look", **args: object) -> dict[str, object]:
    return {"name": name, "args": args, "id": key, "type": "tool_call"}


def turn(key: str, result: str, text: str = "") -> list[BaseMessage]:
    return [AIMessage(text, tool_calls=[call(key)]), ToolMessage(result, tool_call_id=key, name="look")]


HEAD: list[BaseMessage] = [SystemMessage("You work."), HumanMessage("The brief.")]

texts = st.one_of(st.text(max_size=20), st.integers(0, 12_000).map(lambda size: "x" * size))


@st.composite
def conversations(draw: st.DrawFn) -> list[BaseMessage]:
    """What runs leave behind: parallel calls, results in any order, missing, doubled or late, ids used again."""
    made: list[BaseMessage] = [SystemMessage(draw(texts))] if draw(st.booleans()) else []
    made.append(HumanMessage(draw(texts)))
    reused = draw(st.booleans())
    for number in range(draw(st.integers(0, 8))):
        keys = [f"c{index}" if reused else f"c{number}-{index}" for index in range(draw(st.integers(0, 3)))]
        made.append(AIMessage(draw(texts), tool_calls=[call(key) for key in keys]))
        results = draw(st.lists(st.sampled_from([*keys, "unknown"]), max_size=4)) if keys else []
        for key in results:
            made.append(ToolMessage(draw(texts), tool_call_id=key))
            if draw(st.integers(0, 9)) == 0:
                made.append(HumanMessage(draw(texts)))
    return made


def assert_paired(messages: Sequence[BaseMessage]) -> None:
    """Each call is followed at once by its own result, and there is no other result."""
    open_calls: set[str | None] = set()
    for message in messages:
        if isinstance(message, ToolMessage):
            assert message.tool_call_id in open_calls
            open_calls.remove(message.tool_call_id)
            continue
        assert open_calls == set()
        if isinstance(message, AIMessage):
            open_calls = {made["id"] for made in message.tool_calls}
    assert open_calls == set()


def without_results(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    return [message for message in messages if not isinstance(message, ToolMessage)]


@given(conversations())
def test_repaired_messages_are_paired_and_keep_their_order(messages: list[BaseMessage]) -> None:
    done = repaired(messages)

    assert_paired(done)
    assert [m for m in done if not isinstance(m, ToolMessage)] == [
        m for m in messages if not isinstance(m, ToolMessage)
    ]
    assert repaired(done) == done


@given(conversations(), st.integers(0, 12_000))
def test_whatever_is_left_out_calls_keep_their_results(messages: list[BaseMessage], limit: int) -> None:
    done = fit(messages, limit_tokens=limit, count=count)

    assert_paired(done)
    whole = repaired(messages)
    said = [message for message in without_results(done) if message.name != LEFT_OUT]
    rest = iter(without_results(whole))
    assert all(any(message is other for other in rest) for message in said), "out of order, or changed"
    assert (
        said[: len(HEAD)] == [m for m in whole[:2] if not isinstance(m, AIMessage)][: len(said)] or said[0] == whole[0]
    )
    if count(whole) <= limit:
        assert done == whole


@given(conversations(), st.integers(0, 12_000))
def test_the_limit_holds_whenever_what_must_stay_fits(messages: list[BaseMessage], limit: int) -> None:
    whole = repaired(messages)
    turns = [index for index, message in enumerate(whole) if isinstance(message, AIMessage)]
    newest = turns[-1] if turns else len(whole) - 1
    brief = next(index for index, message in enumerate(whole) if isinstance(message, HumanMessage))
    mandatory = [
        message
        for index, message in enumerate(whole)
        if index >= newest or index == brief or isinstance(message, SystemMessage)
    ]

    done = fit(messages, limit_tokens=limit, count=count)

    if count(mandatory) <= limit:
        assert count(done) <= limit
    kept = [message for message in done if not isinstance(message, ToolMessage)]
    assert all(any(message is other for other in kept) for message in mandatory if not isinstance(message, ToolMessage))


def test_big_old_results_are_shortened_before_anything_is_left_out() -> None:
    messages = [*HEAD, *turn("a", "begin" + "x" * 40_000 + "end"), *turn("b", "y" * 3000)]

    done = fit(messages, limit_tokens=2500, count=count)

    assert [message.type for message in done] == [message.type for message in messages]
    assert done[3].text.startswith("beginxxx")
    assert done[3].text.endswith("xend")
    assert "characters are left out here" in done[3].text
    assert done[5].text == "y" * 3000
    assert messages[3].text.startswith("begin" + "x" * 40_000), "the conversation itself is untouched"


def test_the_oldest_exchanges_go_first_and_it_is_said() -> None:
    messages = [*HEAD, *(message for number in range(20) for message in turn(f"c{number}", str(number) + "z" * 900))]

    done = fit(messages, limit_tokens=1200, count=count)

    assert done[:2] == HEAD
    assert done[2].name == LEFT_OUT
    left_out = len(messages) - (len(done) - 1)
    assert done[2].text == f"[{left_out} earlier messages are left out here for lack of space.]"
    assert done[3:] == messages[2 + left_out :]
    assert count([*done[:3], *messages[left_out:]]) > 1200, "no more is left out than must be"


def test_images_in_old_results_give_way() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}
    seen = ToolMessage([{"type": "text", "text": "a chart"}, image], tool_call_id="a")
    messages = [*HEAD, AIMessage("", tool_calls=[call("a")]), seen, *turn("b", "fine")]

    done = fit(messages, limit_tokens=200, count=lambda given: sum(len(str(message.content)) for message in given) // 4)

    assert done[3].content == "a chart\n[What was no text is left out here.]"


def test_a_call_that_never_returned_is_answered_in_so_many_words() -> None:
    made = AIMessage("", tool_calls=[call("a"), call("b", name="bash")])
    done = repaired([*HEAD, made, ToolMessage("found", tool_call_id="a"), HumanMessage("Go on.")])

    assert [message.type for message in done] == ["system", "human", "ai", "tool", "tool", "human"]
    placed = done[4]
    assert isinstance(placed, ToolMessage)
    assert (placed.tool_call_id, placed.name, placed.status, placed.text) == ("b", "bash", "error", INTERRUPTED)


def test_of_two_results_the_real_one_counts() -> None:
    made = AIMessage("", tool_calls=[call("a")])
    done = repaired([made, ToolMessage(INTERRUPTED, tool_call_id="a"), ToolMessage("found", tool_call_id="a")])

    assert [message.text for message in done[1:]] == ["found"]


def test_what_was_said_of_an_unreadable_call_is_kept() -> None:
    broken = {"name": "look", "args": "{", "id": "x", "error": "cut", "type": "invalid_tool_call"}
    done = repaired([AIMessage("", invalid_tool_calls=[broken]), ToolMessage("no JSON", tool_call_id="x")])

    assert [(message.type, message.text) for message in done] == [("ai", ""), ("human", "no JSON")]


@given(conversations(), st.integers(0, 4))
def test_a_summary_replaces_old_exchanges_alone(messages: list[BaseMessage], keep_last: int) -> None:
    request = summary_request(messages, keep_last=keep_last)
    done = summarised(messages, "in short", keep_last=keep_last)

    assert_paired(done)
    whole = repaired(messages)
    assert bool(request) == bool(older(messages, keep_last))
    if not request:
        assert done == whole
        return
    assert [message.type for message in request] == ["system", "human"]
    kept = [message for message in done if message.name != SUMMARY]
    gone = older(messages, keep_last)
    assert len(kept) + len(gone) == len(whole)
    assert sum(isinstance(message, AIMessage) for message in kept) == min(
        keep_last, sum(isinstance(message, AIMessage) for message in whole)
    )


def test_what_is_to_be_summarised_is_told_with_the_brief() -> None:
    messages = [*HEAD, *turn("a", "The price is 7.", "I look it up."), *turn("b", "newest")]

    request = summary_request(messages, keep_last=1)

    assert request[1].text == (
        "The agent's task:\nThe brief.\n\nThe messages to summarise:\n\n"
        "[agent] I look it up.\n[calls look] {}\n\n[result of look] The price is 7."
    )
    assert [message.text for message in summarised(messages, "It costs 7.", keep_last=1)] == [
        "You work.",
        "The brief.",
        "Summary of the work so far, in place of 2 messages:\nIt costs 7.",
        "",
        "newest",
    ]


def test_a_summary_is_summarised_in_its_turn() -> None:
    once = summarised([*HEAD, *turn("a", "one"), *turn("b", "two")], "first", keep_last=1)

    asked = summary_request([*once, *turn("c", "three")], keep_last=1)[1].text

    assert "[summary] Summary of the work so far, in place of 2 messages:\nfirst" in asked
    assert "The brief." in asked


def test_a_summary_alone_is_not_summarised_again() -> None:
    conversation = [*HEAD, *turn("1", "one"), *turn("2", "two"), *turn("3", "three")]
    shorter = summarised(conversation, "In short.", keep_last=1)
    assert summary_request(conversation, keep_last=1)
    assert summary_request(shorter, keep_last=1) == []
    assert summary_request([*shorter, *turn("4", "four")], keep_last=1), "with more behind it, it is"
