"""Endings: the status that a research ends with, and what another one in its thread begins with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openmanus_graph.testing import ScriptedServer
from tests.cli.conftest import MakeProgram
from tests.research.conftest import QUERY, Research
from tests.research.web import Rules, Web, cited_sentences, question

pytestmark = pytest.mark.postgres


def thread(name: str = "t") -> Any:
    return {"configurable": {"thread_id": name}}


def test_it_is_listed_and_a_research_that_finds_nothing_has_failed(
    program_in: MakeProgram, database: str, web: Web, model: ScriptedServer
) -> None:
    program = program_in(
        DATABASE_URL=database,
        OPENMANUS_GRAPH_SEARXNG_URL=web.url,
        OPENMANUS_GRAPH_ALLOW_HOSTS='["127.0.0.1"]',
        **model.environment,
    )
    out, said = program("graph", "list")
    assert "deep_research  built in  Researches a query on the Web" in out
    assert 'run --graph deep_research "TASK"' in said
    web.pages, pages = {}, web.pages

    out, said = program("run", "--graph", "deep_research", QUERY, "--thread", "t", code=1)
    assert "Nothing was found on this." in out
    assert "Thread t failed" in said
    assert "resume t" not in said, "nothing of it is left to do"
    assert program("resume", "t", code=1)[0] == out
    assert json.loads(program("threads", "show", "t", "--json")[0])["status"] == "failed"
    last = program("run", "--graph", "deep_research", QUERY, "--thread", "j", "--json", code=1)[0].splitlines()[-1]
    assert json.loads(last)["status"] == "failed"

    web.pages = pages
    out, said = program("run", "--graph", "deep_research", QUERY, "--thread", "t")
    assert "The bridge of Alm was opened in 1931. [1]" in out
    assert "Thread t completed" in said


async def test_another_research_in_its_thread_begins_anew(research: Research, web: Web, rules: Rules) -> None:
    app = research()
    first = await app.ainvoke({"query": QUERY}, thread())
    web.pages["/new"] = "<title>New</title><p>The tunnel of Bel was opened in 1971.</p>"
    web.found["tunnel"] = ["/new"]
    rules.answers["questions"] = lambda _: {"questions": [question("When was the tunnel opened?", "tunnel")]}

    second = await app.ainvoke({"query": "Tell me of the tunnel."}, thread())

    assert first["status"] == second["status"] == "completed"
    assert cited_sentences(second["report"]) == ["The tunnel of Bel was opened in 1971. [1]"]
    assert "Alm" not in second["report"]
    assert "1931" not in rules.of("report")[-1], "notes of the earlier one are not told"
