"""Forged: a text that begins like an encrypted one, as a page may have, spoils nothing, with a key and without."""

from __future__ import annotations

import json
import os
from typing import Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph

from openmanus_graph import Settings, open_checkpointer
from openmanus_graph.checkpoints.encryption.cipher import MARK, Cipher
from openmanus_graph.graphs.user.user_graph import make_durable
from openmanus_graph.values.storable_json import plain_json, storable_json
from tests.chains import thread
from tests.cli.conftest import MakeProgram

pytestmark = pytest.mark.postgres


class Texts(TypedDict, total=False):
    text: str
    inside: dict[str, Any]


def forged() -> list[str]:
    """Texts that begin so: one that is nothing else, and one that somebody else's key has made."""
    return [f"{MARK}tabc", "".join(["", *Cipher([os.urandom(32)]).text("a secret")])]


@pytest.mark.parametrize("first", ["", "key"])
def test_what_tools_and_pages_say_can_be_read_with_and_without_a_key(
    first: str, program_in: MakeProgram, database: str, key: str
) -> None:
    plain = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_MEMORY="true", OPENMANUS_GRAPH_EMBEDDER="hashing")
    plain.environment["OPENMANUS_GRAPH_VECTOR_INDEX"] = "pgvector"
    keyed = program_in(**{**plain.environment, "OPENMANUS_GRAPH_ENCRYPTION_KEY": key})
    for number, text in enumerate(forged()):
        tools = plain.folder / f"tools{number}.py"
        tools.write_text(
            f"from langchain_core.tools import tool\n@tool\ndef odd() -> str:\n    'Odd.'\n    return {text!r}\n"
            "odd.metadata = {'effect': 'read'}\n"
        )
        plan = plain.plan({"id": "a", "tool": "odd", "goal": "walrus"}, name=f"plan{number}.yaml")
        writer = keyed if first else plain
        writer("run", "--plan", plan, "--tools", str(tools), "--thread", f"t{number}", "--quiet")
        (plain.folder / f"{number}.md").write_text(f"# {text}\n\nA walrus.\n")
        writer("memory", "add", f"{number}.md")
        for reader in (keyed,) if first else (plain, keyed):
            for words in ("show", "history", "effects"):
                reader("threads", words, f"t{number}")
            assert "a completed" in reader("threads", "events", f"t{number}")[0]
            assert len(json.loads(reader("memory", "search", "walrus", "--json")[0])) == number + 1


@pytest.mark.parametrize("has_key", [False, True])
async def test_in_the_state_it_is_as_it_was(has_key: bool, database: str, key: str) -> None:
    given = {"text": forged()[1], "inside": {forged()[0]: forged()}}

    async def keep(state: Texts) -> dict[str, Any]:
        return dict(state)

    graph = StateGraph(Texts)
    graph.add_node("keep", keep)
    graph.add_edge(START, "keep")
    for settings in (
        Settings.load(encryption_key=key) if has_key else Settings.load(),
        Settings.load(encryption_key=key),
    ):
        async with open_checkpointer(database, settings=settings) as saver:
            app = make_durable(graph, saver)
            if (await app.aget_state(thread())).values == {}:
                await app.ainvoke(given, thread())
            assert (await app.aget_state(thread())).values == given
            points = [point.values async for point in app.aget_state_history(thread())]
            assert points[0] == given


def test_only_what_begins_so_is_changed_and_what_is_sealed_is_not() -> None:
    sealed = Cipher([os.urandom(32)]).text("a")
    assert json.loads(storable_json([sealed, "nul \0"])) == [sealed, "nul \ufffd"]
    for text in forged():
        assert json.loads(plain_json({"a": [text]})) == {"a": [f"\ufffd{text[1:]}"]}
    assert json.loads(plain_json([f"x {MARK}"])) == [f"x {MARK}"]
