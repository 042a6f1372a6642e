"""Research: what becomes of the answer of the agent `knowledge`.

The answer names sources by their addresses. Each is looked up among what was really read; one that nothing has read or
named sends the agent back. The pages that an answer names are kept in memory, so that the next one needs no Web.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from openmanus_graph.errors import ForeignTypeError
from openmanus_graph.memory.ingest.document import Document
from openmanus_graph.memory.ingest.ingest import cut_document
from openmanus_graph.memory.memory import Memory
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.models.context import KEPT, SUMMARY
from openmanus_graph.nodes.material.memory_text import told_of_memory
from openmanus_graph.nodes.material.untrusted_text import fenced
from openmanus_graph.nodes.outcome import draft_of
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.outputs import whole
from openmanus_graph.plans.references import as_text
from openmanus_graph.redaction import redact_log
from openmanus_graph.state import Draft, SubtaskResult, SubtaskState

MOST_REFUSALS = 2
"""How often an answer is sent back for its sources."""
CITATIONS = "citations"
"""Name of the message that sends it back."""
SOURCES = "Sources that were read:"
NOT_READ = "Addresses that a source names, and that were not read:"
MOST_LISTED = 20
"""Addresses of each list below an answer."""
_URL = re.compile(r"(?:https?://|\bwww\.)[^\s<>\"'`|\\]+", re.IGNORECASE)
_ENDS = ".,;:!?*_)]}'\""
_TEXT_FIELDS = ("markdown", "text")
"""Where a tool's output has what a page says, by the page's `url`."""


# ---------------------------------------------------------------- the answer


async def closed(
    state: SubtaskState, draft: Draft, messages: Sequence[BaseMessage], run: SubtaskScope, memory: Memory | None
) -> dict[str, Any]:
    """The state update of an answer: with the list of its sources, or sent back for them.

    Args:
        state: The subtask's state, with the addresses that its calls have read.
        draft: The answer.
        messages: The conversation, with the reply that ends it.
        run: The subtask's run.
        memory: Where the pages that it names are kept; `None` keeps none.

    Raises:
        DatabaseError: If the store of the passages does not answer.
    """
    try:
        answer = as_text(whole(cast("SubtaskResult", draft), run.context.workspace))
    except ForeignTypeError as error:  # a large one is in a file of the workspace
        return {"draft": Draft(output=draft["output"], error=error.message, output_file=draft["output_file"])}
    remembered = [source for told in told_of_memory(messages) for source in told.sources]
    read = list(dict.fromkeys([*list[str](state.get("sources") or []), *remembered]))
    named = _addresses(answer)
    cited = [source for source in read if _is_named(source, answer, named)]
    others = [url for url in named if not any(_same(url, source) for source in read)]
    seen = {_plain(url) for url in _addresses(_material(messages, run))}
    invented = [url for url in others if _plain(url) not in seen]
    if invented or (read and not cited):
        if (problem := _sent_back(invented, read, messages)) is not None:
            return {"draft": None, "messages": [problem]}
        if invented:
            why = f"Its answer names sources that it has not read: {', '.join(invented[:MOST_LISTED])}."
            return {"draft": Draft(output=draft["output"], error=why, output_file=draft["output_file"])}
    await _keep(cited, messages, run, memory)
    told = _listed(SOURCES, cited or read) + _listed(NOT_READ, others)
    return {
        "draft": draft_of(f"{answer}{told or _NOTHING}", None, run.context),
        "sources": [source for source in cited if source in remembered],
    }


_NOTHING = "\n\nNo source was read."


def _listed(heading: str, places: Sequence[str]) -> str:
    lines = [f"- {place}" for place in places[:MOST_LISTED]]
    return "\n\n" + "\n".join([heading, *lines]) if lines else ""


def _sent_back(invented: Sequence[str], read: Sequence[str], messages: Sequence[BaseMessage]) -> HumanMessage | None:
    """What sends an answer back for its sources; `None` once that was done often enough."""
    before = [message for message in messages if isinstance(message, HumanMessage) and message.name == CITATIONS]
    if len(before) >= (MOST_REFUSALS if invented else 1):
        return None
    if invented:
        listed = ", ".join(invented[:MOST_LISTED])
        text = f"Your answer names what you have not read, and nothing that you read names: {listed}."
    else:
        text = "Your answer names no source."
    listed = "\n".join(f"- {source}" for source in read) or "none"
    text += (
        " It is not ended yet. Put behind each statement the source that says it, letter by letter, and leave out what"
        f" none of them says. You have read:\n{fenced(listed)}"
    )
    return HumanMessage(text, name=CITATIONS, additional_kwargs={KEPT: True})


def _material(messages: Sequence[BaseMessage], run: SubtaskScope) -> str:
    """All that the agent was told and has read, in which an address may stand that it then names; none of its own
    words, not in a summary either, nor where a call of its own that failed says them back.
    """
    parts: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            parts += [] if message.status == "error" else [_read_in(message, run)]
        elif not isinstance(message, AIMessage) and message.name not in (CITATIONS, SUMMARY):
            parts.append(str(message.text))
    return "\n".join(parts)


def _read_in(message: ToolMessage, run: SubtaskScope) -> str:
    """What a call has read, without the pages that it failed to."""
    output = _output(message, run)
    failed = [page for page in _pages(output) if page.get("error") is not None]
    if not failed:
        return str(message.text)
    return "\n".join(json.dumps(page, ensure_ascii=False) for page in _pages(output) if page.get("error") is None)


def _addresses(text: str) -> list[str]:
    """The addresses that a text names, each once, without keys and the signs that end a sentence after one."""
    return list(dict.fromkeys(redact_log(_without_end(found)) for found in _URL.findall(text)))


def _without_end(url: str) -> str:
    """An address without what stands behind it; a parenthesis that begins in it is its own."""
    while url and url[-1] in _ENDS:
        if url[-1] == ")" and url.count("(") >= url.count(")"):
            break
        url = url[:-1]
    return url


def _same(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


def _plain(url: str) -> str:
    """An address as it is compared: one may end with a sign that ends a sentence, and be written without `https`."""
    bare = re.sub(r"^(?:https?://)?(?:www\.)?", "", _without_end(url.partition("#")[0]), flags=re.IGNORECASE)
    host, slash, path = bare.partition("/")
    return f"{host.lower()}{slash}{path}".rstrip("/")


def _is_named(source: str, answer: str, addresses: Sequence[str]) -> bool:
    if _URL.match(source):
        return any(_same(url, source) for url in addresses)
    return source in answer


# ---------------------------------------------------------------- what is kept


async def keep_named(text: str, messages: Sequence[BaseMessage], run: SubtaskScope, memory: Memory | None) -> None:
    """Keep the pages of a conversation that a text names; the conversation itself is about to be shortened.

    Raises:
        DatabaseError: If the store of the passages does not answer.
    """
    await _keep(_addresses(text), messages, run, memory)


async def _keep(
    cited: Sequence[str], messages: Sequence[BaseMessage], run: SubtaskScope, memory: Memory | None
) -> None:
    """Keep pages as passages of the run's owner and thread; the same ones again are kept once."""
    semantic = memory.passages(run) if memory is not None and run.settings.memory else None
    if not isinstance(semantic, PassageMemory):
        return
    for document, is_whole in _documents(messages, run):
        if not any(_same(document.source, source) for source in cited):
            continue
        passages, beyond = cut_document(document)
        made = [replace(passage, thread=run.thread_id) for passage in passages]
        # What a page no longer says goes, but only if all of the page is here.
        replaced = [document.source] if is_whole and not beyond else []
        await semantic.add(made, replace_sources=replaced)


