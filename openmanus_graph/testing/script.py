"""Script: replies of a scripted provider, and the requests it received."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ToolUse:
    """One call of a tool in a reply."""

    name: str
    """The tool's name."""
    args: Mapping[str, Any] | str = field(default_factory=dict[str, Any])
    """Its arguments; a string is sent as it is, so that it may be malformed."""
    id: str | None = None
    """The call's id; `None` makes one."""

    @property
    def arguments(self) -> str:
        """The arguments as they are sent."""
        return self.args if isinstance(self.args, str) else json.dumps(self.args)


@dataclass(frozen=True)
class Reply:
    """A reply of the model; with neither text nor calls it is an empty one."""

    text: str = ""
    """What it says."""
    tool_calls: Sequence[ToolUse] = ()
    """Tools it calls."""
    finish_reason: str | None = None
    """Why it ended; `None` means `tool_calls` or `stop`, as it fits. `length` says that it was cut."""
    usage: tuple[int, int] | None = None
    """Prompt and reply tokens to report; `None` means as counted, see `count_tokens`."""
    delay_s: float = 0.0
    """Seconds before the first byte, beside the server's latency."""
    piece_delay_s: float = 0.0
    """Seconds between two pieces of a stream."""

    @property
    def ending(self) -> str:
        """The finish reason that is sent."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")


@dataclass(frozen=True)
class Fault:
    """A failure instead of a reply, or in the middle of one."""

    status: int = 500
    """HTTP status."""
    message: str = "Something broke."
    """What the provider says about it."""
    code: str | None = None
    """The provider's code, such as `context_length_exceeded`."""
    retry_after: str | None = None
    """The `Retry-After` header, in seconds or as a date."""
    hangs: bool = False
    """Whether no byte ever comes."""
    breaks: Reply | None = None
    """A reply whose stream breaks off after `pieces`; the rest is not used then."""
    pieces: int = 2
    """Pieces of `breaks` that still come."""
    politely: bool = False
    """Whether the broken stream ends as a whole one does, only without its last pieces, instead of with a reset."""

    @classmethod
    def rate_limit(cls, retry_after: float | str | None = None) -> Fault:
        """Too many requests."""
        after = None if retry_after is None else str(retry_after)
        return cls(429, "Rate limit reached for requests.", "rate_limit_exceeded", after)

    @classmethod
    def wrong_key(cls, key: str = "sk-wrong") -> Fault:
        """A key that is refused; providers quote it, so this does."""
        return cls(401, f"Incorrect API key provided: {key}.", "invalid_api_key")

    @classmethod
    def unknown_model(cls, model: str = "scripted") -> Fault:
        """A model that is not there."""
        return cls(404, f"The model `{model}` does not exist or you do not have access to it.", "model_not_found")

    @classmethod
    def overflow(cls, limit: int = 8192) -> Fault:
        """A prompt larger than the window."""
        words = f"This model's maximum context length is {limit} tokens. However, your messages resulted in more."
        return cls(400, words, "context_length_exceeded")

    @classmethod
    def no_tools(cls) -> Fault:
        """A model that cannot call tools."""
        return cls(400, "This model does not support tools.")

    @classmethod
    def no_credit(cls) -> Fault:
        """An account without credit."""
        return cls(429, "You exceeded your current quota, please check your plan and billing.", "insufficient_quota")

    @classmethod
    def hang(cls) -> Fault:
        """No answer at all."""
        return cls(hangs=True)

    @classmethod
    def breaks_off(cls, reply: Reply, pieces: int = 2, *, politely: bool = False) -> Fault:
        """A stream that ends before its reply does."""
        return cls(breaks=reply, pieces=pieces, politely=politely)


@dataclass(frozen=True)
class Raw:
    """A whole answer as a server that is not quite OpenAI's may give it."""

    body: Mapping[str, Any] | str | bytes
    """The body: a mapping is sent as JSON."""
    status: int = 200
    """HTTP status."""
    kind: str = "application/json"
    """Its content type."""

    @classmethod
    def events(cls, *data: Mapping[str, Any] | str) -> Raw:
        """A stream of these chunks, its end among them or not; a mapping is sent as JSON."""
        texts = [item if isinstance(item, str) else json.dumps(item) for item in data]
        return cls("".join(f"data: {text}\n\n" for text in texts), kind="text/event-stream")

    @property
    def content(self) -> bytes:
        """The bytes that are sent."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass
class Received:
    """One request, as the server's log has it."""

    body: dict[str, Any]
    """What was sent."""
    headers: dict[str, str]
    """Its headers, names in lower case."""
    at: float
    """When it came, seconds since the server started."""
    prompt_tokens: int
    """Tokens of its messages and tools, see `count_tokens`."""
    outcome: Reply | Fault | Raw | None = None
    """What it got; `None` while it is being answered."""
    finished_at: float | None = None
    """When the last byte went out, seconds since the server started; `None` when it never did."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation it carries."""
        return self.body.get("messages", [])

    @property
    def tools(self) -> list[str]:
        """Names of the tools it offers."""
        tools: list[dict[str, Any]] = self.body.get("tools") or []
        return [str(tool["function"]["name"]) for tool in tools]


Script = Callable[[dict[str, Any]], Reply | Fault | Raw]
"""Says what a request gets, from its body; called in the server's thread, one request at a time."""


def count_tokens(*parts: Any) -> int:
    """A count that depends on nothing but the text: a token for every four characters of its JSON."""
    return sum(len(json.dumps(part, ensure_ascii=False, default=str)) for part in parts if part) // 4
