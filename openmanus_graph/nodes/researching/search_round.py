"""Search round: the nodes that search for one question, choose pages, and say what is still missing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import Send

from openmanus_graph.errors import ToolError
from openmanus_graph.nodes.material.untrusted_text import fenced
from openmanus_graph.nodes.researching.question_plan import queries_of
from openmanus_graph.nodes.researching.research_state import (
    MAX_DEPTH,
    MAX_INSIGHTS,
    Finding,
    Note,
    PageInput,
    QuestionState,
)
from openmanus_graph.nodes.researching.visit import Researcher, Unanswered, Visit
from openmanus_graph.tools.web.engines import Hit, Query
from openmanus_graph.tools.web_search import thread_search

QuestionNode = Callable[[QuestionState, RunnableConfig, Runtime[Any]], Awaitable[dict[str, Any]]]

RESULTS = 6
"""Results of each search that are looked at."""
PAGES = 4
"""Pages that are read in one round."""
TIME_IS_UP = "The limit of time was reached."
TOKENS_ARE_UP = "The limit of tokens was reached."

GAPS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answered": {"type": "boolean", "description": "Whether the notes answer the question in full."},
        "queries": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What to search for next, for what is missing or in doubt; empty where it is answered.",
        },
    },
    "required": ["answered", "queries"],
}


def notes_of(state: QuestionState) -> list[Note]:
    """The notes of all pages that were read for a question."""
    return [note for page in state.get("pages") or [] for note in page["notes"]]


def notes_text(notes: list[Note]) -> str:
    """Notes as a model reads them: each with its id, its words and the words of the page."""
    lines = [f'{note["id"]}: {note["says"]}\n  {note["url"]} says: "{note["quotation"]}"' for note in notes]
    return fenced("\n".join(lines) or "none")


def search_node(researcher: Researcher) -> QuestionNode:
    """The node that makes the searches of a round, and chooses pages that were not chosen before."""

    async def search(state: QuestionState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        visit = Visit(researcher, config, runtime)
        first = not state.get("round")
        queries = state["asking"]["queries"] if first else state.get("queries") or []
        seen, results, failed = list(state.get("seen") or []), list[list[tuple[str, str]]](), list[str]()
        begun: dict[str, Any] = {"round": (state.get("round") or 0) + 1, "queries": []}
        if visit.clock_s >= state["until"]:
            return {**begun, "found": [], "stopped": TIME_IS_UP}
        fresh = state.get("fresh", False)
        for query, hits in zip(
            queries, await asyncio.gather(*(_hits(visit, one, fresh) for one in queries)), strict=True
        ):
            if isinstance(hits, ToolError):
                failed.append(f"{query}: {hits.message}")
            else:
                results.append([(hit.url, hit.title) for hit in hits])
        chosen = _chosen(results, seen)
        return {
            **begun,
            "found": [{"number": number, "url": url, "title": title} for number, (url, title) in enumerate(chosen, 1)],
            "seen": [*seen, *(url for url, _ in chosen)],
            "searched": queries,
            "unread": failed,
        }

    return search


async def _hits(visit: Visit, query: str, fresh: bool) -> list[Hit] | ToolError:
    """What a search finds, or why it fails."""
    visit.say(f"searching for {query!r}")
    try:
        visit.refuse("web_search", {"query": query})
        found = await thread_search(Query(query, RESULTS, "en", None), visit.settings, visit.searches, fresh=fresh)
    except ToolError as error:
        return error
    if found.note:
        visit.say(f"{query!r}: {found.note}")
    return found.hits


def _chosen(found: list[list[tuple[str, str]]], seen: list[str]) -> list[tuple[str, str]]:
    """The best results of each search by turns, without those that were chosen before."""
    by_turns = [hits[place] for place in range(RESULTS) for hits in found if place < len(hits)]
    chosen: dict[str, str] = {}
    for url, title in by_turns:
        if url not in seen:
            chosen.setdefault(url, title)
    return list(chosen.items())[:PAGES]


def after_search(state: QuestionState) -> str | list[Send]:
    """Where a question goes on: to all pages at the same time, or to its end where there are none."""
    found = state.get("found") or []
    return [
        Send(
            "page", PageInput(asking=state["asking"], round=state.get("round", 1), number=one["number"], url=one["url"])
        )
        for one in found
    ] or "conclude"


def gaps_node(researcher: Researcher) -> QuestionNode:
    """The node that says what is missing, and what is searched for next."""

    async def gaps(state: QuestionState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        visit = Visit(researcher, config, runtime)
        notes, limits = notes_of(state), state["limits"]
        if len(notes) >= limits.get("max_insights", MAX_INSIGHTS) or state.get("round", 1) >= limits.get(
            "max_depth", MAX_DEPTH
        ):
            return {"queries": []}
        if visit.clock_s >= state["until"]:
            return {"queries": [], "stopped": TIME_IS_UP}
        if (most := limits.get("max_tokens")) is not None and (state.get("tokens") or 0) >= most:
            return {"queries": [], "stopped": TOKENS_ARE_UP}
        asking = state["asking"]
        visit.say(f"looking for what is missing on {asking['text']!r}")
        sections = [
            f"# The question\n{fenced(asking['text'])}",
            f"# It is part of\n{fenced(state['query'])}",
            f"# Notes of {len(state.get('seen') or [])} pages\n{notes_text(notes)}",
            f"# Searched for so far\n{fenced(chr(10).join(state.get('searched') or []))}",
        ]
        site = f"{asking['id']}.gaps"
        try:
            said = await visit.object_of("knowledge", site, state.get("round", 1), "gaps", sections, GAPS)
        except Unanswered as error:
            return {"queries": [], "stopped": str(error), "tokens": visit.tokens}
        return {"queries": [] if said["answered"] else queries_of(said["queries"]), "tokens": visit.tokens}

    return gaps


async def after_gaps(state: QuestionState) -> str:
    """Where a question goes on: to the next search, or to its end."""
    return "search" if state.get("queries") else "conclude"


async def conclude(state: QuestionState) -> dict[str, Any]:
    """What came of a question."""
    most = state["limits"].get("max_insights", MAX_INSIGHTS)
    failed = [f"{page['url']}: {page['error']}" for page in state.get("pages") or [] if page["error"] is not None]
    finding = Finding(
        question=state["asking"]["id"],
        notes=notes_of(state)[:most],
        unread=[*(state.get("unread") or []), *failed],
        stopped=state.get("stopped"),
    )
    return {"findings": [finding]}
