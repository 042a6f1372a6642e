"""Redaction: text without keys and passwords, for messages and logs."""

from __future__ import annotations

import re
from collections.abc import Iterable

KEY = "[key]"
"""Stands where a secret was."""
_KEY_SHAPES = re.compile(
    r"(?i:bearer\s+)[A-Za-z0-9._~+/-]{8,}=*|\b(?:sk|pk|rk|key|gsk|xai|hf|AIza)[-_][A-Za-z0-9*_-]{6,}|\bAIza[\w-]{20,}"
)
_SECRET_WORDS = r"pass(?:word|wd|phrase)|secret|token|api[_-]?key|apikey|authorization|credentials?|cookie"  # noqa: S105
_SECRET_NAME = re.compile(rf"(?:^|[_.-])(?:{_SECRET_WORDS})$", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"((?:\b|_)(?:{_SECRET_WORDS})[\"']?\s*[:=]\s*)(?:(?:bearer|basic)\s+)?(?:\"[^\"]*\"|'[^']*'|[^\s\"',;&)}}\]]+)",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Take keys out of a text: the known ones wherever they stand, and whatever looks like one."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= 6:
            text = text.replace(secret, KEY)
    return _KEY_SHAPES.sub(KEY, text)


def redact_log(text: str) -> str:
    """Take keys, values after names such as `password=`, and passwords of URLs out of a text."""
    return _ASSIGNED.sub(rf"\1{KEY}", _URL_PASSWORD.sub(rf"\1{KEY}", redact(text)))


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret, such as `api_key` or `db.password`."""
    return _SECRET_NAME.search(name) is not None
