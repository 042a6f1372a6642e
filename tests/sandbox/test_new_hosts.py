"""The tool `reach_hosts`: a host that is not listed is reached once a person has said so, and not before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import Settings, ThreadSaver, build_manus_graph
from openmanus_graph.errors import SettingsError, UnknownQuestionError
from openmanus_graph.questions import answers_for
from openmanus_graph.tools.rebuild import available_tools
from openmanus_graph.tools.registry import builtin_tools
from openmanus_graph.tools.surroundings import surroundings_line
from tests.conftest import Require
from tests.engine.plans import plan, thread
from tests.ledger.model import TurnsModel
from tests.sandbox.conftest import OFFERED
from tests.sandbox.outside import HOST, Outside

pytestmark = [pytest.mark.sandbox, pytest.mark.postgres]

NAMES = ["bash", "python_execute", "reach_hosts"]
AGENT = plan({"id": "agent", "goal": "get it", "agent": "executor", "tools": NAMES})


@pytest.fixture
def outside(tmp_path: Path, require: Require) -> Iterator[Outside]:
    require("bubblewrap" in OFFERED, "bubblewrap does not work here", "apt-get install bubblewrap")
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "hello").write_text("hello\n")
    with Outside(folder).running() as server:
        yield server


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def app_of(saver: ThreadSaver, turns: list[Any], home: Path, **settings: Any) -> tuple[Any, TurnsModel]:
    model = TurnsModel(turns=turns)
    given = {"sandbox": "bubblewrap", "sandbox_new_hosts": "ask", "allow_hosts": (HOST,), "policy": "allow", **settings}
    graph = build_manus_graph(model, tools=builtin_tools(NAMES), settings=Settings(home=home, **given))
    return graph.compile(checkpointer=saver), model


def get(outside: Outside) -> list[Any]:
    return [("bash", {"command": f"curl -sS {outside.url}/hello"})]


def reach(*hosts: str) -> list[Any]:
    return [("reach_hosts", {"hosts": list(hosts), "reason": "the file is there"})]


async def test_a_person_is_asked_whatever_the_policy_allows(
    saver: ThreadSaver, outside: Outside, tmp_path: Path
) -> None:
    code = [("python_execute", {"code": f"import urllib.request as r; r.urlopen('{outside.url}/hello').status"})]
    app, model = app_of(saver, [get(outside), reach(outside.place), get(outside), code], tmp_path / "home")
    await app.ainvoke({"plan": AGENT}, thread())
    (question,) = await app.questions("t")
    assert question["question"] == f"May commands and code of 'agent' reach {outside.place}?"
    assert (question["kind"], question["reason"]) == ("approve", "the file is there")
    assert not outside.asked

    out = await app.ainvoke(Command(resume=answers_for([question], ["yes"])), thread())

    assert out["results"]["agent"]["status"] == "completed"
    refused, allowed, got, ran = (json.loads(text) for text in model.told[-4:])
    assert refused["network"][0] == "For a host that is refused, ask a person with reach_hosts."
    assert "is not in the setting 'sandbox_hosts'" in refused["network"][1]
    assert allowed == {"hosts": [outside.place]}
    assert (got["stdout"], ran["result"]) == ("hello\n", "200")


async def test_it_holds_for_the_subtask_and_a_person_may_name_other_hosts(
    saver: ThreadSaver, outside: Outside, tmp_path: Path
) -> None:
    app, model = app_of(saver, [reach(outside.place), get(outside), reach("*.example.com")], tmp_path / "home")
    await app.ainvoke({"plan": AGENT}, thread())
    for answer in ("yes", 'edit {"hosts": ["a.example.com:443"]}'):
        (question,) = await app.questions("t")
        await app.ainvoke(Command(resume=answers_for([question], [answer])), thread())
    *_, got, edited = (json.loads(text) for text in model.told)
    assert got["stdout"] == "hello\n"
    assert edited == {"hosts": [outside.place, "a.example.com:443"]}


async def test_the_machine_itself_is_reached_once_it_is_allowed(
    saver: ThreadSaver, tmp_path: Path, require: Require
) -> None:
    require("bubblewrap" in OFFERED, "bubblewrap does not work here", "apt-get install bubblewrap")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "hello").write_text("ours\n")
    local = Outside(tmp_path / "site", "127.0.0.1")
    with local.running():
        home = tmp_path / "home"
        turns = [get(local), reach(local.place), get(local)]
        app, model = app_of(saver, turns, home, allow_hosts=("127.0.0.1",))
        await app.ainvoke({"plan": AGENT}, thread())
        await app.ainvoke(Command(resume=answers_for(await app.questions("t"), ["yes"])), thread())
    assert json.loads(model.told[-1])["stdout"] == "ours\n"
    assert local.asked == ["/hello"]


async def test_who_is_told_no_reaches_nothing(saver: ThreadSaver, outside: Outside, tmp_path: Path) -> None:
    app, model = app_of(saver, [reach(outside.place), get(outside)], tmp_path / "home")
    await app.ainvoke({"plan": AGENT}, thread())
    (question,) = await app.questions("t")
    for wrong in ('edit {"hosts": ["*"]}', "answer: sure"):
        with pytest.raises(UnknownQuestionError):
            await app.ainvoke(Command(resume=answers_for([question], [wrong])), thread())
            (again,) = await app.questions("t")
            raise UnknownQuestionError(again["refused"])
    (question,) = await app.questions("t")
    await app.ainvoke(Command(resume=answers_for([question], ["no: not that one"])), thread())
    assert "did not allow it: not that one" in model.told[-2]
    assert "is not in the setting" in json.loads(model.told[-1])["network"][1]
    assert not outside.asked


def test_it_is_there_only_where_the_setting_says_so() -> None:
    assert "reach_hosts" not in available_tools([], Settings())
    asking = Settings(sandbox_new_hosts="ask")
    assert "reach_hosts" in available_tools([], asking)
    told = surroundings_line(["bash"], "bubblewrap", settings=asking)
    assert ("With reach_hosts a person is asked" in told) == ("bubblewrap" in OFFERED)
    assert "reach_hosts" not in surroundings_line(["bash"], "landlock", settings=asking)
    with pytest.raises(SettingsError, match="sandbox_new_hosts"):
        Settings.load(sandbox_new_hosts="allow")
