"""Reporter: the node that writes the answer, in part only where a budget or failures ended the run, and says so."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import REPORTER
from openmanus_graph.errors import BudgetError
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.prompt_context import (
    all_completed,
    dropped_text,
    earlier_text,
    failures_text,
    planned_results,
    request_text,
    results_text,
    worked_through,
)
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.turn import Turn, is_cut
from openmanus_graph.state import ManusState

SHARE_FOR_RESULTS = 0.5
CHARACTERS_PER_TOKEN = 3
"""How much of the window the outputs may take, reckoned carefully."""
MOST_CHARACTERS = 60_000
MOST_LINKS = 20
CLOCK_TICK_S = 0.02
"""How much a file's time may be behind the clock."""
MOST_CONTINUATIONS = 3
GO_ON = "Your answer was cut off. Go on exactly where it stops, and repeat nothing."
_URL = re.compile(r"https?://[^\s<>\"')\]}]+")


def reporter_node(roles: Roles) -> Node[ManusState]:
    """The gated node that answers."""

    async def reporter(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        turn = Turn(roles, state, config, runtime)
        out_of_budget = turn.spending.reached() is not None
        status = "completed" if all_completed(state) else "partial" if out_of_budget else "failed"
        try:
            if out_of_budget:
                answer, status = partial_answer(state), "partial"
            elif not (state.get("plan") or {}).get("subtasks"):
                answer = f"The task was not done. {state.get('reason', '')}".strip()
            else:
                answer, status = await _written(turn, status)
        except BudgetError as error:
            turn.tell("budget_reached", budget=error.budget, text=error.message)
            answer, status = partial_answer(cast("ManusState", {**state, "reason": error.message})), "partial"
        turn.tell("answered", text=answer, status=status)
        return turn.with_usage({"answer": answer, "status": status, "messages": [AIMessage(answer)]})

    return gated(reporter, REPORTER)


async def _written(turn: Turn, status: str) -> tuple[str, str]:
    state, roles = turn.state, turn.roles
    limit = int(await roles.window(REPORTER) * SHARE_FOR_RESULTS * CHARACTERS_PER_TOKEN)
    parts = [request_text(state)]
    earlier = earlier_text(state.get("earlier"))
    if earlier:
        parts.append(f"# Earlier in this conversation\n{earlier}")
    parts.append(
        f"# Outputs of the subtasks\n{results_text(state, min(limit, MOST_CHARACTERS), brief=worked_through(state))}"
    )
    files = made_files(state)
    if files:
        parts.append("# Files that were made\n" + "\n".join(files))
    if status != "completed":
        why = f"\n{state.get('reason')}" if state.get("reason") else ""
        parts.append(f"# What was not done\n{failures_text(state)}{why}")
    if dropped := dropped_text(state):
        parts.append(f"# What a later plan dropped\n{dropped}")
    text, whole = await _in_full(turn, [roles.prompt(REPORTER), HumanMessage("\n\n".join(parts))])
    if not whole:
        text += "\n\n(The answer was cut off by the model's limits.)"
        status = "partial" if status == "completed" else status
    return text + links(text, files, sources(planned_results(state))), status


async def _in_full(turn: Turn, messages: Sequence[BaseMessage]) -> tuple[str, bool]:
    """The model's answer, gone on with where it was cut at its limit of tokens, and whether that is all of it."""
    reply = await turn.reply(REPORTER, messages)
    text = str(reply.text)
    try:
        for _ in range(MOST_CONTINUATIONS):
            if reply.response_metadata.get("finish_reason") != "length":
                break
            further = [*messages, AIMessage(text), HumanMessage(GO_ON)]
            reply = await turn.reply(REPORTER, further)
            text += str(reply.text)
    except BudgetError as error:
        turn.tell("budget_reached", budget=error.budget, text=error.message)
    return text.strip(), not is_cut(reply)


def partial_answer(state: ManusState) -> str:
    """An answer without a model: what is completed with its outputs, and what is not."""
    if not (state.get("plan") or {}).get("subtasks"):
        return f"Nothing was done: {state.get('reason', '')}"
    done = sum(result["status"] == "completed" for result in planned_results(state).values())
    total = len((state.get("plan") or {}).get("subtasks") or [])
    head = f"This is a partial answer: {state.get('reason') or 'a budget is used up.'}"
    body = results_text(state, MOST_CHARACTERS // 4, apart=False)
    return f"{head}\n{done} of {total} subtasks are completed.\n\n{body}"


def made_files(state: ManusState) -> list[str]:
    """Files in the workspace that were written since the work began, hidden ones left out, as relative paths."""
    workspace = Path(state.get("workspace") or ".")
    given = set(state.get("attachments") or [])
    starts = [result["started_at"] for result in (state.get("results") or {}).values() if result["started_at"]]
    if not state.get("workspace") or not workspace.is_dir() or not starts:
        return []
    began = datetime.fromisoformat(min(starts)).timestamp() - CLOCK_TICK_S
    found: list[str] = []
    for folder, folders, files in os.walk(workspace):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(folder).relative_to(workspace)
        new = [name for name in sorted(files) if not name.startswith(".") and _written_at(folder, name) >= began]
        found += [str(relative / name) for name in new]
        if len(found) > MOST_LINKS:
            break
    return [name for name in found if name not in given][:MOST_LINKS]


def _written_at(folder: str, name: str) -> float:
    """When a file got its content or its place, in Unix time: one that is copied or unpacked may say it is older."""
    try:
        status = Path(folder, name).lstat()
    except FileNotFoundError:  # gone meanwhile
        return 0.0
    return max(status.st_mtime, status.st_ctime)


def sources(results: Mapping[str, Any]) -> list[str]:
    """Addresses of the pages that outputs come from, each once."""

    def addresses(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            url = fields.get("url")
            if isinstance(url, str) and url.startswith("http") and not fields.get("error"):
                yield url
            for item in fields.values():
                yield from addresses(item)
        elif isinstance(value, list):
            for item in cast("list[Any]", value):
                yield from addresses(item)

    return list(dict.fromkeys(url for result in results.values() for url in addresses(result["output"])))[:MOST_LINKS]


def links(text: str, files: list[str], urls: list[str]) -> str:
    """The files that were made and the sources, each where the answer names none of them."""
    named = any(name in text for name in files)
    more = "\n\nFiles:\n" + "\n".join(f"- {name}" for name in files) if files and not named else ""
    if urls and not _URL.search(text):
        more += "\n\nSources:\n" + "\n".join(f"- {url}" for url in urls)
    return more
