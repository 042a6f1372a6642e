"""Template choice: which of several templates a request is offered."""

from __future__ import annotations

from collections import Counter

from openmanus_graph.memory.procedural.choice import chosen
from openmanus_graph.memory.procedural.ranking import likeness
from openmanus_graph.memory.procedural.template import KnownTemplate, Template

TASK = "Count the sheep on the hill"


def known(key: str, successes: float, failures: float, task: str = TASK) -> KnownTemplate:
    runs = int(successes + failures)
    template = Template(key, task, ())
    fit = likeness(template, TASK)
    return KnownTemplate(
        template, runs=runs, successes=successes, failures=failures, worked=int(successes), likeness=fit
    )


def choices(*offered: KnownTemplate, requests: int = 1000) -> Counter[str]:
    found = (chosen(offered, f"request {number}") for number in range(requests))
    return Counter(one.template.key for one in found if one is not None)


def test_without_templates_there_is_none() -> None:
    assert chosen([], "t 1") is None


def test_a_single_one_is_always_chosen() -> None:
    assert choices(known("only", 1, 5), requests=20) == {"only": 20}


def test_the_same_request_has_the_same_choice_in_whatever_order() -> None:
    several = [known("a", 3, 1), known("b", 2, 1), known("c", 1, 0)]

    for number in range(50):
        first, again = (chosen(order, f"t {number}") for order in (several, several[::-1]))
        assert first is again


def test_the_better_one_is_chosen_most_and_a_new_one_gets_its_turn() -> None:
    often = choices(known("proved", 40, 10), known("worse", 10, 40), known("new", 1, 0))

    assert often["proved"] > often["new"] > often["worse"]
    assert often["new"] > 100
    assert often["worse"] == 0


def test_one_that_fits_less_is_chosen_less() -> None:
    often = choices(known("near", 4, 1), known("far", 4, 1, "Count the sheep on the hill and the goats by the river"))

    assert often["near"] > often["far"]
