"""Three runs with effects outside: parallel branches, an agent with a scripted model, and one that asks people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, tool

from openmanus_graph import Settings, ToolContext, build_manus_graph, build_plan_graph
from openmanus_graph.fault_points import passed
from openmanus_graph.questions import Question
from openmanus_graph.testing import Reply, ToolUse
from openmanus_graph.tools.registry import builtin
from tests.agent.replies import calls, ends, plans, verdict
from tests.engine.plans import plan, subtask
from tests.ledger.paying import lines, paying


async def at(moment: str) -> None:
    """The moments within a call are boundaries too: before its effect, and between that and its end."""
    passed(f"within call, {moment}")


def _paid(name: str, amount: int) -> bool:
    return any(line.startswith(f"{name} ") and line.endswith(f" {amount}") for line in lines())


def _verified(args: dict[str, Any], context: ToolContext) -> dict[str, Any]:
    """Look into the log whether the call was made."""
    del context
    return {"happened": _paid("checked", args["amount"]), "result": {"paid": args["amount"]}}


@tool
def large(letter: str) -> str:
    """Return more than a checkpoint holds."""
    return letter * 30_000


large.metadata = {"effect": "read"}


def tools() -> list[BaseTool]:
    """Tools that pay, with every way to find out about it, and tools that leave files."""
    paying_tools = [paying("once", at, idempotent=True), paying("checked", at, verify=_verified), paying("asked", at)]
    return [*paying_tools, large, *map(builtin, ("str_replace_editor", "ask_human", "bash"))]


def answer(question: Question) -> dict[str, Any]:
    """What a person says who knows what is true: yes to calls, and of calls that were cut short what the log says."""
    value: Any = {"approve": True, "answer": "blue"}.get(question["kind"])
    if question["kind"] == "effect":
        amount = int(question.get("args", {})["amount"])
        happened = _paid(str(question.get("tool")), amount)
        value = {"happened": happened, **({"result": {"paid": amount}} if happened else {})}
    return {"kind": question["kind"], "value": value}


def _create(path: str) -> dict[str, Any]:
    return {"command": "create", "path": path, "file_text": f"the text of {path}\n"}


BRANCHES = plan(
    subtask("a1", "asked", args={"amount": 1}),
    subtask("a2", "checked", ["a1"], args={"amount": 2}),
    subtask("b1", "once", args={"amount": 3}),
    subtask("b2", "str_replace_editor", ["b1"], args=_create("b.txt")),
    subtask("c1", "large", args={"letter": "x"}),
    subtask("c2", "bash", ["c1"], args={"command": "sleep 0.1; echo made > c.txt; echo done"}),
    subtask("end", "asked", ["a2", "b2", "c2"], args={"amount": 4}),
)
ASKING = plan(
    subtask("colour", "ask_human", args={"inquire": "Which colour?"}),
    subtask("consent", "asked", args={"amount": 5}),
    subtask("checked", "checked", ["colour"], args={"amount": 6}),
    subtask("free", "str_replace_editor", args=_create("free.txt")),
    subtask("end", "once", ["consent", "checked"], args={"amount": 7}),
)
ASK_ASKED = {"default": "allow", "rules": [{"tool": "asked", "action": "ask"}]}
AGENT = (
    {"id": "pay", "goal": "pay", "agent": "executor", "tools": ["asked", "checked", "once", "str_replace_editor"]},
    {"id": "after", "goal": "pay more", "tool": "asked", "args": {"amount": 13}, "needs": ["pay"]},
)
AGENT[0]["done_when"] = "everything is paid"
TASK = "Pay everybody and write a note"


def replies(body: Mapping[str, Any]) -> Reply:
    """What the model says, from the request alone: the same place always gets the same reply."""
    names = {one["function"]["name"] for one in body.get("tools") or []}
    results = [message for message in body["messages"] if message["role"] == "tool"]
    if "delegate" in names:
        return Reply("Everybody is paid.") if results else plans(*AGENT)
    if "verdict" in names:
        return verdict(True)
    if "terminate" in names:
        if not results:
            return calls(ToolUse("asked", {"amount": 10}, "c1"), ToolUse("checked", {"amount": 11}, "c2"))
        if len(results) == 2:
            return calls(ToolUse("once", {"amount": 12}, "c1"), ToolUse("str_replace_editor", _create("n.txt"), "c2"))
        return ends("all is paid")
    raise AssertionError(f"nobody offers {names}")


@dataclass(frozen=True)
class Shape:
    """One of the runs."""

    given: dict[str, Any]
    graph: Callable[[str], Any]
    """Makes the graph, from the address of the model's provider."""
    paid: dict[str, int]
    """How often each line, tool and amount, is to be in the log of effects."""


def _agent(provider: str) -> Any:
    settings = Settings.load(llm_model="openai/scripted", llm_base_url=provider, llm_api_key="sk-scripted")
    return build_manus_graph(tools=tools(), settings=settings, policy="allow")


def _once(**amounts: int) -> dict[str, int]:
    return {f"{name.rstrip('_')} {amount}": 1 for name, amount in amounts.items()}


SHAPES = {
    "branches": Shape(
        {"plan": BRANCHES}, lambda _: build_plan_graph(tools()), _once(asked=1, checked=2, once=3, asked_=4)
    ),
    "agent": Shape({"task": TASK}, _agent, _once(asked=10, checked=11, once=12, asked_=13)),
    "asking": Shape(
        {"plan": ASKING},
        lambda _: build_plan_graph(tools(), policy=ASK_ASKED),
        _once(asked=5, checked=6, once=7),
    ),
}


def tree(folder: Path) -> dict[str, str]:
    """The files below a folder with their contents."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}