def _documents(messages: Sequence[BaseMessage], run: SubtaskScope) -> Iterator[tuple[Document, bool]]:
    """The pages that the results of calls have, the newest last, and whether each is there from end to end."""
    for message in messages:
        if isinstance(message, ToolMessage) and message.status == "success":
            for page in _pages(_output(message, run)):
                text = next((page[name] for name in _TEXT_FIELDS if isinstance(page.get(name), str)), "")
                source = redact_log(str(page["url"]).partition("#")[0])
                if text.strip() and page.get("error") is None and _URL.match(source):
                    is_whole = page.get("truncated") is False
                    yield Document(source, str(page.get("title") or ""), text, "markdown"), is_whole


def _pages(value: Any) -> Iterator[Mapping[str, Any]]:
    """The parts of an output that have an address of their own."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if isinstance(fields.get("url"), str):
            yield fields
            return
        for inside in fields.values():
            yield from _pages(inside)
    elif isinstance(value, list):
        for inside in cast("list[Any]", value):
            yield from _pages(inside)


_IN_FILE = re.compile(r"all \d+ are in the file (\S+) \.\.\.\]")


def _output(message: ToolMessage, run: SubtaskScope) -> Any:
    """The output of a call, from its file where it is too large for the conversation; `None` if it has gone."""
    text = str(message.text)
    try:
        return json.loads(text)
    except ValueError:
        file = _IN_FILE.search(text)
    if file is None:
        return None
    try:
        return whole(cast("SubtaskResult", {"output": None, "output_file": file[1]}), run.context.workspace)
    except ForeignTypeError:  # a person may have cleared the folder
        return None
