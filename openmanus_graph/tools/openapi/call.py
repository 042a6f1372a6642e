"""Call: one call of an operation as the request that is sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.tools.openapi.body_writer import written
from openmanus_graph.tools.openapi.operation import Operation
from openmanus_graph.tools.openapi.serialization import header_value, leads_up, path_value, query_parts
from openmanus_graph.tools.web.request import HttpRequest, header_fields


def request_of(
    operation: Operation,
    arguments: Mapping[str, Any],
    workspace: Path,
    *,
    server: str | None = None,
    credential: str | None = None,
    timeout_s: float = 30.0,
) -> HttpRequest:
    """The request of a call.

    Args:
        operation: The operation.
        arguments: Its arguments, which fit its schema.
        workspace: The folder that files are taken from.
        server: The address before the path, in place of the document's.
        credential: Name of a credential of the settings.
        timeout_s: Seconds it may take.

    Raises:
        ToolArgumentsError: If an argument cannot be sent.
        ToolError: If the document names no server, or a file cannot be read.
    """
    base = server or operation.server
    if base is None:
        raise ToolError(
            f"The document names no server for the operation {operation.name!r}.",
            hint="The user can set 'server' in the table of the API.",
        )
    path = operation.path.partition("#")[0]  # what some documents tell operations of one path apart by
    query: list[str] = []
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for parameter in operation.parameters:
        if parameter.argument not in arguments:
            continue
        value = arguments[parameter.argument]
        match parameter.place:
            case "path":
                path = path.replace(f"{{{parameter.name}}}", path_value(parameter, value))
            case "query":
                query += query_parts(parameter, value)
            case "header":
                headers[parameter.name] = header_value(parameter, value)
            case "cookie":
                cookies += query_parts(parameter, value)
    if "{" in path:
        raise ToolArgumentsError(f"The path {path!r} has a parameter that is not given.")
    if leads_up(path.partition("?")[0]):
        raise ToolArgumentsError(f"The arguments lead to the path {path!r}, which is another one than the operation's.")
    if cookies:
        headers["Cookie"] = "; ".join(cookies)
    body = None if operation.body is None else written(operation.body, arguments, workspace)
    if body is not None:
        headers["Content-Type"] = body[0]
    mark = "" if not query else "&" if "?" in path else "?"
    url = f"{base.rstrip('/')}{path}{mark}{'&'.join(query)}"
    content = None if body is None else body[1]
    return HttpRequest(operation.method, url, header_fields(headers), content, credential, timeout_s)
