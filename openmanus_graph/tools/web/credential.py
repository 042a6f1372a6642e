"""Credential: a secret that a request names, sent only to its own hosts and never shown."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator

import httpx2

from openmanus_graph.config.sections import CredentialSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.redaction import any_spelling
from openmanus_graph.tools.web.address import is_allowed, is_listed

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_PREFIX = re.compile(r"[\x20-\x7e]*")
_NAME = re.compile(r"[A-Za-z0-9-]+")


class Credential:
    """One secret: a header field for its hosts, and text to hide in answers."""

    def __init__(self, name: str, settings: Settings) -> None:
        """Look it up.

        Raises:
            ToolArgumentsError: If the settings have no such credential, or its variable holds nothing usable.
        """
        known = settings.credentials
        if name not in known:
            some = (
                f"There are {', '.join(sorted(known))}." if known else f"Set [credentials.{name}] with env and hosts."
            )
            raise ToolArgumentsError(f"There is no credential {name!r} in the settings.", hint=some)
        self.name = name
        self._stated: CredentialSettings = known[name]
        self._settings = settings
        self._secret = (os.environ.get(self._stated.env) or "").strip()
        if not _VISIBLE.fullmatch(self._secret):  # a header field could not hold it, and would show it in its error
            what = "holds other than visible characters" if self._secret else "is not set"
            raise ToolArgumentsError(f"The variable {self._stated.env!r} of the credential {name!r} {what}.")
        if not _NAME.fullmatch(self._stated.header) or not _PREFIX.fullmatch(self._stated.prefix):
            raise ToolArgumentsError(f"The credential {name!r} has a 'header' or 'prefix' that cannot be sent.")
        forms = sorted(set(self._forms()), key=len, reverse=True)
        self._seen = re.compile("|".join(any_spelling(form) for form in forms))

    def header_for(self, url: httpx2.URL) -> dict[str, str]:
        """The header field with the secret, if it may go to `url`; else nothing."""
        if self.refusal(url) is not None:
            return {}
        return {self._stated.header.lower(): f"{self._stated.prefix}{self._secret}"}

    def refusal(self, url: httpx2.URL) -> str | None:
        """Why the secret may not go to `url`; `None` if it may."""
        host = url.host.casefold().rstrip(".")
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        if not is_listed(host, port, self._stated.hosts):
            return (
                f"The credential {self.name!r} is not for the host {host!r}, only for {', '.join(self._stated.hosts)}."
            )
        if url.scheme != "https" and not is_allowed(host, port, self._settings.allow_hosts):
            return f"The credential {self.name!r} is sent by https only."
        return None

    def hidden(self, text: str) -> str:
        """The text with the secret, however it is written there, replaced by its name."""
        return self._seen.sub(f"[credential {self.name}]", text)

    def _forms(self) -> Iterator[str]:
        """The texts to hide: the secret, and the password inside one for basic authentication."""
        yield self._secret
        yield base64.b64encode(self._secret.encode()).decode()
        if self._stated.prefix.strip().lower() == "basic":
            try:
                inside = base64.b64decode(self._secret, validate=True).decode()
            except ValueError:
                return
            yield from (form for form in (inside, inside.partition(":")[2]) if form)
