"""Forged: a text that begins like an encrypted one, as a page may have, spoils nothing, with a key and without."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any, TypedDict, cast

import pytest
from langgraph.graph import START, StateGraph

from openmanus_graph import (
    Settings,
    ThreadSaver,
    build_plan_graph,
    export_thread,
    find_thread,
    fork_thread,
    open_checkpointer,
)
from openmanus_graph.checkpoints.durations import learn_durations, learned_durations
from openmanus_graph.checkpoints.encryption.cipher import MARK, Cipher
from openmanus_graph.config.encryption_keys import new_key
from openmanus_graph.errors import UsageError
from openmanus_graph.graphs.user.user_graph import make_durable
from openmanus_graph.memory.procedural.lesson import Lesson
from openmanus_graph.memory.procedural.postgres_templates import PostgresTemplates
from openmanus_graph.memory.procedural.template import Template, TemplateRun, TemplateStep
from openmanus_graph.memory.procedural.waiting_lessons import WaitingLessons
from openmanus_graph.values.storable_json import path_of, plain_json, storable_json, storable_path
from tests.chains import thread
from tests.cli.conftest import MakeProgram
from tests.engine.sample_tools import TOOLS

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


@pytest.mark.parametrize("has_key", [False, True])
async def test_files_and_links_of_such_names_come_back_in_a_fork(
    has_key: bool, database: str, key: str, tmp_path: Path
) -> None:
    names = [f"{MARK}a", f"{MARK}tAAAA/b", f"below/{MARK}c"]
    targets = {"to": f"{MARK}a", "to-too": f"./{MARK}a", "out": f"././{MARK}a"}
    made = [f"mkdir -p $(dirname {shlex.quote(name)}) && echo walrus > {shlex.quote(name)}" for name in names]
    linked = [f"ln -s {shlex.quote(target)} {name}" for name, target in targets.items()]
    steps = [
        {"id": "a", "tool": "bash", "args": {"command": " && ".join(made)}},
        {"id": "b", "tool": "bash", "args": {"command": " && ".join(linked)}, "needs": ["a"]},
    ]
    async with open_checkpointer(database, settings=Settings.load(encryption_key=key if has_key else None)) as saver:
        app = build_plan_graph(["bash"], settings=Settings.load(sandbox="none")).compile(checkpointer=saver)
        await app.ainvoke({"plan": {"subtasks": steps}}, thread())
    async with open_checkpointer(database, settings=Settings.load(encryption_key=key)) as saver:
        for run in range(2):
            fork = await fork_thread(saver, "t", workspace=f"fork{run}")
            assert fork.missing == []
            for name in names:
                assert (Path(f"fork{run}") / name).read_text() == "walrus\n"
            for name, target in targets.items():
                assert (Path(f"fork{run}") / name).readlink() == Path(target)
            more = {"id": "c", "tool": "bash", "args": {"command": f"echo {run} > c.txt"}}
            app = build_plan_graph(["bash"], settings=Settings.load(sandbox="none")).compile(checkpointer=saver)
            await app.ainvoke({"plan": {"subtasks": [*steps[:0], more]}}, thread())
        async with saver.connection() as connection:
            query = "SELECT count(*) AS n, count(DISTINCT path) AS paths FROM file_changes WHERE thread_id = 't'"
            row = await (await connection.execute(query)).fetchone()
        assert row is not None and row["n"] == row["paths"] + 1, "only c.txt has changed, once"
        await export_thread(saver, await find_thread(saver, "t"), tmp_path / "t.thread")


async def test_metadata_that_begins_so_can_be_read(saver: ThreadSaver, sealing: ThreadSaver) -> None:
    for writer, name in ((saver, "plain"), (sealing, "sealed")):
        for number, text in enumerate(forged()):
            record: Any = {"v": 4, "id": f"{number}", "ts": "", "channel_values": {}, "channel_versions": {}}
            record["versions_seen"] = {}
            metadata: Any = {"source": "loop", "step": number, "who": text, "more": {"a": [text]}, "run_id": text}
            await writer.aput({"configurable": {"thread_id": name, "checkpoint_ns": ""}}, record, metadata, {})
            for reader in (sealing,) if writer is sealing else (saver, sealing):
                stored = await reader.aget_tuple(thread(name))
                assert stored is not None
                told = cast("dict[str, Any]", stored.metadata)
                changed = text if writer is sealing else f"\ufffd{text[1:]}"
                assert (told["who"], told["more"]) == (changed, {"a": [changed]})
                assert told["run_id"] == f"\ufffd{text[1:]}", "it stays plain with a key, too"
        assert len([point async for point in sealing.alist(thread(name))]) == 2


async def test_kinds_of_subtasks_that_begin_so_are_learned(saver: ThreadSaver, sealing: ThreadSaver) -> None:
    for number, kind in enumerate(forged()):
        for runner in (saver, sealing, sealing):
            await learn_durations(runner, {kind: [float(number + 1)]})
            step = {"id": "a", "tool": "echo", "kind": kind, "args": {"value": 1}}
            app = build_plan_graph(TOOLS).compile(checkpointer=runner)
            out = await app.ainvoke({"plan": {"subtasks": [step]}}, thread(f"{number}-{new_key()[:6].encode().hex()}"))
            assert out["results"]["a"]["output"] == 1
        assert (await learned_durations(sealing, [kind, "other"])).keys() == {kind}


async def test_no_item_is_put_where_a_name_begins_so(saver: ThreadSaver, sealing: ThreadSaver) -> None:
    texts = forged()
    for store in (saver.store, sealing.store):
        assert store is not None
        for text in texts:
            for namespace, key in ((("a",), text), ((text, "b"), "k")):
                with pytest.raises(UsageError, match="cannot begin with"):
                    await store.aput(namespace, key, {"x": 1})
                assert await store.aget(namespace, key) is None
                await store.adelete(namespace, key)
            await store.aput(("a", text), f"k{text}", {text: 1})
    for store in (saver.store, sealing.store):
        assert store is not None
        assert len(await store.asearch(("a",))) == 2
        assert len(await store.alist_namespaces()) == 2


@pytest.mark.parametrize("path", ["a", "./a", f"{MARK}a", f"./{MARK}a", f"././{MARK}", f"a/{MARK}", "..", "."])
def test_a_path_is_stored_so_that_it_comes_back(path: str) -> None:
    assert path_of(storable_path(path)) == path
    assert not storable_path(path).startswith(MARK)
    assert storable_path(path) == path or MARK in path


async def test_templates_and_lessons_that_begin_so_can_be_read(saver: ThreadSaver, database: str, key: str) -> None:
    async with open_checkpointer(database, settings=Settings.load(encryption_key=key, memory=True)) as sealing:
        for number, text in enumerate(forged()):
            step = TemplateStep("a", {"tool": "echo", "goal": text, "args": {"value": [text]}})
            template = Template(f"key{number}", f"count walrus {number}", (step,), text, {"one": text})
            run = TemplateRun(f"t{number}", 1, succeeded=True, ended_at=1.0, seconds={"a": 1.0}, task_digest="d")
            await PostgresTemplates(sealing, "me").remember(template, run)
            await WaitingLessons(sealing, "me").put(Lesson(run, template.key, template))
        for reader in (saver, sealing):
            assert len(await PostgresTemplates(reader, "me").templates()) == 2
            assert len(await PostgresTemplates(reader, "me").offered("count walrus", limit=2)) == 2
            assert len(await WaitingLessons(reader, "me").templates()) == 2
