"""Request: one HTTP request with a credential by name, sent through the guard, and its answer as a tool's output."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import loads
from typing import Any, cast

import httpx2

from openmanus_graph.context import ToolContext
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.plans.output_shape import ANY, TEXT, Shape
from openmanus_graph.tools.web.charset import page_text
from openmanus_graph.tools.web.credential import Credential
from openmanus_graph.tools.web.download import BrokenAnswerError, Download, Downloader, checked_url, without_password
from openmanus_graph.tools.web.markup import names

READING: tuple[str, ...] = ("GET", "HEAD")
"""Methods that only read: no body, no idempotency key, redirects followed, and no question asked by default."""
RETURNS: dict[str, Shape] = {
    "status": TEXT,
    "headers": ANY,
    "json": ANY,
    "text": TEXT,
    "truncated": TEXT,
    "error": TEXT,
}
"""The fields of an answer."""
FREE_TEXT = ("headers", "json", "text", "error")
"""Those with words of the server."""
OURS = names(
    "host connection content-length transfer-encoding accept-encoding te trailer upgrade expect keep-alive "
    "proxy-authorization proxy-connection x-http-method x-http-method-override x-method-override"
)
"""Fields that would change what is sent, where to, or what a policy has seen."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_HIDDEN = names(
    "set-cookie set-cookie2 cookie authorization proxy-authorization authentication-info proxy-authentication-info "
    "x-api-key x-auth-token x-amz-security-token"
)
"""Fields of answers that hold secrets."""
_ELSEWHERE = frozenset({"authorization", "cookie", "x-api-key", "x-auth-token"})
"""Fields of requests that do not follow a redirect to another host."""
_TEXTUAL = ("json", "xml", "javascript", "yaml", "toml", "x-www-form-urlencoded", "graphql")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class HttpRequest:
    """A request as it is to be sent."""

    method: str
    """The method, in capital letters."""
    url: str
    """The address with its query, without a secret."""
    fields: Mapping[str, str]
    """Header fields as `header_fields` gives them."""
    content: bytes | None = None
    """The body."""
    credential: str | None = None
    """Name of a credential of the settings to send."""
    timeout_s: float = 30.0
    """Seconds it may take."""

    @property
    def reads(self) -> bool:
        """Whether it only reads."""
        return self.method in READING


def header_fields(given: Mapping[str, str]) -> dict[str, str]:
    """Header fields as they can be sent, names in small letters.

    Raises:
        ToolArgumentsError: If one cannot be sent, is given twice, or follows from the rest of a request.
    """
    fields: dict[str, str] = {}
    for name, value in given.items():
        lower = name.lower()
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ToolArgumentsError(f"The header field {name!r} cannot be sent as {value!r}.")
        if lower in OURS:
            raise ToolArgumentsError(
                f"The header field {name!r} cannot be given.",
                hint="It follows from the method, the address or the body.",
            )
        if lower in fields:
            raise ToolArgumentsError(f"The header field {name!r} is given twice.")
        fields[lower] = value.strip()
    return fields


async def send_request(request: HttpRequest, context: ToolContext) -> dict[str, Any]:
    """Send a request; the answer in the shape of `RETURNS`.

    Args:
        request: What to send.
        context: The call on whose behalf it is done.

    Raises:
        AddressRefusedError: If it leads to an address that tools may not reach.
        ToolArgumentsError: If the request cannot be sent so.
        ToolError: If nothing was changed, because the host cannot be reached or the request only reads.
        ConnectionError: If it is unknown what the request did, because its answer broke off.
        TimeoutError: If it is unknown what the request did, because it took too long.
    """
    url = checked_url(request.url)
    secret = None if request.credential is None else Credential(request.credential, context.settings)
    if secret is not None and (why := secret.refusal(url)) is not None:
        raise ToolArgumentsError(why, hint="The user can add the host to the credential's 'hosts'.")
    address = str(url) if secret is None else secret.address_for(request.url)
    shown = without_password(request.url)
    context.report(f"{request.method} {shown}")
    downloader = Downloader(context.settings.allow_hosts)
    try:
        async with asyncio.timeout(request.timeout_s):
            headers = _headers_for(request, url, secret, context.idempotency_key)
            answer = await downloader.request(request.method, address, headers, request.content)
    except ToolError as error:
        raise _shown_error(error, request, secret) from None
    except TimeoutError:
        late = f"The request to {shown!r} did not end within {request.timeout_s:g} s."
        if request.reads:
            raise ToolError(late) from None
        raise TimeoutError(late) from None
    finally:
        await downloader.aclose()
    return await asyncio.to_thread(_output, answer, secret)


def _headers_for(
    request: HttpRequest, url: httpx2.URL, secret: Credential | None, key: str | None
) -> Callable[[httpx2.URL], Mapping[str, str]]:
    """The header fields for one hop, by its address."""
    fields = {"accept": "application/json, */*;q=0.5", **request.fields}
    if not request.reads and key is not None:
        fields.setdefault("idempotency-key", key)

    def headers_for(hop: httpx2.URL) -> Mapping[str, str]:
        same = (hop.scheme, hop.netloc) == (url.scheme, url.netloc)
        kept = fields if same else {name: value for name, value in fields.items() if name not in _ELSEWHERE}
        own = {} if secret is None else secret.fields_for(hop)
        if "cookie" in own and "cookie" in kept:
            own = {"cookie": f"{kept['cookie']}; {own['cookie']}"}
        return {**kept, **own}

    return headers_for


def _shown_error(error: ToolError, request: HttpRequest, secret: Credential | None) -> Exception:
    """The error without the secret; as a `ConnectionError` where the request's outcome is unknown."""
    message = error.message if secret is None else secret.hidden(error.message)
    if isinstance(error, BrokenAnswerError) and not request.reads:
        return ConnectionError(message)
    return type(error)(message, hint=error.hint)


def _output(answer: Download, secret: Credential | None) -> dict[str, Any]:
    def clean(text: str) -> str:
        text = _UNSTORABLE.sub("\ufffd", text)
        return text if secret is None else secret.hidden(text)

    headers: dict[str, str] = {}
    for name, value in answer.headers:
        if name not in _HIDDEN:
            headers[name] = f"{headers[name]}, {clean(value)}" if name in headers else clean(value)
    text, parsed = _body(answer), None
    if text is not None and answer.content_type.endswith("json") and not answer.truncated:
        parsed = _plain(_parsed(text), clean)
    error = None
    if answer.status >= 400:
        error = f"The server answered {answer.status} {answer.reason}."
    elif answer.status in (301, 307, 308):
        error = f"The server answered {answer.status} {answer.reason} and did nothing: ask at 'location' instead."
    if text is None:
        text = f"[{answer.content_type or 'binary'}, {len(answer.body):,} bytes, not shown]"
    return {
        "status": answer.status,
        "headers": headers,
        "json": parsed,
        "text": clean(text) if parsed is None else "",
        "truncated": answer.truncated,
        "error": error,
    }


def _body(answer: Download) -> str | None:
    kind = answer.content_type
    textual = not kind or kind.startswith("text/") or any(part in kind for part in _TEXTUAL)
    if not textual or (b"\0" in answer.body and not (answer.charset or "").startswith("utf-16")):
        return None
    return page_text(answer.body, answer.charset)


def _parsed(text: str) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return None


def _plain(value: Any, clean: Callable[[str], str]) -> Any:
    """A parsed value that a checkpoint can hold: texts cleaned, numbers that do not fit as text."""
    if isinstance(value, dict):
        return {clean(key): _plain(item, clean) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(item, clean) for item in cast("list[Any]", value)]
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return str(value)
    return value
