"""Page notes: the nodes that read one page, and note what it says on a question, word for word."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END
from langgraph.runtime import Runtime

from openmanus_graph.errors import ToolError
from openmanus_graph.nodes.material.untrusted_text import fenced
from openmanus_graph.nodes.researching.quotation import about, place_of
from openmanus_graph.nodes.researching.research_state import Note, PageState, ReadPage
from openmanus_graph.nodes.researching.visit import Researcher, Unanswered, Visit
from openmanus_graph.redaction import redact_log
from openmanus_graph.tools.fetch_page import fetch

PageNode = Callable[[PageState, RunnableConfig, Runtime[Any]], Awaitable[dict[str, Any]]]

PAGE_SECONDS = 20.0
"""Seconds that a page may take."""
KEPT_CHARACTERS = 200_000
"""Characters of a page that are kept with the thread."""
MOST_NOTES = 8
"""Notes of one page."""

NOTES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "notes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "says": {"type": "string", "description": "What the page says on the question, in one sentence."},
                    "quotation": {
                        "type": "string",
                        "description": "The words of the page that say it, letter by letter, one passage.",
                    },
                },
                "required": ["says", "quotation"],
            },
        }
    },
    "required": ["notes"],
}


def read_node(researcher: Researcher) -> PageNode:
    """The node that reads a page; once it has, no resume reads it again."""

    async def read(state: PageState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        visit = Visit(researcher, config, runtime)
        url = state["url"]
        visit.say(f"reading {url}")
        try:
            visit.refuse("fetch_page", {"urls": [url]})
            hosts, settings = visit.settings.allow_hosts, visit.settings
            (page,) = (await fetch([url], hosts, timeout=PAGE_SECONDS, settings=settings))["pages"]
        except ToolError as error:
            return _failed(state, error.message)
        # What a page's words hold of keys must not reach a checkpoint.
        return {"title": page["title"], "text": redact_log(page["markdown"][:KEPT_CHARACTERS]), "error": None}

    return read


def _failed(state: PageState, why: str) -> dict[str, Any]:
    return {"error": why, "text": "", "pages": [ReadPage(url=state["url"], error=why, notes=[])]}


async def after_read(state: PageState) -> str:
    """Where a page goes on: to its notes, or to its end where it could not be read."""
    return END if state.get("error") is not None else "note"


def note_node(researcher: Researcher) -> PageNode:
    """The node that notes what a page says; a quotation that does not stand in the page is no note."""

    async def note(state: PageState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        visit = Visit(researcher, config, runtime)
        asking, text = state["asking"], state.get("text") or ""
        name = f"{asking['id']}.{state['round']}.{state['number']}"
        title = state.get("title") or ""
        shown = "\n\n".join([title, about(text, asking["text"])])
        sections = [
            f"# The question\n{fenced(asking['text'])}",
            f"# The page\n{fenced(shown)}",
        ]
        try:
            said = await visit.object_of("knowledge", f"{name}.note", 1, "note", sections, NOTES)
        except Unanswered as error:
            return {**_failed(state, str(error)), "text": text, "tokens": visit.tokens}
        notes: list[Note] = []
        for given in said["notes"][:MOST_NOTES]:
            quotation = str(given["quotation"]).strip()
            place = place_of(quotation, text)
            if place is not None and str(given["says"]).strip():
                notes.append(
                    Note(
                        id=f"{name}.{len(notes) + 1}",
                        says=str(given["says"]).strip(),
                        quotation=quotation,
                        place=place,
                        url=redact_log(state["url"]),
                        title=title,
                    )
                )
        return {"pages": [ReadPage(url=state["url"], error=None, notes=notes)], "tokens": visit.tokens}

    return note
