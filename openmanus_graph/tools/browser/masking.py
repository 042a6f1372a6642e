"""Masking: texts of the browser without what fields for passwords hold or held."""

from __future__ import annotations

import asyncio
import re

from openmanus_graph.tools.browser.session import BrowserSession
from openmanus_graph.tools.browser.tree import MASK

_SHORTEST = 4
"""Characters of a secret that is looked for in texts; a shorter one stands in too many of them by chance."""


def hidden(text: str, session: BrowserSession) -> str:
    """A text without what fields for passwords hold, also as addresses have it."""
    secrets = {secret for tab in session.tabs for secret in tab.secrets if len(secret) >= _SHORTEST}
    for secret in sorted(secrets, key=len, reverse=True):
        text = re.sub("".join(map(_forms, secret)), MASK, text)
    return text


def _forms(character: str) -> str:
    """A pattern of a character, as it is and as addresses have it, in which some are encoded and others not."""
    encoded = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    space = r"|\+" if character == " " else ""
    return f"(?:{re.escape(character)}|(?i:{encoded}){space})"


async def look_for_secrets(session: BrowserSession) -> None:
    """See what fields for passwords hold, before a text is told that no snapshot goes along with."""
    if session.dialog is None:  # which holds up the page
        await asyncio.gather(*(tab.look_for_secrets() for tab in list(session.tabs)))
