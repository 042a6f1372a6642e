"""Http_request: the tool that speaks to web services, with credentials by name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from json import dumps, loads
from typing import Any, Literal, cast

import httpx2
from pydantic import BaseModel, ConfigDict, Field, field_validator

from openmanus_graph.context import ToolContext, tool_context
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.plans.output_shape import ANY, TEXT
from openmanus_graph.tools.spec import ToolSpec, builtin_tool
from openmanus_graph.tools.web.address import Resolver, resolve
from openmanus_graph.tools.web.charset import page_text
from openmanus_graph.tools.web.credential import Credential
from openmanus_graph.tools.web.download import BrokenAnswerError, Download, Downloader, checked_url, without_password
from openmanus_graph.tools.web.markup import names

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
READING: tuple[str, ...] = ("GET", "HEAD")
"""Methods that only read: no body, no idempotency key, redirects followed, and no question asked by default."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OURS = names(
    "host connection content-length transfer-encoding accept-encoding te trailer upgrade expect keep-alive "
    "proxy-authorization proxy-connection x-http-method x-http-method-override x-method-override"
)
"""Fields that would change what is sent, where to, or what a policy has seen."""
_HIDDEN = names(
    "set-cookie set-cookie2 cookie authorization proxy-authorization authentication-info proxy-authentication-info "
    "x-api-key x-auth-token x-amz-security-token"
)
"""Fields of answers that hold secrets."""
_ELSEWHERE = frozenset({"authorization", "cookie", "x-api-key", "x-auth-token"})
"""Fields of requests that do not follow a redirect to another host."""
_TEXTUAL = ("json", "xml", "javascript", "yaml", "toml", "x-www-form-urlencoded", "graphql")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Scalar = str | int | float | bool


def _read_addresses(args: Mapping[str, Any], output: Any) -> list[str]:
    """The address, where its content was asked for."""
    del output
    return [str(args.get("url"))] if str(args.get("method")).strip().upper() == "GET" else []


_SPEC = ToolSpec(
    effect="external",
    on_request=True,
    reads_when=("method", ("get", "head")),
    checks_arguments=True,
    free_text=("headers", "json", "text", "error"),
    source=_read_addresses,
    returns={"status": TEXT, "headers": ANY, "json": ANY, "text": TEXT, "truncated": TEXT, "error": TEXT},
)


