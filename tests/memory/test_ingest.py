"""Ingest: files, folders and pages become passages that can be found, once, and bad ones are told apart."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmanus_graph import Settings, ThreadSaver
from openmanus_graph.errors import DatabaseFullError, ToolError, UsageError
from openmanus_graph.memory.ingest import chunks, document, ingest
from openmanus_graph.memory.ingest.chunks import passages_of
from openmanus_graph.memory.ingest.document import Document, read_document
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.memory.semantic.passages import Added
from openmanus_graph.sandbox import pdf as pdf_module
from openmanus_graph.tools.web import download
from tests.pdf_file import pdf


@pytest.fixture
async def memory(saver: ThreadSaver, tmp_path: Path) -> AsyncIterator[PassageMemory]:
    made = PassageMemory(saver, Settings.load(home=tmp_path / "home", vector_index="none", owner="me"))
    yield made
    await made.aclose()


async def texts(memory: PassageMemory) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    async for passage in memory.passages.every():
        found.setdefault(Path(passage.source).name, []).append(passage.text)
    return found


MARKDOWN = """# Guide

Intro of the guide.

## Install

Run the installer.

```sh
# not a heading
install --all
```

### Windows

On Windows it differs.

## Use

Call it.
"""


def cut(text: str, kind: Any = "markdown", title: str = "") -> list[str]:
    return [passage.text for passage in passages_of(Document("a", title, text, kind))]


def test_markdown_is_cut_along_its_headings() -> None:
    assert cut(MARKDOWN, title="guide.md") == [
        "guide.md > Guide\n\nIntro of the guide.",
        "guide.md > Guide > Install\n\nRun the installer.\n\n```sh\n# not a heading\ninstall --all\n```",
        "guide.md > Guide > Install > Windows\n\nOn Windows it differs.",
        "guide.md > Guide > Use\n\nCall it.",
    ]


def test_a_long_section_is_cut_with_an_overlap() -> None:
    sentences = [f"Sentence number {number} says something of its own." for number in range(100)]
    made = cut("# Long\n\n" + " ".join(sentences))

    assert all(len(text) <= chunks.MOST + 200 for text in made)
    assert all(any(sentence in text for text in made) for sentence in sentences)
    bodies = [text.removeprefix("Long\n\n") for text in made]
    for before, after in itertools.pairwise(bodies):
        assert before.endswith(after.split("\n\n")[0])


def test_programs_are_cut_between_functions() -> None:
    body = "\n".join(f"    value_{number} = {number}" for number in range(30))
    made = cut(f"import os\n\n\n@cache\ndef one():\n{body}\n\n\nclass Two:\n{body}\n", "code", "a.py")

    assert len(made) == 2
    assert made[0].startswith("a.py\n\nimport os\n\n\n@cache\ndef one():")
    assert made[1].split("\n\n")[-1].startswith("class Two:")


PARTS = [
    "#",
    "##",
    "######",
    "```",
    "~~~",
    "\n",
    "\n\n",
    "a",
    "C#",
    ".",
    "def",
    "@x",
    "--",
    "\t",
    "x" * 300,
    "long " * 60,
]
LINES = ["# A", "## A", "# B #", "### C", "", "text one", "``` code ```", "```", "  # no"]
WORDS = st.one_of(
    st.text(max_size=8_000),
    st.lists(st.sampled_from(PARTS), max_size=200).map(" ".join),
    st.lists(st.sampled_from(LINES)).map("\n".join),
)


@given(WORDS, st.sampled_from(["markdown", "code", "text"]), st.text(max_size=400))
def test_every_word_is_in_some_passage_and_none_is_too_long(text: str, kind: Any, title: str) -> None:
    made = list(passages_of(Document("a", title, text, kind)))
    words = Counter(re.findall(r"\w+", "".join(passage.text + "\n" for passage in made)))
    meant = Counter(word for word in re.findall(r"\w+", text) if len(word) < 500)

    assert [passage.position for passage in made] == list(range(len(made)))
    assert set(meant) <= set(words)
    assert kind == "markdown" or all(count <= words[word] for word, count in meant.items())
    assert all(len(passage.text) <= chunks.MOST + chunks.OVERLAP + 8 * chunks.MOST_HEADING for passage in made)


def test_a_hash_in_plain_text_is_no_heading() -> None:
    assert cut("# set this\nkey = 1\n\n# and this", "text") == ["# set this\nkey = 1\n\n# and this"]


def test_headings_without_a_body_are_kept() -> None:
    made = cut("# Menu\n\n## Soup\n## Fish\n## Cake\n\nWith cream.\n\n# Hours\n## Closed on Mondays\n")
    assert made == ["Menu\n\nSoup\n\nFish", "Menu > Cake\n\nWith cream.", "Hours\n\nClosed on Mondays"]
    assert cut("# Learn C#\n\nNow.") == ["Learn C#\n\nNow."]


def test_sections_of_the_same_name_stay_apart() -> None:
    assert cut("# Fixed\n\nThe door.\n\n# Fixed\n\nThe window.") == ["Fixed\n\nThe door.", "Fixed\n\nThe window."]


async def test_a_heading_longer_than_a_passage_loses_nothing(memory: PassageMemory, tmp_path: Path) -> None:
    heading = " ".join(f"word{number}" for number in range(6_000))
    (tmp_path / "a.md").write_text(f"# {heading}\n\nFirst.\n\n## Part\n\nSecond.\n")
    await ingest.ingest(memory, str(tmp_path / "a.md"))

    stored = " ".join((await texts(memory))["a.md"])
    assert {*heading.split(), "First.", "Second.", "Part"} <= set(stored.split())


async def test_a_key_that_spans_passages_is_not_stored(memory: PassageMemory, tmp_path: Path) -> None:
    body = "\n".join("MIIEpAIBAAKCAQEA0123456789abcdefghijklmnopqrstuvwxyz0123456789ABC+" for _ in range(100))
    key = f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{body}\n-----END RSA PRIVATE KEY-----"
    (tmp_path / "a.md").write_text(f"# Keys\n\nBefore.\n\n{key}\n\nBehind.\n")
    (tmp_path / "b.txt").write_text(f"Before.\n\n{key}\n\nBehind.\n")
    await ingest.ingest(memory, str(tmp_path))
    assert await texts(memory) == {
        "a.md": ["a.md > Keys\n\nBefore.\n\n[key]\n\nBehind."],
        "b.txt": ["b.txt\n\nBefore.\n\n[key]\n\nBehind."],
    }


def test_a_line_without_end_is_cut_all_the_same() -> None:
    made = cut("x" * 10_000, "text")

    assert "".join(made).count("x") == 10_000
    assert max(map(len, made)) <= chunks.MOST


async def test_what_is_beyond_the_passages_of_a_source_is_said(
    memory: PassageMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MOST_PASSAGES", 3)
    (tmp_path / "a.md").write_text("\n\n".join(f"# H{number}\n\ntext" for number in range(10)))
    done = await ingest.ingest(memory, str(tmp_path / "a.md"))

    assert done.added == 3
    assert done.left_out == [(str(tmp_path / "a.md"), "Its last 7 passages were left out: a source has at most 3.")]


async def test_a_folder_is_read_once(memory: PassageMemory, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "inner" / "node_modules").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / "a.md").write_text(MARKDOWN)
    (folder / "inner" / "b.txt").write_text("Plain words.")
    (folder / "page.html").write_text("<title>T</title><body><nav>no</nav><h1>H</h1><p>Of the <b>page</b>.</p>")
    (folder / "inner" / "node_modules" / "c.js").write_text("left out")
    (folder / ".hidden" / "secret.txt").write_text("left out")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "broken.txt").write_bytes(b"\0\1\2")
    (folder / "link.md").symlink_to("/etc/hostname")
    told: list[str] = []

    done = await ingest.ingest(memory, str(folder), progress=told.append)

    assert (done.sources, done.added, done.removed) == (3, 6, 0)
    assert [Path(source).name for source, _ in done.left_out] == ["broken.txt"]
    assert "is binary" in done.left_out[0][1]
    assert [Path(source).name for source in told] == ["a.md", "broken.txt", "page.html", "b.txt"]
    assert (await texts(memory))["page.html"] == ["T > H\n\nOf the **page**."]
    assert (await texts(memory))["b.txt"] == ["b.txt\n\nPlain words."]
    again = await ingest.ingest(memory, str(folder))
    assert (again.sources, again.added, again.removed) == (3, 0, 0)

    (folder / "inner" / "b.txt").write_text("Other words.")
    changed = await ingest.ingest(memory, str(folder))
    assert (changed.added, changed.removed) == (1, 1)


async def test_what_was_taken_before_a_full_disk_stays(
    memory: PassageMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumable: a file is one transaction, and the next time goes on."""
    (tmp_path / "d").mkdir()
    for number in range(3):
        (tmp_path / "d" / f"{number}.txt").write_text(f"text {number}")
    real = PassageMemory.add
    calls: list[int] = []

    async def fails_at_the_third(self: PassageMemory, *args: Any, **options: Any) -> Added:
        calls.append(1)
        if len(calls) == 3:
            raise DatabaseFullError("The disk is full.")
        return await real(self, *args, **options)

    monkeypatch.setattr(PassageMemory, "add", fails_at_the_third)
    with pytest.raises(DatabaseFullError):
        await ingest.ingest(memory, str(tmp_path / "d"))
    assert sorted(await texts(memory)) == ["0.txt", "1.txt"]
    done = await ingest.ingest(memory, str(tmp_path / "d"))
    assert (done.sources, done.added) == (3, 1)


