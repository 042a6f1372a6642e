"""Episodes: what was done before is found again by the words of a new task, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openmanus_graph import ThreadSaver, delete_thread, get_thread
from openmanus_graph.checkpoints.ratings import rate_request
from openmanus_graph.memory.episodic import LocalEpisodes, PostgresEpisodes
from openmanus_graph.memory.protocols import Episode, EpisodicMemory

WHALES = "Write a report about whales and their songs"
LAPTOPS = "Compare the prices of laptops in Germany"
TAXES = "Sum up the invoices of 2025 for the tax office"


def episode(thread_id: str, task: str, request: int = 1, **fields: str) -> Episode:
    made: Any = {"outline": "", "outcome": "completed", "failures": "", "answer": "", **fields}
    return Episode(thread_id=thread_id, request=request, task=task, **made)


class Threads:
    """A memory, with the threads that its episodes belong to."""

    def __init__(self, memory: EpisodicMemory, saver: ThreadSaver | None) -> None:
        self.memory = memory
        self.saver = saver

    async def remember(self, *episodes: Episode) -> None:
        for made in episodes:
            if self.saver is not None:
                async with self.saver.connection() as connection:
                    await connection.execute(
                        "INSERT INTO threads (thread_id, graph) VALUES (%s, '{}') ON CONFLICT DO NOTHING",
                        (made["thread_id"],),
                    )
            await self.memory.remember(made)

    async def recall(self, task: str, **options: Any) -> list[str]:
        return [found["thread_id"] for found in await self.memory.recall(task, **options)]


@pytest.fixture(params=[pytest.param("postgres", marks=pytest.mark.postgres), "local"])
def threads(request: pytest.FixtureRequest) -> Threads:
    if request.param == "local":
        return Threads(LocalEpisodes(), None)
    saver: ThreadSaver = request.getfixturevalue("saver")
    return Threads(PostgresEpisodes(saver), saver)


async def test_an_episode_is_found_by_other_forms_of_its_words(threads: Threads) -> None:
    await threads.remember(episode("whales", WHALES), episode("laptops", LAPTOPS), episode("taxes", TAXES))

    assert await threads.recall("comparing the price of a laptop and a phone in germany") == ["laptops"]
    assert await threads.recall("Which whale has the longest song?") == ["whales"]


async def test_everything_of_an_episode_comes_back(threads: Threads) -> None:
    made = episode("t", WHALES, 2, outline="s1: search", outcome="partial", failures="s2: no page", answer="Whales…")
    await threads.remember(made)

    assert await threads.memory.recall(WHALES) == [made]


async def test_what_is_not_like_it_is_not_recalled(threads: Threads) -> None:
    await threads.remember(episode("whales", WHALES), episode("taxes", TAXES))

    assert await threads.recall("Build a web shop for handmade chairs with payment") == []
    assert await threads.recall("Write an essay on quantum computers, their makers, costs and prospects") == []
    assert await threads.recall("the of and") == []
    assert await threads.recall("") == []


async def test_the_best_comes_first_and_the_newer_of_equals(threads: Threads) -> None:
    await threads.remember(
        episode("old", LAPTOPS),
        episode("near", "Compare the prices of used laptops in Germany"),
        episode("cars", "Compare the prices of cars"),
        episode("new", LAPTOPS),
        episode("answer", "Look it up", answer="Laptops in Germany cost more; prices compare badly."),
    )

    assert await threads.recall(LAPTOPS, limit=10) == ["new", "old", "near"]
    assert await threads.recall(LAPTOPS, limit=1) == ["new"]
    assert await threads.recall(LAPTOPS, limit=0) == []


@pytest.mark.parametrize(
    ("earlier", "task"),
    [
        ("Compare the prices of laptops", "compare the prices of laptops and phones"),
        ("Build a web shop for chairs", "Build a web shop for handmade chairs with payment"),
        ("Sum up the invoices of 2025 for the tax office", "Sum up the invoices of 2025 again, for the tax office"),
        ("Write a polite reminder mail to Anna", "A polite reminder for Anna, as a mail. Write it today!"),
        ("Vergleiche die Preise von Laptops", "Vergleiche die Preise von Laptops und Handys"),
        ("Find the newest SQLite releases", "the newest releases of sqlite"),
        ("Счёт за июль для офиса", "счёт за июль для офиса и склада"),
    ],
)
async def test_a_task_of_the_same_matter_is_an_example(threads: Threads, earlier: str, task: str) -> None:
    await threads.remember(episode("t", earlier))

    assert await threads.recall(task) == ["t"]


@pytest.mark.parametrize(
    ("earlier", "task"),
    [
        ("Compare the prices of laptops", "Compare the prices of cars"),
        ("Write a mail to Anna", "Write a mail to Bernd"),
        (
            "Write a polite reminder mail about the overdue invoice to Anna",
            "Write a polite reminder mail about the overdue invoice to Bernd",
        ),
        (
            "Write a polite reminder mail about the overdue invoice, to (Anna)",
            "Write a polite reminder mail about the overdue invoice",
        ),
        ("Send the invoice 4711 by mail and file it", "Send the invoice 4712 by mail and file it"),
        ("Check the stock of part A17b in the hall", "Check the stock of a part in the hall"),
        ("Sum up the invoices of 2025 for the tax office", "Sum up the invoices of 2026 for the tax office"),
        ("Write a shopping list: tea, bread", "Write a packing list: socks, tent"),
        ("Write hello to a file", "Write a poem to a file"),
        ("Find the file and make a report of it", "Find the files and write a report"),
        ("Schreib eine Mahnung an Anna über die Rechnung", "Schreib eine Mahnung an Bernd über die Rechnung"),
    ],
)
async def test_another_matter_order_or_person_is_none(threads: Threads, earlier: str, task: str) -> None:
    """Only the kind of work is the same: its answer and plan would be taken for a part of this one."""
    await threads.remember(episode("t", earlier, outline=task, failures=task, answer=task))

    assert await threads.recall(task) == []


async def test_the_likest_are_found_among_many(threads: Threads) -> None:
    await threads.remember(
        episode("same", LAPTOPS),
        *(episode(f"t{number}", f"Compare the colour of stone {number} with laptops") for number in range(250)),
    )

    assert await threads.recall(LAPTOPS) == ["same"]


async def test_a_conversation_is_not_told_its_own_past(threads: Threads) -> None:
    await threads.remember(episode("this", WHALES), episode("other", WHALES))

    assert await threads.recall(WHALES, not_thread="this") == ["other"]


async def test_a_request_tried_again_replaces_its_episode(threads: Threads) -> None:
    await threads.remember(
        episode("t", WHALES, outcome="failed"), episode("t", WHALES, outcome="completed"), episode("t", WHALES, 2)
    )

    found = await threads.memory.recall(WHALES, limit=9)

    assert sorted((made["request"], made["outcome"]) for made in found) == [(1, "completed"), (2, "completed")]


AWKWARD = [
    "it's 'quoted' \"twice\" & (a | b) ! <-> :*",
    "C:\\temp\\new and \\\\server\\share",
    "https://example.com/a?b=1&c=2#d e@example.com",
    "'; DROP TABLE episodes; --",
    "%s %(task)s {} $1",
    "nul \0 byte, half \ud800 pair, 😀 emoji, \u202e turned",
    "比较笔记本电脑的价格",
    "Ж" * 3000,
    "word " * 20_000,
    " ".join(f"word{number}" for number in range(20_000)),
]


@pytest.mark.parametrize("task", AWKWARD, ids=range(len(AWKWARD)))
async def test_any_characters_are_safe(threads: Threads, task: str) -> None:
    await threads.remember(episode("t", task, outline=task, failures=task, answer=task), episode("u", WHALES))

    await threads.recall(task)
    assert await threads.recall(WHALES) == ["u"]


@pytest.mark.postgres
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(task=st.text(st.characters(codec=None, exclude_categories=()), max_size=60))
async def test_any_task_can_be_recalled_by(saver: ThreadSaver, task: str) -> None:
    threads = Threads(PostgresEpisodes(saver), saver)
    await threads.remember(episode("t", task))

    assert await threads.recall(task) in ([], ["t"])


@pytest.mark.postgres
async def test_a_url_is_found_by_itself(saver: ThreadSaver) -> None:
    threads = Threads(PostgresEpisodes(saver), saver)
    await threads.remember(episode("t", "Read https://example.com/a?b=1&c=2"))

    assert await threads.recall("https://example.com/a?b=1&c=2") == ["t"]


@pytest.mark.postgres
async def test_an_owner_is_told_of_no_other_owners_requests(saver: ThreadSaver) -> None:
    threads = Threads(PostgresEpisodes(saver), saver)
    await threads.remember(episode("annas", WHALES), episode("bernds", WHALES), episode("nobodys", WHALES))
    async with saver.connection() as connection:
        await connection.execute("UPDATE threads SET owner = 'anna' WHERE thread_id = 'annas'")
        await connection.execute("UPDATE threads SET owner = 'bernd' WHERE thread_id = 'bernds'")

    found = await PostgresEpisodes(saver, "anna").recall(WHALES)
    assert [one["thread_id"] for one in found] == ["nobodys", "annas"]
    assert len(await threads.recall(WHALES)) == 3


@pytest.mark.postgres
async def test_episodes_go_with_their_thread(saver: ThreadSaver) -> None:
    threads = Threads(PostgresEpisodes(saver), saver)
    await threads.remember(episode("t", WHALES))

    thread = await get_thread(saver, "t")
    assert thread is not None
    await delete_thread(saver, thread)

    assert await threads.recall(WHALES) == []


@pytest.mark.postgres
async def test_other_processes_recall_what_this_one_remembered(saver: ThreadSaver) -> None:
    await Threads(PostgresEpisodes(saver), saver).remember(episode("t", WHALES))

    assert await Threads(PostgresEpisodes(saver), saver).recall("songs of whales") == ["t"]


@pytest.mark.postgres
async def test_what_was_rated_bad_is_told_as_a_failure_and_of_equals_the_good_come_first(saver: ThreadSaver) -> None:
    threads = Threads(PostgresEpisodes(saver), saver)
    await threads.remember(
        episode("good", LAPTOPS), episode("bad", LAPTOPS, failures="s1: no page"), episode("silent", LAPTOPS)
    )
    await threads.remember(episode("new", LAPTOPS), episode("near", "Compare the prices of used laptops in Germany"))
    await rate_request(saver, "good", 1, good=True)
    await rate_request(saver, "bad", 1, good=False, why="the prices are of last year")
    await rate_request(saver, "silent", 1, good=False)
    await rate_request(saver, "near", 1, good=True)
    await rate_request(saver, "new", 2, good=False, why="said of another request")

    found = await threads.memory.recall(LAPTOPS, limit=9)

    assert [one["thread_id"] for one in found] == ["good", "new", "silent", "bad", "near"]
    assert [one["outcome"] for one in found] == ["completed", "completed", "failed", "failed", "completed"]
    told = {one["thread_id"]: one["failures"] for one in found}
    assert told["bad"] == "rated bad: the prices are of last year\ns1: no page"
    assert (told["silent"], told["good"], told["new"]) == ("rated bad", "", "")
