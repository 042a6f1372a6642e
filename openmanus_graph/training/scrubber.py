"""Scrubber: takes secrets and the paths of a thread's folder out of what leaves the machine."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, cast

from openmanus_graph.redaction import KEY, any_spelling, is_secret_field, redact_log

SHORTEST_SECRET = 6
"""Characters below which a known secret is taken for a word."""
SHORTEST_ENCODED = 12
"""Characters from which it is looked for in Base64 of something longer, too."""


class Scrubber:
    """Cleans texts and values in JSON types of one thread."""

    def __init__(self, secrets: Iterable[str], folders: Iterable[str] = (), names: Collection[str] = ()) -> None:
        """Prepare the search.

        Args:
            secrets: The known secrets, to be taken out however they are spelled.
            folders: Folders, absolute, whose paths become relative.
            names: What looks like a key and is none, such as the id of a thread.
        """
        forms = {form for secret in secrets if len(secret) >= SHORTEST_SECRET for form in _forms(secret)}
        known = [any_spelling(form) for form in sorted(forms, key=len, reverse=True)]
        self._secrets = re.compile("|".join(known)) if known else None
        roots = [re.escape(folder.rstrip("/")) for folder in sorted(folders, key=len, reverse=True) if len(folder) > 1]
        self._folders = re.compile(rf"(?<![\w/.-])(?:{'|'.join(roots)})(?:(/+)|(?![\w.-]))") if roots else None
        self._names = names

    def text(self, text: str) -> str:
        """A text without secrets; one that is JSON stays JSON."""
        if self._secrets is not None:
            text = self._secrets.sub(KEY, text)
        redacted = redact_log(text, self._names)
        if text[:1].isspace() or text[:1] in ("{", "["):
            found = _json_in(text)
            if found is not None and ((cleaned := self.value(found)) != found or redacted != text):
                return json.dumps(cleaned, ensure_ascii=False)
        return redacted if self._folders is None else self._folders.sub(_relative, redacted)

    def value(self, value: Any) -> Any:
        """A value in JSON types without secrets, also in names of fields and in texts that are JSON themselves."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in cast("list[Any]", value)]
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            return {
                self.text(str(name)): KEY if is_secret_field(str(name), item) else self.value(item)
                for name, item in fields.items()
            }
        return value


def _relative(found: re.Match[str]) -> str:
    """What is left of a path's beginning: nothing before a name, a point for the folder itself."""
    return "" if found[1] and found.end() < len(found.string) and not found.string[found.end()].isspace() else "."


def _json_in(text: str) -> Any:
    """The object or list that a text is; `None` if it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("Any", found) if isinstance(found, (dict, list)) else None


def _forms(secret: str) -> Iterator[str]:
    """A secret as it stands, encoded by itself, and encoded within something longer."""
    raw = secret.encode("utf-8", "replace")
    yield secret
    yield base64.b64encode(raw).decode()
    if len(secret) >= SHORTEST_ENCODED:
        for shift in range(3):
            yield base64.b64encode(b"x" * shift + raw)[4:-4].decode()
