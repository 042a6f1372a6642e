"""Input: a task in words goes where the graph's input says it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, cast

import pytest
from langchain_core.messages import HumanMessage
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from openmanus_graph.errors import UsageError
from openmanus_graph.loading.input_schema import check_input, input_of, read_input, title_of


def taking(schema: Any) -> Any:
    def node(_: Any) -> dict[str, Any]:
        return {}

    graph = StateGraph(schema)
    graph.add_node("node", cast("Any", node))
    graph.add_edge(START, "node")
    return graph.compile()


class Chat(MessagesState):
    task: str


class Task(TypedDict):
    task: str
    other: str


class Topic(BaseModel):
    topic: str
    size: int = 3
    style: str = "plain"


class OnlyString(TypedDict, total=False):
    words: str | None
    number: int


class Two(TypedDict):
    source: str
    target: str
    depth: int


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (Task, {"task": "hello"}),
        (Topic, {"topic": "hello"}),
        (OnlyString, {"words": "hello"}),
    ],
)
def test_a_task_goes_to_its_field(schema: Any, expected: Any) -> None:
    assert input_of(taking(schema), "hello") == expected


def test_messages_come_first() -> None:
    given = input_of(taking(Chat), "hello")
    assert list(given) == ["messages"]
    assert isinstance(given["messages"][0], HumanMessage)
    assert given["messages"][0].content == "hello"


def test_a_graph_of_a_string_takes_it_as_it_is() -> None:
    @entrypoint()
    def shout(words: str) -> str:
        return words.upper()

    assert input_of(shout, "hello") == "hello"


def test_an_unclear_field_is_an_error_that_names_them() -> None:
    with pytest.raises(UsageError) as error:
        input_of(taking(Two), "hello")
    assert "'source' (string), 'target' (string), 'depth' (integer)" in error.value.message
    assert error.value.hint is not None
    assert """--input '{"source": "…", "target": "…", "depth": "integer"}'""" in error.value.hint


@pytest.mark.parametrize(
    ("schema", "given", "message"),
    [
        (Task, {"tsak": "x"}, "has no 'tsak'; it has 'task', 'other'. Did you mean 'task'?"),
        (Task, {}, "must be an object with some of 'task', 'other', but is {}"),
        (Task, "x", "but is 'x'"),
        (Topic, {"topic": "x", "size": "big"}, "does not fit: 'size': input should be a valid integer"),
        (Topic, {"size": 1}, "does not fit: 'topic': field required"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(schema: Any, given: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        check_input(taking(schema), given)
    assert message in str(error.value)


def test_an_input_that_fits_is_taken() -> None:
    check_input(taking(Task), {"task": "x"})
    check_input(taking(Topic), {"topic": "x", "size": "3"})
    check_input(taking(Chat), input_of(taking(Chat), "hello"))


def test_json_is_given_whole_or_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    path.write_text('{"a": [1]}')
    assert read_input('{"a": 1}') == {"a": 1}
    assert read_input(f"@{path}") == {"a": [1]}
    with pytest.raises(UsageError, match="no JSON"):
        read_input("{a: 1}")
    with pytest.raises(UsageError, match="cannot be read"):
        read_input(f"@{tmp_path}/none.json")


@pytest.mark.parametrize(
    ("given", "title"),
    [
        ("one\ntwo", "one"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "hi"),
        ({"messages": [HumanMessage("hey")]}, "hey"),
        ({"depth": 2, "source": "s"}, "s"),
        ({"depth": 2}, ""),
        (7, ""),
    ],
)
def test_a_thread_is_named_after_what_was_asked(given: Any, title: str) -> None:
    assert title_of(given) == title
