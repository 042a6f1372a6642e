"""Pruning: what is kept is as it was, and goes on as it would have."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Overwrite, interrupt

from openmanus_graph import ThreadSaver, build_plan_graph, make_durable
from openmanus_graph.checkpoints.forking.fork import fork_thread
from openmanus_graph.checkpoints.history.history import thread_history
from openmanus_graph.checkpoints.lease import Lease
from openmanus_graph.checkpoints.pruning.delta_channels import STUB
from openmanus_graph.checkpoints.pruning.retention import prune_thread
from openmanus_graph.checkpoints.threads import get_thread
from openmanus_graph.errors import ThreadBusyError
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.essay import ESSAY, essay_graph
from tests.agent.replies import calls, done, ends, plans, thread, verdict, wants_plan
from tests.engine.plans import plan, subtask
from tests.engine.sample_tools import TOOLS

pytestmark = pytest.mark.postgres

Place = tuple[str, str]


async def everything(saver: ThreadSaver, thread_id: str = "t") -> dict[Place, dict[str, Any]]:
    """Every point of a thread: its rows as LangGraph loads them, and its growing lists rebuilt."""
    async with saver.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT checkpoint_ns, checkpoint_id FROM checkpoints WHERE thread_id = %s AND NOT metadata ? %s",
                (thread_id, STUB),
            )
        ).fetchall()
    found: dict[Place, dict[str, Any]] = {}
    for row in rows:
        place = (row["checkpoint_ns"], row["checkpoint_id"])
        config: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": place[0], "checkpoint_id": place[1]}}
        loaded = await saver.aget_tuple(config)
        assert loaded is not None
        history = await saver.aget_delta_channel_history(config=config, channels=["messages", "notes"])
        parent = loaded.parent_config.get("configurable", {})["checkpoint_id"] if loaded.parent_config else None
        found[place] = {
            "checkpoint": loaded.checkpoint,
            "metadata": loaded.metadata,
            "writes": loaded.pending_writes,
            "lists": {
                name: (entry.get("seed"), [value for _, _, value in entry["writes"]])
                for name, entry in history.items()
                if name in loaded.checkpoint["channel_versions"] and name not in loaded.checkpoint["channel_values"]
            },
            "parent": parent,
        }
    return found


def nearest(points: dict[Place, dict[str, Any]], place: Place, kept: set[Place]) -> str | None:
    """The nearest ancestor of a point that is kept."""
    parent = points[place]["parent"]
    while parent is not None and (place[0], parent) not in kept:
        parent = points.get((place[0], parent), {"parent": None})["parent"]
    return parent


async def parents_now(saver: ThreadSaver, thread_id: str, places: set[Place]) -> dict[Place, str | None]:
    """The parents of points, stubs skipped."""
    async with saver.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT c.checkpoint_ns, c.checkpoint_id, CASE WHEN p.metadata ? %(stub)s THEN"
                " p.parent_checkpoint_id ELSE c.parent_checkpoint_id END AS parent FROM checkpoints c"
                " LEFT JOIN checkpoints p ON p.thread_id = c.thread_id AND p.checkpoint_ns = c.checkpoint_ns"
                " AND p.checkpoint_id = c.parent_checkpoint_id WHERE c.thread_id = %(thread)s",
                {"stub": STUB, "thread": thread_id},
            )
        ).fetchall()
    found = {(row["checkpoint_ns"], row["checkpoint_id"]): row["parent"] for row in rows}
    return {place: found[place] for place in places}


async def assert_kept_is_as_before(
    saver: ThreadSaver, before: dict[Place, dict[str, Any]], thread_id: str = "t"
) -> dict[Place, dict[str, Any]]:
    after = await everything(saver, thread_id)
    assert after.keys() <= before.keys()
    for place, point in after.items():
        for part in ("checkpoint", "metadata", "writes", "lists"):
            assert point[part] == before[place][part], (place, part)
    kept = set(after)
    assert await parents_now(saver, thread_id, kept) == {place: nearest(before, place, kept) for place in kept}
    return after


async def states(app: Any, thread_id: str = "t") -> dict[str, Any]:
    """The states of the root's points as LangGraph shows them."""
    found: dict[str, Any] = {}
    async for state in app.aget_state_history({"configurable": {"thread_id": thread_id}}):
        found[state.config["configurable"]["checkpoint_id"]] = (
            state.values,
            state.next,
            [(task.name, task.interrupts, task.result) for task in state.tasks],
        )
    return found


