"""Quotations: words of a page are found however they are set, and what does not stand there is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmanus_graph.nodes.researching.quotation import MOST_CHARACTERS, about, blocks_of, place_of

PAGE = """# The bridge

Intro with [a link](https://example.com/x_(y)) and **bold words** in it.

## Its history

The “old” bridge — built of wood — burnt down
in 1890. It cost 1,200 crowns.

- first point of the list
- second point of the list
"""


@pytest.mark.parametrize(
    ("quotation", "heading", "paragraph"),
    [
        ("Intro with a link and bold words in it.", "The bridge", 2),
        ("intro with A LINK", "The bridge", 2),
        ('The "old" bridge - built of wood - burnt down in 1890.', "Its history", 4),
        ("burnt down\n\nin 1890. It cost 1,200 crowns.", "Its history", 4),
        ("first point of the list - second point", "Its history", 5),
        ("in it. Its history The", "The bridge", 2),
    ],
)
def test_words_are_found_where_they_stand(quotation: str, heading: str, paragraph: int) -> None:
    assert place_of(quotation, PAGE) == {"heading": heading, "paragraph": paragraph}


@pytest.mark.parametrize(
    "quotation",
    [
        "The bridge burnt down in 1890.",
        "The “old” bridge … burnt down",
        "It cost 1,300 crowns.",
        "in 1890",
        "",
        "example.com/x_(y)",
        "x" * (MOST_CHARACTERS + 1),
    ],
)
def test_what_does_not_stand_there_is_not_found(quotation: str) -> None:
    assert place_of(quotation, PAGE) is None


WORDS = st.lists(st.text("abcdeäß123,.", min_size=1, max_size=8), min_size=4, max_size=40)


@given(WORDS, st.data())
def test_each_run_of_words_is_found_however_it_is_spaced(words: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, len(words)))
    gaps = data.draw(st.lists(st.sampled_from([" ", "\n", "  ", "\n\n"]), min_size=len(words), max_size=len(words)))
    page = "".join(f"{word}{gap}" for word, gap in zip(words, gaps, strict=True))
    quotation = " ".join(words[start:end])

    found = place_of(quotation, page)

    assert (found is not None) == (len(quotation.casefold()) >= 12)


@given(st.lists(st.text("abc xyz", min_size=1, max_size=60), max_size=60), st.integers(40, 400))
def test_of_a_long_page_no_more_than_the_limit_is_kept_and_in_its_order(blocks: list[str], limit: int) -> None:
    page = "\n\n".join(blocks)

    kept = about(page, "what is xyz", limit)

    assert len(kept) <= max(limit, 0) or kept == page
    rest = page
    for block in blocks_of(kept):
        for line in block.splitlines():
            assert line in rest
            rest = rest[rest.index(line) + len(line) :]


def test_of_a_long_page_the_blocks_on_the_question_are_kept() -> None:
    filler = "\n\n".join(f"Nothing to see in block {number}, which only fills the page." for number in range(500))
    page = f"{filler}\n\n## Toll\n\nCrossing the bridge costs three crowns.\n\n{filler}"

    kept = about(page, "What does crossing the bridge cost?", 2_000)

    assert "Crossing the bridge costs three crowns." in kept
    assert len(kept) <= 2_000
