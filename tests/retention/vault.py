"""Tools of a user who is careless with a secret that they keep as one."""

from __future__ import annotations

import os
from typing import Any

from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr


class Account(BaseModel):
    """What a client library would hand back."""

    name: str
    token: SecretStr


def _token() -> SecretStr:
    return SecretStr(os.environ["VAULT"])


@tool
def account() -> Any:
    """Return a model with a secret in it."""
    return Account(name="me", token=_token())


@tool
def bare() -> Any:
    """Return the secret itself."""
    return {"token": _token()}


@tool
def breaks() -> Any:
    """Fail with the secret in the message."""
    raise RuntimeError(f"no entry for {_token()!r} of {Account(name='me', token=_token())}")


for made in (account, bare, breaks):
    made.metadata = {"effect": "read"}
