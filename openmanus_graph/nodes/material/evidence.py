"""Evidence: what a verifier is shown of a subtask: what its worker had, did, left in files, and gave as the result."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from openmanus_graph.agent_nodes import WORKERS
from openmanus_graph.errors import ToolError
from openmanus_graph.files.kind import kind_of_file
from openmanus_graph.files.text import decode
from openmanus_graph.models.context import SUMMARY, exchanges
from openmanus_graph.nodes.brief import clipped, files_text, inputs
from openmanus_graph.nodes.checks import mentioned_files, named_files
from openmanus_graph.nodes.material.answer_links import written_at
from openmanus_graph.nodes.material.memory_text import MEMORY_HEADING, told_of_memory
from openmanus_graph.nodes.material.untrusted_text import fenced, in_one_line
from openmanus_graph.nodes.reply import TERMINATE
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.outputs import whole
from openmanus_graph.plan import Subtask
from openmanus_graph.plans.references import as_text, references_in, resolve
from openmanus_graph.state import Draft, SubtaskResult

LEAST_CHARACTERS = 400
"""What is shown of every piece before any of them gets more."""
FILE_BYTES = 2**20
"""How much of a file is read at all."""
PDF = b"%PDF-"
MOST_FILES = 10
UNCUT_CHARACTERS = 16_000
"""As long as results have no more, none is cut, and a file that one of them shows is not shown again."""
AS_SHOWN = "[As a result above shows it, line by line.]"
NAME_CHARACTERS = 80

REFUSAL = "refusal"
"""Name of the message with which a check sends an agent back to its work."""
OTHER_GRAPH = "The worker is a graph of its own, whose steps are not seen here. Judge by its result and by the files."


@dataclass
class Piece:
    """One thing to be shown, of which only a part may fit."""

    heading: str
    """What it is; empty for what needs no heading."""
    texts: tuple[str, ...]
    """Its texts, each between fences of its own."""
    file: str = ""
    """Where it is whole; empty if nowhere."""
    characters: int = 0
    """How much of it is shown."""

    @property
    def length(self) -> int:
        """Characters of its texts together."""
        return sum(map(len, self.texts))

    def text(self) -> str:
        """The piece as it is shown."""
        left, parts = self.characters, [self.heading]
        for number, text in enumerate(self.texts):
            others = sum(map(len, self.texts[number + 1 :]))
            share = left if not others else min(len(text), max(left - others, left // 2))
            parts.append(fenced(clipped(text, share, self.file)))
            left -= share
        return "\n".join(parts)


@dataclass
class Evidence:
    """The pieces, in the order in which they are read."""

    result: Piece
    """What the worker gives as its result."""
    inputs: list[Piece] = field(default_factory=list[Piece])
    """What it built on."""
    calls: list[Piece] = field(default_factory=list[Piece])
    """The calls it made with their results, and what stands for those that are no longer there, the oldest first."""
    files: list[Piece] = field(default_factory=list[Piece])
    """Files that the subtask names, the most important one first."""
    listing: str = ""
    """The list of the workspace's files."""
    note: str = ""
    """What is to be said of the calls; empty says nothing."""

    @property
    def ranked(self) -> list[Piece]:
        """The result and the first file, the newest calls, more files, and then the inputs."""
        return [self.result, *self.files[:1], *reversed(self.calls), *self.files[1:], *self.inputs]

    @property
    def shown(self) -> int:
        """Characters that are shown of all pieces."""
        return sum(piece.characters for piece in self.ranked)

    def share(self, characters: int) -> None:
        """Share the room among the pieces, the most important ones first."""
        lengths = [piece.length for piece in self.ranked]
        for piece, share in zip(self.ranked, shares(lengths, characters), strict=True):
            piece.characters = share

    def text(self) -> str:
        """The sections of a prompt; `share` comes first."""
        shown = [piece for piece in self.calls if piece.characters]
        gone = len(self.calls) - len(shown)
        lacking = f"[{gone} earlier calls are left out for lack of space.]" if gone else ""
        calls = [part for part in (self.note, lacking, *(piece.text() for piece in shown)) if part]
        return "\n\n".join(
            [
                *(piece.text() for piece in self.inputs),
                "\n\n".join(["# Calls and their results", *(calls or ["none"])]),
                self.listing,
                *(piece.text() for piece in self.files),
                self.result.text(),
            ]
        )


