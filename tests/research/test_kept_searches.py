"""Kept searches: a thread asks search engines the same only once for a while, also after a kill, and says so."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import (
    Settings,
    ThreadSaver,
    build_plan_graph,
    export_thread,
    find_thread,
    fork_thread,
    import_thread,
    open_checkpointer,
)
from openmanus_graph.checkpoints.reuse import searches as searches_module
from openmanus_graph.config.encryption_keys import new_key
from openmanus_graph.testing import ScriptedServer
from tests.cli.conftest import MakeProgram
from tests.encryption.plain_text import rows_with
from tests.research.conftest import FOUND, QUERY, Research
from tests.research.web import Rules, Web, question

pytestmark = pytest.mark.postgres

MakeSettings = Callable[..., Settings]
WORDS = "bridge Alm opened"
KEPT = r"Found by this thread's own search \d+ s ago, not now; `fresh` asks again\."


def plan(*calls: dict[str, Any]) -> dict[str, Any]:
    """Searches, one after the other."""
    steps = [{"id": f"s{number}", "tool": "web_search", "args": args} for number, args in enumerate(calls, 1)]
    for before, step in pairwise(steps):
        step["needs"] = [before["id"]]
    return {"plan": {"subtasks": steps}}


async def searched(
    saver: ThreadSaver, settings: Settings, *calls: dict[str, Any], thread: str = "t"
) -> list[dict[str, Any]]:
    app = build_plan_graph(["web_search", "deep_research"], settings=settings).compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": thread}}
    given: Any = plan(*calls)
    results = (await app.ainvoke(given, config))["results"]
    return [result["output"] for _, result in sorted(results.items())]


async def test_a_thread_asks_the_same_once_and_says_how_old_it_is(
    saver: ThreadSaver, settings: MakeSettings, web: Web
) -> None:
    first, second = await searched(saver, settings(), {"query": WORDS}, {"query": f" {WORDS} ", "lang": "EN"})

    assert web.searched == [WORDS]
    assert first["note"] == ""
    assert re.fullmatch(KEPT, second["note"])
    assert first["results"] == second["results"]
    assert [hit["url"] for hit in first["results"]] == [web.page(path) for path in FOUND[WORDS]]


@pytest.mark.parametrize("other", [{"query": "bridge Alm toll"}, {"lang": "de"}, {"country": "no"}, {"num_results": 1}])
async def test_another_search_is_asked(
    saver: ThreadSaver, settings: MakeSettings, web: Web, other: dict[str, Any]
) -> None:
    found = await searched(saver, settings(), {"query": WORDS}, {"query": WORDS, **other})

    assert len(web.searched) == 2
    assert [one["note"] for one in found] == ["", ""]


async def test_another_thread_and_a_fresh_search_are_asked(
    saver: ThreadSaver, settings: MakeSettings, web: Web
) -> None:
    await searched(saver, settings(), {"query": WORDS})
    await searched(saver, settings(), {"query": WORDS}, thread="other")
    assert len(web.searched) == 2

    web.found[WORDS] = ["/toll"]
    _, fresh, again = await searched(
        saver, settings(), {"query": WORDS}, {"query": WORDS, "fresh": True}, {"query": WORDS}
    )

    assert len(web.searched) == 3
    assert [hit["url"] for hit in fresh["results"]] == [web.page("/toll")]
    assert again["results"] == fresh["results"], "what was found last counts"


async def test_what_is_too_old_is_asked_again(saver: ThreadSaver, settings: MakeSettings, web: Web) -> None:
    await searched(saver, settings(search_age_s=600), {"query": WORDS})
    async with saver.connection() as connection:
        await connection.execute("UPDATE searches SET made_at = made_at - interval '5 minutes'")
    (within,) = await searched(saver, settings(search_age_s=600), {"query": WORDS, "fetch_content": True})
    assert re.search(r" 3\d\d s ago", within["note"])

    await searched(saver, settings(search_age_s=60), {"query": WORDS, "num_results": 5})
    assert len(web.searched) == 2
    await searched(saver, settings(search_age_s=0), {"query": WORDS}, {"query": WORDS, "lang": "en"}, thread="never")
    assert len(web.searched) == 4, "0 keeps none"


async def test_only_so_many_are_kept(
    saver: ThreadSaver, settings: MakeSettings, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches_module, "MOST", 2)
    web.found |= {word: ["/toll"] for word in ("a", "b", "c")}

    await searched(saver, settings(), *({"query": word} for word in ("a", "b", "c", "b", "c", "a")))

    assert web.searched == ["a", "b", "c", "a"]
    async with saver.connection() as connection:
        (row,) = await (await connection.execute("SELECT count(*) AS n FROM searches")).fetchall()
    assert row["n"] == 2


async def test_a_search_that_found_nothing_or_failed_is_made_again(
    saver: ThreadSaver, settings: MakeSettings, web: Web
) -> None:
    await searched(saver, settings(), {"query": "nothing"}, {"query": "nothing", "lang": "EN"})
    assert web.searched == ["nothing", "nothing"]


async def test_the_research_and_the_tool_have_one_store(
    saver: ThreadSaver, settings: MakeSettings, research: Research, web: Web, rules: Rules
) -> None:
    rules.answers["questions"] = lambda _: {"questions": [question("When?", WORDS)]}
    await searched(saver, settings(), {"query": WORDS, "num_results": 6}, thread="both")
    config: Any = {"configurable": {"thread_id": "both"}}
    app = build_plan_graph(["web_search", "deep_research"], settings=settings()).compile(checkpointer=saver)
    step = {"id": "r", "tool": "deep_research", "args": {"query": QUERY}}

    out = await app.ainvoke({"plan": {"subtasks": [step]}}, config)
    assert out["results"]["r"]["status"] == "completed"
    assert web.searched == [WORDS]

    fresh = {**step, "args": {"query": QUERY, "fresh": True}}
    await app.ainvoke({"plan": {"subtasks": [fresh]}}, config)
    assert web.searched == [WORDS, WORDS]

    alone: Any = {"configurable": {"thread_id": "alone"}}
    for asks in (False, True):
        await research().ainvoke({"query": QUERY, "fresh": asks}, alone)
    assert len(web.searched) == 4


def test_killed_between_two_searches_it_makes_only_the_second_again(
    program_in: MakeProgram, database: str, web: Web, rules: Rules, model: ScriptedServer
) -> None:
    program = program_in(
        DATABASE_URL=database,
        OPENMANUS_GRAPH_SEARXNG_URL=web.url,
        OPENMANUS_GRAPH_ALLOW_HOSTS='["127.0.0.1"]',
        **model.environment,
    )
    rules.answers["questions"] = lambda _: {"questions": [question("When?", WORDS, "bridge Alm toll")]}
    web.hangs = {"bridge Alm toll"}

    running = program.start("run", "--graph", "deep_research", QUERY, "--thread", "kept")
    deadline = time.monotonic() + 120
    while len(web.searched) < 2 or not rows_with(database, "mayor").get("searches"):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    web.go_on()

    out, _ = program("resume", "kept")

    assert sorted(web.searched) == [WORDS, "bridge Alm toll", "bridge Alm toll"]
    assert "The bridge of Alm was opened in 1931. [1]" in out


async def test_a_fork_has_what_its_thread_had_found(saver: ThreadSaver, settings: MakeSettings, web: Web) -> None:
    await searched(saver, settings(), {"query": WORDS}, {"query": "bridge Alm toll"})
    await fork_thread(saver, "t", new_id="forked", workspace="forked")

    await searched(saver, settings(), {"query": WORDS, "lang": "EN"}, thread="forked")

    assert web.searched == [WORDS, "bridge Alm toll"]


async def test_with_a_key_what_was_found_is_sealed_and_without_it_asked_again(
    database: str, settings: MakeSettings, web: Web
) -> None:
    sealing = Settings.load(encryption_key=new_key())
    async with open_checkpointer(database, settings=sealing) as saver:
        _, again = await searched(saver, settings(), {"query": WORDS}, {"query": WORDS, "lang": "EN"})
        assert again["note"]
        assert rows_with(database, "mayor").get("searches") is None
    assert web.searched == [WORDS]


async def test_an_archive_has_what_was_found(
    saver: ThreadSaver, settings: MakeSettings, tmp_path: Path, web: Web
) -> None:
    await searched(saver, settings(), {"query": WORDS})
    await export_thread(saver, await find_thread(saver, "t"), tmp_path / "t.thread")
    await import_thread(saver, tmp_path / "t.thread", new_id="moved", workspace=tmp_path / "there")

    (found,) = await searched(saver, settings(), {"query": WORDS, "lang": "EN"}, thread="moved")

    assert re.fullmatch(KEPT, found["note"])
    assert web.searched == [WORDS]
