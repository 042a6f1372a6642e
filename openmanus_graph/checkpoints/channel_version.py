"""Channel version: what tells one value of a channel from those before it and from those of other forks.

LangGraph's saver takes 51 characters for each, and a checkpoint names one for every channel and for what every node has
seen. Here it is 19. Versions are compared as text: a shorter one is greater than any of LangGraph's own, whose first
digits are zeros, so that threads which began with those go on.
"""

from __future__ import annotations

import secrets


def next_version(current: str | int | None) -> str:
    """The version of a channel's next value.

    Args:
        current: That of the present one, ours or LangGraph's; `None` before the first.
    """
    number = 0 if current is None else current if isinstance(current, int) else int(current.partition(".")[0])
    # Not from `random`, whose state forked processes share.
    return f"{number + 1:010}.{secrets.token_hex(4)}"
