"""Loops: going round in circles is noticed by what steps bring, told once, and then ends the subtask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from openmanus_graph.models.context import summarised
from openmanus_graph.nodes.loops import Stuck, stuck
from openmanus_graph.tools.registry import builtin_tools
from openmanus_graph.tools.spec import spec_of

READS = {tool.name for tool in builtin_tools() if spec_of(tool).changes_nothing}
START: list[BaseMessage] = [SystemMessage("You work."), HumanMessage("Do it.")]
HEADER = "# The site\nHome | News | Contact\n" * 5
_ids = iter(range(10**9))

Step = tuple[str, dict[str, Any], str]


def bash(command: str, stdout: str = "", exit_code: int = 0) -> Step:
    return "bash", {"command": command}, json.dumps({"stdout": stdout, "stderr": "", "exit_code": exit_code})


def fetch(url: str, text: str) -> Step:
    return "fetch_page", {"urls": [url]}, text


def edit(path: str, new: str) -> Step:
    args = {"command": "str_replace", "path": path, "old_str": "a", "new_str": new}
    return "str_replace_editor", args, "The file has been edited."


def turns(*steps: Step | Sequence[Step]) -> list[BaseMessage]:
    """Turns of a model: each a call, or several at once, with their results."""
    made: list[BaseMessage] = []
    for step in steps:
        calls: Sequence[Any] = step if isinstance(step, list) else [step]
        keys = [f"call-{next(_ids)}" for _ in calls]
        made.append(
            AIMessage(
                "", tool_calls=[{"name": c[0], "args": c[1], "id": key} for c, key in zip(calls, keys, strict=True)]
            )
        )
        made += [ToolMessage(c[2], tool_call_id=key, name=c[0]) for c, key in zip(calls, keys, strict=True)]
    return made


def found(*steps: Step | Sequence[Step]) -> Stuck | None:
    """What is noticed at any point of the way."""
    messages = list(START)
    for message in turns(*steps):
        messages.append(message)
        if isinstance(message, ToolMessage) and (noticed := stuck(messages, reads=READS)):
            return noticed
    return None


STUCK: dict[str, tuple[str, list[Any]]] = {
    "the same again": ("repeating", [bash("make", "error", 2)] * 3),
    "the same but for the time": (
        "repeating",
        [bash("make", f"12:00:0{n} [pid {n}] failed at 0x7f00000{n} after 0.{n} s", 2) for n in range(3)],
    ),
    "the same in another order": (
        "repeating",
        [[bash("a"), bash("b")], [bash("b"), bash("a")], [bash("a"), bash("b")]],
    ),
    "a poll whose clock alone changes": (
        "repeating",
        [bash("status", json.dumps({"state": "pending", "elapsed_s": n})) for n in range(3)],
    ),
    "two in turn": ("alternating", [bash("undo"), bash("redo")] * 3),
    "three in turn": ("no_progress", [bash("a", "1"), bash("b", "2"), bash("c", "3")] * 4),
    "every page wants JavaScript": (
        "no_progress",
        [fetch(f"https://example.com/{n}", "Please enable JavaScript.") for n in range(10)],
    ),
    "every guess misses": (
        "no_progress",
        [bash(f"cat file-{n}.txt", f"cat: file-{n}.txt: No such file", 1) for n in range(10)]
        + [("list_files", {"pattern": f"{n}*"}, '{"files": []}') for n in range(10)],
    ),
}


@pytest.mark.parametrize(("kind", "steps"), STUCK.values(), ids=STUCK)
def test_going_round_in_circles_is_noticed(kind: str, steps: list[Any]) -> None:
    noticed = found(*steps)

    assert noticed is not None
    assert noticed.kind == kind


FINE: dict[str, list[Any]] = {
    "ten pages with the same header": [fetch(f"https://example.com/{n}", f"{HEADER}Page {n}") for n in range(10)],
    "retries that succeed at last": [
        bash("curl x", "refused", 7),
        bash("curl x", "refused", 7),
        bash("curl x", "fine"),
        bash("next", "fine, too"),
    ],
    "the same command after each edit": [
        step for n in range(6) for step in (bash("pytest", "1 failed", 1), edit("a.py", f"try {n}"))
    ],
    "a poll that changes": [bash("status", f"{n} of 12 done") for n in range(12)],
    "the same success for different files": [edit(f"{n}.txt", "new") for n in range(12)],
    "files in a temporary folder": [edit(f"/tmp/out/{n}.txt", "new") for n in range(12)],
    "commands that print nothing": [bash(f"mkdir {n}") for n in range(12)],
    "the same call twice": [bash("ls", "a"), bash("ls", "a"), bash("cat a", "text"), bash("ls", "a"), bash("ls", "a")],
    "errors that say something else each time": [bash("python a.py", f"line {n}: bad name", 1) for n in range(10)],
    "looking again between new finds": [
        step for n in range(8) for step in (bash("ls", "a b"), fetch(f"https://example.com/{n}", f"fact {n}"))
    ],
}


@pytest.mark.parametrize("steps", FINE.values(), ids=FINE)
def test_progress_is_no_loop(steps: list[Any]) -> None:
    assert found(*steps) is None


def test_the_first_time_it_is_told_to_the_model() -> None:
    noticed = stuck([*START, *turns(*[bash("make", "no rule", 2)] * 3)], reads=READS)

    assert noticed is not None
    assert not noticed.was_warned
    assert noticed.evidence == (
        """bash({"command": "make"}) was called 3 times in a row with the same result: """
        """'{"stdout": "no rule", "stderr": "", "exit_code": 2}'."""
    )
    assert noticed.evidence in noticed.warning().text


def test_after_the_warning_the_model_has_its_chance() -> None:
    messages = [*START, *turns(*[bash("make", "", 2)] * 3)]
    noticed = stuck(messages, reads=READS)
    assert noticed is not None
    messages.append(noticed.warning())

    assert stuck(messages, reads=READS) is None
    assert stuck([*messages, *turns(bash("make", "", 2), bash("cat Makefile", "all:"))], reads=READS) is None


def test_the_second_time_the_evidence_is_for_the_failure() -> None:
    messages = [*START, *turns(*[bash("make", "", 2)] * 3)]
    noticed = stuck(messages, reads=READS)
    assert noticed is not None
    messages += [noticed.warning(), *turns(*[bash("undo"), bash("redo")] * 3)]

    again = stuck(messages, reads=READS)

    assert again is not None
    assert again.was_warned
    assert again.failure().startswith("It went round in circles, also after it was told so. ")
    assert '"undo"' in again.failure()
    assert '"redo"' in again.failure()


def test_a_summary_does_not_make_it_forget_that_it_told() -> None:
    messages = [*START, *turns(*[bash("make", "", 2)] * 3)]
    noticed = stuck(messages, reads=READS)
    assert noticed is not None
    messages = summarised(
        [*messages, noticed.warning(), *turns(bash("a"), bash("b"))], "It tried to make.", keep_last=1
    )

    again = stuck([*messages, *turns(*[bash("undo")] * 3)], reads=READS)

    assert again is not None
    assert again.was_warned


def test_what_a_person_or_verifier_says_starts_the_count_anew() -> None:
    checked = HumanMessage("The check failed: the report lacks a table.")

    assert stuck([*START, *turns(*[bash("make")] * 2), checked, *turns(*[bash("make")] * 2)], reads=READS) is None


def test_what_was_known_before_a_word_is_not_new_after_it() -> None:
    pages = [fetch(f"https://example.com/{n}", f"Page {n}") for n in range(8)]

    noticed = stuck([*START, *turns(*pages), HumanMessage("Look again."), *turns(*pages)], reads=READS)

    assert noticed is not None
    assert noticed.kind == "no_progress"


def test_tools_of_ones_own_may_be_named_as_reading() -> None:
    steps = [("look_up", {"key": str(n)}, "not here") for n in range(9)]

    assert found(*steps) is None
    assert stuck([*START, *turns(*steps)], reads={"look_up"}) is not None


def test_a_call_without_a_result_counts_as_interrupted() -> None:
    messages = [*START, *turns(bash("make", "x"), bash("make", "x"), bash("make", "x"))[:-1]]

    assert stuck(messages, reads=READS) is None


words = st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=8)


@given(st.lists(st.tuples(words, words), max_size=30, unique_by=lambda step: step[1]))
def test_new_content_in_every_step_is_never_a_loop(steps: list[tuple[str, str]]) -> None:
    assert found(*[fetch(url, f"{HEADER}{text} {number}") for number, (url, text) in enumerate(steps)]) is None


@given(
    before=st.lists(words, max_size=5, unique=True),
    cycle=st.lists(st.tuples(words, words), min_size=1, max_size=5, unique=True),
)
def test_any_cycle_is_noticed_within_its_bound(before: list[str], cycle: list[tuple[str, str]]) -> None:
    steps = [bash(f"echo {word}", word) for word in before] + [bash(command, text) for command, text in cycle] * 9
    bound = len(before) + max(3, 6 if len(cycle) == 2 else 0, len(cycle) + 8 if len(cycle) > 2 else 0)

    assert found(*steps[:bound]) is not None


def test_bulky_calls_make_short_evidence() -> None:
    noticed = found(*[bash("echo " + "x" * 10_000, "y" * 10_000)] * 3)

    assert noticed is not None
    assert len(noticed.evidence) < 500
