"""Moving: a thread goes on in another database, and a file that is not as it was written is refused whole."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import Settings, ThreadSaver, build_plan_graph, find_thread, get_thread, open_checkpointer
from openmanus_graph.checkpoints.events import stored_events
from openmanus_graph.checkpoints.lease import Lease
from openmanus_graph.checkpoints.pruning.retention import prune_thread, thread_sizes
from openmanus_graph.checkpoints.thread_tables import THREAD_TABLES
from openmanus_graph.checkpoints.transfer.archive import new_archive, open_archive
from openmanus_graph.checkpoints.transfer.export_import import export_thread, import_thread
from openmanus_graph.errors import ArchiveError, ThreadBusyError, UsageError
from openmanus_graph.fault_points import watch
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.replies import calls, done, plans, thread, wants_plan
from tests.conftest import new_database
from tests.engine.plans import plan, subtask
from tests.engine.sample_tools import TOOLS

pytestmark = pytest.mark.postgres

PLAN = plan(
    subtask("a", "work", args={"name": "a", "seconds": 0.0, "logfile": "log"}),
    subtask("q", "ask_human", args={"inquire": "Which?"}, needs=["a"]),
    subtask("end", "echo", args={"value": "${q.answer}"}),
)


@pytest.fixture
def elsewhere(server: str) -> Iterator[str]:
    """The URL of a second database."""
    with new_database(server) as url:
        yield url


async def contents(saver: ThreadSaver) -> dict[str, int]:
    """How many rows there are of any thread."""
    counts: dict[str, int] = {}
    async with saver.connection() as connection:
        for table in (*THREAD_TABLES, "file_contents"):
            row = await (await connection.execute(f"SELECT count(*) AS n FROM {table}")).fetchone()  # type: ignore[arg-type]
            counts[table] = int(row["n"]) if row else 0
    return counts


def tree(folder: Path) -> dict[str, Any]:
    """What is in a folder."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        mode = path.lstat().st_mode & 0o777
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("folder", mode)
        else:
            found[name] = (path.read_bytes() if path.is_file() else None, mode)
    return found


async def half_done(saver: ThreadSaver, name: str = "t", folder: Path | None = None) -> Any:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    await app.ainvoke({"plan": PLAN}, thread(name, **({"workspace": str(folder)} if folder else {})))
    return app


async def test_a_plan_goes_on_in_another_database(saver: ThreadSaver, elsewhere: str, tmp_path: Path) -> None:
    await half_done(saver)
    work = tmp_path / "openmanus-work" / "t"
    (work / "deep" / "empty").mkdir(parents=True)
    (work / "deep" / "tool.sh").write_text("#!/bin/sh\n")
    (work / "deep" / "tool.sh").chmod(0o750)
    (work / "näme\n").write_bytes(os.urandom(700_000))
    (work / "deep" / "link").symlink_to("../näme\n")
    (work / "out").symlink_to("/etc/passwd")
    os.mkfifo(work / "pipe")
    found = await find_thread(saver, "t")
    moved = await export_thread(saver, found, tmp_path / "t.thread")
    assert {line.split(" ")[0] for line in moved.left_out} == {"out", "pipe"}
    assert (tmp_path / "t.thread").stat().st_mode & 0o777 == 0o600
    async with open_checkpointer(elsewhere) as other:
        made = await import_thread(other, tmp_path / "t.thread", workspace=tmp_path / "there")
        assert (made.rows, made.files) == (moved.rows, moved.files)
        expected = tree(work)
        del expected["out"], expected["pipe"]
        assert tree(tmp_path / "there") == expected
        row = await find_thread(other, "t")
        assert (row.status, row.title, row.progress) == ("waiting", found.title, found.progress)
        assert row.workspace == str(tmp_path / "there")
        assert len(await stored_events(other, "t")) == len(await stored_events(saver, "t"))
        app = build_plan_graph(TOOLS).compile(checkpointer=other)
        assert (await app.snapshot("t")).values["workspace"] == str(tmp_path / "there")
        (question,) = await app.questions("t")
        out = await app.ainvoke(Command(resume={question["id"]: {"kind": "answer", "value": "blue"}}), thread())
    assert out["results"]["end"]["output"] == "blue"
    assert (tmp_path / "log").read_text() == "start a\nend a\n", "what was done is not done again"


