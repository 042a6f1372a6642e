"""Service: a web service of the settings, with its operations, and calls of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from openmanus_graph import shell_commands
from openmanus_graph.config.sections import OpenApiSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.plans.arguments import schema_problems
from openmanus_graph.plans.output_shape import TEXT, Shape
from openmanus_graph.plans.validation import PlanProblem
from openmanus_graph.tools.openapi.call import request_of
from openmanus_graph.tools.openapi.index import Index, index_of
from openmanus_graph.tools.openapi.operation import Operation
from openmanus_graph.tools.openapi.paging import items_of, next_page
from openmanus_graph.tools.openapi.reader import server_address
from openmanus_graph.tools.openapi.schemas import Schema, needed
from openmanus_graph.tools.openapi.search import Search
from openmanus_graph.tools.web.request import RETURNS, HttpRequest, send_request

MOST_BYTES = 20 * 2**20
"""Bytes of all pages of a list together, as JSON."""
LIST_RETURNS: dict[str, Shape] = {**RETURNS, "pages": TEXT, "complete": TEXT}
"""The fields of an answer; the last two are there where all pages were asked for."""


@dataclass(frozen=True)
class Service:
    """A web service."""

    name: str
    """Its name in the settings."""
    stated: OpenApiSettings
    """What the settings say."""
    index: Index
    """What its document has."""

    @classmethod
    def of(cls, name: str, stated: OpenApiSettings, settings: Settings, *, anew: bool = False) -> Service:
        """Make it from the settings.

        Args:
            name: Its name.
            stated: What the settings say of it.
            settings: The user's settings.
            anew: Whether its document is read in any case.

        Raises:
            ToolError: If its document or its server cannot be used.
        """
        if stated.server is not None and server_address(stated.server) is None:
            raise ToolError(f"The 'server' of the API {name!r} cannot be {stated.server!r}.")
        return cls(name, stated, index_of(stated, settings, anew=anew))

    @cached_property
    def operations(self) -> dict[str, Operation]:
        """Its operations by name, those that the settings take."""
        patterns = self.stated.operations
        return {
            name: one
            for name, one in self.index.operations.items()
            if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
        }

    @property
    def problems(self) -> list[str]:
        """What of it cannot be used, in sentences."""
        unknown = [
            f"It has no operation {pattern!r}."
            for pattern in self.stated.operations
            if not any(fnmatchcase(name, pattern) for name in self.index.operations)
        ]
        return [*self.index.problems, *unknown]

    @cached_property
    def search(self) -> Search:
        """Finds its operations."""
        return Search(self.operations.values())

    def schema_of(self, operation: Operation) -> Schema:
        """The whole JSON Schema of an operation's arguments."""
        found = needed(operation.schema, self.index.defs)
        return {**operation.schema, "$defs": found} if found else operation.schema

    def problems_of(self, operation: Operation, arguments: dict[str, Any]) -> Iterator[PlanProblem]:
        """What of a call's arguments does not fit."""
        yield from schema_problems(operation.name, self.schema_of(operation), arguments)

    async def call(
        self, operation: Operation, arguments: Mapping[str, Any], context: ToolContext, *, all_pages: bool = False
    ) -> dict[str, Any]:
        """Call an operation; the answer in the shape of `LIST_RETURNS`.

        Args:
            operation: The operation.
            arguments: Its arguments, which fit its schema.
            context: The call on whose behalf it is done.
            all_pages: Whether all pages of a list are asked for.

        Raises:
            ToolArgumentsError: If it cannot be sent so.
            ToolError: If nothing was changed.
            ConnectionError: If it is unknown what it did.
            TimeoutError: If it is unknown what it did.
        """
        if all_pages and not operation.reads:
            raise ToolArgumentsError(f"The operation {operation.name!r} is no list, so it has no pages.")
        request = await self._request(operation, arguments, context)
        output = await send_request(request, context)
        if not all_pages or output["error"] is not None:
            return output
        return await self._rest(operation, arguments, context, request, output)

    async def _request(self, operation: Operation, arguments: Mapping[str, Any], context: ToolContext) -> HttpRequest:
        return await asyncio.to_thread(
            request_of,
            operation,
            arguments,
            context.workspace,
            server=self.stated.server,
            credential=self.stated.credential,
            timeout_s=self.stated.timeout_s,
        )

    async def _rest(
        self,
        operation: Operation,
        arguments: Mapping[str, Any],
        context: ToolContext,
        request: HttpRequest,
        first: dict[str, Any],
    ) -> dict[str, Any]:
        """The answer with the items of all pages."""
        parameters = {one.name: one.argument for one in operation.parameters if one.place == "query"}
        member, items = items_of(first["json"])
        items, pages, output, size, error = list(items), 1, first, 0, None
        asked = {request.url}
        following = next_page(request.url, parameters, arguments, output)
        while following is not None and len(items) < self.stated.most_items and pages < self.stated.most_pages:
            arguments = following.arguments or arguments
            if following.url is None:
                request = await self._request(operation, arguments, context)
            else:
                request = HttpRequest(
                    operation.method, following.url, request.fields, None, request.credential, request.timeout_s
                )
            if request.url in asked:
                following = None
                break
            asked.add(request.url)
            output = await send_request(request, context)
            if output["error"] is not None:
                error = f"Page {pages + 1}: {output['error']}"
                break
            pages += 1
            new = items_of(output["json"])[1]
            items += new
            size += len(json.dumps(new))
            by_link = following.url is not None
            following = None
            if new and size < MOST_BYTES:
                following = next_page(request.url, parameters, arguments, output, links_only=by_link)
        complete = following is None and error is None and size < MOST_BYTES and not output["truncated"]
        if len(items) > self.stated.most_items:
            items, complete = items[: self.stated.most_items], False
        joined = items if member is None else {**first["json"], member: items} if member else first["json"]
        return {**first, "json": joined, "error": error, "pages": pages, "complete": complete}


def services_of(
    settings: Settings, names: set[str] | None = None, *, anew: bool = False
) -> dict[str, Service | ToolError]:
    """The services of the settings, or why one cannot be used, without those that are switched off.

    Args:
        settings: The user's settings.
        names: The only ones that are wanted; `None` means all.
        anew: Whether documents are read in any case.
    """
    found: dict[str, Service | ToolError] = {}
    for name, stated in settings.openapi.items():
        if stated.disabled or (names is not None and name not in names):
            continue
        try:
            found[name] = Service.of(name, stated, settings, anew=anew)
        except ToolError as error:
            hint = error.hint or f"See what it needs with: {shell_commands.openapi_check(name)}"
            found[name] = ToolError(f"The API {name!r} cannot be used: {error.message}", hint=hint)
    return found
