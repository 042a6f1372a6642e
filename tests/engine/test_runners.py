"""One runner per thread, drains and pauses, rounds, and edited plans."""

from __future__ import annotations

import asyncio
import os
import socket
from operator import add
from pathlib import Path
from typing import Annotated, Any, TypedDict

import psycopg
import pytest
from langgraph.errors import GraphDrained
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from psycopg.types.json import Jsonb

from openmanus_graph import (
    Gate,
    PlanError,
    ThreadBusyError,
    ThreadSaver,
    build_plan_graph,
    delete_thread,
    find_thread,
    get_thread,
    list_threads,
    open_checkpointer,
    run,
)
from openmanus_graph.checkpoints.lease import Lease
from openmanus_graph.checkpoints.progress import subtask_progress
from openmanus_graph.errors import (
    DatabaseUnreachableError,
    GraphNotImportableError,
    MigrationNeededError,
    StaleRunnerError,
    UnknownThreadError,
)
from openmanus_graph.tools.rebuild import rebuild_tools

from .plans import plan, subtask, thread
from .sample_tools import TOOLS

pytestmark = pytest.mark.postgres


class Seen(TypedDict):
    """State of a small graph that is not ours."""

    seen: Annotated[list[int], add]


def seeing(index: int) -> Any:
    """A node that adds its number."""

    async def node(state: Seen) -> dict[str, Any]:
        return {"seen": [index]}

    return node


async def until(condition: Any, seconds: float = 60.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come true in time"
        await asyncio.sleep(0.05)


async def until_started(logfile: Path, name: str) -> None:
    async def started() -> bool:
        return f"start {name}" in lines(logfile)

    await until(started)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def assert_linear(saver: ThreadSaver) -> None:
    """No two checkpoints of one namespace have the same parent: nobody forked the history."""
    async with saver.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT checkpoint_ns, parent_checkpoint_id, count(*) AS n FROM checkpoints"
                " WHERE parent_checkpoint_id IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1"
            )
        ).fetchall()
    assert rows == []


async def test_a_second_runner_is_told_who_holds_the_thread(saver: ThreadSaver, database: str) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    gate = Gate()
    given = {"plan": plan(subtask("a"))}
    first = asyncio.create_task(app.ainvoke(given, thread(), control=gate))
    gate.pause()

    async def holds() -> bool:
        return (row := await get_thread(saver, "t")) is not None and row.status == "running"

    await until(holds)
    with pytest.raises(ThreadBusyError, match=r"process \d+ on .* since"):
        await app.ainvoke(given, thread())
    async with open_checkpointer(database) as other:
        with pytest.raises(ThreadBusyError):
            await build_plan_graph(TOOLS).compile(checkpointer=other).ainvoke(given, thread())
        with pytest.raises(ThreadBusyError):
            await build_plan_graph(TOOLS).compile(checkpointer=other).aupdate_state(thread(), {"round": 7})
    gate.unpause()
    assert (await first)["results"]["a"]["status"] == "completed"
    await assert_linear(saver)


async def test_a_lock_whose_holder_was_killed_is_waited_for_until_the_server_notices(
    saver: ThreadSaver, database: str
) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("a"))}, thread())
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    runner = Jsonb({"host": socket.gethostname(), "pid": gone.pid, "program": "true"})
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as holder:
        await holder.execute("SET search_path TO openmanus_graph")
        await holder.execute("UPDATE threads SET runner = %s", (runner,))
        await holder.execute("SELECT pg_advisory_lock(runner_key('t'))")
        taking = asyncio.create_task(app.ainvoke({"plan": plan(subtask("b"))}, thread()))

        async def refused_once() -> bool:
            rows = await holder.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'openmanus-graph t' AND state = 'idle'"
                " AND query LIKE 'SELECT runner,%'"
            )
            return taking.done() or await rows.fetchone() is not None

        await until(refused_once)
        assert not taking.done()
        await holder.execute("SELECT pg_advisory_unlock(runner_key('t'))")
        await taking