async def test_an_input_that_no_checkpoint_has_moves_too(saver: ThreadSaver, elsewhere: str, tmp_path: Path) -> None:
    class CutError(BaseException):
        """What cuts the run off."""

    def cut(passed: str) -> None:
        if passed == "before checkpoint ":
            raise CutError

    watch(cut)
    with pytest.raises(CutError):
        await half_done(saver)
    watch(None)
    await export_thread(saver, await find_thread(saver, "t"), tmp_path / "t.thread")
    async with open_checkpointer(elsewhere) as other:
        await import_thread(other, tmp_path / "t.thread", workspace=tmp_path / "there")
        app = build_plan_graph(TOOLS).compile(checkpointer=other)
        await app.ainvoke(None, thread())
        (question,) = await app.questions("t")
    assert question["question"] == "Which?"


async def test_the_agent_goes_on_under_another_id(
    provider: ScriptedServer, saver: ThreadSaver, elsewhere: str, tmp_path: Path
) -> None:
    settings = Settings.load(
        home=tmp_path / "home",
        llm_model="openai/scripted",
        llm_base_url=provider.base_url,
        llm_api_key="sk-scripted",
        sandbox="none",
    )
    app = build_manus_graph(settings=settings).compile(checkpointer=saver)
    work = {"id": "w", "goal": "work", "agent": "executor"}
    asked = {"id": "q", "goal": "ask", "tool": "ask_human", "args": {"inquire": "Which?"}, "needs": ["w"]}
    provider.add(wants_plan(), plans(work, asked), calls(ToolUse("bash", {"command": "echo hi > f"})), *done("done"))
    await app.ainvoke({"task": "do it"}, thread())
    await prune_thread(saver, "t")
    await export_thread(saver, await find_thread(saver, "t"), tmp_path / "t.thread")
    async with open_checkpointer(elsewhere) as other:
        made = await import_thread(other, tmp_path / "t.thread", new_id="copy")
        assert made.workspace == str(tmp_path / "openmanus-work" / "copy")
        assert (Path(str(made.workspace)) / "f").read_text() == "hi\n"
        events = await stored_events(other, "copy")
        assert {event.get("thread_id") for event in events} == {"copy"}
        numbers = [event.get("number", 0) for event in events]
        assert numbers == sorted(numbers)
        row = await find_thread(other, "copy")
        assert row.sandbox == "auto", "to run without a sandbox is for the one who resumes to say"
        again = build_manus_graph(settings=settings).compile(checkpointer=other)
        (question,) = await again.questions("copy")
        provider.add(Reply("It is blue."))
        out = await again.ainvoke(Command(resume={question["id"]: {"kind": "answer", "value": "blue"}}), thread("copy"))
        assert out["status"] == "completed"
        assert out["answer"].startswith("It is blue.")
        assert out["results"]["w"]["output"] == "done"
        provider.add(Reply("I said blue."))
        out = await again.ainvoke({"task": "What did you say?"}, thread("copy"))
        assert "do it" in str(provider.requests[-1].messages), "the conversation came along"
        assert await get_thread(other, "t") is None


async def test_an_input_that_was_never_taken_finds_its_folder(
    saver: ThreadSaver, elsewhere: str, tmp_path: Path
) -> None:
    app = await half_done(saver)
    first = [state async for state in app.aget_state_history(thread())][-1]
    async with saver.connection() as connection:  # as if the process had been killed after its first checkpoint
        for table in ("checkpoints", "checkpoint_writes"):
            await connection.execute(
                f"DELETE FROM {table} WHERE checkpoint_ns <> '' OR checkpoint_id <> %s",  # type: ignore[arg-type]
                (first.config["configurable"]["checkpoint_id"],),
            )
    await export_thread(saver, await find_thread(saver, "t"), tmp_path / "t.thread")
    async with open_checkpointer(elsewhere) as other:
        await import_thread(other, tmp_path / "t.thread", workspace=tmp_path / "there")
        again = build_plan_graph(TOOLS).compile(checkpointer=other)
        await again.ainvoke(None, thread())
        assert (await again.snapshot("t")).values["workspace"] == str(tmp_path / "there")


