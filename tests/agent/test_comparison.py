"""The comparison with ReAct loops: its model knows nothing by itself, and the counts are as told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.agent import Run, answered, rival
from benchmarks.mind import Mind
from benchmarks.our_agent import OurAgent
from benchmarks.question import FIRMS, QUESTIONS, Web, page, staff
from openmanus_graph import ThreadSaver
from openmanus_graph.testing import Reply, ScriptedServer

pytestmark = pytest.mark.programs

COMPARE, FAN_OUT, NAMED, LEVELS = QUESTIONS


@pytest.mark.parametrize("offered", [[], ["search", "read_page", "calculate"]], ids=["reporter", "loop"])
def test_the_model_says_no_fact_that_it_has_not_read(offered: list[str]) -> None:
    tools = [{"function": {"name": name}} for name in offered]
    body: dict[str, Any] = {"messages": [{"role": "user", "content": FAN_OUT.text}], "tools": tools}
    reply = Mind(lambda tokens: 0.0)(body)
    assert isinstance(reply, Reply)
    assert not any(str(staff(firm)) in f"{reply.text}{reply.tool_calls}" for firm in FIRMS)


def test_a_fact_stands_once_in_its_page_and_not_always_at_the_same_place() -> None:
    places = [page(firm).index(str(staff(firm))) for firm in FIRMS]
    assert all(page(firm).count(str(staff(firm))) == 1 for firm in FIRMS)
    assert max(places) > 2 * min(places)
    assert {len(page(firm)) for firm in FIRMS} == {6_000}


async def test_all_answer_the_same_and_the_agent_reads_least(saver: ThreadSaver, tmp_path: Path) -> None:
    web = Web(0.0)
    with ScriptedServer(Mind(lambda tokens: 0.0)) as server:
        clients = (
            OurAgent(server, saver, tmp_path, web.tools()).ask,
            rival(server, web, parallel=False, builtin=False),
            rival(server, web, parallel=True, builtin=False),
        )
        runs: list[Run] = [await answered(client, FAN_OUT, server) for client in clients]
        levels = [await answered(client, LEVELS, server) for client in clients]
    ours, sequential, parallel = runs
    assert [run.calls for run in runs] == [2, 17, 3]
    assert ours.prompt_tokens * 4 <= sequential.prompt_tokens
    assert ours.prompt_tokens < parallel.prompt_tokens
    assert [run.calls for run in levels] == [3, 10, 4]
