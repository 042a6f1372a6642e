"""Redaction: text without keys and passwords, for messages and logs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from html import escape
from typing import Any, cast

KEY = "[key]"
"""Stands where a secret was."""
_KEY_SHAPES = re.compile(
    r"(?i:bearer\s+)[A-Za-z0-9._~+/-]{8,}=*|\b(?:sk|pk|rk|gsk|xai|hf|AIza)[-_][A-Za-z0-9*_-]{6,}|\bAIza[\w-]{20,}|"
    # Names of threads begin with "key-", too; a key has asterisks, or a part of 12 characters or more with a digit.
    # It is looked for in 100 characters, so that a long text of keys does not take minutes.
    r"\bkey[-_](?=[A-Za-z0-9*_-]{0,100}(?:\*|(?<![A-Za-z0-9])[A-Za-z]{0,100}\d[A-Za-z0-9]{0,100}(?<=[A-Za-z0-9]{12})))"
    r"[A-Za-z0-9*_-]{6,}|"
    # Those of large services, tokens of three parts, and private keys, also cut off or with escaped line ends.
    r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[a-z]-)[A-Za-z0-9_-]{10,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|"
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*|"
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])*"
    r"(?:[A-Z][A-Za-z-]{1,20}: [^\n\\]{0,200}(?:\s|\\[nr])*)*[A-Za-z0-9+/=\s\\:,]*"
    r"(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?"
)
_SECRET_WORDS = r"pass(?:word|wd|phrase)|secret|token|api[_-]?key|apikey|authorization|credentials?|cookie"  # noqa: S105
_SECRET_NAME = re.compile(
    # No word of the language that ends like one, such as bypass.
    r"pass(?:word|wd|phrase)$|(?<!by)(?<!com)(?<!sur)(?<!tres)(?<!over)(?<!under)pass$|"
    r"secret|token|api.?key|authorization|cookie|credentials?$|private",
    re.IGNORECASE,
)
_COUNT_NAME = re.compile(r"tokens|tokens?[_.-]?(?:count|limit|budget|usage)", re.IGNORECASE)
_ASSIGNED = re.compile(
    # A quote inside of a text that is JSON itself has backslashes before it.
    rf"((?:\b|_)(?:{_SECRET_WORDS})\\*[\"']?\s*[:=]\s*)"
    r"(?!\[key\]|(?:true|false|null|none)(?![^\s\"',;&)}\]]))(?:(?:bearer|basic)\s+)?"
    r"(?:\\*\"[^\"]*\"|\\*'[^']*'|[^\s\"',;&)}\]]+)",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")


def redact(text: str, secrets: Iterable[str] = (), names: Collection[str] = ()) -> str:
    """Take keys out of a text: the known ones wherever they stand, and whatever looks like one.

    Args:
        text: The text.
        secrets: The known keys.
        names: What looks like a key and is none, such as the id of a thread.
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= 6:
            text = text.replace(secret, KEY)
    return _KEY_SHAPES.sub(lambda found: found[0] if found[0] in names else KEY, text)


def redact_log(text: str, names: Collection[str] = ()) -> str:
    """Take keys, values after names such as `password=`, and passwords of URLs out of a text.

    Args:
        text: The text.
        names: What looks like a key and is none.
    """
    return _ASSIGNED.sub(rf"\1{KEY}", _URL_PASSWORD.sub(rf"\1{KEY}", redact(text, names=names)))


def any_spelling(secret: str) -> str:
    """A pattern for a secret as it stands, or as addresses, JSON or HTML write it."""
    return "".join(map(_any_spelling_of, secret))


def _any_spelling_of(character: str) -> str:
    code, plain, named = ord(character), re.escape(character), re.escape(escape(character))
    of_address = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "replace"))
    escaped = r"\\{1,15}"  # of JSON in JSON, four deep; without a limit, a long row of them takes minutes
    coded = "|".join((of_address, rf"{escaped}u{code:04x}", f"&#0*{code};", f"&#x0*{code:x};"))
    return rf"(?:{plain}|{escaped}{plain}|{named}|(?i:{coded}))"


def redact_values(value: Any) -> Any:
    """A value in JSON types without secrets: neither those in its texts nor what fields named after one hold."""
    if isinstance(value, str):
        return redact_log(value)
    if isinstance(value, list):
        return [redact_values(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: KEY if is_secret_field(name, item) else redact_values(item) for name, item in fields.items()}
    return value


def is_secret_field(name: str, value: object) -> bool:
    """Whether a field holds a secret: its name says so, such as `api_key`, and it is no count, and no yes or no."""
    if value is None or isinstance(value, bool) or not _SECRET_NAME.search(name):
        return False
    return not (isinstance(value, int | float) and _COUNT_NAME.search(name))