class RequestArguments(BaseModel):
    """A request."""

    model_config = ConfigDict(extra="forbid")

    method: Method = Field(description="The method.")
    url: str = Field(description="Address that begins with https:// or http://.")
    headers: dict[str, str] = Field(default_factory=dict[str, str], description="Header fields, without credentials.")
    query: dict[str, Scalar | list[Scalar] | None] = Field(
        default_factory=dict[str, Any], description="Parameters added to the address."
    )
    json_body: Any = Field(default=None, alias="json", description="Body to send as JSON.")
    body: str | None = Field(default=None, description="Body to send as text, in place of `json`.")
    credential: str | None = Field(default=None, description="Name of a credential of the settings to send.")
    timeout: float = Field(default=30, gt=0, le=600, description="Seconds it may take.")

    @field_validator("method", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return value.strip().upper() if isinstance(value, str) else value


# The schema as JSON: from the class itself LangChain would show models the field's own name in place of its alias.
@builtin_tool("http_request", RequestArguments.model_json_schema(), _SPEC)
async def http_request(**arguments: Any) -> dict[str, Any]:
    """Send an HTTP request to a web service.

    Returns {status, headers, json, text, truncated, error}: json if the answer is JSON, else text; error is null
    unless the status is 400 or more. A request that changes something carries an Idempotency-Key.
    """
    return await send(RequestArguments.model_validate(arguments), tool_context())


async def send(given: RequestArguments, context: ToolContext, *, resolver: Resolver = resolve) -> dict[str, Any]:
    """Send a request.

    Args:
        given: What to send.
        context: The call on whose behalf it is done.
        resolver: How host names are resolved.

    Raises:
        AddressRefusedError: If it leads to an address that tools may not reach.
        ToolArgumentsError: If the request cannot be sent so.
        ToolError: If nothing was changed, because the host cannot be reached or the request only reads.
        ConnectionError: If it is unknown what the request did, because its answer broke off.
        TimeoutError: If it is unknown what the request did, because it took too long.
    """
    url = _address(given)
    fields, content = _headers(given.headers), _content(given)
    secret = None if given.credential is None else Credential(given.credential, context.settings)
    if secret is not None and (why := secret.refusal(url)) is not None:
        raise ToolArgumentsError(why, hint="The user can add the host to the credential's 'hosts'.")
    if given.json_body is not None:
        fields.setdefault("content-type", "application/json")
    fields.setdefault("accept", "application/json, */*;q=0.5")
    if given.method not in READING and context.idempotency_key is not None:
        fields.setdefault("idempotency-key", context.idempotency_key)

    def headers_for(hop: httpx2.URL) -> Mapping[str, str]:
        same = (hop.scheme, hop.netloc) == (url.scheme, url.netloc)
        kept = fields if same else {name: value for name, value in fields.items() if name not in _ELSEWHERE}
        return {**kept, **(secret.header_for(hop) if secret is not None else {})}

    shown = without_password(given.url)
    context.report(f"{given.method} {shown}")
    downloader = Downloader(context.settings.allow_hosts, resolver=resolver)
    try:
        async with asyncio.timeout(given.timeout):
            answer = await downloader.request(given.method, str(url), headers_for, content)
    except ToolError as error:
        raise _shown_error(error, given.method, secret) from None
    except TimeoutError:
        late = f"The request to {shown!r} did not end within {given.timeout:g} s."
        if given.method in READING:
            raise ToolError(late) from None
        raise TimeoutError(late) from None
    finally:
        await downloader.aclose()
    return await asyncio.to_thread(_result, answer, secret)


def _shown_error(error: ToolError, method: str, secret: Credential | None) -> Exception:
    """The error without the secret; as a `ConnectionError` where the request's outcome is unknown."""
    message = error.message if secret is None else secret.hidden(error.message)
    if isinstance(error, BrokenAnswerError) and method not in READING:
        return ConnectionError(message)
    return type(error)(message, hint=error.hint)


def _address(given: RequestArguments) -> httpx2.URL:
    url = checked_url(given.url)
    added: list[tuple[str, str]] = []
    for name, value in given.query.items():
        for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if item is not None:
                added.append((name, str(item).lower() if isinstance(item, bool) else str(item)))
    return url.copy_with(params=httpx2.QueryParams([*url.params.multi_items(), *added])) if added else url


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in given.items():
        lower = name.lower()
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ToolArgumentsError(f"The header field {name!r} cannot be sent as {value!r}.")
        if lower in _OURS:
            raise ToolArgumentsError(
                f"The header field {name!r} cannot be given.",
                hint="It follows from the method, the address or the body.",
            )
        if lower in fields:
            raise ToolArgumentsError(f"The header field {name!r} is given twice.")
        fields[lower] = value.strip()
    return fields


def _content(given: RequestArguments) -> bytes | None:
    if given.json_body is not None and given.body is not None:
        raise ToolArgumentsError("The request has both 'json' and 'body'.", hint="Give one of them.")
    if given.json_body is None and given.body is None:
        return None
    if given.method in READING:
        raise ToolArgumentsError(f"A {given.method} request has no body.", hint="Use 'query', or another method.")
    try:
        text = dumps(given.json_body, allow_nan=False) if given.body is None else given.body
        return text.encode()
    except (TypeError, ValueError) as error:
        raise ToolArgumentsError(f"The body cannot be sent: {error}.") from error


def _result(answer: Download, secret: Credential | None) -> dict[str, Any]:
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


def _plain(value: Any, clean: Any) -> Any:
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
