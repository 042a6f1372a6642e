"""Articles: of a page that does not mark its main part, what it is about is found, without what stands around it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.sandbox import article
from openmanus_graph.tools import fetch_page as module
from openmanus_graph.tools.registry import builtin

from .conftest import Service

pytestmark = pytest.mark.usefixtures("needs_trafilatura")

SAID = [
    f"The whale of the year {year} was seen by {year % 7 + 2} ships off the coast, and the keeper of the light, who"
    f" had counted such animals for {year % 11 + 3} years, wrote down how long it was, where it went and what it ate."
    for year in range(1901, 1915)
]
TEXT = "".join(f"<p>{one}</p>" for one in SAID)
AROUND = "".join(f"<li><a href=/offer{number}>Offer of the day {number}, now cheap</a></li>" for number in range(40))
HIDDEN = "<p style='display: none'>Nobody sees that whales are made of cheese, and that is good so.</p>"
PAGE = (
    "<title>Whales</title><base href=/deep/><body><div class=menu><ul>{around}</ul></div><div class=content>"
    "<h1>Whales</h1>{text}{hidden}<p>All of it is told in <a href=more>another report of the keeper</a> of 1916.</p>"
    "</div><div class=sidebar><ul>{around}</ul></div><div class=bottom>Terms, privacy and cookies of this site</div>"
)


async def read(context: ToolContext, service: Service, html: str) -> dict[str, Any]:
    url = service.gives("/a", html, kind="text/html")
    with using_tool_context(replace(context, settings=Settings(allow_hosts=("127.0.0.1",)))):
        return (await builtin("fetch_page").ainvoke({"urls": url}))["pages"][0]


def made(around: str = AROUND, text: str = TEXT) -> str:
    return PAGE.format(around=around, text=text, hidden=HIDDEN)


async def test_what_stands_around_it_is_left_out(context: ToolContext, service: Service) -> None:
    page = await read(context, service, made())

    assert page["title"] == "Whales"
    assert all(one in page["markdown"] for one in SAID)
    assert "Offer of the day" not in page["markdown"]
    assert "cookies" not in page["markdown"]
    assert "cheese" not in page["markdown"]
    assert f"[another report of the keeper]({service.url}/deep/more)" in page["markdown"]
    assert len([link for link in page["links"] if "/offer" in link["url"]]) == 40, "links are told, all of them"


async def test_a_page_that_marks_its_main_part_is_read_as_it_says(
    context: ToolContext, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "article_html", None)

    page = await read(context, service, f"<main><ul>{AROUND}</ul>{TEXT}</main>")

    assert "Offer of the day 39" in page["markdown"]


async def test_a_list_of_links_stays_whole(context: ToolContext, service: Service) -> None:
    page = await read(context, service, f"<body><h1>Offers</h1><ul>{AROUND}</ul>")

    assert all(f"Offer of the day {number}" in page["markdown"] for number in range(40))


@pytest.mark.parametrize(
    "program", ["import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "print('no JSON')", "print('{}')"]
)
async def test_where_nothing_can_be_found_the_page_is_read_as_it_is(
    context: ToolContext, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str
) -> None:
    (tmp_path / "article_worker.py").write_text(program)
    monkeypatch.setattr(article, "program_of", lambda _, name: (tmp_path / name).read_text())

    page = await read(context, service, made())

    assert "Offer of the day" in page["markdown"]
    assert SAID[0] in page["markdown"]
    assert "cheese" not in page["markdown"]


async def test_without_what_finds_articles_it_is_as_before(
    context: ToolContext, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)

    assert "Offer of the day" in (await read(context, service, made()))["markdown"]
