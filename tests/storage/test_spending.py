"""Spending: every call is counted once and for all, over all processes of a request, and budgets hold."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from openmanus_graph import ThreadSaver, delete_thread, get_thread
from openmanus_graph.budget import Spending
from openmanus_graph.call_site import CallSite
from openmanus_graph.checkpoints.usage import spent_in
from openmanus_graph.config.sections import BudgetSettings, OwnerBudget
from openmanus_graph.display_text import usage_line
from openmanus_graph.errors import BudgetError, DatabaseError
from openmanus_graph.events import Usage
from openmanus_graph.usage import NO_USAGE, add_usage
from tests.database_locks import until_waiting
from tests.storage.conftest import NewThread

PLACE = CallSite("executor", "s1", 1)


def usage(tokens: int = 100, output: int = 10, cost: float | None = 0.25, hits: int = 0) -> Usage:
    return Usage(calls=1, input_tokens=tokens, output_tokens=output, cached_tokens=40, cost_usd=cost, cache_hits=hits)


async def spent(saver: ThreadSaver | None, *usages: Usage, **limits: Any) -> Spending:
    spending = Spending("t", BudgetSettings(**limits), saver)
    await spending.load()
    for used in usages:
        await spending.add(PLACE, "openai/some-model", used, 0.5)
    return spending


WRITER = """
import asyncio, os, sys
from openmanus_graph import open_checkpointer
from openmanus_graph.config.sections import BudgetSettings
from openmanus_graph.call_site import CallSite
from openmanus_graph.budget import Spending
from openmanus_graph.events import Usage

async def main():
    async with open_checkpointer(sys.argv[1]) as saver:
        spending = Spending("t", BudgetSettings(), saver)
        await spending.load()
        usage = Usage(calls=1, input_tokens=7, output_tokens=3, cached_tokens=0, cost_usd=0.5, cache_hits=0)
        await spending.add(CallSite("planner"), "m", usage, 0.1)
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.mark.postgres
async def test_what_a_killed_process_spent_counts(database: str, saver: ThreadSaver, new_thread: NewThread) -> None:
    await new_thread("t")
    killed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", WRITER, database], check=False, timeout=60)
    assert killed.returncode == -9

    spending = await spent(saver, usage())

    assert spending.total == Usage(
        calls=2, input_tokens=107, output_tokens=13, cached_tokens=40, cost_usd=0.75, cache_hits=0
    )


SENDER = WRITER.replace(
    "await spending.add(", "await spending.send(CallSite('executor', 's1'), 'm')\n        await spending.add("
)


@pytest.mark.postgres
async def test_a_call_in_flight_at_a_kill_was_paid_for(
    database: str, saver: ThreadSaver, new_thread: NewThread
) -> None:
    await new_thread("t")
    killed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", SENDER, database], check=False, timeout=60)
    assert killed.returncode == -9
    spending = await spent(saver, model_calls=2)
    assert (spending.total["calls"], spending.total.get("in_flight"), spending.total["cost_usd"]) == (2, 1, 0.5)
    assert spending.reached() == "model_calls"
    thread = await get_thread(saver, "t")
    assert thread is not None
    found = {(call.role, call.usage["calls"], call.usage.get("in_flight")) for call in await spent_in(saver, thread)}
    assert found == {("executor", 1, 1), ("planner", 1, None)}
    total = add_usage(*(call.usage for call in await spent_in(saver, thread)))
    assert usage_line(total).startswith(
        "2 model calls (1 of them in flight when its process ended, not counted in tokens), 10 tokens"
    )


@pytest.mark.postgres
async def test_a_call_is_in_flight_until_its_reply_is_there(saver: ThreadSaver, new_thread: NewThread) -> None:
    await new_thread("t")
    spending = await spent(saver)
    first, refused = await spending.send(PLACE, "m"), await spending.send(PLACE, "m")
    assert (spending.used["calls"], spending.used.get("in_flight")) == (2, 2)
    await spending.add(PLACE, "m", usage(), 0.5, first)
    await spending.forget(refused)
    assert spending.used == spending.total == usage()
    assert (await spent(saver)).total == usage()


