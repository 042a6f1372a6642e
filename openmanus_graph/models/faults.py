"""Faults: sort a provider's failure into retry, unsupported feature, overflow, fall back, or stop.

Failures are distinguished by status, class name and words, not by class: LiteLLM need not be imported for a LangChain
object's failure, and both kinds derive from their clients' own trees.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from openmanus_graph.errors import ContextOverflowError, ModelError, ModelRefusedError
from openmanus_graph.models.catalog import ModelTarget
from openmanus_graph.redaction import redact

Kind = Literal["retry", "unsupported", "overflow", "fall_back", "stop"]
"""`retry`: a rate limit, a timeout, a broken connection, a server's own fault. `unsupported`: this model cannot do
what was asked. `overflow`: too many tokens. `fall_back`: this model will not answer, another one may. `stop`: the
user must correct something first."""

LONGEST_DELAY_S = 300.0
"""A provider that asks for a longer pause has failed for good."""

_OVERFLOW = re.compile(
    r"context[ _-]?(length|window|size)|maximum context|too many (input )?tokens|prompt is too long|"
    r"input is too long|exceeds? the (maximum|available) (number of tokens|context)|reduce the length",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(r"insufficient[_ ](quota|balance|credit|funds)|credit balance|billing|payment", re.IGNORECASE)
_NO_MODEL = re.compile(
    r"model.{0,60}(not found|does not exist|not exist|is not available|unknown)|model_not_found|unknown model|"
    r"no such model|try pulling it",
    re.IGNORECASE,
)
_WRONG_KEY = re.compile(r"(invalid|incorrect|missing|no) (api|x-api)?[ _-]?key|api[ _-]?key", re.IGNORECASE)
_CANNOT = re.compile(
    r"(not|n't|cannot|no longer)\W+(\w+\W+){0,3}(support|recogni|permit|allow|enabl|implement|accept|available)|"
    r"unsupported|un(known|recognized|expected) (parameter|argument|field|key|keyword|property)|"
    r"extra (inputs|fields)|requires? --|no endpoints found|invalid tool_choice|only .* (is|are) (allowed|supported)",
    re.IGNORECASE,
)
_TOOL_CHOICE = re.compile(r"tool[_ ]choice", re.IGNORECASE)
_TOOLS = re.compile(r"\b(tools?|tool[_ -]?(choice|calls?|calling|use)|functions?)\b", re.IGNORECASE)
_FORMAT = re.compile(r"response[_ ]format|json[_ ]?schema|\bgrammar\b|\bformat\b|structured output", re.IGNORECASE)
_BROKEN = re.compile(r"payload is not completed|incomplete chunked|peer closed|premature|broke off", re.IGNORECASE)
_NO_CONNECTION = re.compile(
    r"Connection error\.?\s*$|Cannot connect to host|connection attempts failed|Connection refused|getaddrinfo",
    re.MULTILINE,
)
_NOISE = re.compile(
    r" ssl:<[^>]*>|\. Handle with `[^`]*`|\s*(Received Model Group=|Available Model Group Fallbacks=).*$"
)
_UNREACHED = "cannot be reached"
_TRANSIENT = (
    "Timeout",
    "TimeoutError",
    "TimeoutException",
    "RateLimitError",
    "APIConnectionError",
    "ConnectionError",
    "TransportError",
    "ServiceUnavailableError",
    "InternalServerError",
    "BadGatewayError",
    "MidStreamFallbackError",
    "OverloadedError",
)


class BrokenReplyError(Exception):
    """An empty reply, or one whose stream broke off."""


class ServerSaidError(Exception):
    """An error that a server tells in an answer whose status is 200."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """Keep what it said.

        Args:
            message: Its words.
            status: The HTTP status that it means; `None` if it does not say.
        """
        self.message = message
        self.status_code = status
        super().__init__(message)


@dataclass(frozen=True)
class ProviderFault:
    """One failed call, sorted."""

    kind: Kind
    """How to go on."""
    why: str
    """The cause in a few words, keys taken out."""
    cure: str = ""
    """The remedy for the user."""
    delay_s: float | None = None
    """The pause the provider asks for, in seconds; `None` when it asks for none."""
    feature: str | None = None
    """`unsupported`: the ability the model lacks."""

    def error(self, target: ModelTarget, attempts: int = 1) -> ModelError:
        """The failure as this project's error, naming role, model and cure."""
        tried = f", {attempts} times in a row" if attempts > 1 else ""
        message = f"The model {target.name!r} of the role {target.role!r} {self.why}{tried}."
        if self.kind == "overflow":
            return ContextOverflowError(message, hint=self.cure or None)
        refused = self.kind in ("stop", "unsupported") or (self.kind == "fall_back" and self.cure != "")
        return (ModelRefusedError if refused else ModelError)(message, hint=self.cure or None)


