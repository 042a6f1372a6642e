"""Claims: the nodes that write the sentences of a report from notes, and check each against the notes it names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.nodes.material.untrusted_text import fenced
from openmanus_graph.nodes.researching.question_plan import ResearchNode
from openmanus_graph.nodes.researching.quotation import compared
from openmanus_graph.nodes.researching.research_state import Claim, Note, ResearchQuestion, ResearchState
from openmanus_graph.nodes.researching.search_round import notes_text
from openmanus_graph.nodes.researching.visit import Researcher, Unanswered, Visit

MOST_CLAIMS = 120
AT_ONCE = 25
"""Claims that are checked in one request."""
NO_NOTE = "It names no note."
ONE_NOTE = "It says that sources differ, and names only one."
NOT_SUPPORTED = "The words it names do not say it"

_CLAIM = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "description": "The id of the question that it answers."},
        "text": {"type": "string", "description": "One sentence."},
        "notes": {"type": "array", "items": {"type": "string"}, "description": "The ids of the notes that say it."},
    },
    "required": ["text", "notes"],
}
CLAIMS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "claims": {"type": "array", "items": _CLAIM},
        "differences": {
            "type": "array",
            "items": _CLAIM,
            "description": "Sentences that say where notes contradict each other, with all of these notes.",
        },
    },
    "required": ["claims", "differences"],
}
VERDICTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "verdicts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "claim": {"type": "integer", "description": "The claim's number."},
                    "supported": {"type": "boolean", "description": "Whether the quotations say all of it."},
                    "why": {"type": "string", "description": "What they do not say; empty where they say it."},
                },
                "required": ["claim", "supported"],
            },
        }
    },
    "required": ["verdicts"],
}
_NUMBER = re.compile(r"\d{1,3}(?:[, ]\d{3})+(?!\d)|\d+(?:[.,]\d+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(\[]?[A-Z0-9ÄÖÜÀ-Ý])")


def all_notes(state: ResearchState) -> dict[str, Note]:
    """The notes on all questions, by id."""
    return {note["id"]: note for finding in state.get("findings") or [] for note in finding["notes"]}


def write_node(researcher: Researcher) -> ResearchNode:
    """The node that writes the report's sentences, each with the notes that say it."""

    async def write(state: ResearchState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        notes, questions = all_notes(state), state.get("questions") or []
        if not notes:
            return {"claims": [], "checked": True}
        visit = Visit(researcher, config, runtime)
        visit.say(f"writing from {len(notes)} notes")
        listed = "\n".join(f"{one['id']}: {one['text']}" for one in questions)
        sections = [
            f"# What is to be found out\n{fenced(state['query'])}",
            f"# Questions\n{fenced(listed)}",
            f"# Notes\n{notes_text(list(notes.values()))}",
        ]
        try:
            said = await visit.object_of("reporter", "write", 1, "report", sections, CLAIMS)
        except Unanswered:
            # What was noted is told all the same, in the words of the pages.
            return {"claims": [_quoted(note) for note in notes.values()], "checked": True, "tokens": visit.tokens}
        given = [*_claims(said["claims"], questions, False), *_claims(said["differences"], questions, True)]
        claims = [_compared(one, notes) for one in _said_once(given)]
        return {"claims": claims[:MOST_CLAIMS], "tokens": visit.tokens}

    return write


def _quoted(note: Note) -> Claim:
    question = note["id"].partition(".")[0]
    text = f'"{note["quotation"]}"'
    return Claim(question=question, text=text, notes=[note["id"]], differs=False, why_left_out=None)


def _claims(
    given: Sequence[Mapping[str, Any]], questions: Sequence[ResearchQuestion], differs: bool
) -> Iterator[Claim]:
    """Claims as a model gave them, one for each sentence."""
    known = {one["id"] for one in questions}
    for one in given:
        named = [str(name).strip().strip("[]") for name in one["notes"]]
        question = str(one.get("question") or "").strip()
        if question not in known:
            question = named[0].partition(".")[0] if named else ""
        for text in _SENTENCE_END.split(" ".join(str(one["text"]).split())):
            if text:
                yield Claim(question=question, text=text, notes=list(named), differs=differs, why_left_out=None)


def _said_once(claims: Iterable[Claim]) -> list[Claim]:
    """Claims without those that say the same in the same words again; their notes go to the first."""
    found: dict[str, Claim] = {}
    for claim in claims:
        first = found.setdefault(compared(claim["text"]), claim)
        first["notes"] += [name for name in claim["notes"] if name not in first["notes"]]
    return list(found.values())


def _compared(claim: Claim, notes: Mapping[str, Note]) -> Claim:
    """A claim with the notes that there are, left out where these cannot carry it."""
    named = list(dict.fromkeys(name for name in claim["notes"] if name in notes))
    why = None
    if not named:
        why = NO_NOTE
    elif claim["differs"] and len({notes[name]["url"] for name in named}) < 2:
        why = ONE_NOTE
    elif missing := _numbers(claim["text"]) - _with_parts(notes[name]["quotation"] for name in named):
        why = f"{NOT_SUPPORTED}: {', '.join(sorted(missing))} stands in none of them."
    return cast("Claim", {**claim, "notes": named, "why_left_out": why})


def _numbers(text: str) -> set[str]:
    """The numbers in a text, however their thousands are parted."""
    return {re.sub(r"[, ](?=\d{3}(?!\d))", "", number) for number in _NUMBER.findall(compared(text))}


def _with_parts(texts: Iterable[str]) -> set[str]:
    """The numbers in some texts, and the parts of those with points, as a date has them."""
    found = set[str]().union(*map(_numbers, texts))
    return found | {part for number in found for part in re.split("[.,]", number)}


def check_node(researcher: Researcher) -> ResearchNode:
    """The node that checks claims against the words of their notes; what these do not say is left out."""

    async def check(state: ResearchState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        claims, notes = list(state.get("claims") or []), all_notes(state)
        open_ones = [index for index, claim in enumerate(claims) if claim["why_left_out"] is None]
        if state.get("checked") or not open_ones:
            return {"checked": True}
        visit = Visit(researcher, config, runtime)
        visit.say(f"checking {len(open_ones)} claims")
        for turn, start in enumerate(range(0, len(open_ones), AT_ONCE), 1):
            batch = open_ones[start : start + AT_ONCE]
            listed = [
                {"claim": number, "text": claims[index]["text"], "quotations": _quotations(claims[index], notes)}
                for number, index in enumerate(batch, 1)
            ]
            text = fenced(json.dumps(listed, ensure_ascii=False, indent=1))
            try:
                said = await visit.object_of("verifier", "check", turn, "check", [f"# Claims\n{text}"], VERDICTS)
            except Unanswered:
                return {"claims": claims, "checked": False, "tokens": visit.tokens}
            verdicts = {int(one["claim"]): one for one in said["verdicts"]}
            for number, index in enumerate(batch, 1):
                claims[index] = _judged(claims[index], verdicts.get(number))
        return {"claims": claims, "checked": True, "tokens": visit.tokens}

    return check


def _quotations(claim: Claim, notes: Mapping[str, Note]) -> list[dict[str, str]]:
    return [{"page": notes[name]["title"], "words": notes[name]["quotation"]} for name in claim["notes"]]


def _judged(claim: Claim, verdict: Mapping[str, Any] | None) -> Claim:
    if verdict is not None and verdict["supported"] is True:
        return claim
    why = "" if verdict is None else str(verdict.get("why") or "")
    return cast("Claim", {**claim, "why_left_out": f"{NOT_SUPPORTED}. {why}".strip()})
