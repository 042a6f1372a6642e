"""Download: one HTTP resource, bounded in size, every hop of it checked before it is connected to."""

from __future__ import annotations

import re
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache

import httpx2

from openmanus_graph._version import __version__
from openmanus_graph.errors import ToolError
from openmanus_graph.tools.web.address import Resolver, permitted_addresses, resolve

MAX_BYTES = 5 * 2**20
"""Bytes of a decoded body that are kept."""
MAX_PDF_BYTES = 20 * 2**20
"""The same of a PDF or a file of an office program, of which a part is of no use."""
PDF = "application/pdf"
OFFICE = "application/vnd.openxmlformats-officedocument."
"""How the types of files of office programs begin."""
MAX_REDIRECTS = 10
"""Redirects followed."""
CONNECT_SECONDS = 5.0
"""Seconds given to each address of a host before the next one is tried."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ACCEPT = "text/html,application/xhtml+xml;q=0.9,text/markdown;q=0.9,text/plain;q=0.8,*/*;q=0.5"
_HEADERS = {
    "accept": _ACCEPT,
    "accept-encoding": "gzip, deflate",
    "accept-language": "en,*;q=0.5",
    "user-agent": f"openmanus-graph/{__version__}",
}


@dataclass(frozen=True)
class Download:
    """A server's answer."""

    url: str
    """Where the answer came from, after redirects."""
    status: int
    """The HTTP status code."""
    reason: str
    """What the code means."""
    content_type: str
    """The media type, in small letters; may be empty."""
    charset: str | None
    """The character set that the header states."""
    body: bytes
    """The decoded body, up to `MAX_BYTES`, or `MAX_PDF_BYTES` where a part is of no use."""
    truncated: bool
    """Whether the body was longer."""
    headers: tuple[tuple[str, str], ...] = ()
    """The header fields, names in small letters, in the server's order."""


class BrokenAnswerError(ToolError):
    """A request that was sent, and whose answer did not come in full."""


