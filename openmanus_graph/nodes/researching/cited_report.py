"""Cited report: the node that puts a report together of checked claims, each with the numbers of its pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openmanus_graph.nodes.researching.claims import all_notes
from openmanus_graph.nodes.researching.research_state import Claim, Finding, Note, ResearchState, Source

MOST_UNREAD = 10
"""Pages that could not be read which a report names."""
QUOTATION_CHARACTERS = 200
NOTHING = "Nothing was found on this."
UNCHECKED = "No model could compare these statements with their sources; read the words in quotation marks yourself."


async def cite(state: ResearchState) -> dict[str, Any]:
    """The report, its sources and whether it is whole."""
    notes, claims = all_notes(state), state.get("claims") or []
    told = [claim for claim in claims if claim["why_left_out"] is None]
    questions, findings = state.get("questions") or [], state.get("findings") or []
    sources = _sources(told, notes, [one["id"] for one in questions])
    numbers = {source["url"]: number for number, source in enumerate(sources, 1)}
    parts = [f"# {' '.join(state['query'].split())}"]
    if not state.get("checked"):
        parts.append(f"*{UNCHECKED}*")
    for question in questions:
        mine = [one for one in told if one["question"] == question["id"] and not one["differs"]]
        said = " ".join(_sentence(one, notes, numbers) for one in mine)
        parts.append(f"## {question['text']}\n\n{said or NOTHING}")
    if differing := [one for one in told if one["differs"]]:
        listed = "\n".join(f"- {_sentence(one, notes, numbers)}" for one in differing)
        parts.append(f"## Where sources differ\n\n{listed}")
    parts += _limits(findings, claims)
    if sources:
        parts.append("## Sources\n\n" + "\n".join(_line(number, source) for number, source in enumerate(sources, 1)))
    report = "\n\n".join(parts)
    is_whole = bool(state.get("checked")) and not any(one["stopped"] for one in findings)
    status = "failed" if not told else "completed" if is_whole else "partial"
    return {"report": report, "answer": report, "sources": sources, "status": status}


def _sources(claims: Sequence[Claim], notes: Mapping[str, Note], order: Sequence[str]) -> list[Source]:
    """The pages that claims cite, in the order in which the report comes to them."""
    found: dict[str, Source] = {}
    placed = [one for question in order for one in claims if one["question"] == question and not one["differs"]]
    for claim in [*placed, *(one for one in claims if one["differs"])]:
        for note in (notes[name] for name in claim["notes"]):
            source = found.setdefault(note["url"], Source(url=note["url"], title=note["title"], quotations=[]))
            if note["quotation"] not in source["quotations"]:
                source["quotations"].append(note["quotation"])
    return list(found.values())


def _sentence(claim: Claim, notes: Mapping[str, Note], numbers: Mapping[str, int]) -> str:
    cited = sorted({numbers[notes[name]["url"]] for name in claim["notes"]})
    return f"{claim['text']} {''.join(f'[{number}]' for number in cited)}"


def _line(number: int, source: Source) -> str:
    quotations = "; ".join(f'"{_short(text)}"' for text in source["quotations"])
    title = " ".join(source["title"].split()).replace("[", "(").replace("]", ")")
    return f"{number}. {f'{title}: ' if title else ''}<{source['url']}>: {quotations}"


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= QUOTATION_CHARACTERS else f"{plain[: QUOTATION_CHARACTERS - 1]}…"


def _limits(findings: Sequence[Finding], claims: Sequence[Claim]) -> list[str]:
    """What a reader must know of what is not in the report."""
    lines = [f"- {why}" for why in dict.fromkeys(one["stopped"] for one in findings) if why]
    if left_out := sum(claim["why_left_out"] is not None for claim in claims):
        what = "1 statement was" if left_out == 1 else f"{left_out} statements were"
        lines.append(f"- {what} left out, because no words of a source say it.")
    unread = list(dict.fromkeys(line for one in findings for line in one["unread"]))
    lines += [f"- Not read: {line}" for line in unread[:MOST_UNREAD]]
    if len(unread) > MOST_UNREAD:
        lines.append(f"- {len(unread) - MOST_UNREAD} more pages were not read.")
    return ["## What is missing\n\n" + "\n".join(lines)] if lines else []
