"""Template filling: which tasks a template fits, what rules take from their words, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from openmanus_graph.memory.procedural.filling import filled_plan, refers_back, values_in
from openmanus_graph.memory.procedural.ranking import CHARACTERS_PER_TOKEN, MOST_TOKENS, described, likeness
from openmanus_graph.memory.procedural.template import KnownTemplate, Template
from openmanus_graph.memory.procedural.template_file import missing_values
from tests.memory.ways import PRICES, copying, made, plan_of, prices


@pytest.mark.parametrize(
    ("task", "values"),
    [
        ("copy the first 3 lines of a.txt to b.txt  and count the words in it.", ("3", "a.txt", "b.txt")),
        ("Copy the first three lines of a.txt to b.txt and count the words in it", None),
        ("Copy the last 3 lines of a.txt to b.txt and count the words in it", None),
        ("Copy the first 3 lines of a.txt to b.txt and count the words in it, then mail it", None),
        ("Copy the first 3 lines of a.txt to b to c.txt and count the words in it", None),
        ("Copy the first 3 lines of ${x}.txt to b.txt and count the words in it", None),
        (f"Copy the first 3 lines of {'a' * 300}.txt to b.txt and count the words in it", None),
    ],
)
def test_rules_fill_what_has_the_same_words(task: str, values: tuple[str, ...] | None) -> None:
    found = values_in(copying(), task)

    assert found == (None if values is None else dict(zip(("p1", "p2", "p3"), values, strict=True)))


def test_words_that_can_be_read_in_two_ways_are_not_filled() -> None:
    template = made(
        "Translate whale songs to bird calls with the tool",
        plan_of(
            {"id": "a", "tool": "x", "args": {"q": "whale songs"}},
            {"id": "b", "tool": "x", "args": {"q": "bird calls"}},
            {"id": "c", "tool": "y", "needs": ["a", "b"]},
        ),
    )

    assert template.task == "Translate {{p1}} to {{p2}} with the tool"
    assert values_in(template, "Translate cats to dogs with the tool") == {"p1": "cats", "p2": "dogs"}
    assert values_in(template, "Translate cats to dogs to eels with the tool") is None


def test_a_filled_template_is_the_plan_of_the_task() -> None:
    task = "Copy the first 3 lines of a.txt to b.txt and count the words in it"
    values = values_in(copying(), task)
    assert values is not None

    filled = filled_plan(copying(), values)

    assert (
        filled
        == plan_of(
            {"id": "s1", "tool": "read_file", "args": {"path": "a.txt", "limit": 3}},
            {"id": "s2", "tool": "write_file", "args": {"path": "b.txt", "content": "${s1}"}},
            {"id": "s3", "tool": "count_words", "args": {"path": "b.txt"}, "needs": ["s2"]},
        ).to_dict()
    )


def test_a_value_that_could_leave_its_place_is_not_put_there() -> None:
    template = made(
        "Count the lines of notes and of poems and add them",
        plan_of(
            {"id": "a", "tool": "shell", "args": {"line": "wc -l 'notes'"}},
            {"id": "b", "tool": "shell", "args": {"line": "wc -l poems"}},
            {"id": "c", "tool": "shell", "args": {"line": "add ${a} ${b}"}},
        ),
    )
    values = values_in(template, "Count the lines of x';id;' and of y and add them")

    assert values is not None
    assert filled_plan(template, values) is None
    assert filled_plan(template, {"p1": "a", "p2": "$(id)"}) is None
    assert filled_plan(template, {"p1": "a", "p2": "-rf"}) is None
    assert filled_plan(template, {"p1": "a"}) is None
    assert filled_plan(template, {"p1": "a", "p2": "b"}) is not None


@pytest.mark.parametrize(
    ("args", "value", "is_filled"),
    [
        ({"tool": "bash", "args": {"command": "wc -l old notes"}}, "my poems", False),
        ({"tool": "bash", "args": {"command": "wc -l old notes"}}, "-c", False),
        ({"tool": "bash", "args": {"command": "wc -l old notes"}}, "poems", True),
        ({"tool": "bash", "args": {"command": "old notes"}}, "my poems", True),
        ({"tool": "other", "args": {"cmd": ["wc", "old notes"]}}, "my poems", False),
        ({"tool": "other", "args": {"argv": ["wc", "old notes"]}}, "--help", False),
        ({"tool": "other", "args": {"query": "lines of old notes"}}, "my poems", True),
        ({"tool": "other", "args": {"query": "lines of old notes"}}, "-c", False),
        ({"tool": "other", "args": {"query": ["old notes"]}}, "-c", True),
    ],
    ids=str,
)
def test_a_value_stays_one_word_of_a_command(args: dict[str, Any], value: str, is_filled: bool) -> None:
    steps = [{"id": "a", **args}, {"id": "b", "tool": "x"}, {"id": "c", "tool": "y"}]
    template = made("Count the lines of old notes", plan_of(*steps))
    values = values_in(template, f"Count the lines of {value}")

    assert values == {"p1": value}
    assert (filled_plan(template, {"p1": value}, code={"bash": "command"}) is not None) is is_filled


@pytest.mark.parametrize(
    ("value", "refers"),
    [
        ("it", True),
        ("That", True),
        ("the same file", True),
        ("its headings", True),
        ("the one above", True),
        ("diese Datei", True),
        ("this.txt", False),
        ("such/that/file", False),
        ("Italy", False),
        ("one of two", False),
    ],
)
def test_words_that_refer_back_are_no_values(value: str, refers: bool) -> None:
    assert (refers_back({"p1": "Berlin", "p2": value}) == value) is refers


def test_a_number_that_is_none_is_not_filled() -> None:
    assert filled_plan(copying(), {"p1": "2/3", "p2": "a.txt", "p3": "b.txt"}) is None


@pytest.mark.parametrize(
    ("task", "fits"),
    [
        ("Compare the prices of laptops at 4 shops in Munich", True),
        ("Compare the price of a Canyon gravel bike in Bonn shops, as a table", True),
        ("Write a poem about the sea", False),
        ("Save the file", False),
        ("Write a report about the price of oil and what it means for farmers in the next years", False),
        ("Send a mail to Anna", False),
    ],
)
def test_a_template_fits_tasks_of_its_kind(task: str, fits: bool) -> None:
    assert (likeness(made(PRICES, *prices()), task) >= 0.6) is fits


def test_a_template_is_told_a_line_a_step_within_its_bound() -> None:
    text = described(KnownTemplate(made(PRICES, *prices()), runs=8, worked=7))

    assert text.splitlines()[0].startswith("A way that worked 7 of 8 times; adapt it")
    assert text.splitlines()[2:4] == [
        "s1: web_search(query={{p1}} price {{p3}}, limit={{p2:int}})",
        "s2 after s1: fetch_page(url={{?}})",
    ]
    long = made(
        "Write a report about whales",
        plan_of(*({"id": f"s{number}", "agent": "executor", "goal": "Look at it " * 40} for number in range(150))),
    )
    told = described(KnownTemplate(long, runs=1, worked=1))
    assert len(told) <= MOST_TOKENS * CHARACTERS_PER_TOKEN
    assert "more" in told.splitlines()[-1]


def test_a_parameter_that_stands_twice_has_one_value() -> None:
    template = Template(
        "k", "Turn {{p1}} into {{p2}} and {{p1}} back", copying().steps, parameters={"p1": "words", "p2": "words"}
    )

    assert values_in(template, "turn milk into cheese and milk back") == {"p1": "milk", "p2": "cheese"}
    assert values_in(template, "turn milk into cheese and wine back") is None
    assert values_in(template, "turn milk into into and milk back") == {"p1": "milk", "p2": "into"}


def test_what_nothing_says_is_named_in_the_order_of_the_steps() -> None:
    template = made(PRICES, *prices())

    assert missing_values(template, {"p3": "Bonn"}, {}) == ["p1", "p2", "p4", "s2.url", "s3.url"]
    assert missing_values(template, {"p1": "a", "p2": "1", "p3": "b"}, {"s2.url": "u"}) == ["p4", "s3.url"]