@pytest.mark.parametrize("data", [b"\x7fELF\0\0\1", bytes(range(256)) * 10])
async def test_a_binary_file_is_refused(memory: PassageMemory, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "program").write_bytes(data)

    with pytest.raises(ToolError, match="is binary, not text"):
        await ingest.ingest(memory, str(tmp_path / "program"))
    assert not await memory.passages.any()


async def test_a_huge_file_is_refused_unread(memory: PassageMemory, tmp_path: Path) -> None:
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(100 * 2**20)

    with pytest.raises(UsageError, match="has 104,857,600 bytes; at most 20,971,520 are taken into memory"):
        await ingest.ingest(memory, str(tmp_path / "huge.txt"))


async def test_a_missing_file_is_said(memory: PassageMemory, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no file '.*none\.md'"):
        await ingest.ingest(memory, str(tmp_path / "none.md"))


@pytest.mark.parametrize(("length", "what"), [(4_092, "file"), (4_000, "folder")])
async def test_folders_that_are_too_deep_to_be_read_are_said(
    memory: PassageMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, what: str
) -> None:
    # So long that the path of some folder has this length: with the name of a file it is too long, or with a folder's.
    top = tmp_path / ("d" * ((length - len(str(tmp_path)) - 2) % 251 + 1))
    top.mkdir()
    monkeypatch.chdir(top)
    for _ in range(20):
        Path("x" * 250).mkdir()
        os.chdir("x" * 250)
        Path("a.txt").write_text("text")
    monkeypatch.undo()
    done = await ingest.ingest(memory, str(top))
    shutil.rmtree(top)

    assert 10 < done.sources < 17
    assert f"The {what} cannot be read: File name too long." in [why for _, why in done.left_out]


async def test_a_folder_with_too_many_files_is_refused(
    memory: PassageMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MOST_FILES", 2)
    (tmp_path / "d").mkdir()
    for number in range(3):
        (tmp_path / "d" / f"{number}.txt").write_text("x")

    with pytest.raises(UsageError, match="more than 2 files"):
        await ingest.ingest(memory, str(tmp_path / "d"))
    assert not await memory.passages.any()


# PDF


@pytest.mark.usefixtures("needs_pdfium")
async def test_a_pdf_is_read(memory: PassageMemory, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("Whales in a PDF"))
    await ingest.ingest(memory, str(tmp_path / "a.pdf"))

    assert await texts(memory) == {"a.pdf": ["a.pdf\n\nWhales in a PDF"]}


@pytest.mark.usefixtures("needs_pdfium")
async def test_pages_of_a_pdf_that_are_not_read_are_said(
    memory: PassageMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf_module, "MOST_PAGES", 1)
    (tmp_path / "a.pdf").write_bytes(pdf("Whales", pages=3))
    done = await ingest.ingest(memory, str(tmp_path / "a.pdf"))

    assert done.left_out == [(str(tmp_path / "a.pdf"), "Its last 2 pages were left out: 3,000 are read of a PDF.")]


@pytest.mark.usefixtures("needs_pdfium")
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (pdf("x", encrypted=True), "is encrypted and cannot be read"),
        (b"%PDF-1.4\nnothing of it", "is broken and cannot be read"),
        (b"", "is broken and cannot be read"),
        (pdf(""), "has pictures of text only"),
    ],
)
async def test_a_pdf_that_cannot_be_read_is_said(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "a.pdf").write_bytes(data)

    with pytest.raises(ToolError, match=why):
        await read_document(tmp_path / "a.pdf")


