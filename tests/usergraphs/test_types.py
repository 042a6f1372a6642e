"""Types: a user's graph holds the classes that users of LangGraph hold, and another process makes them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, StateGraph
from langgraph.types import Send
from pydantic import BaseModel

from openmanus_graph import ThreadSaver, make_durable
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.testing import Reply, ScriptedServer
from tests.agent.replies import plans, thread, wants_plan
from tests.cli.conftest import MakeProgram, Program

pytestmark = pytest.mark.postgres

OWN = """
import dataclasses, datetime, enum
from typing import Any, NamedTuple

from langchain_core.documents import Document
from langgraph.graph import START, StateGraph
from langgraph.types import Send, interrupt
from pydantic import BaseModel

class Color(enum.Enum):
    RED = 1

class Pair(NamedTuple):
    left: int
    right: Any

@dataclasses.dataclass
class Trip:
    stops: int

class Question(BaseModel):
    text: str
    pair: Pair

class Decision(BaseModel):
    yes: bool

class State(BaseModel):
    task: str
    values: list[Any] = []
    answer: str = ""

def made():
    day = datetime.date(2026, 3, 1)
    return [Color.RED, Pair(1, (day, {day})), Trip(2), Question(text="q", pair=Pair(1, 2)), Document("text")]

def think(state):
    return {"answer": f"{state.task}!"}

inner = StateGraph(State)
inner.add_node("think", think)
inner.add_edge(START, "think")

def put(state):
    return {"values": made()}

def work(state):
    assert isinstance(state, State), state
    assert state.values == made(), state.values
    decision = interrupt(Question(text="sure?", pair=Pair(1, Color.RED)), response_schema=Decision)
    assert isinstance(decision, Decision), decision
    return {"answer": f"{state.answer} {decision.yes}"}

builder = StateGraph(State)
builder.add_node("inner", inner.compile())
builder.add_node("put", put)
builder.add_node("work", work)
builder.add_edge(START, "inner")
builder.add_edge("inner", "put")
builder.add_conditional_edges("put", lambda state: [Send("work", state)], ["work"])
graph = builder.compile()
"""

SAFE = """
import datetime as dt, decimal, ipaddress, math, pathlib, re, uuid
from collections import deque
from typing import Any, TypedDict

from langchain_core.documents import Document
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

class State(TypedDict, total=False):
    task: str
    values: dict[str, Any]
    text: str
    mean: float
    large: int
    same: bool

def made():
    return {
        "when": dt.datetime(2026, 3, 1, 12, tzinfo=dt.timezone.utc),
        "day": dt.date(2026, 3, 1),
        "span": dt.timedelta(hours=3),
        "id": uuid.UUID(int=7),
        "price": decimal.Decimal("1.10"),
        "path": pathlib.PurePosixPath("a/b"),
        "words": re.compile("a.*"),
        "net": ipaddress.ip_network("10.0.0.0/8"),
        "tuple": (1, {2}, deque([3], maxlen=2)),
        "passages": [Document("text", metadata={"source": "s"})],
    }

def put(state):
    return {"values": made(), "text": "PK\\0\\ud800", "mean": math.nan, "large": 2**70}

def look(state):
    interrupt("go on?")
    scalars = (state["text"], repr(state["mean"]), state["large"], state["task"])
    return {"same": state["values"] == made() and scalars == ("PK\\0\\ud800", "nan", 2**70, "x\\0y")}

builder = StateGraph(State)
builder.add_node("put", put)
builder.add_node("look", look)
builder.add_edge(START, "put")
builder.add_edge("put", "look")
graph = builder.compile()
"""

TASKS = """
import dataclasses
from langgraph.func import entrypoint, task
from langgraph.types import interrupt

@dataclasses.dataclass
class Found:
    words: tuple

@task
def find(text):
    with open("log", "a") as file:
        file.write("find\\n")
    return Found(tuple(text.split()))

@entrypoint()
def graph(given: dict):
    found = find(given["task"]).result()
    assert isinstance(found, Found) and isinstance(found.words, tuple), found
    return f"{len(found.words)} {interrupt('which?')}"