async def test_a_stale_runner_is_stopped_and_history_stays_linear(
    saver: ThreadSaver, database: str, tmp_path: Path
) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    logfile = tmp_path / "log"
    given = plan(
        subtask("a", "work", args={"name": "a", "seconds": 1.5, "logfile": str(logfile)}),
        subtask("b", "work", ["a"], args={"name": "b", "seconds": 0.1, "logfile": str(logfile)}),
    )
    stale = asyncio.create_task(app.ainvoke({"plan": given}, thread()))

    async def started() -> bool:
        return "start a" in lines(logfile)

    await until(started)
    async with open_checkpointer(database) as other:
        # Kill the connection that holds the lock, again and again until the thread can be taken: its owner
        # would otherwise take the lock back on a new connection.
        second = build_plan_graph(TOOLS).compile(checkpointer=other)
        out = None
        with psycopg.connect(database, autocommit=True) as admin:
            for _ in range(200):
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                    " AND pid <> pg_backend_pid()"
                )
                try:
                    out = await second.ainvoke(None, thread())
                    break
                except ThreadBusyError:
                    continue
        with pytest.raises(StaleRunnerError, match="Another runner"):
            await stale
        assert out is not None
        assert out["results"]["b"]["status"] == "completed"
        await assert_linear(other)
    assert lines(logfile).count("start b") == 1
    assert (await get_thread(saver, "t")).status == "completed"  # type: ignore[union-attr]


async def test_a_lost_lock_that_nobody_took_is_taken_back(saver: ThreadSaver, database: str, tmp_path: Path) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    arguments = {"name": "a", "seconds": 2.5, "logfile": str(tmp_path / "log")}
    given = plan(subtask("a", "work", args=arguments), subtask("b", needs=["a"]))
    running = asyncio.create_task(app.ainvoke({"plan": given}, thread()))
    await until_started(tmp_path / "log", "a")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    out = await asyncio.wait_for(running, 20)
    assert out["results"]["b"]["status"] == "completed"
    assert (await get_thread(saver, "t")).status == "completed"  # type: ignore[union-attr]


async def test_a_drain_lets_running_steps_end_and_starts_nothing(saver: ThreadSaver, tmp_path: Path) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    logfile = tmp_path / "log"
    arguments = {"seconds": 0.8, "logfile": str(logfile)}
    given = plan(
        subtask("a", "work", args={"name": "a", **arguments}),
        subtask("b", "work", ["a"], args={"name": "b", **arguments}),
        subtask("queued", "work", args={"name": "queued", **arguments}),
    )
    gate = Gate()
    running = asyncio.create_task(app.ainvoke({"plan": given}, thread(max_parallel=1), control=gate))
    await until_started(logfile, "a")
    gate.request_drain("enough")
    with pytest.raises(GraphDrained, match="enough"):
        await running
    assert lines(logfile) == ["start a", "end a"]
    row = await get_thread(saver, "t")
    assert row is not None
    assert row.status == "paused"
    out = await app.ainvoke(None, thread())
    assert {result["status"] for result in out["results"].values()} == {"completed"}
    assert lines(logfile).count("start a") == 1


async def test_a_cancelled_run_leaves_nothing_running(saver: ThreadSaver, tmp_path: Path) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    logfile = tmp_path / "log"
    arguments = {"seconds": 3_600, "logfile": str(logfile)}
    given = plan(*(subtask(name, "work", args={"name": name, **arguments}) for name in "abcdef"))
    before = asyncio.all_tasks()
    running = asyncio.create_task(app.ainvoke({"plan": given}, thread(max_parallel=2)))
    await until_started(logfile, "a")
    await until_started(logfile, "b")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    left = {task.get_coro().__qualname__ for task in asyncio.all_tasks() - before}  # type: ignore[union-attr]
    assert not {name for name in left if not name.startswith("AsyncConnectionPool")}
    assert lines(logfile) == ["start a", "start b"]


async def test_a_pause_holds_every_branch_at_its_next_node(saver: ThreadSaver, tmp_path: Path) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    gate = Gate()
    arguments = {"name": "a", "seconds": 2.0, "logfile": str(tmp_path / "log")}
    given = plan(subtask("a", "work", args=arguments), subtask("b", needs=["a"]))
    running = asyncio.create_task(app.ainvoke({"plan": given}, thread(), control=gate))
    await until_started(tmp_path / "log", "a")
    gate.pause()

    async def ended() -> bool:
        return (await subtask_progress(saver, "t", live=True))[0].status == "completed"

    await until(ended)
    await asyncio.sleep(0.3)  # in which b would have run
    assert not running.done()
    found = {str(item.subtask.id): item.status for item in await subtask_progress(saver, "t", live=True)}
    assert found["a"] == "completed"
    assert found["b"] in ("pending", "running")
    gate.unpause()
    assert (await asyncio.wait_for(running, 10))["results"]["b"]["status"] == "completed"