@pytest.mark.postgres
async def test_a_call_whose_caller_is_cancelled_before_it_is_sent_is_not_paid_for(
    saver: ThreadSaver, new_thread: NewThread
) -> None:
    await new_thread("t")
    spending = await spent(saver)
    async with saver.pool.connection() as connection, connection.transaction():
        await connection.execute("LOCK TABLE model_calls IN EXCLUSIVE MODE")
        sending = asyncio.create_task(spending.send(PLACE, "m"))
        await until_waiting(saver)
        sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert spending.used == NO_USAGE
    assert (await spent(saver)).total == NO_USAGE


@pytest.mark.postgres
async def test_in_process_and_stored_totals_agree(saver: ThreadSaver, new_thread: NewThread) -> None:
    await new_thread("t")
    first = await spent(saver, usage(), usage(cost=0.0, hits=1), usage(tokens=5))

    again = await spent(saver)

    assert again.total == first.total
    assert again.total["cache_hits"] == 1
    assert again.known_usd == first.known_usd == 0.5


@pytest.mark.postgres
async def test_one_unknown_price_makes_the_cost_unknown_and_the_known_part_still_counts(
    saver: ThreadSaver, new_thread: NewThread
) -> None:
    await new_thread("t")
    first = await spent(saver, usage(cost=0.25), usage(cost=None), usage(cost=0.25), usd=0.6)
    again = await spent(saver, usd=0.5)

    assert first.total["cost_usd"] is None
    assert again.total["cost_usd"] is None
    assert first.reached() is None
    assert again.reached() == "usd"


@pytest.mark.postgres
async def test_a_new_request_of_a_thread_begins_with_nothing(saver: ThreadSaver, new_thread: NewThread) -> None:
    await new_thread("t")
    await spent(saver, usage())
    async with saver.connection() as connection:
        await connection.execute("UPDATE threads SET request_started_at = clock_timestamp() WHERE thread_id = 't'")

    assert (await spent(saver)).total == NO_USAGE


@pytest.mark.postgres
async def test_time_that_earlier_processes_ran_counts(saver: ThreadSaver, new_thread: NewThread) -> None:
    await new_thread("t")
    async with saver.connection() as connection:
        await connection.execute("UPDATE threads SET active_s = 100 WHERE thread_id = 't'")

    spending = await spent(saver, wall_s=100)

    assert 100 <= spending.active_s < 110
    assert spending.reached() == "wall_s"


@pytest.mark.postgres
async def test_threads_pay_for_themselves(saver: ThreadSaver, new_thread: NewThread) -> None:
    await new_thread("t")
    await new_thread("other")
    await spent(saver, usage())
    other = Spending("other", BudgetSettings(), saver)
    await other.load()

    assert other.total == NO_USAGE


@pytest.mark.postgres
async def test_parallel_calls_are_all_counted(saver: ThreadSaver, new_thread: NewThread) -> None:
    await new_thread("t")
    spending = await spent(saver)
    await asyncio.gather(*(spending.add(PLACE, "m", usage(), 0.1) for _ in range(25)))

    assert spending.total["calls"] == 25
    assert (await spent(saver)).total == spending.total


@pytest.mark.postgres
async def test_calls_go_with_their_thread(saver: ThreadSaver, new_thread: NewThread) -> None:
    await new_thread("t")
    await spent(saver, usage())
    thread = await get_thread(saver, "t")
    assert thread is not None

    await delete_thread(saver, thread)

    async with saver.connection() as connection:
        assert await (await connection.execute("SELECT FROM model_calls")).fetchall() == []