async def rows_of(saver: ThreadSaver) -> list[int]:
    counts: list[int] = []
    async with saver.connection() as connection:
        for table in ("checkpoints", "checkpoint_writes", "checkpoint_blobs"):
            row = await (
                await connection.execute(f"SELECT count(*) AS n FROM {table} WHERE thread_id = 't'")
            ).fetchone()  # type: ignore[arg-type]
            counts.append(int(row["n"]) if row else 0)
    return counts


@pytest.mark.parametrize("keep_last", [1, 2, 4])
async def test_an_agent_with_a_question_open(
    build: Build, provider: ScriptedServer, saver: ThreadSaver, keep_last: int
) -> None:
    app = build(agents={"essayist": essay_graph(asks=True)}, settings={"sandbox": "none"})
    first = {"id": "a", "goal": "say", "tool": "bash", "args": {"command": "echo a"}}
    provider.add(wants_plan(), plans(first), Reply("It says a."))
    await app.ainvoke({"task": "say a"}, thread())
    looks = {"id": "w", "goal": "work", "agent": "executor", "done_when": "it is seen", "needs": ["b"]}
    said = [calls(ToolUse("bash", {"command": f"echo {number}"})) for number in range(3)]
    provider.add(wants_plan(), plans({**first, "id": "b"}, looks, {**ESSAY, "needs": ["w"]}))
    provider.add(*said, ends("done"), verdict(True))
    await app.ainvoke({"task": "write"}, thread())
    before, shown, at_first = await everything(saver), await states(app), await rows_of(saver)
    await saver.acopy_thread("t", "whole")

    looked = await prune_thread(saver, "t", keep_last=keep_last, dry_run=True)
    assert await rows_of(saver) == at_first
    done = await prune_thread(saver, "t", keep_last=keep_last)
    assert looked == done
    assert done.size > 0

    after = await assert_kept_is_as_before(saver, before)
    assert (len(after), len(before) - len(after)) == (done.kept, done.points)
    spaces = {space for space, _ in after}
    assert len([place for place in after if place[0] == ""]) == keep_last
    assert {space.split("|")[1].split(" ")[1] for space in spaces if "subtask" in space} >= {"b", "w"}
    if keep_last == 1:
        assert not [space for space in spaces if "subtask a " in space], "the first request's dispatch is over"
    assert await states(app) == {name: shown[name] for name in (await states(app))}
    assert (await prune_thread(saver, "t", keep_last=keep_last)).points == 0, "a second time there is nothing left"
    assert await everything(saver) == after

    answers: dict[str, Any] = {}
    for name in ("t", "whole"):
        (question,) = await app.questions(name)
        provider.add(Reply("Here."))
        asked = len(provider.requests)
        out = await app.ainvoke(Command(resume={question["id"]: "Rivers"}), thread(name))
        answers[name] = [
            {key: result["output"] for key, result in out["results"].items()},
            [message.content for message in out["messages"]],
            [one.messages for one in provider.requests[asked:]],
        ]
    assert answers["t"] == answers["whole"]


