"""Files: each step's changes are recorded, and a fork gets the folder as of its point."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import (
    Settings,
    ThreadSaver,
    build_plan_graph,
    delete_thread,
    diff_points,
    find_thread,
    fork_thread,
)
from openmanus_graph.checkpoints.workspace.snapshots import changes_of, files_of
from openmanus_graph.graphs.durable import DurableGraph
from tests.engine.plans import plan, subtask, thread


def writes(name: str, command: str, needs: list[str] | None = None) -> dict[str, Any]:
    """A subtask that runs a shell command."""
    return subtask(name, "bash", needs, args={"command": command})


def edits(name: str, needs: list[str] | None = None, **args: Any) -> dict[str, Any]:
    """A subtask that edits a file."""
    return subtask(name, "str_replace_editor", needs, args=args)


FILES = plan(
    edits("one", command="create", path="a/one.txt", file_text="first\n"),
    writes("two", "printf second > two.bin; ln -s one.txt a/link; chmod 700 two.bin", ["one"]),
    edits("three", ["two"], command="str_replace", path="a/one.txt", old_str="first", new_str="changed"),
    writes("four", "rm two.bin; rm -rf .openmanus/undo", ["three"]),
)


@pytest.fixture
def app(saver: ThreadSaver) -> DurableGraph:
    """A graph with tools that write."""
    return build_plan_graph(["bash", "str_replace_editor"], settings=Settings.load(sandbox="none")).compile(
        checkpointer=saver
    )


async def test_each_change_names_its_step(app: DurableGraph, saver: ThreadSaver) -> None:
    out = await app.ainvoke({"plan": FILES}, thread())
    assert {result["status"] for result in out["results"].values()} == {"completed"}
    made = [(one.subtask, one.tool, one.path, one.gone) for one in await changes_of(saver, "t")]
    own = [one for one in made if not one[2].startswith(".openmanus")]
    assert own == [
        ("one", "str_replace_editor", "a/one.txt", False),
        ("two", "bash", "a/link", False),
        ("two", "bash", "two.bin", False),
        ("three", "str_replace_editor", "a/one.txt", False),
        ("four", "bash", "two.bin", True),
    ]


async def test_a_fork_gets_the_files_of_its_point(app: DurableGraph, saver: ThreadSaver) -> None:
    await app.ainvoke({"plan": FILES}, thread())
    fork = await fork_thread(saver, "t@three:0")
    assert fork.missing == []
    folder = Path(str(fork.thread.workspace))
    assert folder == Path.cwd() / "openmanus-work" / "t-2"
    assert (folder / "a/one.txt").read_text() == "first\n"
    assert (folder / "two.bin").read_text() == "second"
    assert (folder / "two.bin").stat().st_mode & 0o777 == 0o700
    assert (folder / "a/link").readlink() == Path("one.txt")
    out = await app.ainvoke(None, thread("t-2"))
    assert out["results"]["four"]["status"] == "completed"
    assert (folder / "a/one.txt").read_text() == "changed\n"
    assert not (folder / "two.bin").exists()
    assert (Path.cwd() / "openmanus-work/t/a/one.txt").read_text() == "changed\n"


async def test_undo_works_in_a_fork_although_the_original_lost_it(app: DurableGraph, saver: ThreadSaver) -> None:
    await app.ainvoke({"plan": FILES}, thread())
    fork = await fork_thread(saver, "t@four:0")
    undo = plan(*FILES["subtasks"][:3], edits("undo", ["three"], command="undo_edit", path="a/one.txt"))
    await app.ainvoke({"plan": undo}, thread(fork.thread.thread_id))
    assert (Path(str(fork.thread.workspace)) / "a/one.txt").read_text() == "first\n"


async def test_files_from_before_the_run_come_along(app: DurableGraph, saver: ThreadSaver, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "given.txt").write_text("given\n")
    made = plan(writes("change", "echo more >> given.txt"), writes("again", "echo most >> given.txt", ["change"]))
    await app.ainvoke({"plan": made, "workspace": str(folder)}, thread())
    for address, text in (("t@1", "given\n"), ("t@again:0", "given\nmore\n")):
        fork = await fork_thread(saver, address)
        assert (Path(str(fork.thread.workspace)) / "given.txt").read_text() == text
    assert (folder / "given.txt").read_text() == "given\nmore\nmost\n"


async def test_a_difference_shows_the_lines(app: DurableGraph, saver: ThreadSaver) -> None:
    await app.ainvoke({"plan": FILES}, thread())
    found = await diff_points(saver, "t@three:0", "t")
    assert [(one.name, one.kind) for one in found.files] == [("a/one.txt", "changed"), ("two.bin", "removed")]
    assert found.files[0].lines is not None
    assert found.files[0].lines.splitlines()[-2:] == ["-first", "+changed"]
    assert [(one.name, one.kind) for one in found.results] == [("three", "added"), ("four", "added")]


async def test_large_files_are_not_kept_but_copied_while_they_last(saver: ThreadSaver) -> None:
    settings = Settings.load(sandbox="none", snapshot_bytes=100)
    app = build_plan_graph(["bash"], settings=settings).compile(checkpointer=saver)
    made = plan(
        writes("large", "head -c 5000 /dev/zero > large.bin; head -c 300 /dev/zero > gone.bin"),
        writes("small", "echo small > small.txt; rm gone.bin", ["large"]),
    )
    await app.ainvoke({"plan": made}, thread())
    files = await files_of(saver, "t")
    assert (files["large.bin"].left_out, files["large.bin"].digest) == ("larger than 100 bytes", None)
    fork = await fork_thread(saver, "t@small:0")
    assert fork.missing == ["gone.bin"]
    assert (Path(str(fork.thread.workspace)) / "large.bin").stat().st_size == 5000


async def test_a_link_out_of_the_workspace_is_kept_as_a_link(app: DurableGraph, saver: ThreadSaver) -> None:
    secret = Path.cwd() / "secret.txt"
    secret.write_text("outside")
    await app.ainvoke({"plan": plan(writes("link", f"ln -s {secret} out; ln -s {secret.parent} folder"))}, thread())
    fork = await fork_thread(saver, "t")
    folder = Path(str(fork.thread.workspace))
    assert os.readlink(folder / "out") == str(secret)  # noqa: PTH115 - a text is compared
    async with saver.connection() as connection:
        rows = await (await connection.execute("SELECT content FROM file_contents")).fetchall()
    assert b"outside" not in [bytes(row["content"]) for row in rows]


async def test_contents_go_with_the_last_thread_that_has_them(app: DurableGraph, saver: ThreadSaver) -> None:
    await app.ainvoke({"plan": FILES}, thread())
    await fork_thread(saver, "t@two:0")

    async def kept() -> int:
        async with saver.connection() as connection:
            row = await (await connection.execute("SELECT count(*) AS count FROM file_contents")).fetchone()
        return int(row["count"]) if row else 0

    before = await kept()
    await delete_thread(saver, await find_thread(saver, "t"))
    between = await kept()
    assert 0 < between < before
    await delete_thread(saver, await find_thread(saver, "t-2"))
    assert await kept() == 0
