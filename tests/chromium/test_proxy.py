"""The proxy: it connects to what it has checked, one request a connection, and reads requests in one way only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest

from openmanus_graph.errors import AddressRefusedError
from openmanus_graph.tools.web import proxy as proxy_module
from openmanus_graph.tools.web.address import Resolver, resolve
from openmanus_graph.tools.web.proxy import SAID_BY_PROXY, Proxy
from tests.chromium.canary import Canary
from tests.chromium.site import Answer, Asked, Site


class Looked:
    """Resolves one name, and remembers how often it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        if host != "named.test":
            return await resolve(host, port)
        self.asked += 1
        return self.addresses


@asynccontextmanager
async def serving(*allowed: str, resolver: Resolver = resolve, not_asked: Sequence[str] = ()) -> AsyncIterator[Proxy]:
    """A proxy on loopback; `proxy.port` is where."""
    proxy = Proxy(tuple(allowed), resolver=resolver, not_asked=not_asked)
    listener = socket.create_server(("127.0.0.1", 0))
    proxy.port = listener.getsockname()[1]  # type: ignore[attr-defined]
    await proxy.serve(listener)
    yield proxy
    await proxy.aclose()


@asynccontextmanager
async def client_of(proxy: Proxy) -> AsyncIterator[httpx.AsyncClient]:
    address = f"http://127.0.0.1:{proxy.port}"  # type: ignore[attr-defined]
    async with httpx.AsyncClient(proxy=address, trust_env=False) as client:
        yield client


@asynccontextmanager
async def site_of(pages: dict[str, object]) -> AsyncIterator[Site]:
    site = Site(pages)  # type: ignore[arg-type]
    await site.start()
    yield site
    site.stop()


async def said(proxy: Proxy, data: bytes) -> bytes:
    """All that the proxy answers to these bytes."""
    port: int = proxy.port  # type: ignore[attr-defined]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return answer


def echo(asked: Asked) -> Answer:
    return Answer(f"{asked.method} {asked.path} {asked.body.decode()}", headers=[(SAID_BY_PROXY, "lies")])


async def test_requests_and_answers_go_through() -> None:
    async with site_of({"/echo": echo}) as site, serving(site.host) as proxy, client_of(proxy) as client:
        got = await client.get(f"{site.url}/echo?a=|b")
        posted = await client.post(f"{site.url}/echo", content=b"x" * 200_000, headers={"Connection": "x-gone, close"})
    assert got.text == "GET /echo "
    assert got.headers["connection"] == "close"
    assert SAID_BY_PROXY not in got.headers
    assert posted.text == "POST /echo " + "x" * 200_000
    assert site.asked[0].headers["host"] == site.host
    assert not [name for name in site.asked[0].headers if name.startswith("proxy-")]


async def test_a_body_in_pieces_goes_through() -> None:
    received = bytearray()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not received.endswith(b"0\r\n\r\n"):
            received.extend(await reader.read(1000))
        writer.write(
            b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        writer.write(b"2\r\nok\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"abc", b"d" * 70_000):
            yield piece

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    host = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with serving(host) as proxy, client_of(proxy) as client:
        answer = await client.post(f"http://{host}/", content=pieces())
    listening.close()
    assert answer.text == "ok"
    assert b"\r\n\r\n3\r\nabc\r\n11170\r\nd" in received


async def test_a_tunnel_carries_both_ways() -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with serving(f"127.0.0.1:{port}") as proxy:
        own: int = proxy.port  # type: ignore[attr-defined]
        reader, writer = await asyncio.open_connection("127.0.0.1", own)
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"hello")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 30) == b"HELLO"
        writer.close()
    listening.close()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "0.0.0.0", "[::1]",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "10.0.0.1", "192.168.0.1", "169.254.169.254", "[fd00:ec2::254]",
        "[fe80::1]", "100.100.100.200", "168.63.129.16", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]", "named.test",
    ],
)  # fmt: skip
async def test_addresses_inside_are_refused_in_every_notation(host: str) -> None:
    canary = Canary()
    await canary.listen(["x"])
    port = canary.ports["x"]
    async with serving("127.0.0.1:1", resolver=Looked("93.184.216.34", "127.0.0.1")) as proxy:
        plain = await said(proxy, f"GET http://{host}:{port}/ HTTP/1.1\r\nHost: example.com\r\n\r\n".encode())
        tunnel = await said(proxy, f"CONNECT {host}:{port} HTTP/1.1\r\nHost: example.com\r\n\r\n".encode())
        problem = proxy.problem_of(host.strip("[]"), port)
    canary.close()
    assert plain.startswith(b"HTTP/1.1 403 ")
    assert tunnel.startswith(b"HTTP/1.1 403 ")
    assert b"loopback" not in plain + tunnel
    assert isinstance(problem, AddressRefusedError)
    assert not canary.heard