async def test_a_failed_thread_runs_again_only_what_is_not_completed(saver: ThreadSaver, tmp_path: Path) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    logfile = tmp_path / "log"
    good = subtask("good", "work", args={"name": "good", "seconds": 0, "logfile": str(logfile)})
    given = plan(good, subtask("bad", "fail"), subtask("after", needs=["good", "bad"]))
    await app.ainvoke({"plan": given}, thread())
    assert (await get_thread(saver, "t")).status == "failed"  # type: ignore[union-attr]
    mended = plan(good, subtask("bad", "nap"), subtask("after", needs=["good", "bad"]))
    out = await app.ainvoke({"plan": mended}, thread())
    assert {result["status"] for result in out["results"].values()} == {"completed"}
    assert lines(logfile).count("start good") == 1


async def test_a_plan_edited_in_the_middle_keeps_what_is_committed(saver: ThreadSaver, tmp_path: Path) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    logfile = tmp_path / "log"

    def step(name: str, needs: list[str], seconds: float = 0.0) -> dict[str, Any]:
        return subtask(name, "work", needs, args={"name": name, "seconds": seconds, "logfile": str(logfile)})

    asks = subtask("q", "ask_human", args={"inquire": "?"})
    await app.ainvoke({"plan": plan(step("a", []), asks, step("b", ["a"]), step("c", ["q"]))}, thread())
    # New subtasks in front move every call index; one gets another definition.
    edited = plan(step("new", []), step("a", []), asks, step("b", ["a"], 0.01), step("c", ["q"]))
    await app.ainvoke(Command(update={"plan": edited}), thread())
    assert lines(logfile).count("start a") == 1
    assert lines(logfile).count("start b") == 2
    assert lines(logfile).count("start new") == 1
    (question,) = await app.questions("t")
    out = await app.ainvoke(Command(resume={question["id"]: {"kind": "answer", "value": "x"}}), thread())
    assert {result["status"] for result in out["results"].values()} == {"completed"}
    assert lines(logfile).count("start a") == 1
    with pytest.raises(PlanError):
        await app.ainvoke(Command(update={"plan": {"subtasks": [{"id": "?"}]}}), thread())


async def test_a_plan_without_its_failed_subtask_completes_the_thread(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("bad", "fail"), subtask("good"))}, thread())
    await app.ainvoke({"plan": plan(subtask("good"))}, thread())
    row = await find_thread(saver, "t")
    assert row.status == "completed"


async def test_a_second_round_from_elsewhere_keeps_the_workspace(
    saver: ThreadSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    big = subtask("big", "echo", args={"value": {"text": "x" * 50_000, "n": 3}})
    await app.ainvoke({"plan": plan(big)}, thread())
    workspace = (await find_thread(saver, "t")).workspace
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    out = await app.ainvoke({"plan": plan(big, subtask("b", "echo", args={"value": "${big.n}"}))}, thread())
    assert out["results"]["b"]["output"] == 3
    assert (await find_thread(saver, "t")).workspace == workspace


@pytest.mark.parametrize("name", ["..", "/tmp/evil", "a/../../b", ".hidden"])
async def test_no_thread_id_leads_out_of_the_folder_of_workspaces(saver: ThreadSaver, name: str) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("a"))}, thread(name))
    workspace = Path(str((await find_thread(saver, name)).workspace))
    assert workspace.resolve().parent == Path.cwd().resolve() / "openmanus-work"


async def test_the_thread_is_free_again_when_the_end_of_a_run_cannot_be_recorded(
    saver: ThreadSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)

    async def unreachable(*_: Any) -> Any:
        raise DatabaseUnreachableError("gone for a moment")

    with monkeypatch.context() as patch:
        patch.setattr(type(app), "snapshot", unreachable)
        with pytest.raises(DatabaseUnreachableError):
            await app.ainvoke({"plan": plan(subtask("a"))}, thread())
    out = await app.ainvoke(None, thread())
    assert out["results"]["a"]["status"] == "completed"


