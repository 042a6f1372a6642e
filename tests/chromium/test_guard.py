"""The browser reaches nothing that tools must not reach, whatever a page does."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha1
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Error, async_playwright

from openmanus_graph.config.settings import Settings
from openmanus_graph.tools.browser import process
from openmanus_graph.tools.browser.confinement import PRIVACY_FLAGS, Chromium, proxy_flags
from openmanus_graph.tools.browser.process import BrowserProcess
from openmanus_graph.tools.web.proxy import Proxy
from tests.chromium.canary import Canary
from tests.chromium.conftest import two_names
from tests.chromium.site import Answer, Site
from tests.chromium.table import open_table
from tests.chromium.ways import WAYS, Way

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("chromium")]

HEARD_BY_AN_UNGUARDED_CANARY = 100
"""Ways of the table that must reach the canary where nothing guards it, or the table proves nothing."""
RTC = {name: WAYS[name] for name in ("stun", "turn", "rtc candidate")}
DIRECT = {name: WAYS[name] for name in ("img", "fetch", "websocket", "form post", "redirect")}
SCHEMES = ("file:///etc/hostname", "view-source:$U", "ftp://127.0.0.1/", "devtools://devtools/bundled/inspector.html")
WRITTEN = ("file:///etc/hostname", "chrome://version", "chrome://settings", "view-source:$U", "devtools://devtools/x")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def confined(site: Site) -> AsyncIterator[BrowserProcess]:
    """A confined Chromium, which may reach the site."""
    opened = await BrowserProcess.open(Settings(allow_hosts=(site.host, "site.test")), resolver=two_names)
    yield opened
    await opened.aclose()


@asynccontextmanager
async def plain_chromium(program: Path, *flags: str) -> AsyncIterator[BrowserContext]:
    """A Chromium with nothing around it but these flags."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(program), args=["--disable-gpu", *flags])
        yield await browser.new_context()
        await browser.close()


@asynccontextmanager
async def proxy_on_loopback(site: Site) -> AsyncIterator[int]:
    """The proxy on a port of loopback, as it would be without a network namespace."""
    proxy = Proxy((site.host,), resolver=two_names)
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    await proxy.serve(listener)
    yield port
    await proxy.aclose()


async def test_no_way_reaches_the_canary(confined: BrowserProcess, site: Site, canary: Canary) -> None:
    canary.forget()
    context = await confined.browser.new_context()
    await open_table(context, site, canary, WAYS)
    await context.close()
    print(f"{len(WAYS)} ways, {confined.proxy.requests} requests to the proxy, {sum(canary.heard.values())} packets")
    assert not canary.heard
    assert len(site.requests("/frames")) == 1
    assert confined.proxy.problem_of("127.0.0.1", canary.ports["img"]) is not None


async def test_unguarded_ways_reach_the_canary(chromium: Chromium, site: Site, canary: Canary) -> None:
    canary.forget()
    async with plain_chromium(chromium.program) as context:
        await open_table(context, site, canary, WAYS)
    print(f"{len(canary.heard)} of {len(WAYS)} ways reach an unguarded canary, {sum(canary.heard.values())} packets")
    assert len(canary.heard) >= HEARD_BY_AN_UNGUARDED_CANARY


@pytest.mark.parametrize(
    ("missing", "ways"),
    [(None, {**RTC, **DIRECT}), ("--proxy-server", DIRECT), ("--proxy-bypass-list", DIRECT), ("--webrtc", RTC)],
    ids=["all", "proxy", "bypass", "webrtc"],
)
async def test_flags_guard_by_themselves_and_each_is_needed(
    missing: str | None, ways: Mapping[str, Way], chromium: Chromium, site: Site, canary: Canary
) -> None:
    canary.forget()
    async with proxy_on_loopback(site) as port:
        flags = [flag for flag in (*proxy_flags(port), *PRIVACY_FLAGS) if not (missing and flag.startswith(missing))]
        async with plain_chromium(chromium.program, *flags) as context:
            await open_table(context, site, canary, ways, one_is_enough=True)
    assert bool(canary.heard) == (missing is not None)