class Downloader:
    """Downloads over connections of its own: no proxy, no cookies, nothing shared between two requests."""

    def __init__(
        self, allow_hosts: tuple[str, ...], *, resolver: Resolver = resolve, most_bytes: int | None = None
    ) -> None:
        """Open nothing yet.

        Args:
            allow_hosts: Hosts that may be reached although their address is not public.
            resolver: How host names are resolved.
            most_bytes: Bytes of a body that are kept, where it is no PDF; `None` means `MAX_BYTES`.
        """
        self._allow_hosts = allow_hosts
        self._resolver = resolver
        self._most_bytes = MAX_BYTES if most_bytes is None else most_bytes
        # A connection kept alive belongs to an address, so it could serve another host of that address
        # whose certificate was never checked.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._transport = httpx2.AsyncHTTPTransport(verify=_tls(), trust_env=False, limits=limits)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def get(self, address: str, headers: Mapping[str, str] | None = None) -> Download:
        """Download `address`, following redirects; the caller limits the time.

        Raises:
            AddressRefusedError: If it, or where it leads, has an address that tools may not reach.
            ToolError: If it is no HTTP address, or no answer comes.
        """
        return await self.request("GET", address, lambda _: dict(headers or {}))

    async def request(
        self,
        method: str,
        address: str,
        headers: Callable[[httpx2.URL], Mapping[str, str]],
        content: bytes | None = None,
    ) -> Download:
        """Send a request; redirects are followed for GET and HEAD only. The caller limits the time.

        Args:
            method: The method, in capital letters.
            address: Where to.
            headers: The header fields for one hop, by its address: what is meant for one host goes to no other.
            content: The body.

        Raises:
            AddressRefusedError: If it, or where it leads, has an address that tools may not reach.
            BrokenAnswerError: If the request was sent, and no whole answer came.
            ToolError: If it is no HTTP address, or the host cannot be reached.
        """
        url = checked_url(address)
        follows = method in ("GET", "HEAD")
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send(method, url, headers(url), content)
            try:
                target = response.headers.get("location")
                if response.status_code not in _REDIRECTS or target is None or not follows:
                    return await _received(url, response, self._most_bytes, bodiless=method == "HEAD")
            finally:
                await response.aclose()
            url = _joined(url, target)
        raise ToolError(f"The page {address!r} redirects more than {MAX_REDIRECTS} times.")

    async def _send(
        self, method: str, url: httpx2.URL, headers: Mapping[str, str], content: bytes | None
    ) -> httpx2.Response:
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        host = url.raw_host.decode("ascii").strip("[]")
        found = await permitted_addresses(host, port, self._allow_hosts, self._resolver)
        failure: httpx2.ConnectError | httpx2.ConnectTimeout | None = None
        for address in found:
            # The address stands in the URL, so that nothing resolves the name again; the name goes into
            # the Host header and the TLS handshake, which checks the certificate against it.
            request = httpx2.Request(
                method,
                url.copy_with(host=address.partition("%")[0], fragment=None),
                headers={**_HEADERS, **headers, "host": url.netloc.decode("ascii")},
                content=content,
                extensions={"sni_hostname": host, "timeout": {"connect": CONNECT_SECONDS}},
            )
            try:
                return await self._transport.handle_async_request(request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise BrokenAnswerError(f"The host {host!r} does not speak HTTP properly: {error}.") from error
        raise ToolError(f"The host {host!r} cannot be reached: {failure or 'no answer'}.") from failure


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """What certificates are checked with, which takes longer to make than a request."""
    return httpx2.create_ssl_context()


def checked_url(address: str) -> httpx2.URL:
    """The address as a URL.

    Raises:
        ToolError: If it is not `http` or `https`, names no host, or holds a password.
    """
    try:
        url = httpx2.URL(address.strip())
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise ToolError(f"The address {without_password(address)!r} is not a URL: {error}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ToolError(
            f"The address {without_password(address)!r} is not an HTTP address.",
            hint="It begins with 'https://' or 'http://' and a host.",
        )
    if url.userinfo:
        raise ToolError(
            f"The address {without_password(address)!r} holds a user name or password, which is not sent.",
            hint="Leave it out of the address.",
        )
    return url


def without_password(address: str) -> str:
    """The address without user and password before the `@` of its host."""
    return re.sub(r"^(\s*[^/?#]*//)[^/?#]*@", r"\1", address)


def _joined(url: httpx2.URL, target: str) -> httpx2.URL:
    try:
        joined = str(url.join(target))
    except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
        raise ToolError(f"The page {str(url)!r} redirects to something that is not a URL.") from error
    return checked_url(joined)


async def _received(url: httpx2.URL, response: httpx2.Response, most: int, *, bodiless: bool) -> Download:
    header = Message()
    header["content-type"] = response.headers.get("content-type", "")
    kind = header.get_content_type() if "content-type" in response.headers else ""
    most = MAX_PDF_BYTES if kind == PDF or kind.startswith(OFFICE) else most
    body = bytearray()
    truncated = False
    try:
        async for piece in _decoded(response):
            if bodiless:  # a content encoding is stated, and nothing is there to decode
                continue
            body += piece
            if len(body) > most:
                del body[most:]
                truncated = True
                break
    except (httpx2.HTTPError, zlib.error) as error:
        raise BrokenAnswerError(f"The answer of {str(url)!r} broke off: {error}.") from error
    return Download(
        url=str(url),
        status=response.status_code,
        reason=httpx2.codes.get_reason_phrase(response.status_code),
        content_type=kind,
        charset=header.get_content_charset(),
        body=bytes(body),
        truncated=truncated,
        headers=tuple((name.lower(), value) for name, value in response.headers.multi_items()),
    )


async def _decoded(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The body without its content encoding, never more than `MAX_BYTES` at once: a bomb cannot unfold."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    stream = response.stream
    if not isinstance(stream, httpx2.AsyncByteStream):
        raise BrokenAnswerError("The answer has no stream.")
    if encoding in ("", "identity"):
        async for piece in stream:
            yield piece
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BrokenAnswerError(f"The answer has the content encoding {encoding!r}, which was not asked for.")
    unpacker = None
    async for piece in stream:
        if unpacker is None:
            # "deflate" should mean zlib's format, and some servers send the bare one.
            bare = encoding == "deflate" and piece[:1] and piece[0] & 0x0F != 8
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
        yield unpacker.decompress(piece, MAX_BYTES + 1)
        while unpacker.unconsumed_tail:
            yield unpacker.decompress(unpacker.unconsumed_tail, MAX_BYTES + 1)