@pytest.mark.usefixtures("needs_pdfium")
async def test_a_pdf_that_is_cut_short_is_no_crash(tmp_path: Path) -> None:
    whole = pdf("Whales")
    for end in range(0, len(whole), 40):
        (tmp_path / "a.pdf").write_bytes(whole[:end] or b"%")
        with_text = await _text_or_error(tmp_path / "a.pdf")
        assert with_text in ("Whales", "ToolError")


async def _text_or_error(path: Path) -> str:
    try:
        return (await read_document(path)).text
    except ToolError:
        return "ToolError"


# Pages


PAGES = {
    "/docs/": "<title>Docs</title><h1>Docs</h1><p>Start here. <a href='a.html'>a</a> <a href='/other'>o</a>"
    " <a href='sub/b.html#part'>b</a> <a href='gone.html'>g</a> <a href='x.zip'>z</a></p>",
    "/docs/a.html": "<title>A</title><p>Page of aardvarks. <a href='/docs/'>up</a></p>",
    "/docs/sub/b.html": "<title>B</title><p>Page of bees. <a href='../c.html'>c</a></p>",
    "/docs/c.html": "<title>C</title><p>Page of cats, <a href='moved.html'>and more</a>.</p>",
    "/other": "<title>O</title><p>Elsewhere.</p>",
    "/slashless": "<title>S</title><p>Start. <a href='/slashless/one'>1</a> <a href='/slashless-2'>2</a>"
    " <a href='/other'>o</a></p>",
    "/slashless/one": "<title>1</title><p>Page one.</p>",
    "/slashless-2": "<title>2</title><p>Page two.</p>",
}
MOVED = {"/latest": "/docs/", "/docs/moved.html": "/docs/a.html"}


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGES.get(self.path, "gone").encode()
        self.send_response(301 if self.path in MOVED else 200 if self.path in PAGES else 404)
        if self.path in MOVED:
            self.send_header("Location", MOVED[self.path])
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


