"""Plan repair: mends models' mistakes in plans where only one thing can be meant; validation reports the rest.

What is ambiguous is left as it is, so that the plan goes back to the model with the exact problem.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.tools import BaseTool

from openmanus_graph.nodes.planning.reference_repair import References
from openmanus_graph.tools.spec import ToolSpec, schema_of, spec_of

_LISTS = ("subtasks", "steps", "tasks")
_WRAPPERS = ("plan", "submit_plan", "arguments", "args", "parameters", "input")
_MEANT = {
    "description": "goal",
    "task": "goal",
    "instruction": "goal",
    "instructions": "goal",
    "depends_on": "needs",
    "dependencies": "needs",
    "prerequisites": "needs",
    "arguments": "args",
    "parameters": "args",
    "params": "args",
    "tool_args": "args",
    "tool_name": "tool",
    "agent_name": "agent",
    "allowed_tools": "tools",
    "success_criteria": "done_when",
    "timeout": "timeout_s",
    "name": "id",
}
_SAYS_NOTHING = ("status", "title", "thought", "thoughts", "reasoning", "rationale")
_NOTHING = ("none", "null", "n/a", "-")
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:s|sec|secs|seconds)?\s*")


@dataclass(frozen=True)
class _Known:
    """The names that a plan can use."""

    tools: Mapping[str, BaseTool]
    agents: Collection[str]
    ids: Mapping[str, str]
    """Ids as the model wrote them, and as they become."""
    references: References


def mended(value: Any, tools: Mapping[str, BaseTool], agents: Collection[str], completed: Collection[str] = ()) -> Any:
    """A proposal with its slips mended.

    Args:
        value: What the model gave.
        tools: The tools by name.
        agents: The names of the agents.
        completed: Ids of an earlier plan that it may refer to.
    """
    plan = unwrapped(value)
    if plan is None:
        return value
    subtasks = [_renamed(subtask) for subtask in cast("list[Any]", plan["subtasks"])]
    ids = {name: name for name in completed} | _clean_ids(subtasks)
    named = [cast("dict[str, Any]", subtask) for subtask in subtasks if isinstance(subtask, dict)]
    runs = {ids.get(str(subtask.get("id")), ""): subtask.get("tool") or subtask.get("agent") for subtask in named}
    known = _Known(tools, agents, ids, References(ids, runs, tools))
    return {**plan, "subtasks": [_subtask(subtask, known) for subtask in subtasks]}


def unwrapped(value: Any, depth: int = 3) -> dict[str, Any] | None:
    """The mapping with a list of `subtasks` that is in a value, by whatever name; `None` if there is none."""
    if isinstance(value, str):
        value = _from_json(value)
    if isinstance(value, list):
        return (
            {"goal": "", "subtasks": value}
            if all(isinstance(item, dict) for item in cast("list[Any]", value))
            else None
        )
    if not isinstance(value, dict) or not depth:
        return None
    fields = cast("dict[str, Any]", value)
    for name in _LISTS:
        listed = _from_json(fields.get(name))
        if isinstance(listed, dict):
            by_id = cast("dict[str, Any]", listed)
            listed = [_with_id(key, subtask) for key, subtask in by_id.items()]
        if isinstance(listed, list):
            kept = {key: fields[key] for key in ("name", "goal") if isinstance(fields.get(key), str)}
            return {**kept, "subtasks": listed}
    for name in _WRAPPERS:
        if name in fields and (inside := unwrapped(fields[name], depth - 1)) is not None:
            goal = {"goal": fields["goal"]} if isinstance(fields.get("goal"), str) else {}
            return {**goal, **inside}
    return None


def _with_id(key: str, subtask: Any) -> Any:
    return {"id": key, **cast("dict[str, Any]", subtask)} if isinstance(subtask, dict) else subtask


def _from_json(value: Any) -> Any:
    if isinstance(value, str):
        with suppress(ValueError):
            return json.loads(value, strict=False)
    return value


def _renamed(value: Any) -> Any:
    """A subtask without what says nothing, its fields by their right names."""
    if not isinstance(value, dict):
        return value
    fields = {key: item for key, item in cast("dict[str, Any]", value).items() if not _is_nothing(key, item)}
    for name, meant in _MEANT.items():
        if name in fields and meant not in fields:
            fields[meant] = fields.pop(name)
    return {key: item for key, item in fields.items() if key not in _SAYS_NOTHING}


def _is_nothing(key: str, value: Any) -> bool:
    if value is None or value == "":
        return True
    return key in ("tool", "agent", "done_when") and isinstance(value, str) and value.strip().lower() in _NOTHING


def _clean_ids(subtasks: list[Any]) -> dict[str, str]:
    """Ids by what the model wrote; two that would become one stay as they are, for the validation to name."""
    made: dict[str, str] = {}
    for number, subtask in enumerate(subtasks, start=1):
        if isinstance(subtask, dict):
            fields = cast("dict[str, Any]", subtask)
            raw = fields.setdefault("id", f"s{number}")
            if isinstance(raw, str | int):
                made[str(raw)] = _clean_id(str(raw)) or f"s{number}"
    taken = list(made.values())
    return {raw: clean if taken.count(clean) == 1 else raw for raw, clean in made.items()}


def _clean_id(raw: str) -> str:
    plain = unicodedata.normalize("NFKD", raw).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-")[:64]


def _subtask(value: Any, known: _Known) -> Any:
    if not isinstance(value, dict):
        return value
    fields = dict(cast("dict[str, Any]", value))
    if isinstance(fields["id"], str | int):
        fields["id"] = known.ids[str(fields["id"])]
    _who_runs_it(fields, known)
    if "needs" in fields:
        fields["needs"] = _needs(fields["needs"], fields["id"], known)
    if isinstance(fields.get("tools"), str):
        fields["tools"] = [name.strip() for name in fields["tools"].split(",") if name.strip()]
    for name in ("goal", "done_when"):
        if isinstance(fields.get(name), list):
            fields[name] = "\n".join(str(part) for part in fields[name])
    for name in ("retries", "timeout_s", "expected_s"):
        fields |= {name: _number(fields[name])} if name in fields else {}
    if isinstance(fields.get("goal"), str):
        fields["goal"] = known.references.mended(fields["goal"], code=False)
    if isinstance(fields.get("args"), dict):
        fields["args"] = _arguments(fields, known)
    return fields


def _who_runs_it(fields: dict[str, Any], known: _Known) -> None:
    fields["args"] = _from_json(fields.get("args", {}))
    if fields["args"] == {}:
        del fields["args"]
    for key, names in (("tool", known.tools), ("agent", known.agents)):
        if isinstance(fields.get(key), str):
            fields[key] = _nearest_case(fields[key].strip().removeprefix("functions."), names)
    tool, agent = fields.get("tool"), fields.get("agent")
    if agent is None and isinstance(tool, str) and tool not in known.tools and tool in known.agents:
        fields["agent"] = fields.pop("tool")
    elif tool is None and isinstance(agent, str) and agent not in known.agents and agent in known.tools:
        fields["tool"] = fields.pop("agent")
    elif tool is not None and agent in ("executor", tool):
        del fields["agent"]  # the executor is who calls tools; the call itself was meant
    if "tool" in fields:
        fields.pop("tools", None)
    elif "agent" not in fields:
        fields["agent"] = "executor"
    if fields.get("tools") == []:
        del fields["tools"]


def _nearest_case(name: str, names: Collection[str]) -> str:
    alike = [known_name for known_name in names if known_name.lower() == name.lower()]
    return alike[0] if name not in names and len(alike) == 1 else name


def _needs(value: Any, own: Any, known: _Known) -> Any:
    if isinstance(value, str):
        value = [value] if value in known.ids else re.split(r"\s*,\s*", value.strip())
    elif isinstance(value, dict | int):
        value = [value]
    if not isinstance(value, list):
        return value
    found: list[Any] = []
    for item in cast("list[Any]", value):
        name = cast("dict[str, Any]", item).get("id", item) if isinstance(item, dict) else item
        if isinstance(name, str | int):
            name = known.references.subtask_in(str(name))
        if name not in found and name != own and str(name).lower() not in ("", *_NOTHING):
            found.append(name)
    return found


def _number(value: Any) -> Any:
    if isinstance(value, str) and (found := _NUMBER.fullmatch(value)):
        value = float(found[1])
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _arguments(fields: dict[str, Any], known: _Known) -> dict[str, Any]:
    """The arguments with references as plans have them."""
    tool = known.tools.get(str(fields.get("tool")))
    spec = ToolSpec() if tool is None else spec_of(tool)

    def argument(name: str, value: Any) -> Any:
        runs = name == spec.code_argument
        code = runs or (spec.takes_code and spec.code_argument is None)
        return _every_text(value, lambda text: known.references.mended(text, code=code, runs=runs))

    return {name: argument(name, value) for name, value in _without_nulls(fields, known).items()}


def _without_nulls(fields: dict[str, Any], known: _Known) -> dict[str, Any]:
    """The arguments without nulls for what the tool takes no null for: it was to be left out."""
    args, tool = cast("dict[str, Any]", fields["args"]), known.tools.get(str(fields.get("tool")))
    if tool is None:
        return args
    taken: dict[str, Any] = schema_of(tool).get("properties") or {}
    return {key: item for key, item in args.items() if item is not None or "null" in json.dumps(taken.get(key, "null"))}


def _every_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _every_text(item, change) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_every_text(item, change) for item in cast("list[Any]", value)]
    return value
