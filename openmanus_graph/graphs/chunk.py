"""Chunk: one item of LangGraph's stream, in the form that each combination of its options gives it."""

from __future__ import annotations

from typing import Any, cast


def parts_of(chunk: Any) -> tuple[tuple[str, ...], str, Any]:
    """Namespace, mode and data of a chunk, in either version of LangGraph's stream."""
    if isinstance(chunk, dict):
        fields = cast("dict[str, Any]", chunk)
        return tuple(fields["ns"]), str(fields["type"]), fields["data"]
    return cast("tuple[tuple[str, ...], str, Any]", chunk)


def shaped(namespace: tuple[str, ...], mode: str, data: Any, wanted: Any, subgraphs: bool, version: Any) -> Any:
    """A chunk in the form that LangGraph gives it for these options.

    Args:
        namespace: Where it comes from; empty for the graph itself.
        mode: The stream mode.
        data: What it says.
        wanted: The stream modes that were asked for, one or a list.
        subgraphs: Whether those of nested graphs were.
        version: The version of the stream that was.
    """
    if version == "v2":
        return {"type": mode, "ns": namespace, "data": data}
    parts = [*([namespace] if subgraphs else []), *([] if isinstance(wanted, str) else [mode]), data]
    return parts[0] if len(parts) == 1 else tuple(parts)
