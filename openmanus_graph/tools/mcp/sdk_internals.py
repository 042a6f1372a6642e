"""SDK internals: what is used of the MCP SDK that is not public, in one place.

The SDK checks each answer against the protocol before it hands it over, whatever type it is asked for: one malformed
tool costs the whole list, and an unknown kind of content the answer of a call that has been made. So the request goes
out the way the SDK sends it, and the answer is taken as it came.
"""

# The SDK's annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STAMP, DISPATCHER = "_stamp", "_dispatcher"


async def unchecked(session: Any, request: Mapping[str, Any], seconds: float | None, progress: Any) -> Any:
    """Send a request over a session; the answer as it came.

    Args:
        session: The SDK's client session.
        request: The request as it is sent: `method` and `params`.
        seconds: How long the answer may take; `None` means no limit.
        progress: Takes what the server says of its progress; `None` does not.

    Raises:
        MCPError: If the server answers with an error, not in time, or not at all.
    """
    data = dict(request)
    options: dict[str, Any] = {}
    getattr(session, STAMP)(data, options)
    if seconds is not None:
        options["timeout"] = seconds
    if progress is not None:
        options["on_progress"] = progress
    return await getattr(session, DISPATCHER).send_raw_request(data["method"], data.get("params"), options)