async def test_a_page_is_read(memory: PassageMemory, site: str) -> None:
    done = await ingest.ingest(memory, f"{site}/docs/a.html#top", allow_hosts=("127.0.0.1",))

    assert done.sources == 1
    assert [passage.source async for passage in memory.passages.every()] == [f"{site}/docs/a.html"]
    assert "aardvarks" in (await texts(memory))["a.html"][0]


async def test_a_site_is_followed_below_its_address_and_no_further(memory: PassageMemory, site: str) -> None:
    done = await ingest.ingest(memory, f"{site}/docs/", allow_hosts=("127.0.0.1",), pages=20)

    assert [passage.source.removeprefix(site) async for passage in memory.passages.every()] == [
        "/docs/", "/docs/a.html", "/docs/c.html", "/docs/sub/b.html",
    ]  # fmt: skip
    assert [(source.removeprefix(site), "404" in why) for source, why in done.left_out] == [("/docs/gone.html", True)]
    assert done.sources == 4
    again = await ingest.ingest(memory, f"{site}/docs/", allow_hosts=("127.0.0.1",), pages=20)
    assert (again.sources, again.added) == (4, 0)
    few = await ingest.ingest(memory, f"{site}/docs/", allow_hosts=("127.0.0.1",), pages=2)
    assert few.sources == 2
    assert few.left_out == [
        (f"{site}/docs/", "2 pages below it that it leads to were left out: raise --pages 2, which may be 1,000.")
    ]
    one = await ingest.ingest(memory, f"{site}/docs/", allow_hosts=("127.0.0.1",))
    assert (one.sources, one.left_out) == (1, [])


@pytest.mark.parametrize(
    ("start", "taken"),
    [
        ("/latest", ["/docs/", "/docs/a.html", "/docs/c.html", "/docs/sub/b.html"]),
        ("/docs/a.html", ["/docs/", "/docs/a.html", "/docs/c.html", "/docs/sub/b.html"]),
        ("/slashless", ["/slashless", "/slashless/one"]),
    ],
)
async def test_what_is_below_an_address_is_so_where_the_page_really_is(
    memory: PassageMemory, site: str, start: str, taken: list[str]
) -> None:
    await ingest.ingest(memory, f"{site}{start}", allow_hosts=("127.0.0.1",), pages=20)

    assert sorted({passage.source.removeprefix(site) async for passage in memory.passages.every()}) == taken


async def test_a_page_that_was_read_in_part_is_said(
    memory: PassageMemory, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 60)
    monkeypatch.setattr(document, "MAX_BYTES", 60)
    done = await ingest.ingest(memory, f"{site}/docs/", allow_hosts=("127.0.0.1",))

    assert done.left_out == [(f"{site}/docs/", "What comes after its first 60 bytes was left out.")]


async def test_a_page_behind_the_guard_is_refused(memory: PassageMemory, site: str) -> None:
    with pytest.raises(UsageError, match=r"has the loopback address 127\.0\.0\.1, which tools may not reach"):
        await ingest.ingest(memory, f"{site}/docs/a.html")
    assert not await memory.passages.any()
