"""Log output: the engine's log records on stderr, as lines for people or as JSON, never with secrets."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from openmanus_graph.display_text import clean
from openmanus_graph.redaction import KEY, is_secret_field, redact_log

LEVELS = ["debug", "info", "warning", "error"]
LEVEL_VARIABLE = "OPENMANUS_GRAPH_LOG_LEVEL"
JSON_VARIABLE = "OPENMANUS_GRAPH_LOG_JSON"
_OF_PACKAGE = "openmanus_graph"
_OF_POOL = "psycopg.pool"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every log record has; whatever else it has came as `extra`."""
_NAMES = frozenset({"thread_id", "subtask", "node", "tool"})
"""Extra fields that hold names, which may look like keys: the thread of "Key findings…" is `key-findings-1a2b`."""


def set_up_logging(level: str | None, *, as_json: bool, debug: bool) -> None:
    """Send log records to stderr; without a level and `as_json`, Python's own default stays: warnings, bare.

    The level is that of this package; other libraries log warnings and errors only.

    Args:
        level: One of `LEVELS`; `None` means `warning`.
        as_json: Whether a record is a JSON object on a line.
        debug: Whether failures are shown with their traceback.
    """
    if not debug and level != "debug":  # The pool logs what the error message already says.
        logging.getLogger(_OF_POOL).setLevel(logging.CRITICAL)
    if level is None and not as_json:
        return
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, StderrHandler):
            root.removeHandler(handler)
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    root.addHandler(handler)
    logging.getLogger(_OF_PACKAGE).setLevel((level or "warning").upper())


class StderrHandler(logging.Handler):
    """Writes to whatever `sys.stderr` is at the moment, so that a live view keeps log lines above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - a log line that cannot be written must not end the run
            self.handleError(record)


class LineFormatter(logging.Formatter):
    """Time, level, logger and message, then the extra fields as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line, its traceback below."""
        fields = "".join(f" {name}={_shown(value)}" for name, value in _extra(record).items())
        message = redact_log(" ".join(record.getMessage().splitlines()), _names(record))
        line = f"{_time(record)} {record.levelname} {record.name}: {message}{fields}"
        return clean("\n".join(filter(None, [line, _traceback(self, record)])))


class JsonFormatter(logging.Formatter):
    """A JSON object on a line: `time`, `level`, `logger`, `message`, the extra fields, `exception` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as a JSON object."""
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact_log(record.getMessage(), _names(record)),
        }
        if traceback := _traceback(self, record):
            fields["exception"] = traceback
        return json.dumps({**_extra(record), **fields}, ensure_ascii=False, default=str)


def _names(record: logging.LogRecord) -> frozenset[str]:
    """The names in a record that may look like keys."""
    return frozenset(str(value) for name, value in vars(record).items() if name in _NAMES)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """Fields that were logged as `extra`, without secrets."""
    return {name: _safe(name, value) for name, value in vars(record).items() if name not in _STANDARD}


def _safe(name: str, value: Any) -> Any:
    """A value without secrets: all of it is one if its name says so."""
    if is_secret_field(name, value):
        return KEY
    if value is None or isinstance(value, (bool, int, float)) or name in _NAMES:
        return value
    if isinstance(value, Mapping):
        inside = cast("Mapping[Any, Any]", value)
        return {str(key): _safe(str(key), item) for key, item in inside.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_safe("", item) for item in cast("list[Any]", value)]
    return redact_log(str(value))


def _shown(value: Any) -> str:
    """A value in a line: quoted where it would read as more than one word."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if text and not any(char.isspace() or char in "\"'=" for char in text) else json.dumps(text)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The record's traceback without secrets; empty if it has none."""
    return redact_log(formatter.formatException(record.exc_info), _names(record)) if record.exc_info else ""