"""


@pytest.fixture
def program(database: str, program_in: MakeProgram) -> Program:
    return program_in(DATABASE_URL=database)


def test_classes_of_a_graph_come_back_in_another_process(program: Program) -> None:
    (program.folder / "own.py").write_text(OWN)
    out, _ = program("run", "--graph", "own.py", "--input", '{"task": "x"}', "--thread", "t", "--json", code=3)
    assert "warned" not in out
    assert "sure?" in out
    last = json.loads(out.splitlines()[-1])
    assert json.loads(last["questions"][0]["question"]) == {"text": "sure?", "pair": {"left": 1, "right": 1}}
    out, _ = program("resume", "t", "--answer", '{"yes": true}')
    assert out.strip() == "x! True"


def test_a_thread_says_which_class_is_missing_and_is_shown_all_the_same(program: Program) -> None:
    file = program.folder / "own.py"
    file.write_text(OWN)
    program("run", "--graph", "own.py", "--input", '{"task": "x"}', "--thread", "t", code=3)
    # `threads` commands import nothing of the user's.
    out, _ = program("threads", "show", "t")
    assert "sure?" in out
    points = json.loads(program("threads", "history", "t", "--json")[0])
    own = [point["number"] for point in points["points"] if not point["namespace"]]
    out, _ = program("threads", "show", f"t@{max(own)}", "--json")
    assert {"stops": 2} in json.loads(out)["values"]["values"]
    file.write_text(OWN.replace("Trip", "Journey"))
    _, err = program("resume", "t", "--answer", '{"yes": true}', code=1)
    assert "is of the class own.Trip, which is no class of 'own' that values may be of" in err
    file.write_text(OWN)
    out, _ = program("resume", "t", "--answer", '{"yes": true}')
    assert out.strip() == "x! True"


def test_safe_types_and_odd_scalars_come_back_in_another_process(program: Program) -> None:
    (program.folder / "safe.py").write_text(SAFE)
    given = json.dumps({"task": "x\0y"})
    program("run", "--graph", "safe.py", "--input", given, "--thread", "t", code=3)
    out, _ = program("resume", "t", "--answer", "yes", "--json")
    assert json.loads(out.splitlines()[-1])["output"]["same"] is True


def test_what_tasks_return_comes_back_in_another_process(program: Program) -> None:
    (program.folder / "tasks.py").write_text(TASKS)
    program("run", "--graph", "tasks.py", "--input", '{"task": "a b"}', "--thread", "t", code=3)
    out, _ = program("resume", "t", "--answer", "this")
    assert out.strip() == "2 this"
    assert program.log() == ["find"]


class Order(BaseModel):
    task: str = ""
    count: int = 0


def counting() -> Any:
    graph: Any = StateGraph(Order)
    graph.add_node("add", lambda state: {"count": state.count + 1})
    graph.add_edge(START, "add")
    return graph


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "compiled with the saver"])
async def test_an_instance_of_the_schema_is_an_input(saver: ThreadSaver, durable: bool) -> None:
    app = make_durable(counting(), saver) if durable else counting().compile(checkpointer=saver)
    assert await app.ainvoke(Order(task="x", count=1), thread()) == {"task": "x", "count": 2}


async def test_a_schema_made_in_a_function_is_found_by_the_graph_of_it(saver: ThreadSaver) -> None:
    """Its classes are in no module; a graph that is built anew has new ones of the same names."""

    def built() -> Any:
        class Local(BaseModel):
            task: str
            seen: str = ""

        def work(state: Local) -> dict[str, Any]:
            assert isinstance(state, Local)
            return {"seen": f"{state.task} worked"}

        graph: Any = StateGraph(Local)
        graph.add_node("plan", lambda _: {})
        graph.add_node("work", work)
        graph.add_edge(START, "plan")
        graph.add_conditional_edges("plan", lambda state: [Send("work", state)], ["work"])
        return graph.compile(interrupt_before=["work"])

    stopped = [one async for one in make_durable(built(), saver).astream({"task": "x"}, thread(), stream_mode="custom")]
    assert not [event for event in stopped if event["type"] == "warned"]
    out = await make_durable(built(), saver).ainvoke(None, thread())
    assert out["seen"] == "x worked"


class Shape(BaseModel):
    """The answer's shape."""

    word: str


def structured() -> Any:
    """An agent whose answer is a model, as `create_agent(response_format=Shape)` makes one."""

    class Messages(BaseModel):
        messages: list[Any] = []
        structured_response: Any = None

    model = GenericFakeChatModel(messages=iter([AIMessage("blue")]))

    async def answer(state: Messages) -> dict[str, Any]:
        said = await model.ainvoke(state.messages)
        return {"messages": [*state.messages, said], "structured_response": Shape(word=str(said.text))}

    graph: Any = StateGraph(Messages)
    graph.add_node("answer", answer)
    graph.add_node("end", lambda _: {})
    graph.add_edge(START, "answer")
    graph.add_edge("answer", "end")
    return graph.compile()


async def test_an_agent_with_a_structured_answer_is_a_graph(saver: ThreadSaver) -> None:
    app = make_durable(structured(), saver)
    await app.ainvoke({"messages": [HumanMessage("which color?")]}, thread())
    assert (await app.aget_state(thread())).values["structured_response"] == Shape(word="blue")


async def test_an_agent_with_a_structured_answer_takes_subtasks(saver: ThreadSaver, tmp_path: Path) -> None:
    """The graph around it holds plain values only."""
    from openmanus_graph import Settings

    with ScriptedServer() as provider:
        settings = Settings.load(
            home=tmp_path / "home",
            llm_model="openai/scripted",
            llm_base_url=provider.base_url,
            llm_api_key="sk-scripted",
        )
        app = build_manus_graph(settings=settings, agents={"painter": structured()}).compile(checkpointer=saver)
        work = {"id": "a", "goal": "Name a color.", "agent": "painter"}
        provider.add(wants_plan(), plans(work), Reply("It is blue."))
        out = await app.ainvoke({"task": "Which color?"}, thread())
    assert out["results"]["a"]["output"] == {"word": "blue"}
    async with saver.connection() as connection:
        cursor = await connection.execute("SELECT 1 FROM checkpoint_writes WHERE channel = 'structured_response'")
        assert await cursor.fetchall()
