"""What the verifier is shown: what the worker had, each call with its result, the files, and the answer once."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import TypedDict

import pytest
from langchain_core.tools import StructuredTool
from langgraph.graph import START, StateGraph

from openmanus_graph.files.kind import kind_of_file
from openmanus_graph.nodes.material.evidence import LEAST_CHARACTERS, Evidence, Piece, shares
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, plans, thread, verdict

FACT = "Oslo has 717,710 inhabitants."
PAGE = {"id": "page", "goal": "read the page", "tool": "bash", "args": {"command": f"printf 'A page.\n{FACT}'"}}


def asked(provider: ScriptedServer, number: int = 0) -> str:
    """What the verifier was asked, by the number of the check."""
    return [request for request in provider.requests if request.tools == ["verdict"]][number].messages[-1]["content"]


def _long(name: str) -> str:
    return f"{name} begins. {'lorem ipsum ' * 500}The fact about {name} is {name.upper()}. {'dolor sit ' * 500}"


READ = StructuredTool.from_function(func=_long, name="read", description="Read.", metadata={"effect": "read"})


async def test_it_gets_the_goal_filled_in_and_what_the_worker_was_given(build: Build, provider: ScriptedServer) -> None:
    other = {"id": "other", "goal": "list", "tool": "bash", "args": {"command": "echo seventeen"}}
    work = {"id": "w", "goal": "Say how many live in ${page.stdout}", "agent": "executor", "needs": ["other"]}
    provider.add(plans(PAGE, other, {**work, "done_when": "a number is given"}), *done("717,710"), Reply("717,710."))
    out = await build().ainvoke({"task": "How many live in Oslo?"}, thread())
    assert out["status"] == "completed"
    text = asked(provider)
    assert "${page" not in text
    assert text.count(FACT) == 1
    assert "# Output of other: list" in text
    assert "seventeen" in text
    assert "How many live in Oslo?" in text


async def test_a_direct_call_is_shown_with_its_arguments(build: Build, provider: ScriptedServer) -> None:
    call = {"id": "c", "goal": "say it", "tool": "bash", "args": {"command": "printf '%s' '${page.stdout}' | wc -l"}}
    provider.add(plans(PAGE, {**call, "done_when": "the lines are counted"}), verdict(True), Reply("One."))
    out = await build().ainvoke({"task": "count"}, thread())
    assert out["results"]["c"]["verified"] is True
    text = asked(provider)
    assert f"{FACT}' | wc -l" in text
    assert "${page" not in text
    assert text.count('"exit_code":0') == 2, "of the call itself once, beside that of the page"


class _Own(TypedDict, total=False):
    task: str
    answer: str


async def test_a_graph_of_ones_own_is_judged_by_what_it_had_and_gave(build: Build, provider: ScriptedServer) -> None:
    graph = StateGraph(_Own)
    graph.add_node("work", lambda state: {"answer": "717,710 people"})
    graph.add_edge(START, "work")
    work = {"id": "w", "goal": "Count ${page.stdout}", "agent": "own", "done_when": "a number is given"}
    provider.add(plans(PAGE, work), verdict(True), Reply("717,710."))
    await build(agents={"own": graph.compile()}).ainvoke({"task": "count"}, thread())
    text = asked(provider)
    assert FACT in text
    assert "717,710 people" in text
    assert "whose steps are not seen here" in text


async def test_nothing_is_cut_while_all_fits(build: Build, provider: ScriptedServer) -> None:
    names = ["one", "two", "three"]
    work = {"id": "w", "goal": "read", "agent": "executor", "done_when": "the facts are told"}
    provider.add(plans(work), calls(*(ToolUse("read", {"name": name}) for name in names)), *done("ONE TWO THREE"))
    provider.add(Reply("Read."))
    models = {"models": {"default": {"window": 128_000}}}
    await build(tools=[READ], settings=models).ainvoke({"task": "read"}, thread())
    text = asked(provider)
    assert [name for name in names if f"is {name.upper()}." not in text] == []
    for name in names:  # each result stands behind its own call
        begin = text.index(f'{{"name": "{name}"}}')
        assert text.index(f"{name} begins.") - begin < 60


async def test_in_a_small_window_the_newest_results_come_first(build: Build, provider: ScriptedServer) -> None:
    names = [f"n{number}" for number in range(6)]
    work = {"id": "w", "goal": "read", "agent": "executor", "done_when": "the facts are told"}
    provider.add(
        plans(work), *(calls(ToolUse("read", {"name": name})) for name in names), *done("read"), Reply("Read.")
    )
    await build(tools=[READ], settings={"models": {"verifier": {"model": "openai/small", "window": 12_000}}}).ainvoke(
        {"task": "read"}, thread()
    )
    text = asked(provider)
    assert [name for name in names if f"{name} begins." not in text] == [], "something is shown of each"
    assert "is N5." in text
    assert "is N0." not in text
    assert len(text) < 12_000 * 3


async def test_the_answer_is_shown_once(build: Build, provider: ScriptedServer) -> None:
    work = {"id": "w", "goal": "say it", "agent": "executor", "done_when": "it is said"}
    ending = ToolUse("terminate", {"status": "success", "answer": "the very answer"})
    provider.add(plans(work), Reply("the very answer", tool_calls=[ending]), verdict(True), Reply("It is said."))
    await build().ainvoke({"task": "say"}, thread())
    assert asked(provider).count("the very answer") == 1


async def test_a_large_answer_is_shown_whole(build: Build, provider: ScriptedServer) -> None:
    work = {"id": "w", "goal": "say it", "agent": "executor", "done_when": "it is said"}
    provider.add(plans(work), *done(f"{'x' * 4000} the fact {'y' * 4000}"), Reply("It is said."))
    await build(settings={"inline_output": 1000}).ainvoke({"task": "say"}, thread())
    assert "x the fact y" in asked(provider)


async def test_calls_that_were_summarised_are_not_lost(build: Build, provider: ScriptedServer) -> None:
    work = {"id": "w", "goal": "count", "agent": "executor", "tools": ["bash"], "done_when": "it is counted"}
    steps = [calls(ToolUse("bash", {"command": f"seq {number} {number + 1200}"})) for number in range(3)]
    summary = Reply("The first list had 901 lines.")
    provider.add(plans(work), *steps, summary, *done("counted"), Reply("Counted."))
    settings = {"models": {"default": {"window": 13_000}}, "summarise_at": 0.5}
    out = await build(settings=settings).ainvoke({"task": "count"}, thread())
    assert out["results"]["w"]["output"] == "counted"
    assert "The first list had 901 lines." in asked(provider)


async def test_files_that_the_subtask_names_are_shown(build: Build, provider: ScriptedServer) -> None:
    writes = calls(ToolUse("bash", {"command": "for i in 1 2 3; do echo line-$i; done > notes.txt"}))
    work = {"id": "w", "goal": "Write three lines into notes.txt", "agent": "executor"}
    provider.add(plans(work), writes, *done("written"), Reply("Written."))
    await build().ainvoke({"task": "write"}, thread())
    assert "line-1\nline-2\nline-3" in asked(provider).partition("# The file notes.txt\n")[2]


async def test_a_picture_is_described(build: Build, provider: ScriptedServer, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "chart.png").write_bytes(png(800, 440) + bytes(8000))
    work = {"id": "w", "goal": "draw", "agent": "executor", "done_when": "chart.png exists"}
    provider.add(plans(work), *done("drawn"), Reply("Drawn."))
    await build().ainvoke({"task": "draw"}, thread(workspace=str(folder)))
    text = asked(provider)
    assert "PNG, 800×440, 8.0 kB" in text
    assert "IHDR" not in text


def test_of_what_gets_no_room_nothing_is_shown() -> None:
    evidence = Evidence(Piece("# R", ("r" * 5000,)), inputs=[Piece("# I", ("i" * 5000,))])
    evidence.share(LEAST_CHARACTERS)
    assert "iii" not in evidence.text()
    assert "5000 characters left out" in evidence.text()


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\0\0\0"


JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(10) + b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, 30, 40, 1) + bytes(100)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(3, 4), "PNG, 3×4, 29 bytes"),
        (JPEG, "JPEG, 40×30, 130 bytes"),
        (JPEG[:20], "JPEG, damaged, 20 bytes"),
        (b"\xff\xd8\xff\xe0\x00\x00" + bytes(30), "JPEG, damaged, 36 bytes"),
        (b"GIF89a" + struct.pack("<HH", 5, 6) + bytes(3), "GIF, 5×6, 13 bytes"),
        (b"%PDF-1.7\n" + bytes(2_000_000), "PDF, 2.0 MB"),
        (b"PK\x03\x04" + bytes(50), "ZIP, damaged, 54 bytes"),
        (bytes(12), "binary, 12 bytes"),
    ],
)
def test_what_a_binary_file_is(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    assert kind_of_file(tmp_path / "file") == words


def test_what_an_archive_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("one.txt", "1")
        archive.writestr("two.txt", "2")
    assert kind_of_file(tmp_path / "a.zip").startswith("ZIP, 2 files, ")
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    assert kind_of_file(tmp_path / "a.xlsx").startswith("ZIP, Excel workbook, 1 file, ")


@pytest.mark.parametrize(
    ("lengths", "characters", "expected"),
    [
        ([10, 20, 30], 60, [10, 20, 30]),
        ([100_000], 60_000, [60_000]),
        ([100_000, 10, 1000], 10_000, [8990, 10, 1000]),
        ([100_000, 100_000, 100_000], 10_000, [5000, 4600, 400]),
        ([1000] * 50, 2 * LEAST_CHARACTERS, [LEAST_CHARACTERS] * 2 + [0] * 48),
    ],
)
def test_how_room_is_shared(lengths: list[int], characters: int, expected: list[int]) -> None:
    assert shares(lengths, characters) == expected
