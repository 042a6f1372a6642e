"""Passages: kept once, found by their rare words, owned by one, and gone when they are forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openmanus_graph import ThreadSaver
from openmanus_graph.errors import UsageError
from openmanus_graph.memory.forgetting import forget_episodes
from openmanus_graph.memory.semantic.full_text import search_text
from openmanus_graph.memory.semantic.passage import Passage, StoredPassage
from openmanus_graph.memory.semantic.passage_file import read_passages, write_passages
from openmanus_graph.memory.semantic.passages import MOST_CHARACTERS, Added, Passages, Selection, clean_source

pytestmark = pytest.mark.postgres

WHALES = "Whales sing: the songs of humpback whales last for half an hour."
TAXES = "Invoices are kept for ten years, says the tax office."
LAPTOPS = "A laptop is a computer that one can carry; its battery lasts for hours."


def passages_of(*texts: str, source: str = "a.md") -> list[Passage]:
    return [Passage(source, position, text) for position, text in enumerate(texts)]


@pytest.fixture
def mine(saver: ThreadSaver) -> Passages:
    return Passages(saver, "me")


async def found(saver: ThreadSaver, query: str, owner: str = "me", limit: int = 10) -> list[str]:
    hits = await search_text(saver, owner, query, limit)
    there = await Passages(saver, owner).lookup([hit.key for hit in hits])
    return [there[hit.key].text for hit in hits]


async def test_the_same_again_changes_nothing(mine: Passages) -> None:
    assert await mine.add(passages_of(WHALES, TAXES)) == Added(2, 0)
    assert await mine.add(passages_of(WHALES, TAXES, WHALES)) == Added(0, 0)
    assert await mine.counts() == (2, 1)


async def test_a_source_is_replaced_by_what_it_is_now(mine: Passages) -> None:
    await mine.add(passages_of(WHALES, TAXES))
    await mine.add(passages_of(LAPTOPS, source="b.md"))

    assert await mine.add(passages_of(TAXES, LAPTOPS), replace_sources=["a.md"]) == Added(1, 1)
    assert [(one.source, one.position, one.text) async for one in mine.every()] == [
        ("a.md", 0, TAXES),
        ("a.md", 1, LAPTOPS),
        ("b.md", 0, LAPTOPS),
    ]
    assert await mine.counts() == (3, 2)


async def test_the_passage_with_the_rarest_words_comes_first(saver: ThreadSaver, mine: Passages) -> None:
    await mine.add(passages_of(WHALES, TAXES, LAPTOPS, *(f"The hour {number} of the office" for number in range(20))))

    assert (await found(saver, "How many hours does the song of a humpback last?"))[0] == WHALES
    assert (await found(saver, "the office's hours for invoices"))[0] == TAXES
    assert await found(saver, "quantum") == []
    assert await found(saver, "the of and") == []
    assert len(await found(saver, "office", limit=5)) == 5


async def test_of_a_long_task_the_rarest_words_are_looked_for(saver: ThreadSaver, mine: Passages) -> None:
    common = [f"common{number}" for number in range(60)]
    await mine.add(
        passages_of("The zebra has stripes.", *(f"{word} {number}" for word in common for number in range(3)))
    )
    unknown = [f"absent{number}" for number in range(200)]

    assert (await found(saver, " ".join([*common, *unknown, "zebra", "stripes"])))[0] == "The zebra has stripes."
    [hit, *_] = await search_text(saver, "me", " ".join([*common, *unknown, "zebra", "stripes"]), 10)
    assert hit.coverage < 0.05  # what nobody knows counts on: nothing of another matter is told


async def test_coverage_counts_words_that_no_passage_has(saver: ThreadSaver, mine: Passages) -> None:
    await mine.add(passages_of(WHALES, TAXES, LAPTOPS))

    [all_of_them] = await search_text(saver, "me", "humpback whales", 10)
    [half] = await search_text(saver, "me", "humpback quantum", 10)

    assert all_of_them.coverage == pytest.approx(1.0)
    assert 0.3 < half.coverage < 0.6
    assert all_of_them.score < all_of_them.coverage


async def test_nobody_sees_what_another_has(saver: ThreadSaver, mine: Passages) -> None:
    yours = Passages(saver, "you")
    await mine.add(passages_of(WHALES))
    await yours.add(passages_of(WHALES, TAXES))
    [key] = [one.key async for one in mine.every()]

    assert await found(saver, "whales", "me") == [WHALES]
    assert await found(saver, "invoices", "me") == []
    assert await yours.lookup([key]) == {}
    assert await yours.forget(Selection(keys=[key])) == 0
    assert await yours.forget(Selection()) == 2
    assert await found(saver, "whales", "me") == [WHALES]


async def test_what_is_forgotten_is_not_found(saver: ThreadSaver, mine: Passages) -> None:
    await mine.add([*passages_of(WHALES, TAXES), Passage("https://a.example", 0, LAPTOPS, {"title": "L"}, "t1")])
    now = datetime.now(UTC)

    assert await mine.forget(Selection(thread="t2")) == 0
    assert await mine.forget(Selection(before=now - timedelta(days=1))) == 0
    assert await mine.count(Selection(thread="t1")) == 1
    assert await mine.forget(Selection(thread="t1")) == 1
    assert await found(saver, "laptop battery") == []
    assert await mine.forget(Selection(source="a.md", before=now + timedelta(days=1))) == 2
    assert not await mine.any()


async def test_a_passage_is_named_by_the_beginning_of_its_key(mine: Passages) -> None:
    await mine.add(passages_of(*(f"text {number}" for number in range(40))))
    one = [found async for found in mine.every()][7]

    assert await mine.find(one.key) == one
    assert await mine.find(one.key[:20]) == one
    with pytest.raises(UsageError, match="No passage begins with 'xyz'"):
        await mine.find("xyz")
    with pytest.raises(UsageError, match="No passage begins with ''"):
        await mine.find("")
    firsts = [one.key[0] async for one in mine.every()]
    with pytest.raises(UsageError, match="Several passages begin with"):
        await mine.find(next(first for first in firsts if firsts.count(first) > 1))


async def test_keys_and_passwords_are_not_stored(mine: Passages) -> None:
    secret = "sk-abcdefghijklmnop1234"
    await mine.add([Passage(f"https://me:{secret}@a.example", 0, f"Call it with password=opensesame and {secret}.")])

    [one] = [found async for found in mine.every()]
    assert secret not in one.source
    assert one.text == "Call it with password=[key] and [key]."


async def test_what_is_beside_a_passage_has_no_secrets_either(mine: Passages) -> None:
    secret = "sk-abcdefghijklmnop1234"
    meta = {"title": f"Key {secret}", "api_key": "opensesame", "more": [{"password": "opensesame", "pages": 3}]}
    await mine.add([Passage("a.md", 0, "x" * (MOST_CHARACTERS - 10) + " " + secret, meta)])

    [one] = [found async for found in mine.every()]
    assert one.meta == {"title": "Key [key]", "api_key": "[key]", "more": [{"password": "[key]", "pages": 3}]}
    assert one.text[-12:] == "xxxxxx [key]"


async def test_an_exported_memory_comes_back_as_it_was(mine: Passages, saver: ThreadSaver, tmp_path: Path) -> None:
    then = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    await mine.add([Passage("https://me:pw12@a.example", 0, WHALES, {"title": "W"}, "t1", then), *passages_of(TAXES)])
    assert await write_passages(mine, tmp_path / "m.jsonl") == 2
    theirs = Passages(saver, "they")
    await theirs.add(read_passages(tmp_path / "m.jsonl"))

    def told(passage: StoredPassage) -> dict[str, Any]:
        return {**passage.as_json(), "owner": "", "key": ""}

    assert [told(one) async for one in theirs.every()] == [told(one) async for one in mine.every()]
    assert then in [one.created_at async for one in theirs.every()]


async def test_an_export_that_fails_leaves_nothing(mine: Passages, tmp_path: Path) -> None:
    await mine.add(passages_of(WHALES))
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        await write_passages(mine, tmp_path / "none" / "m.jsonl")
    (tmp_path / "m.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="There is already a file"):
        await write_passages(mine, tmp_path / "m.jsonl")

    assert [path.name for path in tmp_path.iterdir()] == ["m.jsonl"]


async def test_sources_that_look_alike_without_their_secrets_stay_apart(mine: Passages) -> None:
    names = [f"https://a.example/doc?token=secret{number}" for number in range(2)]
    names += ["/" + "x" * 700 + str(number) for number in range(2)] + ["/bad\udcf0.md", "/bad\udcf1.md"]
    for name in names:
        await mine.add([Passage(name, 0, "Its text.")], replace_sources=[name])

    sources = {passage.source async for passage in mine.every()}
    assert len(sources) == len(names)
    assert all(len(source) <= 600 and "secret" not in source for source in sources)
    assert {clean_source(source) for source in sources} == sources
    assert [await mine.forget(Selection(source=name)) for name in names] == [1] * len(names)


async def test_halves_of_characters_in_names_are_safe(saver: ThreadSaver) -> None:
    """What a shell gives that is not UTF-8 comes as such."""
    odd = Passages(saver, "own\udcff")
    await odd.add([Passage("a\udcff.md", 0, "Its text.", {"title": "\udcff"}, "thread\udcff")])

    assert await odd.count(Selection(thread="thread\udcff", source="a\udcff.md")) == 1
    assert await forget_episodes(saver, "own\udcff", Selection(thread="thread\udcff", matching="\udcff")) == 0
    assert await odd.forget(Selection(matching="text \udcff")) in (0, 1)


async def test_the_same_again_writes_nothing(saver: ThreadSaver, mine: Passages) -> None:
    async def versions() -> list[str]:
        async with saver.connection() as connection:
            rows = await (await connection.execute("SELECT xmin::text AS x FROM passages ORDER BY key")).fetchall()
        return [str(row["x"]) for row in rows]

    await mine.add(passages_of(WHALES, TAXES))
    before = await versions()
    await mine.add(passages_of(WHALES, TAXES), replace_sources=["a.md"])
    assert await versions() == before
    await mine.add([Passage("a.md", 7, WHALES, {"title": "new"})])
    assert [one.position async for one in mine.every()] == [1, 7]


AWKWARD = [
    "it's 'quoted' \"twice\" & (a | b) ! <-> :*",
    "C:\\temp\\new and \\\\server\\share",
    "'; DROP TABLE passages; --",
    "%s %(query)s {} $1",
    "nul \0 byte, half \ud800 pair, 😀 emoji, \u202e turned",
    "比较笔记本电脑的价格",
    "Ж" * 3000,
    " ".join(f"word{number}" for number in range(20_000)),
]


@pytest.mark.parametrize("text", AWKWARD, ids=range(len(AWKWARD)))
async def test_any_characters_are_safe(saver: ThreadSaver, mine: Passages, text: str) -> None:
    await mine.add([Passage(text, 0, text, {"title": text}), *passages_of(WHALES)])
    await mine.add([Passage(text, 0, text, {"title": text})], replace_sources=[text])

    await found(saver, text)
    assert await found(saver, "songs of whales") == [WHALES]
    assert await mine.counts() == (2, 2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec=None, exclude_categories=()), max_size=60))
async def test_any_query_is_safe(saver: ThreadSaver, text: str) -> None:
    await Passages(saver, "me").add(passages_of(WHALES))

    assert await found(saver, text) in ([], [WHALES])
