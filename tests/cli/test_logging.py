"""Logs: records of the engine on stderr, for people or as JSON, and no secret in either."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from openmanus_graph.cli import cli
from openmanus_graph.cli.logging_setup import StderrHandler, set_up_logging

LOGGER = logging.getLogger("openmanus_graph.tests.logs")
SECRETS = ["sk-1234567890abcdef", "hunter2", "eyJhbGciOiJIUzI1", "dXNlcjpwYXNz"]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leaves the loggers as they were."""
    loggers = [logging.getLogger(name) for name in ("openmanus_graph", "psycopg.pool")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    for handler in list(logging.getLogger().handlers):
        if isinstance(handler, StderrHandler):
            logging.getLogger().removeHandler(handler)


def test_a_line_has_level_logger_message_and_extra_fields(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", as_json=False, debug=False)

    LOGGER.info("Lease taken.", extra={"thread_id": "key-findings-1a2b", "epoch": 3, "reason": "it was lost"})
    LOGGER.debug("Not seen.")

    _, line = capsys.readouterr()
    assert line.endswith(
        ' INFO openmanus_graph.tests.logs: Lease taken. thread_id=key-findings-1a2b epoch=3 reason="it was lost"\n'
    )
    assert line.count("\n") == 1


def test_json_is_one_object_a_line_with_the_traceback_inside(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(None, as_json=True, debug=False)

    try:
        raise ValueError("broken\nin two lines")
    except ValueError:
        LOGGER.exception(
            "Failed\nbadly.", extra={"thread_id": "t", "level": "of the caller", "found": [1, {"a": None}]}
        )
    LOGGER.info("Not seen: the level is warning.")

    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert {key: record[key] for key in ("level", "logger", "message", "thread_id", "found")} == {
        "level": "error",
        "logger": "openmanus_graph.tests.logs",
        "message": "Failed\nbadly.",
        "thread_id": "t",
        "found": [1, {"a": None}],
    }
    assert record["time"].endswith("+00:00")
    assert "ValueError: broken" in record["exception"]


@pytest.mark.parametrize("as_json", [False, True])
def test_no_secret_is_logged(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("debug", as_json=as_json, debug=False)
    extra: dict[str, Any] = {
        "api_key": "hunter2",
        "headers": {"Authorization": "Basic dXNlcjpwYXNz", "Accept": "*/*"},
        "url": "postgresql://agents:hunter2@db/agents",
        "words": ["sk-1234567890abcdef"],
    }

    LOGGER.info("Authorization: Basic dXNlcjpwYXNz, then Bearer eyJhbGciOiJIUzI1", extra=extra)
    LOGGER.info("password=hunter2 api_key: 'hunter2' sk-1234567890abcdef %s", {"client_secret": "hunter2"})
    try:
        raise RuntimeError("connect postgresql://agents:hunter2@db/agents token=hunter2")
    except RuntimeError:
        LOGGER.exception("It failed.")

    _, logged = capsys.readouterr()
    assert [secret for secret in SECRETS if secret in logged] == []
    assert "postgresql://agents:[key]@db/agents" in logged
    assert "*/*" in logged


def test_a_line_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", as_json=False, debug=False)

    LOGGER.info("one\ntwo\x1b[2J", extra={"title": "a\x1b]0;x\x07\nb"})

    line = capsys.readouterr().err
    assert "\x1b" not in line
    assert line.count("\n") == 1


def test_records_follow_stderr_where_it_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging("info", as_json=False, debug=False)
    monkeypatch.setattr(sys, "stderr", sys.stdout)

    LOGGER.info("Elsewhere.")

    out, err = capsys.readouterr()
    assert "Elsewhere." in out
    assert err == ""


def test_without_options_nothing_is_set_up_but_the_pool_is_quiet() -> None:
    handlers = list(logging.getLogger().handlers)

    set_up_logging(None, as_json=False, debug=False)

    assert logging.getLogger().handlers == handlers
    assert logging.getLogger("psycopg.pool").level == logging.CRITICAL


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["--log-level", "INFO", "--log-json"], {}),
        ([], {"OPENMANUS_GRAPH_LOG_LEVEL": "info", "OPENMANUS_GRAPH_LOG_JSON": "1"}),
    ],
)
def test_options_and_variables_say_the_same(
    words: list[str], environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    ran = CliRunner().invoke(cli, [*words, "plan", "schema"], env=environment)
    LOGGER.info("Seen.")

    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["title"]
    assert json.loads(capsys.readouterr().err)["message"] == "Seen."


def test_a_level_that_is_none_is_refused() -> None:
    ran = CliRunner().invoke(cli, ["plan", "schema"], env={"OPENMANUS_GRAPH_LOG_LEVEL": "loud"})

    assert ran.exit_code == 2
    assert "OPENMANUS_GRAPH_LOG_LEVEL" in ran.stderr