def shares(lengths: Sequence[int], characters: int) -> list[int]:
    """How many characters each of some texts gets, the most important one first.

    All are whole if they fit. Else each gets a little, then each in turn what it needs up to half of the room, and
    what is left after that goes to the first that need more.
    """
    if sum(lengths) <= characters:
        return list(lengths)
    got = [0] * len(lengths)
    left = characters
    for most in (LEAST_CHARACTERS, characters // 2, characters):
        for number, length in enumerate(lengths):
            more = min(max(min(length, most) - got[number], 0), left)
            got[number] += more
            left -= more
    return got


def evidence_of(
    messages: Sequence[BaseMessage], draft: Draft, subtask: Subtask, run: SubtaskScope, began: str | None = None
) -> Evidence:
    """What there is to judge a subtask by.

    Args:
        messages: What its agent was told, said and got back; empty for a direct call and a graph of the user's own.
        draft: What it ends with.
        subtask: The subtask.
        run: Its run.
        began: When the subtask began, ISO 8601: a file that is older, and that a result shows, is not shown again.
    """
    told = references_in([subtask.goal, subtask.args if subtask.tool else {}])
    found = [Piece(heading, (text,)) for heading, text in inputs(subtask, run, told).items()]
    found += [Piece(MEMORY_HEADING, (told.text,)) for told in told_of_memory(messages)]
    answer = as_text(whole(cast("SubtaskResult", draft), run.context.workspace))
    result = Piece("# The result that is given", (answer,), draft["output_file"] or "")
    calls = [_direct_call(subtask, run)] if subtask.tool else _calls(messages)
    note = "" if subtask.tool or subtask.agent in WORKERS else OTHER_GRAPH
    results = _whole_results(messages) if began is not None else []
    files = _files(subtask, answer, run, results, began)
    return Evidence(result, found, calls, files, files_text(run), note)


def refusals(messages: Sequence[BaseMessage]) -> list[HumanMessage]:
    """The messages with which checks sent the agent back, the oldest first."""
    return [message for message in messages if isinstance(message, HumanMessage) and message.name == REFUSAL]


def _direct_call(subtask: Subtask, run: SubtaskScope) -> Piece:
    args = resolve(dict(subtask.args), run.lookup)
    return Piece(f"## 1. {subtask.tool}, whose output is the result", (json.dumps(args, ensure_ascii=False),))


def _calls(messages: Sequence[BaseMessage]) -> list[Piece]:
    """Each call with its result; the one that ends the subtask is left out, since its answer is the result."""
    found: list[Piece] = []
    for exchange in exchanges(messages):
        first = exchange.messages[0]
        if isinstance(first, HumanMessage) and first.name == SUMMARY:
            found.append(Piece("## Earlier calls, in the worker's own summary", (str(first.text),)))
        if not isinstance(first, AIMessage):
            continue
        results = {message.tool_call_id: message for message in exchange.messages if isinstance(message, ToolMessage)}
        for made in first.tool_calls:
            if made["name"] == TERMINATE:
                continue
            result = results[made["id"] or ""]
            heading = f"{in_one_line(made['name'], NAME_CHARACTERS)}, {result.status}"
            args = json.dumps(made["args"], ensure_ascii=False, default=str)
            found.append(Piece(f"## {len(found) + 1}. {heading}", (args, str(result.text))))
    return found


def _files(subtask: Subtask, answer: str, run: SubtaskScope, results: Sequence[str], began: str | None) -> list[Piece]:
    """The files that must be there, then others that the subtask or its result names; none is shown twice."""
    root = run.context.workspace.resolve()
    words = f"{subtask.done_when or ''}\n{subtask.goal}"
    names = [*named_files(subtask.done_when or "", subtask.goal), *mentioned_files(words), *mentioned_files(answer)]
    found: list[Piece] = []
    for name in dict.fromkeys(names):
        path = (root / name).resolve()
        if len(found) < MOST_FILES and path.is_file() and path.is_relative_to(root):  # a link may lead out of it
            content = _content(path, name)
            known = began is not None and written_at(path) < datetime.fromisoformat(began).timestamp()
            is_shown = known and _is_in(content, results)
            found.append(Piece(f"# The file {name}", (AS_SHOWN if is_shown else content,)))
    return found


def _whole_results(messages: Sequence[BaseMessage]) -> list[str]:
    """The results of calls that succeeded, if there are so few that each is shown whole."""
    texts = [str(one.text) for one in messages if isinstance(one, ToolMessage) and one.status == "success"]
    return texts if sum(map(len, texts)) <= UNCUT_CHARACTERS else []


def _is_in(content: str, results: Sequence[str]) -> bool:
    """Whether a result shows a file: all its lines one after the other, each with its number."""
    lines = [json.dumps(line, ensure_ascii=False)[1:-1] for line in content.splitlines()]
    shown = re.compile(r"\\n".join(rf" *{number}\\t{re.escape(line)}" for number, line in enumerate(lines, 1)))
    return bool(lines) and any(shown.search(text) for text in results)


def _content(path: Path, name: str) -> str:
    with path.open("rb") as file:
        data = file.read(FILE_BYTES)
    if len(data) == FILE_BYTES:  # not in the middle of a character
        data = data[: data.rfind(b"\n") + 1 or None]
    try:
        if not data.startswith(PDF):  # a small one may look like text
            return decode(data, name)[0]
    except ToolError:
        pass
    return f"[This file is not text: {kind_of_file(path)}]"
