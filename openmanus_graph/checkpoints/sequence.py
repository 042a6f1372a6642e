"""Sequence: keeps the ids of a thread's checkpoints in order where the clock is behind them.

LangGraph makes ids of the time, and takes the highest for the newest. They rise within one process; where a thread is
resumed with a clock that is behind the one that it ran with, new checkpoints would count as older than old ones.
"""

from __future__ import annotations

from uuid import UUID

from langgraph.checkpoint.base import id as ids

from openmanus_graph.langgraph_internals import LAST_ID_TIME

VERSION = 6
LATEST = 1 << 59
"""Times from which on ids are not followed, in 100 ns since 1582: the year 3408, which only a broken id says."""


def go_on_from(checkpoint_id: str | None) -> None:
    """Have every later id of this process be higher than this one.

    Args:
        checkpoint_id: A checkpoint's id; one that LangGraph has not made changes nothing.
    """
    try:
        parsed = UUID(checkpoint_id or "")
    except ValueError:
        return
    if parsed.version != VERSION:
        return
    moment = (parsed.int >> 80) << 12 | (parsed.int >> 64) & 0x0FFF
    # What LangGraph counts on from is a variable of its module; there is no other way to set it.
    last: int | None = vars(ids).get(LAST_ID_TIME)
    if moment < LATEST and (last is None or moment > last):
        setattr(ids, LAST_ID_TIME, moment)
