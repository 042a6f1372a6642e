"""Plug-in of pytest: a run of tests in which nothing was sealed has failed, since it was to try encryption."""

from __future__ import annotations

from typing import Any

import pytest

from openmanus_graph.checkpoints.encryption.cipher import Cipher

sealed: list[str] = []


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Count what is sealed as bytes of a state."""
    del config
    plainly = Cipher.blob

    def counted(self: Cipher, kind: str, data: bytes) -> Any:
        sealed.append(kind)
        return plainly(self, kind, data)

    Cipher.blob = counted  # type: ignore[method-assign]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail if nothing was."""
    if not sealed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