def backoff(attempt: int) -> float:
    """Seconds before another attempt where the provider names none: half a second, doubled, with some jitter."""
    return min(30.0, 0.5 * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret depends on it


def sort(
    error: BaseException, target: ModelTarget, secrets: Iterable[str] = (), features: Iterable[str] = ()
) -> ProviderFault:
    """Sort a failed call.

    Args:
        error: What was raised.
        target: The model that was called.
        secrets: Keys that may stand in the error's words.
        features: What the request needed of the model beyond text: `tools`, `forced_tool`, `json_schema`.

    Returns:
        The fault.
    """
    words = _words(error, secrets)
    names = {cls.__name__ for cls in type(error).__mro__}
    status = _status(error)
    if isinstance(error, BrokenReplyError):
        return ProviderFault("retry", str(error))
    if "ContextWindowExceededError" in names or (status in (400, 413, None) and _OVERFLOW.search(words)):
        return ProviderFault(
            "overflow", f"cannot take so many tokens: {words}", "Give it less to read, or a larger window."
        )
    if feature := _unsupported(error, words, status, features):
        return ProviderFault("unsupported", f"refuses what was asked of it: {words}", feature=feature)
    return _of_account(words, names, status, target) or _of_moment(error, words, names, status, target)


def _of_account(words: str, names: set[str], status: int | None, target: ModelTarget) -> ProviderFault | None:
    """Faults that only the user can mend."""
    if _NO_CREDIT.search(words) and status in (400, 402, 403, 429):
        return ProviderFault("fall_back", f"has no credit left: {words}", "Check the account at the provider.")
    if status in (401, 403) or {"AuthenticationError", "PermissionDeniedError"} & names:
        return ProviderFault("stop", f"refuses the key: {words}", f"Set the right key in {_key_place(target)}.")
    if status is None and _WRONG_KEY.search(words):
        return ProviderFault("stop", f"needs a key: {words}", f"Set it in {_key_place(target)}.")
    if "LiteLLMUnknownProvider" in names or "LLM Provider NOT provided" in words:
        return ProviderFault(
            "stop", "has no provider that LiteLLM knows", "Write PROVIDER/MODEL, such as openai/gpt-5-mini."
        )
    if status == 404 or (status == 400 and _NO_MODEL.search(words)):
        return ProviderFault("fall_back", f"is not there: {words}", "Check the model's name and the base URL.")
    return None


def _of_moment(
    error: BaseException, words: str, names: set[str], status: int | None, target: ModelTarget
) -> ProviderFault:
    """Faults that may pass, and the rest."""
    if "ContentPolicyViolationError" in names:
        return ProviderFault("fall_back", f"refuses the content: {words}", "Put it differently, or set a fallback.")
    if isinstance(error, ServerSaidError) and status is None:
        return ProviderFault("retry", f"answers with an error: {words}")
    transient = status in (408, 409, 425, 429) or (status is not None and status >= 500)
    if isinstance(error, TimeoutError) or "Timeout" in names or "APITimeoutError" in names:
        return ProviderFault("retry", f"did not answer within {target.settings.timeout_s:g} s")
    if transient or (status is None and names.intersection(_TRANSIENT)):
        delay = _retry_after(error)
        if delay is not None and delay > LONGEST_DELAY_S:
            return ProviderFault("fall_back", f"asks to wait {delay:.0f} s: {words}")
        if _BROKEN.search(words):
            return ProviderFault("retry", "breaks its reply off")
        what = _what(status, names)
        cure = _server_cure(target) if what == _UNREACHED else ""
        return ProviderFault("retry", f"{what}: {words}", cure, delay_s=delay)
    return ProviderFault("stop", f"refuses the request: {words}", "Check the model's settings, see docs/models.md.")


def _what(status: int | None, names: set[str]) -> str:
    if status == 429 or "RateLimitError" in names:
        return "limits the rate"
    if status is not None and status >= 500 and "APIConnectionError" not in names:
        return f"answers with status {status}"
    return _UNREACHED


def _server_cure(target: ModelTarget) -> str:
    url = urlsplit(target.settings.base_url or "")
    return f"See whether a server answers at {url.scheme}://{url.netloc.rpartition('@')[2]}." if url.netloc else ""


def _unsupported(error: BaseException, words: str, status: int | None, features: Iterable[str]) -> str | None:
    wanted = set(features)
    if isinstance(error, NotImplementedError) and "tools" in wanted:
        return "tools"
    if status not in (400, 404, 405, 422, 500, 501):
        return None
    if not _CANNOT.search(words):  # a schema or a history that is refused says nothing about the model
        return None
    if "forced_tool" in wanted and _TOOL_CHOICE.search(words) and "auto" not in words:
        return "forced_tool"
    if "tools" in wanted and _TOOLS.search(words):
        return "tools"
    if "json_schema" in wanted and _FORMAT.search(words):
        return "json_schema"
    return None


def _key_place(target: ModelTarget) -> str:
    if target.key_from:
        return target.key_from
    provider = target.litellm_name.partition("/")[0]
    return f"LLM_API_KEY or the provider's own variable ({provider.upper()}_API_KEY)"


def _status(error: BaseException) -> int | None:
    """The HTTP status, or `None`; LiteLLM reports 500 for failed connections too."""
    status = getattr(error, "status_code", None)
    if type(error).__name__ == "APIConnectionError" or _NO_CONNECTION.search(str(getattr(error, "message", ""))):
        return None
    return status if isinstance(status, int) else None


def _words(error: BaseException, secrets: Iterable[str]) -> str:
    body: Any = getattr(error, "message", None)
    text = body if isinstance(body, str) and body else str(error) or type(error).__name__
    first = text.strip().splitlines()[0]
    text = re.sub(r"^((litellm\.)?\w*(Error|Exception|Timeout)(:| -) ?)+", "", first)
    text = redact(_NOISE.sub("", text).strip(), secrets)
    return (text[:300] + "…" if len(text) > 300 else text).rstrip(".") or type(error).__name__


def _retry_after(error: BaseException) -> float | None:
    headers: Any = getattr(error, "litellm_response_headers", None)
    if headers is None:
        headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None:
        return None
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            return max(0.0, float(value) / unit)
        except ValueError:
            try:
                return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
            except ValueError:
                continue
    return None
