"""Fixtures: what takes the place of the fixtures of LangGraph's suite that make checkpointers.

`suite.unpack` appends an import of this module to the suite's `conftest.py`. It is imported as `compat.fixtures`,
because there `tests` is the suite's own package.
"""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from psycopg import conninfo, sql

from .product import open_checkpointer
from .savers import SAVER_VARIABLE, SERVER_VARIABLE, TEMPLATE, Saver

SAVER = Saver(os.environ[SAVER_VARIABLE])
SERVER = os.environ[SERVER_VARIABLE]

PARAMS = ["memory"]
"""One run per test, under the name that the suite's stored snapshots have."""


def _made_by_suite(name: str) -> Any:
    """A context manager of the suite for one of the stock checkpointers."""
    module: Any = importlib.import_module("tests.conftest_checkpointer")
    # The suite appends a database's name. A socket's folder fits no plain host, so everything is a parameter.
    module.DEFAULT_POSTGRES_URI = SERVER
    return getattr(module, f"_checkpointer_{name}")()


@contextmanager
def _database() -> Generator[str]:
    """The URL of a database of the test's own, with our tables."""
    name = f"compat_{secrets.token_hex(6)}"  # no uuid: tests of the suite give those out themselves
    # Copied as files, which is quicker than through the log for a server that needs none.
    clone = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(clone.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        try:
            yield conninfo.make_conninfo(SERVER, dbname=name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(params=PARAMS)
def sync_checkpointer() -> Generator[Any]:
    """The checkpointer for tests that call it from ordinary functions."""
    if SAVER is Saver.MEMORY:
        with _made_by_suite("memory") as saver:
            yield saver
    elif SAVER is Saver.POSTGRES:
        with _made_by_suite("postgres") as saver:
            yield saver
    else:
        # Ours is asynchronous; called from an ordinary function it works on the loop it was opened in.
        with (
            _database() as url,
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(open_checkpointer(url)) as saver,
        ):
            yield saver


@pytest.fixture(params=PARAMS)
async def async_checkpointer() -> AsyncGenerator[Any]:
    """The checkpointer for tests that await it."""
    if SAVER is Saver.MEMORY:
        with _made_by_suite("memory") as saver:
            yield saver
    elif SAVER is Saver.POSTGRES:
        async with _made_by_suite("postgres_aio") as saver:
            yield saver
    else:
        with _database() as url:
            async with open_checkpointer(url) as saver:
                yield saver
