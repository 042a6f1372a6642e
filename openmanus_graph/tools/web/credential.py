"""Credential: a secret that a request names, sent only to its own hosts and never shown."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote_plus

import httpx2

from openmanus_graph.config.sections import CredentialSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.redaction import any_spelling
from openmanus_graph.tools.web.address import is_allowed, is_listed

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_USER_AND_PASSWORD = re.compile(r"[^\x00-\x1f\x7f:]*:[^\x00-\x1f\x7f]+")
_PREFIX = re.compile(r"[\x20-\x7e]*")
_NAME = re.compile(r"[A-Za-z0-9-]+")
_PARAMETER = re.compile(r"[A-Za-z0-9._~$@\[\]-]+")
_COOKIE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")


class Credential:
    """One secret: a header field, parameter or cookie for its hosts, and text to hide in answers."""

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
        self._basic = self._stated.place == "header" and self._stated.prefix.strip().lower() == "basic"
        # Base64 has no colon, so one with a colon is not encoded yet.
        encodes = self._basic and _USER_AND_PASSWORD.fullmatch(self._secret) is not None
        self._sent = base64.b64encode(self._secret.encode()).decode() if encodes else self._secret
        if not _VISIBLE.fullmatch(self._sent):  # a header field could not hold it, and would show it in its error
            what = "holds other than visible characters" if self._secret else "is not set"
            raise ToolArgumentsError(f"The variable {self._stated.env!r} of the credential {name!r} {what}.")
        self._check_place()
        forms = sorted(set(self._forms()), key=len, reverse=True)
        self._seen = re.compile("|".join(any_spelling(form) for form in forms))

    def _check_place(self) -> None:
        """Refuse a place that cannot be sent.

        Raises:
            ToolArgumentsError: If header field, prefix, parameter or cookie is none.
        """
        stated = self._stated
        if stated.place != "header":
            if stated.name is None or not _PARAMETER.fullmatch(stated.name):
                raise ToolArgumentsError(
                    f"The credential {self.name!r} goes into a {stated.place}, and has {stated.name!r} as its 'name'.",
                    hint="Give the name of the parameter or cookie.",
                )
            if stated.place == "cookie" and not _COOKIE.fullmatch(self._secret):
                raise ToolArgumentsError(f"The credential {self.name!r} holds characters that a cookie cannot have.")
        elif not _NAME.fullmatch(stated.header) or not _PREFIX.fullmatch(stated.prefix):
            raise ToolArgumentsError(f"The credential {self.name!r} has a 'header' or 'prefix' that cannot be sent.")

    def fields_for(self, url: httpx2.URL) -> dict[str, str]:
        """The header field with the secret, if it goes into one and may go to `url`; else nothing."""
        if self._stated.place == "query" or self.refusal(url) is not None:
            return {}
        if self._stated.place == "cookie":
            return {"cookie": f"{self._stated.name}={self._sent}"}
        prefix = "Basic " if self._basic else self._stated.prefix
        return {self._stated.header.lower(): f"{prefix}{self._sent}"}

    def address_for(self, address: str) -> str:
        """The address with the secret in its query, if it goes there; the one that answers redirect to is left as is.

        Args:
            address: An address that it may go to. A parameter of the credential's name is replaced.
        """
        if self._stated.place != "query" or self._stated.name is None:
            return address
        before, mark, fragment = address.partition("#")
        base, _, query = before.partition("?")
        kept = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) != self._stated.name]
        own = f"{quote(self._stated.name, safe='')}={quote(self._sent, safe='')}"
        return f"{base}?{'&'.join([*kept, own])}{mark}{fragment}"

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
        if self._basic:
            try:
                inside = base64.b64decode(self._sent, validate=True).decode()
            except ValueError:
                return
            yield from (form for form in (inside, inside.partition(":")[2]) if form)