async def test_namespace_guards_by_itself(site: Site, canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    canary.forget()
    monkeypatch.setattr(process, "PRIVACY_FLAGS", ())
    monkeypatch.setattr(process, "proxy_flags", lambda: ())
    opened = await BrowserProcess.open(Settings(allow_hosts=(site.host,)))
    try:
        context = await opened.browser.new_context()
        page = await context.new_page()
        await canary.listen(name for name in {**RTC, **DIRECT} if name not in canary.ports)
        for name, way in {**RTC, **DIRECT}.items():
            port = canary.ports[name]
            text = way.html.replace("$U", f"http://127.0.0.1:{port}/x").replace("$H", f"127.0.0.1:{port}")
            await page.set_content(text.replace("$P", str(port)), wait_until="commit")
            await page.wait_for_timeout(300)
    finally:
        await opened.aclose()
    assert not canary.heard


@pytest.mark.parametrize("flag", [*proxy_flags(), *PRIVACY_FLAGS])
async def test_chromium_runs_with_the_flag(flag: str, confined: BrowserProcess) -> None:
    commands = [path.read_bytes().split(b"\0") for path in Path("/proc").glob("[0-9]*/cmdline") if _readable(path)]
    inside = [command for command in commands if b"--user-data-dir=/tmp/profile" in command]
    assert confined.alive
    assert any(flag.encode() in command and b"--type=renderer" not in command for command in inside)


def _readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("address", SCHEMES)
async def test_other_schemes_are_refused_inside(address: str, confined: BrowserProcess, site: Site) -> None:
    context = await confined.browser.new_context()
    page = await context.new_page()
    with pytest.raises(Error, match="ERR_BLOCKED_BY_ADMINISTRATOR"):
        await page.goto(address.replace("$U", site.url))
    await context.close()


@pytest.mark.parametrize("address", WRITTEN)
async def test_pages_cannot_go_to_other_schemes(address: str, confined: BrowserProcess, site: Site) -> None:
    target = address.replace("$U", site.url)
    site.pages["/leaves"] = f"<p>here</p><a id=a href='{target}'>x</a><iframe id=f src='{target}'></iframe>"
    context = await confined.browser.new_context()
    page = await context.new_page()
    await page.goto(f"{site.url}/leaves")
    await page.evaluate(f"() => {{ a.click(); window.open('{target}'); setTimeout(() => location = '{target}'); }}")
    await page.wait_for_timeout(300)
    assert page.url in (f"{site.url}/leaves", "chrome-error://chromewebdata/")
    shown = [frame.url for tab in context.pages for frame in tab.frames]
    assert not [url for url in shown if url.startswith(target.partition(":")[0] + ":")]
    await context.close()


async def test_a_pdf_is_downloaded_instead_of_shown(confined: BrowserProcess, site: Site) -> None:
    site.pages["/a.pdf"] = Answer(b"%PDF-1.4 something", kind="application/pdf")
    context = await confined.browser.new_context()
    page = await context.new_page()
    async with page.expect_download() as waiting:
        with pytest.raises(Error, match="Download is starting"):
            await page.goto(f"{site.url}/a.pdf")
    assert (await (await waiting.value).path()).read_bytes() == b"%PDF-1.4 something"
    await context.close()


async def test_names_and_redirects_are_judged_by_where_they_lead(confined: BrowserProcess, site: Site) -> None:
    other = Site({"/secret": "secret"})
    await other.start()
    site.pages["/leads"] = Answer("", 302, [("Location", f"{other.url}/secret")])
    context = await confined.browser.new_context()
    page = await context.new_page()
    for address in (f"{site.url}/leads", f"http://inside.test:{other.port}/secret", f"{other.url}/secret"):
        answer = await page.goto(address)
        assert answer is not None
        assert answer.status == 403
    other.stop()
    assert not other.asked
    problem = confined.proxy.problem_of("inside.test", other.port)
    assert problem is not None
    assert "loopback" in problem.message
    assert "loopback" not in await page.content()
    await context.close()


async def test_a_websocket_goes_through_to_what_is_allowed(confined: BrowserProcess, site: Site) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(
            line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith("sec-websocket-key")
        )
        accept = b64encode(sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        writer.write(b"\x81\x02hi")
        await writer.drain()
        await reader.read(1)
        writer.close()

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    site.pages["/empty"] = ""
    context = await confined.browser.new_context()
    page = await context.new_page()
    await page.goto(f"http://site.test:{site.port}/empty")
    said = await page.evaluate(
        "port => new Promise(done => { const socket = new WebSocket(`ws://site.test:${port}/`);"
        " socket.onmessage = event => done(event.data); socket.onerror = () => done('refused'); })",
        port,
    )
    await context.close()
    listening.close()
    assert said == "hi"
