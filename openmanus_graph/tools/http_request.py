"""Http_request: the tool that speaks to web services, with credentials by name."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from typing import Any, Literal, cast

import httpx2
from pydantic import BaseModel, ConfigDict, Field, field_validator

from openmanus_graph.context import tool_context
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.tools.spec import ToolSpec, builtin_tool
from openmanus_graph.tools.web.download import checked_url
from openmanus_graph.tools.web.request import FREE_TEXT, READING, RETURNS, HttpRequest, header_fields, send_request

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
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
    free_text=FREE_TEXT,
    source=_read_addresses,
    returns=RETURNS,
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
    given = RequestArguments.model_validate(arguments)
    url, fields, content = _address(given), header_fields(given.headers), _content(given)
    if given.json_body is not None:
        fields.setdefault("content-type", "application/json")
    request = HttpRequest(given.method, str(url), fields, content, given.credential, given.timeout)
    return await send_request(request, tool_context())


def _address(given: RequestArguments) -> httpx2.URL:
    url = checked_url(given.url)
    added: list[tuple[str, str]] = []
    for name, value in given.query.items():
        for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if item is not None:
                added.append((name, str(item).lower() if isinstance(item, bool) else str(item)))
    return url.copy_with(params=httpx2.QueryParams([*url.params.multi_items(), *added])) if added else url


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