@pytest.mark.parametrize("host", ["0177.0.0.1", "LOCALHOST.", "127.0.0.1.", "%31%32%37.0.0.1", "１２７.0.0.1"])
async def test_odd_spellings_reach_nothing(host: str) -> None:
    canary = Canary()
    await canary.listen(["x"])
    port = canary.ports["x"]
    async with serving("127.0.0.1:1") as proxy:
        for request in (f"GET http://{host}:{port}/ HTTP/1.1", f"CONNECT {host}:{port} HTTP/1.1"):
            answer = await said(proxy, f"{request}\r\nHost: example.com\r\n\r\n".encode())
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 403 ", b"HTTP/1.1 502 "))
    canary.close()
    assert not canary.heard


async def test_the_very_address_that_was_checked_is_connected_to() -> None:
    looked = Looked("127.0.0.1")
    async with site_of({"/": "hi"}) as site, client_in(site, looked) as (proxy, client):
        first = await client.get(f"http://named.test:{site.port}/")
        looked.addresses = ["169.254.169.254"]  # the name leads elsewhere now, and is judged anew
        proxy._allow_hosts = ()
        second = await client.get(f"http://named.test:{site.port}/")
    assert (first.status_code, second.status_code) == (200, 403)
    assert looked.asked == 2
    assert site.asked[0].headers["host"] == f"named.test:{site.port}"
    assert len(site.asked) == 1


@asynccontextmanager
async def client_in(site: Site, resolver: Resolver) -> AsyncIterator[tuple[Proxy, httpx.AsyncClient]]:
    async with serving(f"named.test:{site.port}", resolver=resolver) as proxy, client_of(proxy) as client:
        yield proxy, client


async def test_a_second_request_on_a_connection_goes_nowhere() -> None:
    async with site_of({"/": "one"}) as site, serving(site.host) as proxy:
        request = f"GET http://{site.host}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        answer = await said(proxy, request + f"GET http://{site.host}/two HTTP/1.1\r\nHost: y\r\n\r\n".encode())
    assert answer.endswith(b"one")
    assert [asked.path for asked in site.asked] == ["/"]


@pytest.mark.parametrize(
    "text",
    [
        "GET / HTTP/1.1\r\nHost: $H",
        "GET https://$H/ HTTP/1.1",
        "GET http://a:b@$H/ HTTP/1.1",
        "GET http://$H/ HTTP/2",
        "get http://$H/ HTTP/1.1",
        "GET http://$H/ x HTTP/1.1",
        "GET http://$H\\x/ HTTP/1.1",
        "CONNECT $H/x HTTP/1.1",
        "CONNECT 127.0.0.1 HTTP/1.1",
        "CONNECT a@$H HTTP/1.1",
        "POST http://$H/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
        "POST http://$H/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        "POST http://$H/ HTTP/1.1\r\nContent-Length: +1",
        "POST http://$H/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
        "POST http://$H/ HTTP/1.1\r\nA: b\r\n c: d",
        "POST http://$H/ HTTP/1.1\r\nA : b",
        "POST http://$H/ HTTP/1.1\r\nA: b\x00",
        f"GET http://$H/ HTTP/1.1\r\nA: {'b' * 70_000}",
    ],
)
async def test_what_can_be_read_in_two_ways_is_refused(text: str) -> None:
    async with site_of({"/": "hi"}) as site, serving(site.host) as proxy:
        answer = await said(proxy, f"{text.replace('$H', site.host)}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not site.asked


@pytest.mark.parametrize("first", ["HTTP/1.1 407 Say who", "HTTP/1.1 101 Other", "SSH-2.0-x", "HTTP/1.1 abc"])
async def test_answers_that_speak_of_another_protocol_are_not_passed_on(first: str) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"{first}\r\nProxy-Authenticate: Basic realm=x\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    host = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with serving(host) as proxy:
        answer = await said(proxy, f"GET http://{host}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    listening.close()
    assert answer.startswith(b"HTTP/1.1 502 ")


async def test_a_client_that_goes_away_lets_the_server_go() -> None:
    ended = asyncio.Event()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()
        writer.close()

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    host = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with serving(host) as proxy:
        own: int = proxy.port  # type: ignore[attr-defined]
        _, writer = await asyncio.open_connection("127.0.0.1", own)
        writer.write(f"GET http://{host}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await asyncio.wait_for(ended.wait(), 30)
    listening.close()


async def test_a_tunnel_whose_client_is_gone_ends_though_the_server_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "HALF_CLOSED_SECONDS", 5)
    ended = asyncio.Event()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1):
            continue
        for _ in range(4):  # it may still say something for longer than it may be silent
            await asyncio.sleep(2)
            writer.write(b"late")
            await writer.drain()
        await ended.wait()
        writer.close()

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with serving("127.0.0.1") as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)  # type: ignore[attr-defined]
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        async with asyncio.timeout(60):
            assert await reader.read() == b"late" * 4
        writer.close()
    ended.set()
    listening.close()


async def test_what_cannot_be_reached_and_what_is_not_asked_say_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with serving(f"127.0.0.1:{port}", not_asked=("update.example",)) as proxy:
        nobody = await said(proxy, f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
        own = await said(proxy, b"CONNECT update.example:443 HTTP/1.1\r\n\r\n")
        problem = proxy.problem_of("127.0.0.1", port)
    assert nobody.startswith(b"HTTP/1.1 502 ")
    assert own.startswith(b"HTTP/1.1 403 ")
    assert problem is not None
    assert "cannot be reached" in problem.message
