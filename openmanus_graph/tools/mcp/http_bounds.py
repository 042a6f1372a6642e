"""HTTP bounds: what a server over HTTP may answer at once; its streams of events are bounded by the SDK."""

# The SDK's annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx2

from openmanus_graph.tools.mcp.stdio import LONGEST_LINE


class BoundedTransport(httpx2.AsyncBaseTransport):
    """Breaks off an answer that is longer than a message may be."""

    def __init__(self) -> None:
        """Connect to nothing yet."""
        self._inner = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        response = await self._inner.handle_async_request(request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _BoundedStream(cast("Any", response.stream))
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._inner:
            size += len(part)
            if size > LONGEST_LINE:
                raise httpx2.ReadError(f"It answers with more than {LONGEST_LINE:,} bytes.")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()