async def test_a_plan_with_a_question_open(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(
        subtask("a"),
        subtask("q", "ask_human", args={"inquire": "Which?"}, needs=["a"]),
        subtask("end", "echo", args={"value": "${q.answer}"}),
    )
    await app.ainvoke({"plan": given}, thread())
    before, shown = await everything(saver), await states(app)
    done = await prune_thread(saver, "t")
    assert done.points > 0
    await assert_kept_is_as_before(saver, before)
    now = await states(app)
    assert now == {name: shown[name] for name in now}
    (question,) = await app.questions("t")
    out = await app.ainvoke(Command(resume={question["id"]: {"kind": "answer", "value": "blue"}}), thread())
    assert out["results"]["end"]["output"] == "blue"
    assert (
        out["results"]["a"] == before[next(p for p in before if "subtask a" in p[0])]
        or out["results"]["a"]["attempts"] == 1
    )


async def test_an_edited_plan_keeps_what_was_done_before_the_edit(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    ask = subtask("q", "ask_human", args={"inquire": "Which?"})
    await app.ainvoke({"plan": plan(subtask("a"), ask)}, thread())
    (question,) = await app.questions("t")
    await app.ainvoke(Command(update={"plan": plan(subtask("a"), subtask("b", needs=["a"]), ask)}), thread())
    started = [place for place in await everything(saver) if "subtask a " in place[0]]
    await prune_thread(saver, "t")
    assert [place for place in await everything(saver) if "subtask a " in place[0]] == [max(started)]
    out = await app.ainvoke(Command(resume={question["id"]: {"kind": "answer", "value": "x"}}), thread())
    assert {key: result["status"] for key, result in out["results"].items()} == dict.fromkeys("abq", "completed")


def in_order(old: list[str] | None, new: Sequence[list[str]]) -> list[str]:
    return [*(old or []), *(note for write in new for note in write)]


class Notes(TypedDict):
    """A list that grows, and is set anew now and then; the order of its writes counts."""

    notes: Annotated[list[str], DeltaChannel(in_order, snapshot_frequency=4)]
    count: Annotated[int, operator.add]


def notes_graph(steps: int, quiet: Sequence[int] = (), *, asks: bool = True) -> Any:
    """Two nodes write at a time, but not at quiet steps, in a loop that stops for a word half-way."""

    async def left(state: Notes) -> dict[str, Any]:
        number = state["count"]
        if asks and number == steps // 2:
            interrupt("Go on?")
        if number % 5 in quiet:
            return {"count": 1}
        return {"notes": Overwrite(["new"]) if number % 7 == 5 else [f"l{number}"], "count": 1}

    async def right(state: Notes) -> dict[str, Any]:
        return {} if state["count"] % 7 == 5 or state["count"] % 5 in quiet else {"notes": [f"r{state['count']}", "r"]}

    async def more(state: Notes) -> Sequence[str]:
        return [END] if state["count"] >= steps else ["left", "right"]

    graph = StateGraph(Notes)
    graph.add_node("left", left)
    graph.add_node("right", right)
    graph.add_conditional_edges(START, more, ["left", "right", END])
    graph.add_conditional_edges("left", more, ["left", "right", END])
    return graph


@pytest.mark.parametrize("keeps", [[1], [3, 2, 1], [6, 6, 1]])
async def test_growing_lists_of_any_reducer(saver: ThreadSaver, keeps: list[int]) -> None:
    app = make_durable(notes_graph(18), saver)
    await app.ainvoke({"notes": ["start"], "count": 0}, thread("whole"))
    await saver.acopy_thread("whole", "t")
    for keep_last in keeps:
        before, shown = await everything(saver), await states(app)
        await prune_thread(saver, "t", keep_last=keep_last)
        now = await states(app)
        assert len(now) == min(keep_last, len(shown))
        assert now == {name: shown[name] for name in now}
        await assert_kept_is_as_before(saver, before)
    outs = [await app.ainvoke(Command(resume="yes"), thread(name)) for name in ("t", "whole")]
    assert outs[0] == outs[1]
    assert outs[0]["count"] == 18
    for keep_last in (5, 2):
        shown = await states(app)
        await prune_thread(saver, "t", keep_last=keep_last)
        now = await states(app)
        assert now == {name: shown[name] for name in now}
    whole = await states(app, "whole")
    assert all(whole[name] == state for name, state in now.items() if name in whole)


async def test_lists_that_some_steps_leave_as_they_are(saver: ThreadSaver) -> None:
    for steps in range(1, 16):
        app = make_durable(notes_graph(steps, quiet=[1, 3, 4], asks=False), saver)
        for name in ("t", "two"):
            await app.ainvoke({"notes": ["start"], "count": 0}, thread(f"{name}{steps}"))
        for name, keep_last in (("t", 1), ("two", 2), ("two", 1)):
            before, shown = await everything(saver, f"{name}{steps}"), await states(app, f"{name}{steps}")
            await prune_thread(saver, f"{name}{steps}", keep_last=keep_last)
            now = await states(app, f"{name}{steps}")
            assert now == {key: shown[key] for key in now}
            await assert_kept_is_as_before(saver, before, f"{name}{steps}")


async def test_forks_inside_a_thread_share_their_past(saver: ThreadSaver) -> None:
    app = make_durable(notes_graph(18), saver)
    await app.ainvoke({"notes": ["start"], "count": 0}, thread())
    history = [state async for state in app.aget_state_history(thread())]
    for point in (history[2], history[4], history[5]):
        await app.aupdate_state(point.config, {"notes": ["forked"], "count": 0}, as_node="left")
    before, shown = await everything(saver), await states(app)
    await prune_thread(saver, "t", keep_last=4)
    now = await states(app)
    assert len(now) == 4
    assert now == {name: shown[name] for name in now}
    await assert_kept_is_as_before(saver, before)


def in_run(run_id: str) -> Any:
    return {**thread(), "metadata": {"run_id": run_id}}


async def test_removed_runs_leave_the_lists_of_later_ones(saver: ThreadSaver) -> None:
    app = make_durable(notes_graph(6), saver)
    runs = ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"]
    await app.ainvoke({"notes": ["start"], "count": 0}, in_run(runs[0]))
    await app.ainvoke(Command(resume="yes"), in_run(runs[1]))
    shown = await states(app)
    await saver.adelete_for_runs([runs[0]])
    now = await states(app)
    assert 0 < len(now) < len(shown)
    assert now == {name: shown[name] for name in now}


async def test_a_running_thread_is_left_alone(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("a"))}, thread())
    row = await get_thread(saver, "t")
    assert row is not None
    lease = await Lease.acquire(saver.conninfo, "t", {"graph": row.graph})
    with pytest.raises(ThreadBusyError, match="is running"):
        await prune_thread(saver, "t")
    await lease.release(status="stopped")
    assert (await prune_thread(saver, "t")).points > 0