async def test_a_running_thread_is_not_exported(saver: ThreadSaver, tmp_path: Path) -> None:
    await half_done(saver)
    found = await find_thread(saver, "t")
    lease = await Lease.acquire(saver.conninfo, "t", {"graph": found.graph})
    with pytest.raises(ThreadBusyError, match="is running"):
        await export_thread(saver, found, tmp_path / "t.thread")
    await lease.release(status="stopped")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "openmanus-work"]


Mangle = Callable[[bytes], bytes]


def _flipped(place: float) -> Mangle:
    def change(data: bytes) -> bytes:
        at = int(len(data) * place) if place < 1 else len(data) - 1
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return change


DAMAGES: list[Mangle] = [
    *(_flipped(place) for place in (0, 0.01, 0.3, 0.5, 0.9, 1)),
    lambda data: data[:-1],
    lambda data: data[: len(data) // 2],
    lambda data: data[:20],
    lambda data: b"",
    lambda data: data + b"\n",
    lambda data: data.replace(b"archive 1", b"archive 2", 1),
    lambda data: b"PK\x03\x04" + data,
]


async def test_a_damaged_file_is_refused_whole(saver: ThreadSaver, tmp_path: Path) -> None:
    await half_done(saver, "source")
    file = tmp_path / "t.thread"
    await export_thread(saver, await find_thread(saver, "source"), file)
    whole, before = file.read_bytes(), await contents(saver)
    for number, mangle in enumerate(DAMAGES):
        file.write_bytes(mangle(whole))
        here = tree(tmp_path)
        with pytest.raises(ArchiveError):
            pytest.fail(f"damage {number} was taken: {await import_thread(saver, file, new_id='copy')}")
        assert await contents(saver) == before, number
        assert tree(tmp_path) == here, number


Change = Callable[[dict[str, Any], list[bytes]], tuple[dict[str, Any], list[bytes]] | None]


def _signed(data: bytes) -> bytes:
    """An archive's bytes with the digest they should have."""
    return data + b"\nsha256 " + hashlib.sha256(data).hexdigest().encode() + b"\n"


async def _rewritten(file: Path, change: Change) -> None:
    """Write an archive anew with each of its records changed: what somebody may do who knows the format."""
    with open_archive(file) as records:
        found = [(dict(record.fields), list(record.pieces())) for record in records]
    file.unlink()
    with new_archive(file) as archive:
        for fields, pieces in found:
            archive.record(*(change(fields, pieces) or (fields, pieces)))
        archive.record({"kind": "end"})


def _entry(**fields: Any) -> Callable[[dict[str, Any], list[bytes]], Any]:
    """Puts something in the place of the workspace's first file."""
    done: list[bool] = []

    def change(old: dict[str, Any], pieces: list[bytes]) -> Any:
        if old["kind"] != "file" or done:
            return None
        done.append(True)
        return {**old, **fields}, pieces

    return change


def _table(name: str, mangle: Callable[[bytes], bytes] = lambda data: data, **fields: Any) -> Any:
    def change(old: dict[str, Any], pieces: list[bytes]) -> Any:
        if old.get("table") != name:
            return None
        return {**old, **fields}, [mangle(b"".join(pieces))]

    return change


HOSTILE: list[Change] = [
    _entry(path="../outside"),
    _entry(path="/tmp/outside"),
    _entry(path="a/../../outside"),
    _entry(path="a//b"),
    _entry(path=""),
    _entry(path="a\0b"),
    _entry(path=7),
    _entry(path="b"),  # twice the same
    _entry(path="b/c"),  # a file in a file
    _entry(kind="link", path="l", target="/etc/passwd"),
    _entry(kind="link", path="l", target="../x"),
    _entry(kind="link", path="l", target="d/../../x"),
    _entry(kind="link", path="d/e", target=".."),  # `d/e` is a folder too
    _entry(kind="device", path="x"),
    _table("threads", columns=["graph", "no such column"]),
    _table("threads", columns=["thread_id"]),
    _table("threads", table="pg_authid", columns=["rolname"]),
    _table("threads", table="migrations", columns=["version"]),
    _table("threads", columns=['graph) SELECT 1; DROP TABLE threads; --"']),
    _table("threads", lambda data: b""),
    _table("threads", lambda data: data * 2),
    _table("checkpoints", lambda data: data.replace(b"{", b"[", 1)),
    _table("checkpoint_writes", lambda data: data.replace(b"msgpack", b"json", 1)),
    _table("checkpoint_writes", lambda data: data.replace(b"msgpack", b"pickle", 1)),
    _table("file_changes", lambda data: data.replace(b"log", b"../log")),
    _table("answers", table="file_contents", columns=["digest", "content"], mangle=lambda _: b"ab\t\\\\x00\n"),
]


async def test_a_hostile_file_is_refused_whole(saver: ThreadSaver, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    await half_done(saver, "source", folder)
    (folder / "d" / "e").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "b").write_text("b")
    async with saver.connection() as connection:
        await connection.execute("INSERT INTO file_changes (thread_id, path, made_at) VALUES ('source', 'log', now())")
    file = tmp_path / "t.thread"
    await export_thread(saver, await find_thread(saver, "source"), file)
    whole, before = file.read_bytes(), await contents(saver)
    for number, change in enumerate(HOSTILE):
        file.write_bytes(whole)
        await _rewritten(file, change)
        here = tree(tmp_path)
        with pytest.raises(ArchiveError):
            pytest.fail(f"archive {number} was taken: {await import_thread(saver, file, new_id='copy')}")
        assert await contents(saver) == before, number
        assert tree(tmp_path) == here, number
    assert not Path("/tmp/outside").exists()
    file.write_bytes(whole)
    await _rewritten(file, lambda fields, pieces: None)
    assert (await import_thread(saver, file, new_id="copy")).files == 2, "what only was written anew is taken"


async def test_records_cut_short_inside_a_right_digest_are_refused(saver: ThreadSaver, tmp_path: Path) -> None:
    await half_done(saver, "source")
    file = tmp_path / "t.thread"
    head = b"openmanus-graph thread archive 1\n"
    about = json.dumps({"kind": "thread", "thread": "x", "workspace": None, "schema": [1, 1]}).encode()
    for inside in (b"", b"{}", b"[]\n", about + b"\n", about + b"\n" + bytes(4), about + b"\n" + b"\xff" * 4):
        file.write_bytes(_signed(head + gzip.compress(inside)))
        with pytest.raises(ArchiveError):
            await import_thread(saver, file)
    file.write_bytes(_signed(head + b"no gzip"))
    with pytest.raises(ArchiveError):
        await import_thread(saver, file)


async def test_what_is_there_is_never_overwritten(saver: ThreadSaver, tmp_path: Path) -> None:
    await half_done(saver)
    found = await find_thread(saver, "t")
    file = tmp_path / "t.thread"
    await export_thread(saver, found, file)
    with pytest.raises(UsageError, match="already a file"):
        await export_thread(saver, found, file)
    with pytest.raises(UsageError, match="already a thread"):
        await import_thread(saver, file, workspace=tmp_path / "new")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UsageError, match="not empty"):
        await import_thread(saver, file, new_id="n", workspace=tmp_path / "full")
    with pytest.raises(UsageError, match="cannot have the id"):
        await import_thread(saver, file, new_id="a\nb")


async def test_sizes_count_rows_and_files(saver: ThreadSaver, tmp_path: Path) -> None:
    await half_done(saver, "small")
    await half_done(saver, "large")
    (tmp_path / "openmanus-work" / "large" / "big").write_bytes(os.urandom(100_000))
    large, small = await thread_sizes(saver)
    assert (large.thread_id, small.thread_id) == ("large", "small")
    assert large.files >= 100_000
    assert large.status == "waiting"
    assert min(small.points, small.checkpoints, small.writes, small.events) > 0
    await prune_thread(saver, "small")
    (pruned,) = await thread_sizes(saver, ["small"])
    assert pruned.points < small.points
    assert pruned.checkpoints < small.checkpoints