@pytest.mark.postgres
async def test_a_call_that_cannot_be_counted_is_no_silent_gift(saver: ThreadSaver, new_thread: NewThread) -> None:
    await new_thread("t")
    spending = await spent(saver)
    await saver.pool.close()

    with pytest.raises(DatabaseError):
        await spending.add(PLACE, "m", usage(), 0.1)


BUDGETS: dict[str, tuple[float, str]] = {
    "tokens": (220, "The budget of 220 tokens is used up."),
    "usd": (0.5, "The budget of $0.5 is used up."),
    "model_calls": (2, "The budget of 2 model calls is used up."),
}


@pytest.mark.parametrize("name", BUDGETS)
async def test_a_budget_ends_with_the_call_that_uses_it_up(name: str) -> None:
    limit, sentence = BUDGETS[name]
    spending = await spent(None, usage(), **{name: limit})
    spending.check()
    await spending.add(PLACE, "m", usage(), 0.1)

    with pytest.raises(BudgetError) as raised:
        spending.check()

    assert raised.value.budget == name
    assert raised.value.message == sentence
    assert raised.value.exit_code == 4


async def test_a_budget_of_time_ends_without_any_call() -> None:
    spending = await spent(None, wall_s=0.05)
    spending.check()
    assert spending.seconds_left is not None
    await asyncio.sleep(0.06)

    with pytest.raises(BudgetError, match=r"The budget of 0\.05 s is used up\."):
        spending.check()
    assert spending.seconds_left < 0


async def test_without_a_budget_nothing_is_ever_used_up() -> None:
    spending = await spent(None, usage(tokens=10**9, cost=10**6))

    assert spending.reached() is None
    assert spending.seconds_left is None


def test_together_is_unknown_where_a_part_is() -> None:
    assert add_usage(usage(), None) == usage()
    assert add_usage(usage(cost=None), usage())["cost_usd"] is None
    assert add_usage() == NO_USAGE


@pytest.mark.postgres
async def test_an_owner_has_a_budget_for_all_threads(saver: ThreadSaver, new_thread: NewThread) -> None:
    for name, owner in (("t", "ann"), ("other", "ann"), ("foreign", "ben")):
        await new_thread(name)
        async with saver.connection() as connection:
            await connection.execute("UPDATE threads SET owner = %s WHERE thread_id = %s", (owner, name))
    for name in ("other", "foreign"):
        await Spending(name, BudgetSettings(), saver).add(PLACE, "m", usage(tokens=500, output=100), 0.5)
    limited = BudgetSettings(owner=OwnerBudget(tokens=700, days=7))
    spending = Spending("t", limited, saver)
    await spending.load()
    assert spending.reached() is None
    await spending.add(PLACE, "m", usage(tokens=90, output=9), 0.5)
    spending.check()
    await spending.add(PLACE, "m", usage(tokens=1, output=0), 0.5)
    with pytest.raises(BudgetError, match=r"700 tokens in 7 days that 'ann' has for all requests is used up"):
        spending.check()
    again = Spending("t", limited, saver)
    await again.load()
    assert again.reached() == "owner.tokens"
    async with saver.connection() as connection:
        await connection.execute("UPDATE model_calls SET created_at = created_at - interval '8 days'")
    later = Spending("t", limited, saver)
    await later.load()
    assert later.reached() is None


@pytest.mark.postgres
async def test_what_others_use_of_an_owners_budget_is_noticed(
    saver: ThreadSaver, new_thread: NewThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    await new_thread("t")
    await new_thread("other")
    monkeypatch.setattr("openmanus_graph.budget.OWNER_SECONDS", -1.0)
    spending = Spending("t", BudgetSettings(owner=OwnerBudget(usd=1.0)), saver)
    await spending.load()
    await Spending("other", BudgetSettings(), saver).add(PLACE, "m", usage(cost=0.8), 0.5)
    assert spending.reached() is None
    await spending.add(PLACE, "m", usage(cost=0.25), 0.5)
    assert spending.reached() == "owner.usd"