def folder_of(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and ".openmanus" not in file.parts
    }


async def test_forks_of_what_is_kept_are_the_same(
    build: Build, provider: ScriptedServer, saver: ThreadSaver, tmp_path: Path
) -> None:
    app = build()

    def write(name: str, text: str, needs: list[str] | None = None) -> dict[str, Any]:
        args = {"command": "create", "path": f"{name}.txt", "file_text": text}
        return {"id": name, "goal": name, "tool": "str_replace_editor", "args": args, "needs": needs or []}

    provider.add(wants_plan(), plans(write("one", "1")), Reply("One."))
    await app.ainvoke({"task": "one"}, thread())
    steps = [
        calls(ToolUse("bash", {"command": f"echo {number} >> log.txt; echo {number} > now.txt"})) for number in range(4)
    ]
    worker = {"id": "w", "goal": "work", "agent": "executor", "needs": ["two"]}
    asked = {"id": "q", "goal": "ask", "tool": "ask_human", "args": {"inquire": "Which?"}, "needs": ["w"]}
    provider.add(wants_plan(), plans(write("two", "2"), worker, asked))
    provider.add(*steps, *done("done"))
    await app.ainvoke({"task": "two"}, thread())
    await fork_thread(saver, "t", new_id="whole", workspace=tmp_path / "whole")
    await prune_thread(saver, "t", keep_last=2)
    assert len(await thread_history(saver, "t")) == len(await everything(saver)), "stubs are no points"
    places = [place for place in await everything(saver) if place[0] == "" or "subtask w " in place[0]]
    assert len(places) == 4
    compared = 0
    for number, (_, point) in enumerate(places):
        made = [
            await fork_thread(
                saver, f"{name}@{point}", new_id=f"{name}{number}", workspace=tmp_path / f"{name}{number}"
            )
            for name in ("t", "whole")
        ]
        assert [fork.missing for fork in made] == [[], []]
        assert folder_of(tmp_path / f"t{number}") == folder_of(tmp_path / f"whole{number}")
        assert folder_of(tmp_path / f"t{number}")["one.txt"] == b"1"
        compared += "log.txt" in folder_of(tmp_path / f"t{number}")
        ours, theirs = [await everything(saver, f"{name}{number}") for name in ("t", "whole")]
        assert ours.keys() <= theirs.keys()
        for place, found in ours.items():
            assert found["lists"] == theirs[place]["lists"]
            assert {**found["checkpoint"], "channel_values": None} == {
                **theirs[place]["checkpoint"],
                "channel_values": None,
            }
    assert compared >= 2, "in the subtask there are files of steps that were pruned"
    async with saver.connection() as connection:
        row = await (
            await connection.execute("SELECT count(*) AS n FROM file_changes WHERE thread_id = 't'")
        ).fetchone()
        all_of_them = await (
            await connection.execute("SELECT count(*) AS n FROM file_changes WHERE thread_id = 'whole'")
        ).fetchone()
    assert row is not None
    assert all_of_them is not None
    assert 0 < row["n"] < all_of_them["n"]


async def test_a_fork_after_an_edited_plan_makes_no_call_again(saver: ThreadSaver, tmp_path: Path) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    done = subtask("a", "work", args={"name": "a", "seconds": 0.0, "logfile": str(tmp_path / "log")})
    ask = subtask("q", "ask_human", args={"inquire": "Which?"})
    await app.ainvoke({"plan": plan(done, ask)}, thread())
    await app.ainvoke(Command(update={"plan": plan(done, subtask("b", needs=["a"]), ask)}), thread())
    await prune_thread(saver, "t")
    fork = await fork_thread(saver, "t", workspace=tmp_path / "fork")
    (question,) = await app.questions(fork.thread.thread_id)
    out = await app.ainvoke(
        Command(resume={question["id"]: {"kind": "answer", "value": "x"}}), thread(fork.thread.thread_id)
    )
    assert {key: result["status"] for key, result in out["results"].items()} == dict.fromkeys("abq", "completed")
    assert (tmp_path / "log").read_text() == "start a\nend a\n"