async def test_a_lock_held_by_its_own_dead_connection_is_won_back(database: str) -> None:
    lease = await Lease.acquire(database, "t", {"graph": {}})
    await lease.watch(None, lambda: None)
    await asyncio.sleep(0.3)
    # Break our side only: the server goes on to believe in the connection, and in its lock.
    left, right = socket.socketpair()
    descriptor = lease._connection.fileno()  # pyright: ignore[reportPrivateUsage] - the fault needs the socket
    kept = os.dup(descriptor)
    os.dup2(left.fileno(), descriptor)
    left.close()
    right.close()
    await asyncio.sleep(4)
    assert lease.lost is None
    with pytest.raises(ThreadBusyError):
        await Lease.acquire(database, "t", {"graph": {}})
    await lease.release(status="completed")
    os.close(kept)
    await (await Lease.acquire(database, "t", {"graph": {}})).release(status="completed")


async def test_a_graph_of_langgraphs_own_runs_on_the_saver_too(saver: ThreadSaver) -> None:
    graph = StateGraph(Seen)
    for index in range(20):
        graph.add_node(str(index), seeing(index))
        graph.add_edge(START, str(index))
        graph.add_edge(str(index), END)
    app = graph.compile(checkpointer=saver)
    out = await app.ainvoke({"seen": []}, thread())
    assert sorted(out["seen"]) == list(range(20))
    assert (await app.aget_state(thread())).values == out


async def test_threads_are_found_by_id_beginning_or_last(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    for name in ("report-1", "report-2", "other"):
        await app.ainvoke({"plan": plan(subtask("a"))}, thread(name))
    assert (await find_thread(saver, "oth")).thread_id == "other"
    assert (await find_thread(saver, None)).thread_id == "other"
    with pytest.raises(UnknownThreadError, match="2 threads begin with 'report'"):
        await find_thread(saver, "report")
    with pytest.raises(UnknownThreadError, match="report-1"):
        await find_thread(saver, "repart-1")
    assert [row.thread_id for row in await list_threads(saver)] == ["other", "report-2", "report-1"]
    row = await find_thread(saver, "other")
    assert row.progress == {"done": 1, "total": 1}
    assert row.workspace == str(Path.cwd() / "openmanus-work" / "other")
    await delete_thread(saver, row, files=True)
    assert await get_thread(saver, "other") is None
    assert not Path(str(row.workspace)).exists()


async def test_a_tool_that_cannot_be_imported_is_named_with_the_lines_that_resume(saver: ThreadSaver) -> None:
    from langchain_core.tools import tool

    @tool
    async def local() -> str:
        """Live in a function only."""
        return "x"

    app = build_plan_graph([local, *TOOLS]).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("a", "local"))}, thread())
    row = await find_thread(saver, "t")
    with pytest.raises(GraphNotImportableError, match=r"(?s)'local'.*ainvoke\(None"):
        rebuild_tools(row.graph["tools"], "t")
    again = rebuild_tools([item for item in row.graph["tools"] if item["name"] != "local"], "t")
    assert [made.name for made in again] == [made.name for made in TOOLS]


async def test_nothing_is_created_in_a_foreign_database_unasked(server: str) -> None:
    from psycopg import conninfo

    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("CREATE DATABASE foreign_one")
        url = conninfo.make_conninfo(server, dbname="foreign_one")
        with pytest.raises(MigrationNeededError, match="unasked"):
            await open_checkpointer(url)
        with psycopg.connect(url) as look:
            row = look.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'openmanus_graph'").fetchone()
        assert row == (0,)
        async with open_checkpointer(url, migrate_tables=True):
            pass
        with psycopg.connect(url, autocommit=True) as look:
            look.execute("UPDATE openmanus_graph.migrations SET version = version + 100")
        with pytest.raises(MigrationNeededError, match="newer"):
            await open_checkpointer(url)
        admin.execute("DROP DATABASE foreign_one WITH (FORCE)")


async def test_a_saver_can_be_awaited_and_closed(database: str) -> None:
    saver = await open_checkpointer(database)
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("a"))}, thread())
    await saver.aclose()


def test_a_script_runs_a_graph_without_a_loop(database: str) -> None:
    out = run(build_plan_graph(TOOLS), {"plan": plan(subtask("a"))}, thread_id="t", url=database)
    assert out["results"]["a"]["status"] == "completed"
