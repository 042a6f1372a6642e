"""Thoughts: the reasoning that a model sends in tags before what it says; a server that knows them sends them apart."""

from __future__ import annotations

import re

from langchain_core.messages import AIMessage

_CLOSED = re.compile(r"\A\s*<(think(?:ing)?)>.*?(?:</\1>\s*|\Z)", re.DOTALL)
"""At the beginning; one without an end is a reply that was cut while it thought."""
_OPENED_BY_TEMPLATE = re.compile(r"\A(?:(?!</?think).)*?^\s*</think(?:ing)?>\s*", re.DOTALL | re.MULTILINE)
"""Some chat templates open the tag in the prompt, so that only its end is in the reply."""


def without_thoughts(reply: AIMessage) -> AIMessage:
    """The reply with what it says only; tags anywhere but at its beginning are words like others."""
    if not isinstance(reply.content, str) or "think" not in reply.content:
        return reply
    said = _CLOSED.sub("", reply.content, count=1)
    if said == reply.content:
        said = _OPENED_BY_TEMPLATE.sub("", said, count=1)
    return reply if said == reply.content else reply.model_copy(update={"content": said})
