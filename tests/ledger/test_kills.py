"""Kill -9 at every moment of a call with an effect outside: the effect is there once, whoever had to be asked."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import ThreadSaver, build_manus_graph, build_plan_graph, list_effects, resume_preview
from openmanus_graph.questions import answers_for
from tests.engine.plans import plan, subtask, thread
from tests.interpreter import Interpreter
from tests.ledger.model import TurnsModel
from tests.ledger.paying import CALLED, lines, three

pytestmark = [pytest.mark.postgres, pytest.mark.kill]

WORKER = Path(__file__).with_name("worker.py")
NAMES = ("once", "checked", "asked")
UNPAID, UNKNOWN = ("claimed", "begun"), ("claimed", "begun", "paid", "returned")
DIRECT = plan(*(subtask(name, name, args={"amount": 5}) for name in NAMES))
AGENT = plan({"id": "agent", "goal": "pay three times", "agent": "executor", "tools": list(NAMES)})


Killed = Callable[..., None]


@pytest.fixture
def killed(database: str, interpreter: Interpreter) -> Killed:
    """Runs in a process of its own, which kills itself."""

    def run(turns: str, moment: str, given: dict[str, Any], *, calls: int = 3, policy: str = "allow") -> None:
        command = [interpreter.python(), str(WORKER), database, turns, moment, str(calls), policy, json.dumps(given)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr

    return run


def check_paid_once(moment: str) -> None:
    """Each of the three paid once, and was called no more than it had to be."""
    paid = [line.split()[0] for line in lines()]
    assert sorted(paid) == sorted(NAMES)
    # Where the first process died after its effect, only the idempotent one is called again, with the same key.
    twice = {"once"} if moment in ("paid", "returned") else set[str]()
    assert Counter(line.split()[0] for line in lines(CALLED)) == {name: 1 + (name in twice) for name in NAMES}
    assert len(set(lines(CALLED))) == 3


async def answered(app: Any, moment: str) -> Any:
    """Resume, answer what is asked, and give what came of it; nothing is asked about what is recorded."""
    foreseen = {one.tool: one.action for one in (await resume_preview(app, "t")).effects}
    out = await app.ainvoke(None, thread())
    questions = await app.questions("t")
    if moment not in UNKNOWN:
        assert (questions, foreseen) == ([], dict.fromkeys(NAMES, "recorded"))
        return out
    assert foreseen == {"once": "repeated", "checked": "verified", "asked": "asked"}
    (question,) = questions
    assert (question["kind"], question.get("tool"), question.get("args")) == ("effect", "asked", {"amount": 5})
    answer = "did not happen" if moment in UNPAID else "= 5"
    return await app.ainvoke(Command(resume=answers_for(questions, [answer])), thread())


@pytest.mark.parametrize("moment", [*UNKNOWN, "settled"])
async def test_direct_calls_have_their_effect_once(moment: str, killed: Killed, saver: ThreadSaver) -> None:
    killed("-", moment, {"plan": DIRECT})
    app = build_plan_graph(three()).compile(checkpointer=saver)
    out = await answered(app, moment)

    check_paid_once(moment)
    results = {name: (result["status"], result["output"]) for name, result in out["results"].items()}
    found_out = {"paid": "found out"} if moment in ("paid", "returned") else {"paid": 5}
    said = 5 if moment in ("paid", "returned") else {"paid": 5}
    assert results == {
        "once": ("completed", {"paid": 5}),
        "checked": ("completed", found_out),
        "asked": ("completed", said),
    }
    assert {one.status for one in await list_effects(saver, "t")} == {"done"}


TURNS = [[(name, {"amount": 5}) for name in NAMES]]


@pytest.mark.parametrize("moment", [*UNKNOWN, "settled"])
async def test_calls_of_an_agent_have_their_effect_once(moment: str, killed: Killed, saver: ThreadSaver) -> None:
    killed(json.dumps(TURNS), moment, {"plan": AGENT})
    model = TurnsModel(turns=TURNS)
    app = build_manus_graph(model, tools=three(), policy="allow").compile(checkpointer=saver)
    out = await answered(app, moment)

    check_paid_once(moment)
    assert out["results"]["agent"]["status"] == "completed"
    shown = {"5"} if moment in ("paid", "returned") else {json.dumps({"paid": 5})}
    assert shown <= set(model.told)


async def test_a_kill_in_an_approved_call_asks_what_became_of_it_and_an_old_yes_is_no_answer(
    killed: Killed, saver: ThreadSaver
) -> None:
    app = build_plan_graph(three(), policy="ask").compile(checkpointer=saver)
    given: Any = plan(subtask("asked", "asked", args={"amount": 5}))
    await app.ainvoke({"plan": given}, thread())
    (consent,) = await app.questions("t")
    approved = {consent["id"]: {"kind": "approve", "value": True}}
    killed("-", "paid", {"resume": approved}, calls=1, policy="ask")

    # LangGraph keeps an answer only once its step has ended, so the question is open still; its yes says nothing now.
    await app.ainvoke(Command(resume=approved), thread())
    (question,) = await app.questions("t")
    assert (question["kind"], len(lines())) == ("effect", 1)
    out = await app.ainvoke(Command(resume=answers_for([question], ["happened"])), thread())
    assert out["results"]["asked"]["status"] == "completed"
    assert len(lines(CALLED)) == 1


async def test_a_result_tells_the_arguments_that_ran_before_a_kill(killed: Killed, saver: ThreadSaver) -> None:
    """The person's answer is not kept, since the step has not ended: the ledger knows what was called."""
    app = build_plan_graph(three(), policy="ask").compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("asked", "asked", args={"amount": 5}))}, thread())  # pyright: ignore[reportArgumentType] - a plain dict
    (consent,) = await app.questions("t")
    edit = {consent["id"]: {"kind": "approve", "value": {"action": "edit", "args": {"amount": 7}}}}
    killed("-", "settled", {"resume": edit}, calls=1, policy="ask")
    out = await app.ainvoke(None, thread())
    result = out["results"]["asked"]
    assert (result["output"], result.get("args"), result.get("args_by")) == ({"paid": 7}, {"amount": 7}, "a person")
    assert [line.split()[2] for line in lines()] == ["7"]


