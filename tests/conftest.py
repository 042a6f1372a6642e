"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

Require = Callable[[bool, str, str], None]


@pytest.fixture
def require() -> Require:
    """Skip where a component is missing, with the reason and the cure; fail under `REQUIRE=all`."""

    def check(condition: bool, reason: str, cure: str) -> None:
        if condition:
            return
        message = f"{reason}; enable with: {cure}"
        if os.environ.get("OPENMANUS_GRAPH_REQUIRE") == "all":
            pytest.fail(message)
        pytest.skip(message)

    return check
