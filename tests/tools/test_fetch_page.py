"""What a user relies on when pages are fetched, from servers on loopback."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import AddressRefusedError, ToolError
from openmanus_graph.tools.fetch_page import fetch, fetch_page
from tests.pdf_file import pdf

Handler = Callable[[str, dict[str, str], asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A raw HTTP server: what it sends is exactly what the test says."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.answers: dict[str, bytes | Handler] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.connections = 0
        self._serving: set[asyncio.Task[None]] = set()

    def page(self, path: str, body: bytes, *headers: str, status: str = "200 OK") -> str:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
        self.answers[path] = "\r\n".join(lines).encode() + body
        return self.url + path

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def settle(self) -> None:
        for task in self._serving:
            await asyncio.wait_for(task, 5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            path = first.split()[1]
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            self.requests.append((path, headers))
            answer = self.answers[path]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(path, headers, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _serving(address: str) -> AsyncIterator[Server]:
    listener = socket.socket()
    listener.bind((address, 0))
    server = Server(listener.getsockname()[1])
    running = await asyncio.start_server(server.accept, sock=listener)
    yield server
    running.close()
    await server.settle()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async for made in _serving("127.0.0.1"):
        yield made


@pytest.fixture
async def inner() -> AsyncIterator[Server]:
    """A server that the settings do not name."""
    async for made in _serving("127.0.0.1"):
        yield made


async def one(url: str, allow: str = "127.0.0.1", **arguments: Any) -> dict[str, Any]:
    """The page at `url`; its failure is that of the call."""
    result = await fetch([url], (allow,), **arguments)
    (page,) = result["pages"]
    assert set(page) == {"url", "title", "markdown", "links", "status", "error", "truncated"}
    return page


HTML = "Content-Type: text/html"


class TestPages:
    async def test_markdown_title_and_links(self, server: Server, context: ToolContext) -> None:
        url = server.page(
            "/a/b",
            b"<title>T</title><nav><a href=/>Home</a></nav><h1>H</h1><p>Text, <a href=c?x=1&amp;y>link</a>.",
            HTML,
        )
        settings = Settings(allow_hosts=("127.0.0.1",))
        with using_tool_context(replace(context, settings=settings)):
            result = await fetch_page.ainvoke({"urls": url})
        assert result["pages"] == [
            {
                "url": url,
                "title": "T",
                "markdown": f"# H\n\nText, [link]({server.url}/a/c?x=1&y).",
                "links": [
                    {"text": "Home", "url": f"{server.url}/"},
                    {"text": "link", "url": f"{server.url}/a/c?x=1&y"},
                ],
                "status": 200,
                "error": None,
                "truncated": False,
            }
        ]

    async def test_a_bad_address_does_not_lose_the_others(self, server: Server) -> None:
        good = server.page("/good", b"<p>good", HTML)
        missing = server.page("/missing", b"<h1>Nothing here</h1>", HTML, status="404 Not Found")
        urls = [good, missing, "ftp://x.test/", "http://10.0.0.1/", "http://127.0.0.1:1/", good]
        pages = (await fetch(urls, ("127.0.0.1",)))["pages"]
        assert [page["status"] for page in pages] == [200, 404, None, None, None, 200]
        assert [page["error"] is None for page in pages] == [True, False, False, False, False, True]
        assert "404 Not Found" in pages[1]["error"]
        assert pages[1]["markdown"] == "# Nothing here"
        assert "not an HTTP address" in pages[2]["error"]
        assert "OPENMANUS_GRAPH_ALLOW_HOSTS" in pages[3]["error"]
        assert "cannot be reached" in pages[4]["error"]

    async def test_all_bad_is_a_failure(self, server: Server) -> None:
        url = server.page("/x", b"", HTML, status="500 Internal Server Error")
        with pytest.raises(ToolError, match="500 Internal Server Error"):
            await one(url)

    async def test_text_kinds(self, server: Server) -> None:
        assert (await one(server.page("/a", b"a <b>\r\nc", "Content-Type: text/plain")))["markdown"] == "a <b>\nc"
        json = await one(server.page("/b", b'{"a": 1}', "Content-Type: application/json"))
        assert json["markdown"] == '```json\n{"a": 1}\n```'
        assert (await one(server.page("/c", b"<html><p>x")))["markdown"] == "x"

    async def test_binary_is_refused(self, server: Server) -> None:
        with pytest.raises(ToolError, match="'application/zip'"):
            await one(server.page("/a", b"PK\3\4\0", "Content-Type: application/zip"))
        with pytest.raises(ToolError, match="not text"):
            await one(server.page("/b", b"\x7fELF\0\0", "Content-Type: text/html"))

    async def test_max_chars(self, server: Server) -> None:
        page = await one(server.page("/a", b"<p>" + b"x" * 500, HTML), max_chars=100)
        assert page["truncated"] is True
        assert page["markdown"] == "x" * 100 + "\n\n[400 characters more]"


class TestCharacterSets:
    @pytest.mark.parametrize(
        ("body", "header"),
        [
            ("grün – €".encode(), "text/html; charset=utf-8"),
            ("grün – €".encode("cp1252"), "text/html; charset=ISO-8859-1"),
            ("<meta charset=windows-1252>grün – €".encode("cp1252"), "text/html"),
            (
                b"<meta http-equiv=content-type content='text/html; charset=iso-8859-15'>"
                + "grün - €".encode("iso8859-15"),
                "text/html",
            ),
            ("grün – €".encode("utf-16"), "text/html"),
            ("grün – €".encode("utf-16-le"), "text/html; charset=utf-16"),
            ("grün – €".encode(), "text/html"),
            ("grün – €".encode("cp1252"), "text/html"),
            ("grün – €".encode(), "text/html; charset=no-such-thing"),
        ],
    )
    async def test_stated_or_shown(self, server: Server, body: bytes, header: str) -> None:
        page = await one(server.page("/a", body, f"Content-Type: {header}"))
        assert page["markdown"].replace("-", "–") == "grün – €"

    @pytest.mark.parametrize(
        ("text", "encoding"),
        [
            ("Мост через реку был открыт в тысяча девятьсот тридцать первом году.", "cp1251"),
            ("Мост через реку был открыт в тысяча девятьсот тридцать первом году.", "koi8-r"),
            ("Η γέφυρα άνοιξε το χίλια εννιακόσια τριάντα ένα και είναι η παλαιότερη.", "iso8859-7"),
            ("橋は千九百三十一年に開通しました。長さは四百二十メートルで、この地方で最も古い橋です。", "shift_jis"),
            ("橋は千九百三十一年に開通しました。長さは四百二十メートルで、この地方で最も古い橋です。", "euc_jp"),
            ("这座桥于一九三一年开通，长四百二十米，是该地区最古老的桥梁。", "gb18030"),
            ("다리는 천구백삼십일년에 개통되었습니다. 길이는 사백이십 미터입니다.", "euc_kr"),
            ("הגשר נפתח בשנת אלף תשע מאות שלושים ואחת. הוא העתיק באזור.", "cp1255"),
            ("Größere Brücken führen über Flüsse; schöne Grüße aus Köln für Jürgen, Käthe und Jörg – 3 €.", "cp1252"),
            (
                "El señor Núñez cruzó el puente por la mañana; ¿cuándo volverá? ¡Mañana, según él!",
                "cp1252",
            ),
            ("Le pont très élégant fut ouvert à côté de l’église où l’été a été fêté. Ça coûte trois €.", "cp1252"),
        ],
    )
    async def test_what_states_none_is_guessed(self, server: Server, text: str, encoding: str) -> None:
        body = f"<html><body><p>{text}</p><p>{text}</p></body></html>".encode(encoding)
        assert (await one(server.page("/a", body, HTML)))["markdown"] == f"{text}\n\n{text}"


@pytest.mark.usefixtures("needs_pdfium")
class TestPdf:
    @pytest.mark.parametrize("kind", ["application/pdf", "application/octet-stream"])
    async def test_its_text_is_read(self, server: Server, kind: str) -> None:
        page = await one(server.page("/a", pdf("Whales of the north"), f"Content-Type: {kind}"))
        assert page["markdown"] == "Whales of the north"
        assert page["error"] is None

    @pytest.mark.parametrize(
        ("data", "why"),
        [(pdf("x", encrypted=True), "is encrypted"), (b"%PDF-1.7 nothing", "is broken"), (pdf(""), "pictures of text")],
    )
    async def test_one_that_cannot_be_read_is_said(self, server: Server, data: bytes, why: str) -> None:
        with pytest.raises(ToolError, match=why):
            await one(server.page("/a", data, "Content-Type: application/pdf"))

    async def test_a_scan_is_kept_so_that_its_pages_can_be_looked_at(
        self, server: Server, context: ToolContext
    ) -> None:
        url = server.page("/a", pdf("", pages=2), "Content-Type: application/pdf")
        allowed = replace(context, settings=Settings(allow_hosts=("127.0.0.1",)))
        with using_tool_context(allowed), pytest.raises(ToolError, match="pictures of text only, on 2 pages") as caught:
            await fetch_page.ainvoke({"urls": url})

        (kept,) = (context.workspace / ".openmanus" / "outputs").iterdir()
        assert kept.read_bytes() == pdf("", pages=2)
        assert caught.value.hint == (
            f"Look at a page with `view_image`, path '.openmanus/outputs/{kept.name}' and `page`."
        )

    async def test_a_part_of_one_is_not_taken_for_it(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("openmanus_graph.tools.web.download.MAX_PDF_BYTES", 100)
        with pytest.raises(ToolError, match="is read whole or not at all"):
            await one(server.page("/a", pdf("Whales"), "Content-Type: application/pdf"))

    async def test_what_ends_the_reader_costs_the_page(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        ending = tmp_path / "pdf_worker.py"
        ending.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
        monkeypatch.setattr("openmanus_graph.sandbox.pdf.program_of", lambda _, name: (tmp_path / name).read_text())
        with pytest.raises(ToolError, match="is broken and cannot be read"):
            await one(server.page("/a", pdf("Whales"), "Content-Type: application/pdf"))

    async def test_the_reader_is_confined(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_text("hidden")
        looking = f"import json, os, socket\nopen({str(secret)!r}).read()"
        (tmp_path / "pdf_worker.py").write_text(looking)
        monkeypatch.setattr("openmanus_graph.sandbox.pdf.program_of", lambda _, name: (tmp_path / name).read_text())
        with pytest.raises(ToolError, match="is broken and cannot be read"):
            await one(server.page("/a", pdf("Whales"), "Content-Type: application/pdf"))
        (tmp_path / "pdf_worker.py").write_text(
            "import json, os\n"
            f"print(json.dumps({{'pages': [str(os.path.exists({str(secret)!r})), *sorted(os.environ)], 'beyond': 0}}))"
        )
        page = await one(server.page("/a", pdf("Whales"), "Content-Type: application/pdf"))
        assert page["markdown"].split("\n\n")[0] == "False"
        assert not {name for name in page["markdown"].split("\n\n") if "KEY" in name or "HOME_" in name}


class TestTransfer:
    @pytest.mark.parametrize(
        ("encoding", "body"),
        [
            ("gzip", gzip.compress(b"<p>packed", mtime=0)),
            ("deflate", zlib.compress(b"<p>packed")),
            ("deflate", zlib.compress(b"<p>packed")[2:-4]),
        ],
    )
    async def test_packed(self, server: Server, encoding: str, body: bytes) -> None:
        url = server.page("/a", body, HTML, f"Content-Encoding: {encoding}")
        assert (await one(url))["markdown"] == "packed"

    async def test_bomb_is_cut(self, server: Server) -> None:
        bomb = gzip.compress(b"<p>" + b"x" * 200_000_000, 1)
        page = await one(server.page("/a", bomb, HTML, "Content-Encoding: gzip"))
        assert page["truncated"] is True
        assert len(page["markdown"]) == 5 * 2**20 - 3

    async def test_endless_body_is_cut(self, server: Server) -> None:
        sent = 0

        async def endless(path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                sent += 65536
                await writer.drain()

        server.answers["/a"] = endless
        page = await one(f"{server.url}/a")
        assert page["truncated"] is True
        assert len(page["markdown"]) == 5 * 2**20
        assert sent < 30 * 2**20

    async def test_slow_body_ends_in_time(self, server: Server) -> None:
        async def slow(path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)

        server.answers["/slow"] = slow
        good = server.page("/good", b"<p>good", HTML)
        started = time.monotonic()
        pages = (await fetch([f"{server.url}/slow", good], ("127.0.0.1",), timeout=0.5))["pages"]
        assert time.monotonic() - started < 3
        assert "within 0.5 s" in pages[0]["error"]
        assert pages[1]["markdown"] == "good"

    async def test_broken_answers(self, server: Server) -> None:
        server.answers["/a"] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n<p>x"
        with pytest.raises(ToolError, match="broke off"):
            await one(f"{server.url}/a")
        server.answers["/b"] = b"SSH-2.0-x\r\n\r\n"
        with pytest.raises(ToolError, match="does not speak HTTP"):
            await one(f"{server.url}/b")
        with pytest.raises(ToolError, match="broke off"):
            await one(server.page("/c", b"not packed", HTML, "Content-Encoding: gzip"))


class TestRedirects:
    async def test_followed_to_the_end(self, server: Server) -> None:
        server.page("/a", b"", "Location: b/?x#f", status="302 Found")
        server.page("/b/?x", b"", "Location: ../c", status="301 Moved Permanently")
        server.page("/c", b"<p><a href=d>d</a>", HTML)
        page = await one(f"{server.url}/a")
        assert page["url"] == f"{server.url}/c"
        assert page["links"] == [{"text": "d", "url": f"{server.url}/d"}]

    async def test_a_circle_ends(self, server: Server) -> None:
        with pytest.raises(ToolError, match="more than 10 times"):
            await one(server.page("/a", b"", "Location: /a", status="302 Found"))
        assert len(server.requests) == 11

    async def test_to_a_refused_address(self, server: Server, inner: Server) -> None:
        secret = inner.page("/secret", b"<p>secret", HTML)
        with pytest.raises(AddressRefusedError, match="loopback address"):
            await one(
                server.page("/a", b"", f"Location: {secret}", status="302 Found"),
                allow=f"127.0.0.1:{server.port}",
            )
        assert (len(server.requests), inner.connections) == (1, 0)

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "http://[::1/"])
    async def test_to_something_else(self, server: Server, target: str) -> None:
        with pytest.raises(ToolError):
            await one(server.page("/a", b"", f"Location: {target}", status="302 Found"))


class TestGuard:
    async def test_refused_without_a_connection(self, server: Server) -> None:
        for host in ("127.0.0.1", "localhost", "127.1"):
            with pytest.raises(AddressRefusedError, match="OPENMANUS_GRAPH_ALLOW_HOSTS"):
                await one(f"http://{host}:{server.port}/", allow="elsewhere")
        assert server.connections == 0

    async def test_connects_to_the_address_that_was_checked(self, server: Server) -> None:
        """A name that points elsewhere the second time it is asked for gains nothing by it."""
        answers = iter([["127.0.0.1"], ["127.0.0.2"]])
        asked: list[str] = []

        async def rebinding(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return next(answers)

        server.page("/", b"<p>checked", HTML)
        page = await one(f"http://name.test:{server.port}/", allow="name.test", resolver=rebinding)
        assert page["markdown"] == "checked"
        assert asked == ["name.test"]
        assert server.requests[0][1]["host"] == f"name.test:{server.port}"

    async def test_rebinding_between_redirects_is_refused(self, server: Server) -> None:
        answers = {"first.test": "127.0.0.1", "second.test": "127.0.0.1"}

        async def resolver(host: str, port: int) -> Sequence[str]:
            return [answers[host]]

        target = f"Location: http://second.test:{server.port}/"
        server.page("/", b"", target, status="302 Found")
        with pytest.raises(AddressRefusedError, match="second"):
            await one(f"http://first.test:{server.port}/", allow="first.test", resolver=resolver)
        assert len(server.requests) == 1

    async def test_tls_is_for_the_name(self) -> None:
        hello = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            hello.set_result(await reader.read(4096))
            writer.close()

        async def resolver(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.1"]

        running = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = running.sockets[0].getsockname()[1]
        with pytest.raises(ToolError, match=r"'name\.test' cannot be reached"):
            await one(f"https://name.test:{port}/", allow="name.test", resolver=resolver)
        assert b"name.test" in await hello
        running.close()

    async def test_next_address_when_one_is_dead(self, server: Server) -> None:
        async def resolver(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.3", "127.0.0.1"]

        server.page("/", b"<p>alive", HTML)
        page = await one(f"http://name.test:{server.port}/", allow="name.test", resolver=resolver)
        assert page["markdown"] == "alive"

    async def test_passwords_are_neither_sent_nor_shown(self, server: Server) -> None:
        with pytest.raises(ToolError) as caught:
            await one(f"http://user:hunter2@127.0.0.1:{server.port}/")
        assert "hunter2" not in str(caught.value)
        assert server.connections == 0

    async def test_no_proxy_from_the_environment(
        self, server: Server, inner: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", inner.url)
        monkeypatch.setenv("ALL_PROXY", inner.url)
        assert (await one(server.page("/", b"<p>direct", HTML)))["markdown"] == "direct"
        assert inner.connections == 0