async def test_the_arguments_of_a_plans_approval_are_told_after_a_kill(killed: Killed, saver: ThreadSaver) -> None:
    app = build_plan_graph(three(), policy="allow").compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("asked", "asked", args={"amount": 5}, approval=True))}, thread())  # pyright: ignore[reportArgumentType] - a plain dict
    (consent,) = await app.questions("t")
    edit = {consent["id"]: {"kind": "approve", "value": {"action": "edit", "args": {"amount": 7}}}}
    killed("-", "settled", {"resume": edit}, calls=1, policy="allow")
    out = await app.ainvoke(None, thread())
    result = out["results"]["asked"]
    assert (result["output"], result.get("args")) == ({"paid": 7}, {"amount": 7})


async def test_an_agent_is_told_the_arguments_that_ran_before_a_kill(killed: Killed, saver: ThreadSaver) -> None:
    turns = [[("asked", {"amount": 5})]]
    model = TurnsModel(turns=turns)
    app = build_manus_graph(model, tools=three(), policy="ask").compile(checkpointer=saver)
    await app.ainvoke({"plan": AGENT}, thread())
    (consent,) = await app.questions("t")
    edit = {consent["id"]: {"kind": "approve", "value": {"action": "edit", "args": {"amount": 7}}}}
    killed(json.dumps(turns), "settled", {"resume": edit}, calls=1, policy="ask")
    await app.ainvoke(None, thread())
    assert 'A person changed the arguments to {"amount": 7}.\n{"paid": 7}' in model.told


@pytest.mark.parametrize(("answer", "paid"), [("happened", [7]), ("no", [7, 8])])
async def test_other_arguments_after_a_kill_do_not_hide_the_call_that_was_begun(
    answer: str, paid: list[int], killed: Killed, saver: ThreadSaver
) -> None:
    app = build_plan_graph(three(), policy="ask").compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("asked", "asked", args={"amount": 5}))}, thread())  # pyright: ignore[reportArgumentType] - a plain dict
    (consent,) = await app.questions("t")

    def edited(amount: int) -> dict[str, Any]:
        return {consent["id"]: {"kind": "approve", "value": {"action": "edit", "args": {"amount": amount}}}}

    killed("-", "paid", {"resume": edited(7)}, calls=1, policy="ask")
    await app.ainvoke(Command(resume=edited(8)), thread())
    (question,) = await app.questions("t")
    assert (question["kind"], '{"amount": 7}' in question["question"]) == ("effect", True)
    out = await app.ainvoke(Command(resume=answers_for([question], [answer])), thread())
    assert out["results"]["asked"]["status"] == "completed"
    assert [int(line.split()[2]) for line in lines()] == paid
    assert out["results"]["asked"].get("args") == {"amount": paid[-1]}, "what came of it is that of this call"
    assert len({line.split()[1] for line in lines()}) == len(paid)
